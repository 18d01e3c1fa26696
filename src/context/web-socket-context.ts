import type { IncomingMessage } from 'node:http';
import type { ReadableStream, WritableStream } from 'node:stream/web';
import type { WebSocket } from 'ws';
import { checkOptions, type OptionNames, rejectInsteadOfThrow, typeOf } from '../arguments.js';
import { type CloseInfo, closePayload } from '../connection/closing/close-status.js';
import type { LiveConnection } from '../connection/connection.js';
import { derive, rejected } from '../connection/deferred.js';
import { isTerminal, type WebSocketState } from '../connection/state.js';
import { brandContexts, isContext } from './brand.js';
import {
  checkGroupName,
  checkSignal,
  incomingBytes,
  isText,
  outgoingBytes,
  signalOf,
  type WebSocketData,
} from './data.js';
import type { EndSignals } from './end-signals.js';
import {
  type CompletionCallback,
  complete,
  type FragmentReadResult,
  fragmentKind,
  type ReceiveResult,
  receiveKind,
  type WebSocketMessageType,
} from './fragments.js';
import { JsonChannel, type JsonOptions, type WebSocketJson } from './json.js';
import { MessageIterator, type WebSocketMessage, wholeMessage } from './messages.js';
import * as info from './request-info.js';
import { SetView, snapshot } from './set-view.js';
import type { SchemaInput, SchemaOutput, StandardSchema } from './standard-schema.js';
import { readableOf, writableOf } from './streams.js';
import { WsHabits } from './ws-habits.js';

/** Options of an operation that can be cancelled. */
export interface CancelOptions {
  /** Rejects the operation with its `reason` when it fires. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `sendAsync`. */
export interface SendOptions extends CancelOptions {
  /** Text or Binary; default: Text for a string, Binary for bytes. Ignored when the message was begun before. */
  readonly messageType?: typeof WebSocketMessageType.Text | typeof WebSocketMessageType.Binary | undefined;
  /** Whether the message ends with this fragment. Default `true`. */
  readonly endOfMessage?: boolean | undefined;
  /** Whether to compress, where compression was negotiated. Default: messages above its threshold. */
  readonly compress?: boolean | undefined;
}

const sendOptions: OptionNames<SendOptions> = { messageType: true, endOfMessage: true, compress: true, signal: true };

/** Options of `writeFragment`. */
export interface WriteFragmentOptions {
  /** Whether the fragment is text. Default: whether `data` is a string. */
  readonly utf8Encoded?: boolean | undefined;
  /** Whether the message ends with this fragment. Default `true`. */
  readonly finalFragment?: boolean | undefined;
}

const writeFragmentOptions: OptionNames<WriteFragmentOptions> = { utf8Encoded: true, finalFragment: true };

/** The peer's close, as `getCloseStatus` gives it. */
export interface CloseStatus {
  readonly statusCode: number;
  readonly reason: string;
}

/** What the contexts of a route have in common, and ask of the middleware. @internal */
export interface ContextHost {
  requestedProtocols(req: IncomingMessage): readonly string[];
  /** Gets what a completion callback of the application throws. */
  onCallbackError(context: WebSocketContext, error: unknown): void;
}

/** What a context is made of, for as long as it lives. @internal */
export interface ContextParts {
  readonly host: ContextHost;
  readonly upgrade: {
    readonly req: IncomingMessage;
    /** Milliseconds since the epoch: one number for all who know of it, as it is an object to V8. */
    readonly receivedAt: number;
  };
  readonly items: Record<string, unknown>;
  readonly subProtocol: string | undefined;
}

/** Who has made a context and its connection, and sees to what is not a matter of this connection alone. @internal */
export interface ContextOwner extends ContextParts {
  readonly ends: EndSignals;
  /** The groups that it is in. */
  readonly groups: ReadonlyArray<{ readonly name: string }>;
  /** Resolves when messages of all processes come, or the backplane is found interrupted. */
  join(group: string): Promise<void>;
  leave(group: string): void;
  /** Hands the connection over to `ws`. */
  handOver(): WebSocket;
}

const settled: Promise<void> = Promise.resolve();

/**
 * One WebSocket connection, on `req.webSocket` after the handshake. Three styles of use that can be mixed: ASP.NET
 * (`receiveAsync`, `sendAsync`, `closeAsync`, ...), IIS (`readFragment`, `writeFragment`, `sendConnectionClose`, ...) and
 * JavaScript (`for await`, streams, `signal`).
 *
 * - Every method may be called at any time. A wrong argument, such as an option of a name that there is not, rejects with a
 *   `TypeError` or `RangeError`, a wrong state with a {@link WebSocketError}, and neither changes anything.
 * - One receive at a time. Sends are queued, and leave in the order of the calls.
 * - A close of the peer that a read or `closing` reports is not answered behind the application's back: call `closeAsync`,
 *   return from the handler, or await `closed`. One that nobody can see, because nobody has ever read, is acknowledged at
 *   once; any other after `closeTimeout`. Pings are answered when they are read: at once, unless more than
 *   `receiveBufferLimit` is waiting to be read.
 * - An operation that is cancelled leaves the connection usable, except `closeAsync` once its close frame is out.
 * - A send, a close or a ping that fails with a {@link WebSocketError} and that nobody awaits raises no
 *   `unhandledRejection`; wrong arguments and the reasons of signals do.
 *
 * @example
 * ```ts
 * app.get('/echo', sockets.handler(async (socket) => {
 *   for await (const message of socket) await socket.sendAsync(message);
 * }));
 * ```
 */
export class WebSocketContext extends WsHabits implements AsyncIterable<WebSocketMessage>, AsyncDisposable {
  readonly #connection: LiveConnection;
  readonly #owner: ContextOwner;
  #readable: ReadableStream<WebSocketMessage> | undefined;
  #writable: WritableStream<WebSocketData> | undefined;
  #json: JsonChannel | undefined;

