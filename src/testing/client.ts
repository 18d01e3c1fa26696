import { randomFillSync } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { checkOptions, type OptionNames, rejectInsteadOfThrow } from '../arguments.js';
import { whileUncancelled } from '../connection/cancellation.js';
import { type CloseInfo, closePayload } from '../connection/closing/close-status.js';
import { Deferred, derive, rejected } from '../connection/deferred.js';
import { isText, outgoingBytes, signalOf, type WebSocketData } from '../context/data.js';
import type { WebSocketMessageType } from '../context/fragments.js';
import type { WebSocketMessage } from '../context/messages.js';
import type { CancelOptions } from '../context/web-socket-context.js';
import { refuseHabits } from '../context/ws-habits.js';
import { WebSocketError } from '../errors.js';
import { eventLoop } from '../event-loop.js';
import { headerLength, putHeader } from '../framing/frame.js';
import { readKey, unmaskBytes } from '../framing/mask.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  FIN,
  MASK,
  PING_FRAME,
  PONG_FRAME,
  TEXT_FRAME,
} from '../framing/opcodes.js';
import type { SocketDuplex } from '../socket-duplex.js';
import { type ServerFrame, ServerFrames } from './server-frames.js';

/** Options of the client's `sendAsync`. */
export interface ClientSendOptions {
  /** Text or Binary; default: Text for a string, Binary for bytes. Ignored when the message was begun before. */
  readonly messageType?: typeof WebSocketMessageType.Text | typeof WebSocketMessageType.Binary | undefined;
  /** Whether the message ends with this fragment. Default `true`. */
  readonly endOfMessage?: boolean | undefined;
}

const sendOptions: OptionNames<ClientSendOptions> = { messageType: true, endOfMessage: true };

const KEY_SIZE = 4;

const LISTEN = 'it emits no events: use `await client.receiveAsync()`, or await `client.closed`';

const HOW_TO_END = 'let its handler read on, return or call closeAsync';

/**
 * So long, in real time, a client waits for what its server is to do, whatever the timers of the test do. Meanwhile it keeps
 * the process alive, which a test without a network has nothing else for: it would end in the middle, without a word.
 */
const TIMEOUT = 10_000;
/** So long a read with a signal keeps the process alive. A signal that never fires is not to keep it for ever. */
const LONGEST_WAIT = 60_000;
/** As {@link TIMEOUT}, for a client that is disposed of, which is to leave nothing open, not to find out. */
const DISPOSE_TIMEOUT = 1_000;

type Step = IteratorResult<WebSocketMessage, undefined>;

/**
 * The client of a connection without a network, as `connect` gives it. It behaves as a browser does: it answers pings and
 * the close of the server by itself, and takes in what comes unless it is paused.
 */
export class WebSocketClient implements AsyncIterable<WebSocketMessage>, AsyncDisposable {
  static {
    refuseHabits(WebSocketClient.prototype, {
      name: 'client',
      kind: 'client of websocket-context/testing',
      methods: {
        on: LISTEN,
        once: LISTEN,
        addEventListener: LISTEN,
        send: 'use `await client.sendAsync(data)`',
        close: 'use `await client.closeAsync(code, reason)`',
        receiveMessageAsync: 'use `await client.receiveAsync()`, which gives whole messages',
      },
    });
  }

  /** The negotiated subprotocol, `undefined` if none. */
  readonly subProtocol: string | undefined;
  /** The headers of the 101, over HTTP/2 of the 200, as Node gives them. */
  readonly headers: IncomingHttpHeaders;
  readonly #closed: Promise<CloseInfo>;
  readonly #socket: SocketDuplex;
  readonly #frames: ServerFrames = new ServerFrames();
  /** Fragments of the message that is arriving. */
  #fragments: Buffer[] = [];
  #fragmentsAreText = false;
  readonly #messages: WebSocketMessage[] = [];
  readonly #readers: Set<Deferred<WebSocketMessage | undefined>> = new Set();
  readonly #sends: Set<Deferred<void>> = new Set();
  /** We have begun a message and not ended it. */
  #insideMessage = false;
  #closeSent = false;
  /** The server's close. */
  #close: { readonly code: number; readonly reason: string } | undefined;
  #isOver = false;
  /** Why the connection was cut, if it is known. */
  #error: Error | undefined;

