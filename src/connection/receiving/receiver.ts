import type { PerMessageDeflateOptions } from 'ws';
import { WebSocketError } from '../../errors.js';
import { eventLoop } from '../../event-loop.js';
import type { NegotiatedDeflate } from '../../framing/deflate-options.js';
import { ASCII, type FrameEvents, FrameReader, MESSAGE_END, TEXT } from '../../framing/frame-reader.js';
import { MessageInflater } from '../../framing/inflater.js';
import type { Place } from '../../framing/mask.js';
import { Utf8Validator } from '../../framing/utf8.js';
import { onAbort } from '../cancellation.js';
import { inLaterTurn } from '../deferred.js';
import * as failures from '../failures.js';
import { EARLY_INPUT_LIMIT, EarlyInput } from './early-input.js';
import { PendingRead, type ReadKind } from './reads.js';
import { UnreadPieces, type UnreadPiecesEvents } from './unread-pieces.js';

/** permessage-deflate of a connection: what was agreed, and the options that led to it. */
export interface Compression {
  readonly negotiated: NegotiatedDeflate;
  readonly options: PerMessageDeflateOptions;
}

/** What a receiver reports to its connection. */
export interface ReceiverEvents {
  /** Whether the application has sent a message. */
  readonly hasSent: boolean;
  /** Nobody reads: stop the sender. */
  onPause(): void;
  /** There is room again. */
  onResume(): void;
  /** A chunk that was needed behind {@link Receiver.receive} is not any more. */
  onSpent(chunk: Buffer): void;
  /** A ping has arrived; `payload` is valid during the call only. */
  onPing(payload: Buffer): void;
  /** A pong has arrived; `payload` is valid during the call only. */
  onPong(payload: Buffer): void;
  /** The peer's close frame has arrived, and all data before it. */
  onPeerClose(code: number, reason: string): void;
  /** A reader has been told of the peer's close. */
  onCloseRead(): void;
  /**
   * The peer broke the protocol or a limit, and readers have had their turn: close with `closeCode`, and with what the
   * peer is to know of it. The error is for the application, and may say how to go on.
   */
  onFault(closeCode: number, error: WebSocketError, description: string): void;
}

/** How input ended: with the peer's close frame, or with an error. */
type InputEnd = 'close' | WebSocketError;

const NOTHING = Buffer.alloc(0);

/** Who lets a connection hold as much, which is the default, does not mind that a portion of a long message has 256 KiB. */
const LARGE_PORTIONS_FROM = 4 * 1024 * 1024;

/** The receiving half of a connection: chunks of the socket in, fragments and messages out, at the reader's pace. */
export class Receiver implements FrameEvents, UnreadPiecesEvents {
  readonly #events: ReceiverEvents;
  readonly #frames: FrameReader;
  readonly #pieces: UnreadPieces;
  readonly #inflater: MessageInflater | undefined;
  #validator: Utf8Validator | undefined;
  /** More compressed input waits than is inflated at once. */
  #inflaterFull = false;
  /** Input is kept as it came until somebody reads, closes, or takes `ws`; here once there is any. */
  #keepsEarly = true;
  #early: EarlyInput | undefined;
  /** We have stopped the sender. */
  #isPaused = false;
  #isOver = false;
  #end: InputEnd | undefined;
  /** The peer's fault, behind which nothing is read. It is the end of input when this turn is over. */
  #fault: WebSocketError | undefined;
  #endReported = false;
  #sawData = false;
  /** Messages that have arrived completely. */
  messages = 0;
  /** How many reads have begun. */
  reads = 0;