  /** The middleware makes contexts; applications find them on `req.webSocket`. @internal */
  constructor(connection: LiveConnection, owner: ContextOwner) {
    super();
    this.#connection = connection;
    this.#owner = owner;
    // While the connection stands: Node forgets the address of a closed socket that nobody has asked for before, and
    // `userHostAddress` is wanted above all when a connection has ended.
    void owner.upgrade.req.socket.remoteAddress;
  }

  /** Holds for the contexts of all copies of the package. @internal */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return isContext(value);
  }

  // ASP.NET style

  /** Where the connection stands. Corresponds to `WebSocket.State`. */
  get state(): WebSocketState {
    return this.#connection.state;
  }

  /** Status of the peer's close frame; 1005 if it had none, `undefined` until it has come. `WebSocket.CloseStatus`. */
  get closeStatus(): number | undefined {
    return this.#connection.closeStatus;
  }

  /** Description in the peer's close frame; `undefined` until it has come. `WebSocket.CloseStatusDescription`. */
  get closeStatusDescription(): string | undefined {
    return this.#connection.closeStatusDescription;
  }

  /** The negotiated subprotocol, `undefined` if none. `WebSocket.SubProtocol`. */
  get subProtocol(): string | undefined {
    return this.#owner.subProtocol;
  }