  /** Applications call `connect`. @internal */
  constructor(socket: SocketDuplex, headers: IncomingHttpHeaders) {
    this.#socket = socket;
    this.headers = headers;
    this.subProtocol = headers['sec-websocket-protocol'];
    this.#closed = new Promise((resolve) => {
      socket.once('close', () => {
        this.#end();
        resolve(this.#closeInfo());
      });
    });
    socket.on('error', (error) => {
      this.#error = error;
    });
    socket.on('data', (chunk: Buffer) => this.#chunkReceived(chunk));
  }

  /**
   * Sends a message or a fragment of one: a string as text, bytes as binary. Resolves when the server's side has taken it,
   * which a server that does not read will not for ever.
   *
   * @throws TypeError if `data` is neither a string nor bytes
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_STATE if the connection is closing or closed,
   *   ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY if it is cut before, ERR_WEBSOCKET_OPERATION_ABORTED if the server has not
   *   taken it within 10 s of real time; it is on its way all the same
   */
  sendAsync(data: WebSocketData, options?: ClientSendOptions): Promise<void> {
    return rejectInsteadOfThrow(() => {
      const payload = outgoingBytes(data, 'send');
      checkOptions(options, sendOptions, 'send');
      const { messageType, endOfMessage = true } = options ?? {};
      const text = isText(messageType, payload);
      if (this.#closeSent || this.#isOver) {
        return rejected(
          new WebSocketError('ERR_WEBSOCKET_INVALID_STATE', 'Cannot send: the client is closed, must be open'),
        );
      }
      const opcode = this.#insideMessage ? CONTINUATION : text ? TEXT_FRAME : BINARY_FRAME;
      this.#insideMessage = !endOfMessage;
      const sending = this.#write(endOfMessage ? opcode | FIN : opcode, Buffer.from(payload));
      return inTime(sending.promise, () => {
        this.#sends.delete(sending);
        sending.reject(tooLate('send: the server has not taken the data', 'let its handler read, or do not await'));
      });
    });
  }