  constructor(
    events: ReceiverEvents,
    limits: { readonly receiveBufferLimit: number; readonly maxPayload: number },
    deflate: Compression | undefined,
  ) {
    this.#events = events;
    this.#frames = new FrameReader(this, { maxPayload: limits.maxPayload, compression: deflate !== undefined });
    this.#pieces = new UnreadPieces(this, limits.receiveBufferLimit);
    if (deflate !== undefined) {
      this.#inflater = new MessageInflater(deflate.negotiated, {
        maxPayload: limits.maxPayload,
        largePortions: limits.receiveBufferLimit >= LARGE_PORTIONS_FROM,
        options: deflate.options,
        onData: (chunk, start, end, flags) => this.#deliver(chunk, start, end, flags, 0),
        onFault: (closeCode, message) => this.#raiseProtocolFault(closeCode, message),
        onSpent: (chunk) => this.#events.onSpent(chunk),
        onBackpressure: (full) => {
          this.#inflaterFull = full;
          this.#updateFlow();
        },
      });
    }
  }

  /** Whether somebody waits for input. */
  get hasReader(): boolean {
    return this.#pieces.hasReader;
  }

  /** Whether somebody who reads has been told of the peer's close. */
  get isCloseRead(): boolean {
    return this.#end === 'close' && this.#endReported;
  }

  /** Whether everything since the handshake can still be had as it came, for a hand-over to `ws`. */
  get keepsEarlyInput(): boolean {
    return this.#keepsEarly;
  }

  /** Bytes of messages that have arrived and have not been read. */
  get bytesHeld(): number {
    return this.#pieces.bytesHeld + (this.#inflater?.bufferedAmount ?? 0);
  }

  /** Whether the peer has broken the protocol, or a limit. */
  get hasFault(): boolean {
    return this.#fault !== undefined;
  }

  /**
   * Takes a chunk of the socket. It is unmasked in place.
   *
   * @returns whether something refers to the chunk when the call is over: what is unread, or a reader
   */
  receive(chunk: Buffer): boolean {
    if (this.#keepsEarly) {
      this.#early ??= new EarlyInput();
      this.#early.keep(chunk);
      this.#read(chunk);
      this.#reviewEarlyInput();
      return true;
    }
    return this.#read(chunk);
  }

  /** Somebody reads or closes: from now on the connection cannot be handed over to `ws`. */
  forgetEarlyInput(): void {
    if (!this.#keepsEarly) return;
    this.#keepsEarly = false;
    this.#early = undefined;
    this.#updateFlow();
  }

  /** All input since the handshake, for `ws`. */
  takeEarlyInput(): Buffer {
    const early = this.#early?.concat() ?? NOTHING;
    this.#keepsEarly = false;
    this.#early = undefined;
    return early;
  }

  /** The connection is over: whatever still comes is read and thrown away, or TCP would answer it with a reset. */
  end(): void {
    this.#isOver = true;
    this.#keepsEarly = false;
    this.#early = undefined;
    this.#updateFlow();
  }

  /** Reads what `kind` says; one read at a time. Rejects with the reason of `signal` if that fires first. */
  read<T>(kind: ReadKind<T>, signal: AbortSignal | undefined): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#pieces.hasReader) {
      return inLaterTurn((_resolve, reject) => reject(failures.receiveInProgress()));
    }
    this.reads++;
    const value = kind.take(this.#pieces);
    if (value !== undefined) return Promise.resolve(value);
    if (this.#end !== undefined) return this.#readEnd(kind, this.#end);
    return new Promise((resolve) => {
      const pending = new PendingRead(kind, resolve);
      if (signal !== undefined) {
        pending.stopListening = onAbort(signal, () => this.cancelRead(signal.reason));
      }
      this.#pieces.wait(pending, kind.wantsMessage);
    });
  }

  /** Lets go of a pending read; not a byte is lost. */
  cancelRead(reason: unknown): void {
    this.#unpend()?.fail(reason);
  }

  /** Runs `callback` when all input before now has been inflated, unless there has been a fault in it. */
  whenInflated(callback: () => void): void {
    if (this.#fault !== undefined) return;
    if (this.#inflater === undefined) callback();
    else this.#inflater.after(callback);
  }

  /** Throws away what is unread, and what arrives; a read that is pending gets its due before. */
  discard(): void {
    this.#pieces.discard();
  }

  /** Throws away what nobody reads instead of stopping the sender, so that its close frame is seen. */
  dropBeyondLimit(): void {
    this.#pieces.dropBeyondLimit();
  }

  /** No more input, because of `error`. What has arrived can still be read; then the error is reported once. */
  fail(error: WebSocketError): void {
    if (this.#end !== undefined) return;
    this.#frames.stop();
    this.#inflater?.destroy();
    // Whatever else happens in the turn of a fault, that is why there is no more input.
    this.#finish(this.#fault ?? error);
  }

  /** No more input, and what is unread is dropped. A pending read rejects with `error`. */
  abort(error: WebSocketError): void {
    this.#frames.stop();
    this.#inflater?.destroy();
    this.#pieces.clear();
    this.#end = error;
    this.#endReported = true;
    this.#unpend()?.fail(error);
  }

  // FrameEvents

  placeFor(size: number, rest: number): Place | undefined {
    return this.#inflater === undefined ? this.#pieces.placeFor(size, rest) : undefined;
  }

  onData(chunk: Buffer, start: number, end: number, flags: number, rest: number): void {
    this.#sawData = true;
    const inflater = this.#inflater;
    if (inflater === undefined) this.#deliver(chunk, start, end, flags, rest);
    else inflater.write(chunk, start, end, flags, rest);
  }

  onPing(payload: Buffer): void {
    this.#events.onPing(payload);
  }

  onPong(payload: Buffer): void {
    this.#events.onPong(payload);
  }

  onClose(code: number, reason: string): void {
    this.whenInflated(() => this.#closed(code, reason));
  }

  onFault(closeCode: number, message: string): void {
    // What came before it may still have to be inflated, and is to be read.
    this.whenInflated(() => this.#raiseProtocolFault(closeCode, message));
  }

  // UnreadPiecesEvents

  onFull(): void {
    this.#inflater?.pause();
    this.#updateFlow();
  }

  onRoom(): void {
    this.#inflater?.resume();
    this.#updateFlow();
  }

  onMessageTooBig(limit: number): void {
    this.#pieces.clear();
    const error = new WebSocketError(
      'ERR_WEBSOCKET_MESSAGE_TOO_BIG',
      `Cannot assemble message: it is longer than receiveBufferLimit, which is ${limit} bytes; raise the limit or read fragments with receiveAsync`,
    );
    if (this.#end === undefined) {
      this.#raiseFault(1009, error, `A message is longer than the limit of ${limit} bytes`);
    } else {
      // Input has ended, so that there is nobody to tell but the reader.
      this.#end = error;
      this.#endReported = false;
    }
  }

  #deliver(chunk: Buffer, start: number, end: number, flags: number, rest: number): void {
    if ((flags & TEXT) !== 0 && !this.#isText(chunk, start, end, flags)) {
      this.#raiseProtocolFault(1007, 'Cannot receive: the peer sent a text message that is not valid UTF-8');
      return;
    }
    if ((flags & MESSAGE_END) !== 0) this.messages++;
    this.#pieces.add(chunk, start, end, flags, rest);
  }

  #read(chunk: Buffer): boolean {
    this.#pieces.beginChunk(chunk);
    this.#frames.read(chunk);
    return this.#pieces.endChunk(chunk) || this.#inflater !== undefined;
  }

  /** What has just come may change what is kept of it. */
  #reviewEarlyInput(): void {
    const early = this.#early;
    if (early === undefined) return;
    if (!this.#sawData && this.#frames.isBetweenMessages) {
      // Control frames have been dealt with; a connection that only sends can go on like this for ever.
      this.#early = undefined;
    } else if (early.isFull) {
      // Data wait until somebody has decided; for control frames behind a short message nobody would stop listening, nor
      // for a client that talks to an application that only sends, which is not to miss the client's close.
      if (this.bytesHeld < EARLY_INPUT_LIMIT / 2 || this.#events.hasSent) this.forgetEarlyInput();
      else this.#updateFlow();
    }
  }

  /** The one place that stops and starts the sender. */
  #updateFlow(): void {
    const isHeld = this.#pieces.isFull || this.#inflaterFull || this.#early?.isFull === true;
    const isPaused = isHeld && !this.#isOver;
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#events.onPause();
    else this.#events.onResume();
  }

  /** Whether the message is valid UTF-8 so far. A piece of ASCII needs no look, unless a character is cut before it. */
  #isText(chunk: Buffer, start: number, end: number, flags: number): boolean {
    if ((flags & ASCII) !== 0 && this.#validator === undefined) return true;
    this.#validator ??= new Utf8Validator();
    if (!this.#validator.write(chunk, start, end)) return false;
    if ((flags & MESSAGE_END) === 0) return true;
    const complete = this.#validator.end();
    this.#validator = undefined;
    return complete;
  }

  #readEnd<T>(kind: ReadKind<T>, end: InputEnd): Promise<T> {
    const first = !this.#endReported;
    this.#endReported = true;
    if (end === 'close' && first) this.#events.onCloseRead();
    if (first) return end === 'close' ? Promise.resolve(kind.atClose()) : Promise.reject(end);
    if (end === 'close' && kind.closeRepeats) return inLaterTurn((resolve) => resolve(kind.atClose()));
    return inLaterTurn((_resolve, reject) => reject(failures.nothingToReceive(end)));
  }

  /** The peer broke the protocol or `maxPayload`. */
  #raiseProtocolFault(closeCode: number, message: string): void {
    const code = closeCode === 1009 ? 'ERR_WEBSOCKET_MESSAGE_TOO_BIG' : 'ERR_WEBSOCKET_FAULTED';
    // A failure of ours is no business of the peer's.
    const description = closeCode === 1011 ? '' : message;
    this.#raiseFault(closeCode, new WebSocketError(code, message), description);
  }

  /**
   * Nothing behind a fault is ever seen. It comes in its order, though: who waited for what stood before it is told in
   * this turn of the event loop, and what he answers in it still goes out before the close frame for the fault does.
   */
  #raiseFault(closeCode: number, error: WebSocketError, description: string): void {
    this.#fault = error;
    this.#frames.stop();
    this.#inflater?.destroy();
    eventLoop.setImmediate(() => {
      if (this.#end === undefined) this.#events.onFault(closeCode, error, description);
    });
  }

  #closed(code: number, reason: string): void {
    // Whoever is told of it may read again.
    this.#end = 'close';
    this.#events.onPeerClose(code, reason);
    this.#finish('close');
  }

  #finish(end: InputEnd): void {
    this.#end = end;
    const pending = this.#unpend();
    if (pending === undefined) return;
    this.#endReported = true;
    if (end === 'close') {
      pending.closed();
      this.#events.onCloseRead();
    } else {
      pending.fail(end);
    }
  }

  #unpend(): PendingRead<unknown> | undefined {
    return this.#pieces.unwait() as PendingRead<unknown> | undefined;
  }
}