  /**
   * Receives a fragment of a message, or the part of one that has arrived, or the peer's close. A result never spans two
   * frames. Corresponds to `AspNetWebSocket.ReceiveAsync`.
   *
   * @param buffer is filled, and `data` is the filled part of it; without it `data` is what has arrived. A zero-length
   *   buffer waits for input and consumes nothing
   * @throws WebSocketError ERR_WEBSOCKET_RECEIVE_IN_PROGRESS if another receive is pending,
   *   ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY or ERR_WEBSOCKET_FAULTED once if the peer vanished or broke the
   *   protocol, ERR_WEBSOCKET_INVALID_STATE after that or after the peer's close, and the reason of `signal`; a
   *   cancelled receive loses no byte
   *
   * @example
   * ```ts
   * import { WebSocketMessageType } from 'websocket-context';
   *
   * const buffer = Buffer.alloc(4096);
   * for (;;) {
   *   const { data, messageType, endOfMessage } = await socket.receiveAsync(buffer, { signal: AbortSignal.timeout(60_000) });
   *   if (messageType === WebSocketMessageType.Close) break;
   *   await socket.sendAsync(data, { messageType, endOfMessage });
   * }
   * await socket.closeAsync(socket.closeStatus, socket.closeStatusDescription);
   * ```
   */
  receiveAsync(buffer?: ArrayBufferView | ArrayBuffer, options?: CancelOptions): Promise<ReceiveResult> {
    return rejectInsteadOfThrow(() => {
      const kind = receiveKind(incomingBytes(buffer, 'receive'), this.#connection);
      return this.#connection.read(kind, signalOf(options, 'receive'));
    });
  }

  /**
   * Sends a message or a fragment of one: a string as text, bytes as binary. Calls are sent in order. Corresponds to
   * `AspNetWebSocket.SendAsync`.
   *
   * @returns resolves when `data` may be reused and there is room for more
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_STATE unless the state is Open or CloseReceived,
   *   ERR_WEBSOCKET_SEND_BUFFER_FULL if more than `sendBufferLimit` was waiting, the reason of `signal`, in which
   *   case nothing is sent if no byte of the frame was out, and a TypeError if the buffer of `data` is detached or
   *   resized before its turn
   *
   * @example
   * ```ts
   * import { createReadStream } from 'node:fs';
   *
   * await socket.sendAsync('text');
   * await socket.sendAsync(Buffer.of(1, 2, 3));
   *
   * // One message out of many fragments, at the pace of the client.
   * for await (const chunk of createReadStream('film.mp4')) await socket.sendAsync(chunk, { endOfMessage: false });
   * await socket.sendAsync('', { endOfMessage: true });
   * ```
   */
  sendAsync(data: WebSocketData, options?: SendOptions): Promise<void> {
    // Nearly every call comes this way: no objects are made for it. What is empty may have been detached.
    if (
      options === undefined &&
      (typeof data === 'string' || data instanceof Uint8Array) &&
      data.length > 0 &&
      this.#connection.trySend(data)
    ) {
      return settled;
    }
    return rejectInsteadOfThrow(() => {
      const payload = outgoingBytes(data, 'send', 'socket.json()');
      if (!hasOnlySendOptions(options)) checkOptions(options, sendOptions, 'send');
      const signal = checkSignal(options?.signal, 'send');
      const { messageType, endOfMessage = true, compress } = options ?? {};
      const text = isText(messageType, payload);
      return this.#connection.send({ data: payload, text, endOfMessage, compress, ownMessage: false, signal });
    });
  }

  /**
   * Closes the connection. The side that closes first: sends the close frame, discards what still arrives and waits until
   * the client has acknowledged. When the client closed first: sends the acknowledgement. A second call joins the first.
   * Corresponds to `AspNetWebSocket.CloseAsync`.
   *
   * @param status 1000 (default) to 1003, 1007 to 1014, 3000 to 4999, or 1005 for a close frame without status
   * @param description at most 123 bytes of UTF-8
   * @returns resolves when the connection is Closed
   * @throws WebSocketError ERR_WEBSOCKET_CLOSE_TIMEOUT if the client has not acknowledged within `closeTimeout`,
   *   ERR_WEBSOCKET_INVALID_STATE if the connection was Aborted, and the reason of `signal`, which aborts the
   *   connection if the close frame was out
   *
   * @example
   * ```ts
   * import { WebSocketState } from 'websocket-context';
   *
   * await socket.closeAsync(1000, 'done');
   * console.log(WebSocketState[socket.state]); // Closed: the client has acknowledged
   * ```
   */
  closeAsync(status = 1000, description?: string, options?: CancelOptions): Promise<void> {
    return rejectInsteadOfThrow(() =>
      this.#connection.close(closePayload(status, description), signalOf(options, 'close')),
    );
  }

  /**
   * Closes our half: sends the close frame and does not wait for the client. What the client still sends can be received
   * until its close. When the client closed first this is the acknowledgement. A second call resolves and sends nothing.
   * Corresponds to `AspNetWebSocket.CloseOutputAsync`.
   *
   * @param status as in {@link closeAsync}
   * @param description as in {@link closeAsync}
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_STATE if the connection was Aborted, and the reason of `signal`
   *
   * @example
   * ```ts
   * await socket.sendAsync('That was all. And you?');
   * await socket.closeOutputAsync(1000);
   * // The client may still answer, until it closes too.
   * for await (const message of socket) console.log(message);
   * ```
   */
  closeOutputAsync(status = 1000, description?: string, options?: CancelOptions): Promise<void> {
    return rejectInsteadOfThrow(() =>
      this.#connection.closeOutput(closePayload(status, description), signalOf(options, 'close')),
    );
  }

  /**
   * Drops the connection now; the client sees 1006. Pending operations reject with ERR_WEBSOCKET_OPERATION_ABORTED. No
   * effect on a connection that is Closed or Aborted. Corresponds to `AspNetWebSocket.Abort`.
   */
  abort(): void {
    this.#connection.abort();
  }

  /** `closeAsync(1000)` unless the connection is over or handed over to `ws`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return isTerminal(this.state) || this.isHandedOver ? settled : this.closeAsync();
  }

  // IIS style

  /**
   * Reads a fragment, the part of one that has arrived, or the close. `IWebSocketContext::ReadFragment`.
   *
   * @param buffer as in {@link receiveAsync}
   * @throws As {@link receiveAsync} does
   *
   * @example
   * ```ts
   * for (;;) {
   *   const { data, utf8Encoded, finalFragment, connectionClose } = await socket.readFragment();
   *   if (connectionClose) break;
   *   await socket.writeFragment(data, { utf8Encoded, finalFragment });
   * }
   * await socket.sendConnectionClose(1000);
   * ```
   */
  readFragment(buffer?: ArrayBufferView | ArrayBuffer): Promise<FragmentReadResult>;
  /** The same with a completion callback, which is called exactly once, after this call has returned. */
  readFragment<C>(
    buffer: ArrayBufferView | ArrayBuffer | undefined,
    completion: CompletionCallback<C>,
    completionContext?: C,
  ): void;
  readFragment<C>(
    buffer?: ArrayBufferView | ArrayBuffer,
    completion?: CompletionCallback<C>,
    completionContext?: C,
  ): Promise<FragmentReadResult> | undefined {
    const read = rejectInsteadOfThrow(() => {
      checkCompletion(completion, 'read');
      return this.#connection.read(fragmentKind(incomingBytes(buffer, 'read')), undefined);
    });
    return this.#deliver(read, completion, completionContext as C, (result) => [
      result.count,
      result.utf8Encoded,
      result.finalFragment,
      result.connectionClose,
    ]);
  }

  /**
   * Writes a fragment. `IWebSocketContext::WriteFragment`.
   *
   * @returns the number of bytes sent
   * @throws As {@link sendAsync} does
   *
   * @example
   * ```ts
   * await socket.writeFragment('a message ', { finalFragment: false });
   * await socket.writeFragment('in two fragments');
   * ```
   */
  writeFragment(data: WebSocketData, options?: WriteFragmentOptions): Promise<number>;
  /** The same with a completion callback, which is called exactly once, after this call has returned. */
  writeFragment<C>(
    data: WebSocketData,
    options: WriteFragmentOptions | undefined,
    completion: CompletionCallback<C>,
    completionContext?: C,
  ): void;
  writeFragment<C>(
    data: WebSocketData,
    options?: WriteFragmentOptions,
    completion?: CompletionCallback<C>,
    completionContext?: C,
  ): Promise<number> | undefined {
    const { utf8Encoded = typeof data === 'string', finalFragment = true } = options ?? {};
    const written = rejectInsteadOfThrow(() => {
      checkCompletion(completion, 'write');
      checkOptions(options, writeFragmentOptions, 'write');
      const payload = outgoingBytes(data, 'write');
      const bytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.byteLength;
      const sent = this.#connection.send({
        data: payload,
        text: utf8Encoded,
        endOfMessage: finalFragment,
        compress: undefined,
        ownMessage: false,
        signal: undefined,
      });
      return derive(sent, () => bytes);
    });
    return this.#deliver(written, completion, completionContext as C, (bytes) => [
      bytes,
      utf8Encoded,
      finalFragment,
      false,
    ]);
  }

  /**
   * Sends one close frame and waits for nothing. `IWebSocketContext::SendConnectionClose`.
   *
   * @param statusCode as in {@link closeAsync}; default: an empty close frame
   * @param reason at most 123 bytes of UTF-8
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_STATE if the connection was Aborted
   *
   * @example
   * ```ts
   * await socket.sendConnectionClose(1000, 'done');
   * console.log(socket.getCloseStatus()); // undefined until the client has closed, too
   * ```
   */
  sendConnectionClose(statusCode?: number, reason?: string): Promise<void>;
  /** The same with a completion callback, which is called exactly once, after this call has returned. */
  sendConnectionClose<C>(
    statusCode: number | undefined,
    reason: string | undefined,
    completion: CompletionCallback<C>,
    completionContext?: C,
  ): void;
  sendConnectionClose<C>(
    statusCode = 1005,
    reason?: string,
    completion?: CompletionCallback<C>,
    completionContext?: C,
  ): Promise<void> | undefined {
    const sent = rejectInsteadOfThrow(() => {
      checkCompletion(completion, 'close');
      return this.#connection.closeOutput(closePayload(statusCode, reason), undefined);
    });
    return this.#deliver(sent, completion, completionContext as C, () => [0, true, true, false]);
  }

  /**
   * Ends TCP gracefully (FIN) without a close frame. Pending operations reject with ERR_WEBSOCKET_OPERATION_ABORTED. The
   * socket is destroyed when the peer has ended it too, or after `closeTimeout`. `IWebSocketContext::CloseTcpConnection`.
   */
  closeTcpConnection(): void {
    this.#connection.closeTcp();
  }

  /** The peer's close, `undefined` before it has come (E_NOT_SET). `IWebSocketContext::GetCloseStatus`. */
  getCloseStatus(): CloseStatus | undefined {
    const { closeStatus, closeStatusDescription } = this.#connection;
    if (closeStatus === undefined || closeStatusDescription === undefined) return undefined;
    return { statusCode: closeStatus, reason: closeStatusDescription };
  }

  /**
   * Lets go of pending reads and of writes that are not out yet: they reject with ERR_WEBSOCKET_OPERATION_ABORTED
   * (0x800703E3). No received byte is lost and the connection stays usable. `IWebSocketContext::CancelOutstandingIO`.
   */
  cancelOutstandingIO(): void {
    this.#connection.cancelOutstandingIO();
  }

  // JavaScript style

  /**
   * Iterates over whole messages. Ends at the peer's close, throws on a fault; `break` leaves the connection open.
   *
   * @example
   * ```ts
   * for await (const message of socket) {
   *   if (typeof message === 'string') console.log('text', message);
   *   else console.log('binary', message.length);
   * }
   * console.log('closed by the client with', socket.closeStatus);
   * ```
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<WebSocketMessage> {
    return new MessageIterator(this.#connection);
  }

  /**
   * Receives a whole message: text as a `string`, binary as a `Buffer`; `undefined` at the peer's close.
   *
   * @throws As {@link receiveAsync} does; a message longer than `receiveBufferLimit` closes with 1009 and rejects
   *   with ERR_WEBSOCKET_MESSAGE_TOO_BIG
   *
   * @example
   * ```ts
   * const name = await socket.receiveMessageAsync({ signal: AbortSignal.timeout(5000) });
   * if (name !== undefined) await socket.sendAsync(`Hello, ${name}`);
   * ```
   */
  receiveMessageAsync(options?: CancelOptions): Promise<WebSocketMessage | undefined> {
    return rejectInsteadOfThrow(() => this.#connection.read(wholeMessage, signalOf(options, 'receive')));
  }

  /**
   * Whole messages as a stream that reads at its reader's pace. `cancel()` is `closeAsync(1000)`.
   *
   * @example
   * ```ts
   * for await (const message of socket.readable) console.log(message);
   * ```
   */
  get readable(): ReadableStream<WebSocketMessage> {
    this.#readable ??= readableOf(this.#connection);
    return this.#readable;
  }

  /**
   * A stream each of whose chunks is sent as a message. `close()` is `closeOutputAsync(1000)`, `abort()` is `abort()`.
   *
   * @example
   * ```ts
   * import { createReadStream } from 'node:fs';
   * import { Readable } from 'node:stream';
   *
   * await Readable.toWeb(createReadStream('data.bin')).pipeTo(socket.writable);
   * ```
   */
  get writable(): WritableStream<WebSocketData> {
    this.#writable ??= writableOf(this.#connection, this.signal);
    return this.#writable;
  }

  /**
   * The connection as JSON messages, typed and checked by [Standard Schema](https://standardschema.dev) validators such as
   * those of zod, valibot and arktype. Without a schema values are `unknown`.
   *
   * @throws TypeError for options that are none
   *
   * @example
   * ```ts
   * import { z } from 'zod';
   *
   * const chat = socket.json({ receive: z.object({ text: z.string().max(1000) }) });
   * for await (const { text } of chat) await chat.sendAsync({ text: text.toUpperCase() });
   * ```
   */
  json<Receive extends StandardSchema = StandardSchema, Send extends StandardSchema = StandardSchema>(
    options: JsonOptions<Receive, Send> = {},
  ): WebSocketJson<SchemaOutput<Receive>, SchemaInput<Send>> {
    this.#json ??= new JsonChannel(this.#connection, this);
    return this.#json.view(options);
  }

  /**
   * Fires when the connection is over, in whatever way. Give it to what a handler waits for, such as `fetch` or a timer: the
   * error with which that ends is `expected` in `onError`.
   *
   * @example
   * ```ts
   * const response = await fetch('https://example.com/slow', { signal: socket.signal });
   * await socket.sendAsync(await response.text());
   * ```
   */
  get signal(): AbortSignal {
    return this.#owner.ends.signal;
  }

  /**
   * Fires when either side has begun to close, or the connection is over: the signal to stop producing on. Whoever has
   * asked for it answers the client's close himself, by returning from the handler or with `closeAsync`, and may say
   * goodbye before; `closeTimeout` after the last read or write it is acknowledged all the same.
   *
   * @example
   * ```ts
   * while (!socket.closing.aborted) await socket.sendAsync(`${new Date()}`);
   * ```
   */
  get closing(): AbortSignal {
    return this.#owner.ends.closing;
  }

  /**
   * How the connection ended: the peer's close, or 1006 if it did not end cleanly. Never rejects. Whoever awaits it, and
   * does not go on reading, leaves the answer to the client's close to the library, which acknowledges it at once.
   *
   * @example
   * ```ts
   * const { code, reason, wasClean } = await socket.closed;
   * console.log(code, reason, wasClean ? 'cleanly' : 'not cleanly');
   * ```
   */
  get closed(): Promise<CloseInfo> {
    return this.#owner.ends.closed;
  }

  /** Bytes that were accepted for sending and have not been taken by the system yet. */
  get bufferedAmount(): number {
    return this.#connection.bufferedAmount;
  }

  /**
   * Sends a ping and waits for its pong.
   *
   * @param data at most 125 bytes; default: a number of its own
   * @returns the round trip in ms
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_STATE unless the state is Open or CloseReceived, with the reason of
   *   `signal`, and when the connection ends
   *
   * @example
   * ```ts
   * const milliseconds = await socket.ping();
   * ```
   */
  ping(data?: string | ArrayBufferView | ArrayBuffer, options?: CancelOptions): Promise<number> {
    return rejectInsteadOfThrow(() => {
      const payload = data === undefined ? undefined : outgoingBytes(data, 'ping');
      const bytes = payload === undefined ? undefined : Buffer.from(payload);
      if (bytes !== undefined && bytes.length > 125) {
        throw new RangeError(`Cannot ping: data is ${bytes.length} bytes, must be at most 125`);
      }
      return this.#connection.ping(bytes, signalOf(options, 'ping'));
    });
  }

  /** Whether the connection belongs to a WebSocket of `ws` by now; see {@link ws}. */
  get isHandedOver(): boolean {
    return this.#connection.ws !== undefined;
  }

  /**
   * The connection as an open WebSocket of `ws`, for libraries that need one. It is handed over for good: from then on the
   * methods that move data reject with ERR_WEBSOCKET_INVALID_STATE. Listen to its events in the same tick. They run in the
   * asynchronous context of the handshake; messages above `maxPayload` or `receiveBufferLimit` close with 1009, and a
   * client for which more than `sendBufferLimit` waits is dropped at the next `send`.
   *
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_STATE after the first read
   *
   * @example
   * ```ts
   * import { createWebSocketStream } from 'ws';
   *
   * const stream = createWebSocketStream(socket.ws);
   * stream.pipe(stream);
   * ```
   */
  get ws(): WebSocket {
    return this.#connection.ws ?? this.#owner.handOver();
  }

  // Groups

  /**
   * Adds the connection to a group of its `webSockets()` instance. It is a member in this process when the call returns,
   * and leaves by itself when it can no longer be sent to, or is handed over to `ws`. A second time has no effect.
   * Corresponds to `IGroupManager.AddToGroupAsync` of SignalR.
   *
   * @param name 1 to 256 bytes of UTF-8; case matters
   * @returns resolves when messages of all processes reach it, or the backplane is found interrupted, which catches
   *   up by itself, at the latest after 2 s
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_STATE if nothing can be sent any more, and with a TypeError or
   *   RangeError for a wrong name
   *
   * @example
   * ```ts
   * await socket.addToGroupAsync('room:42');
   * await sockets.group('room:42').sendAsync('somebody came', { except: socket });
   * ```
   */
  addToGroupAsync(name: string): Promise<void> {
    return rejectInsteadOfThrow(() => {
      const checked = checkGroupName(name, 'add to a group');
      if (!this.#connection.canSend) return rejected(this.#connection.notOpenFor('add to a group'));
      return this.#owner.join(checked);
    });
  }

  /**
   * Removes the connection from a group. It is not a member any more when the call returns. Corresponds to
   * `IGroupManager.RemoveFromGroupAsync` of SignalR.
   *
   * @param name as in {@link addToGroupAsync}; a group that it is not in has no effect
   * @throws TypeError or RangeError for a wrong name
   */
  removeFromGroupAsync(name: string): Promise<void> {
    return rejectInsteadOfThrow(() => {
      this.#owner.leave(checkGroupName(name, 'remove from a group'));
      return settled;
    });
  }

  /** The names of the groups that the connection is in, at any moment. */
  get groups(): ReadonlySet<string> {
    return new SetView({
      size: () => this.#owner.groups.length,
      has: (name) => this.#owner.groups.some((group) => group.name === name),
      values: () => snapshot(this.#owner.groups.map((group) => group.name)),
    });
  }

  // The handshake (AspNetWebSocketContext)

  /** The request of the handshake. */
  get request(): IncomingMessage {
    return this.#owner.upgrade.req;
  }

  /** The `Origin` header, `undefined` if the client sent none. */
  get origin(): string | undefined {
    return this.request.headers.origin;
  }

  /** The `Sec-WebSocket-Key` header; `undefined` over HTTP/2, which has none (RFC 8441, section 5). */
  get secWebSocketKey(): string | undefined {
    return this.request.httpVersionMajor === 2 ? undefined : this.request.headers['sec-websocket-key'];
  }

  /** The subprotocols that the client requested, in its order. */
  get secWebSocketProtocols(): readonly string[] {
    return this.#owner.host.requestedProtocols(this.request);
  }

  /** The `Sec-WebSocket-Version` header. */
  get secWebSocketVersion(): string {
    return this.request.headers['sec-websocket-version'] ?? '';
  }

  /** The URL of the handshake as the client sees it; `trust proxy` of Express is honoured. */
  get requestUri(): URL {
    return info.requestUri(this.request);
  }

  /** Whether the client's connection is encrypted; `trust proxy` of Express is honoured. */
  get isSecureConnection(): boolean {
    return info.isSecureConnection(this.request);
  }

  /** Whether the TCP peer is on this machine. */
  get isLocal(): boolean {
    return info.isLocal(this.request);
  }

  /** Whether the TCP connection to the client stands. */
  get isClientConnected(): boolean {
    return this.#connection.isPeerConnected;
  }

  /** The client's address; `trust proxy` of Express is honoured. */
  get userHostAddress(): string | undefined {
    return info.userHostAddress(this.request);
  }

  /** The `User-Agent` header. */
  get userAgent(): string | undefined {
    return this.request.headers['user-agent'];
  }

  /** Cookies of the handshake by name. */
  get cookies(): Readonly<Record<string, string | undefined>> {
    return info.cookies(this.request);
  }

  /** `res.locals` of the handshake: what middleware has put there for the request. */
  get items(): Record<string, unknown> {
    return this.#owner.items;
  }

  /** `req.user`, as authentication middleware has set it. */
  get user(): unknown {
    return info.user(this.request);
  }

  /** `req.isAuthenticated()` where there is one, otherwise whether there is a user. */
  get isAuthenticated(): boolean {
    return info.isAuthenticated(this.request);
  }

  /** When the upgrade request arrived. */
  get timestamp(): Date {
    return new Date(this.#owner.upgrade.receivedAt);
  }

  /** Returns a promise, or nothing if there is a callback to be called instead. */
  #deliver<T, C>(
    operation: Promise<T>,
    completion: CompletionCallback<C> | undefined,
    completionContext: C,
    report: (result: T) => readonly [bytes: number, utf8Encoded: boolean, finalFragment: boolean, close: boolean],
  ): Promise<T> | undefined {
    // What is not callable has been refused, and the refusal is in the promise.
    if (typeof completion !== 'function') return operation;
    const onError = (error: unknown): void => this.#owner.host.onCallbackError(this, error);
    complete(operation, { completion, completionContext, report, onError });
    return undefined;
  }
}

brandContexts(WebSocketContext.prototype);

/**
 * Whether options are without doubt what they should be, as nearly all are. A `switch` and no list of their names: it takes
 * next to nothing of the time of a send.
 */
function hasOnlySendOptions(options: SendOptions | undefined): boolean {
  if (typeof options !== 'object') return false;
  let hasSome = false;
  for (const name in options) {
    switch (name) {
      case 'messageType':
      case 'endOfMessage':
      case 'compress':
      case 'signal':
        hasSome = true;
        break;
      default:
        return false;
    }
  }
  return hasSome;
}

/** Before anything is done: a callback that cannot be called would leave its caller without an answer. */
function checkCompletion(completion: unknown, operation: string): void {
  if (completion === undefined || typeof completion === 'function') return;
  throw new TypeError(`Cannot ${operation}: completion is ${typeOf(completion)}, must be a function or undefined`);
}