  /**
   * Receives a whole message: text as a `string`, binary as a `Buffer`; `undefined` when the connection has been closed.
   * Several calls get several messages, in order. A read that is cancelled, or comes to nothing, loses none.
   *
   * @param options `signal` decides how long to wait, instead of 10 s
   * @throws WebSocketError ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY if the connection was cut without a close frame,
   *   once all messages have been received; ERR_WEBSOCKET_OPERATION_ABORTED if nothing has come within 10 s of real time
   */
  receiveAsync(options?: CancelOptions): Promise<WebSocketMessage | undefined> {
    return rejectInsteadOfThrow(() => {
      const signal = signalOf(options, 'receive');
      signal?.throwIfAborted();
      const message = this.#messages.shift();
      if (message !== undefined) return Promise.resolve(message);
      if (this.#close !== undefined) return Promise.resolve(undefined);
      if (this.#isOver) return Promise.reject(this.#cut('receive'));
      const reader = new Deferred<WebSocketMessage | undefined>();
      this.#readers.add(reader);
      const giveUp = (reason: unknown): void => {
        this.#readers.delete(reader);
        reader.reject(reason);
      };
      if (signal === undefined) return inTime(reader.promise, () => giveUp(this.#nothingCame()));
      return keepAlive(whileUncancelled(reader.promise, signal, () => giveUp(signal.reason)));
    });
  }

  /**
   * How the connection ended: the server's close, or 1006 if it did not end cleanly.
   *
   * Rejects with ERR_WEBSOCKET_OPERATION_ABORTED if it has not ended within 10 s of real time from when this was read.
   */
  get closed(): Promise<CloseInfo> {
    const closed = new Deferred<CloseInfo>();
    void this.#closed.then((info) => closed.resolve(info));
    if (this.#isOver) return closed.promise;
    return inTime(closed.promise, () =>
      closed.reject(tooLate('wait for the close: the connection has not ended', HOW_TO_END)),
    );
  }

  /** Iterates over whole messages. Ends when the connection has been closed; `break` leaves it open. */
  [Symbol.asyncIterator](): AsyncIterableIterator<WebSocketMessage> {
    let left = false;
    const next = async (): Promise<Step> => {
      const value = left ? undefined : await this.receiveAsync();
      return value === undefined ? { value, done: true } : { value, done: false };
    };
    const leave = async (): Promise<Step> => {
      left = true;
      return { value: undefined, done: true };
    };
    const iterator: AsyncIterableIterator<WebSocketMessage> = {
      next,
      return: leave,
      [Symbol.asyncIterator]: () => iterator,
    };
    return iterator;
  }

  /**
   * Closes the connection and resolves when the server has acknowledged and all is over. A connection that has been closed
   * already: resolves.
   *
   * @param code 1000 (default) to 1003, 1007 to 1014, 3000 to 4999, or 1005 for a close frame without code
   * @param reason at most 123 bytes of UTF-8
   * @throws TypeError or RangeError for what a close frame cannot say
   * @throws WebSocketError ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY if the connection was cut before,
   *   ERR_WEBSOCKET_CLOSE_TIMEOUT if the server has not acknowledged within 10 s of real time; the connection is cut then
   */
  closeAsync(code = 1000, reason?: string): Promise<void> {
    return rejectInsteadOfThrow(() => {
      this.#sendClose(closePayload(code, reason));
      return derive(this.#acknowledged(), ignore);
    });
  }

  /** Cuts the connection without a close frame; the server sees 1006. No effect on one that is over. */
  terminate(): void {
    this.#socket.destroy();
    this.#end();
  }

  /** Takes in nothing more until `resume`, so that the server feels a client that does not read. */
  pause(): void {
    this.#socket.pause();
  }

  /** Goes on behind `pause`. */
  resume(): void {
    this.#socket.resume();
  }

  /** Closes, and cuts the connection if the server does not acknowledge soon. For `await using`. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.resume();
    this.#sendClose(closePayload(1000, undefined));
    if (!(await this.#isOverWithin(DISPOSE_TIMEOUT))) this.terminate();
    await this.#closed;
  }

  #closeInfo(): CloseInfo {
    if (this.#close === undefined) return { code: 1006, reason: '', wasClean: false };
    return { ...this.#close, wasClean: true };
  }

  #chunkReceived(chunk: Buffer): void {
    try {
      for (const frame of this.#frames.push(chunk)) this.#received(frame);
    } catch (error) {
      this.#socket.destroy(error as Error);
    }
  }

  #received({ opcode, fin, payload }: ServerFrame): void {
    if (opcode === CLOSE_FRAME) this.#closeReceived(payload);
    else if (opcode === PING_FRAME) this.#write(PONG_FRAME | FIN, payload);
    else if (opcode !== PONG_FRAME) this.#dataReceived(opcode, fin, payload);
  }

  #dataReceived(opcode: number, fin: boolean, payload: Buffer): void {
    if (opcode !== CONTINUATION) this.#fragmentsAreText = opcode === TEXT_FRAME;
    this.#fragments.push(payload);
    if (!fin) return;
    const bytes = this.#fragments.length === 1 ? payload : Buffer.concat(this.#fragments);
    this.#fragments = [];
    const message = this.#fragmentsAreText ? bytes.toString() : bytes;
    const [reader] = this.#readers;
    if (reader === undefined) {
      this.#messages.push(message);
      return;
    }
    this.#readers.delete(reader);
    reader.resolve(message);
  }

  #closeReceived(payload: Buffer): void {
    this.#close =
      payload.length === 0
        ? { code: 1005, reason: '' }
        : { code: payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
    this.#sendClose(payload.subarray(0, 2));
    this.#settleReaders((reader) => reader.resolve(undefined));
  }

  /** Sends a close frame, once. */
  #sendClose(payload: Buffer): void {
    if (this.#closeSent || this.#isOver) return;
    this.#closeSent = true;
    this.#write(CLOSE_FRAME | FIN, payload);
  }

  #write(firstByte: number, payload: Buffer): Deferred<void> {
    const sending = new Deferred<void>();
    this.#sends.add(sending);
    this.#socket.write(maskedFrame(firstByte, payload), (error) => {
      // An error is that of a connection that is cut; 'close' follows.
      if (error) return;
      this.#sends.delete(sending);
      sending.resolve();
    });
    return sending;
  }

  async #acknowledged(): Promise<void> {
    if (!(await this.#isOverWithin(TIMEOUT))) {
      this.terminate();
      throw new WebSocketError(
        'ERR_WEBSOCKET_CLOSE_TIMEOUT',
        `Cannot close: the server has not acknowledged within ${TIMEOUT} ms; ${HOW_TO_END}`,
      );
    }
    if (this.#close === undefined) throw this.#cut('close');
  }

  #isOverWithin(ms: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = eventLoop.setTimeout(resolve, ms, false);
      void this.#closed.then(() => {
        eventLoop.clearTimeout(timer);
        resolve(true);
      });
    });
  }

  /** Nothing comes or goes any more. */
  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const sending of this.#sends) sending.reject(this.#cut('send'));
    this.#sends.clear();
    this.#settleReaders((reader) => reader.reject(this.#cut('receive')));
  }

  #nothingCame(): WebSocketError {
    return this.#socket.isPaused()
      ? tooLate('receive: the client is paused, and nothing came', 'call resume()')
      : tooLate('receive: nothing came', 'let the handler send or close, or wait longer with { signal }');
  }

  #cut(operation: 'send' | 'receive' | 'close'): WebSocketError {
    return new WebSocketError(
      'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY',
      `Cannot ${operation}: the connection was cut without a close frame, must be open`,
      this.#error && { cause: this.#error },
    );
  }

  #settleReaders(settle: (reader: Deferred<WebSocketMessage | undefined>) => void): void {
    const readers = [...this.#readers];
    this.#readers.clear();
    for (const reader of readers) settle(reader);
  }
}

/** Keeps the process alive until `operation` has settled, which it does when it is given up for being too late. */
function inTime<T>(operation: Promise<T>, giveUp: () => void): Promise<T> {
  return whileTimed(operation, eventLoop.setTimeout(giveUp, TIMEOUT));
}

/** Keeps the process alive until `operation` has settled, unless its signal has been forgotten. */
function keepAlive<T>(operation: Promise<T>): Promise<T> {
  return whileTimed(operation, eventLoop.setTimeout(ignore, LONGEST_WAIT));
}

function whileTimed<T>(operation: Promise<T>, timer: NodeJS.Timeout): Promise<T> {
  return derive(
    operation,
    (value) => {
      eventLoop.clearTimeout(timer);
      return value;
    },
    (reason) => {
      eventLoop.clearTimeout(timer);
      throw reason;
    },
  );
}

function tooLate(what: string, remedy: string): WebSocketError {
  return new WebSocketError('ERR_WEBSOCKET_OPERATION_ABORTED', `Cannot ${what} within ${TIMEOUT} ms; ${remedy}`);
}

/** A frame as a client has to send it: masked (RFC 6455, section 5.3). */
function maskedFrame(firstByte: number, payload: Uint8Array): Buffer {
  const key = headerLength(payload.length);
  const start = key + KEY_SIZE;
  const frame = Buffer.allocUnsafeSlow(start + payload.length);
  putHeader(frame, 0, firstByte, payload.length);
  frame.writeUInt8(frame.readUInt8(1) | MASK, 1);
  randomFillSync(frame, key, KEY_SIZE);
  frame.set(payload, start);
  // The same both ways.
  unmaskBytes(frame, start, frame.length, readKey(frame, key));
  return frame;
}

function ignore(): void {}
