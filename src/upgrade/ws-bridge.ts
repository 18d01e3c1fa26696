import { AsyncResource } from 'node:async_hooks';
import { Socket } from 'node:net';
import { type Duplex, PassThrough } from 'node:stream';
import { type PerMessageDeflateOptions, WebSocket, WebSocketServer } from 'ws';
import { MAX_TIMEOUT } from '../arguments.js';
import { eventLoop } from '../event-loop.js';
import type { NegotiatedDeflate } from '../framing/deflate-options.js';

/** What `ws` is told of a request that has been validated. */
export interface ValidatedRequest {
  readonly socket: Duplex;
  readonly head: Buffer;
  /** `Sec-WebSocket-Key`; `undefined` over HTTP/2, which has none. */
  readonly key: string | undefined;
  /** The subprotocol to confirm. */
  readonly subProtocol: string | undefined;
  /** `Sec-WebSocket-Extensions`, as far as anything of it is to be negotiated. */
  readonly extensions: string | undefined;
  readonly perMessageDeflate: false | PerMessageDeflateOptions;
  /** Called right before the 101 is written, behind every check. @returns further header lines of it, each behind a line break */
  headerLines(): string;
}

/** An accepted WebSocket whose 101 has been written and whose first frame has not been read. */
export interface Handshake {
  readonly socket: Duplex;
  /** What had arrived behind the request: to be read before anything from `socket`. */
  readonly head: Buffer;
  readonly subProtocol: string | undefined;
  /** `undefined`: not negotiated */
  readonly perMessageDeflate: NegotiatedDeflate | undefined;
}

/** A handshake that `ws` refused: its message says why. */
export class HandshakeRefused extends Error {}

/** An instance of the class `PerMessageDeflate` of `ws`. */
type WsDeflate = NegotiatedDeflate & { _maxPayload: number };

/** The map of negotiated extensions that `ws` keeps in `_extensions`. */
interface Extensions {
  readonly 'permessage-deflate'?: WsDeflate;
}

/**
 * What `ws` creates instead of its own `WebSocket` (its documented option of that name): it only holds on to what has
 * been negotiated, since frames, close and keep-alive are ours.
 */
class NegotiationResult {
  _protocol: string | undefined = undefined;
  _extensions: Extensions = {};

  setSocket(): void {}
}

/** ws insists on a key, and answers with the proof that it has read it; HTTP/2 has neither. */
const ANY_KEY = 'AAAAAAAAAAAAAAAAAAAAAA==';

/** Gets a handshake that has been performed, and the request that it was performed for. */
type Open<Request, T> = (handshake: Handshake, request: Request) => T;

/** A request as far as `ws` looks at it; it comes back with the 'headers' event, and when the 101 is out. */
class RequestView {
  readonly method = 'GET';
  readonly socket: Duplex;
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly request: ValidatedRequest;
  readonly open: Open<ValidatedRequest, unknown>;
  isOpen = false;
  /** What `open` returned. */
  opened: unknown;

  constructor(request: ValidatedRequest, open: Open<ValidatedRequest, unknown>) {
    this.request = request;
    this.open = open;
    this.socket = request.socket;
    this.headers = {
      upgrade: 'websocket',
      'sec-websocket-version': '13',
      'sec-websocket-key': request.key ?? ANY_KEY,
      // ws confirms the first one it finds
      'sec-websocket-protocol': request.subProtocol,
      'sec-websocket-extensions': request.extensions,
    };
  }
}

// The types of ws describe requests, sockets and a WebSocket class with all that they have; this is what matters of them.
interface HandshakeServer {
  on(event: 'headers', listener: (lines: string[], view: RequestView) => void): this;
  on(event: 'wsClientError', listener: (error: Error) => void): this;
  handleUpgrade(
    view: RequestView,
    socket: Duplex,
    head: Buffer,
    callback: (takeover: NegotiationResult, view: RequestView) => void,
  ): void;
}

/** The 101 has been written. */
function onAccepted({ _protocol, _extensions }: NegotiationResult, view: RequestView): void {
  const { socket, head } = view.request;
  socket.setDefaultEncoding('utf8');
  // No timeout of the HTTP server applies from here on
  if (socket instanceof Socket) socket.setTimeout(0).setNoDelay();
  const handshake = { socket, head, subProtocol: _protocol, perMessageDeflate: _extensions['permessage-deflate'] };
  view.opened = view.open(handshake, view.request);
  view.isOpen = true;
}

const MAX_INT = 0x7fffffff;

/** ws knows no limit of its own above 2 GiB, and 0 as none. */
function wsLimit(maxPayload: number): number {
  return maxPayload > MAX_INT ? 0 : maxPayload;
}

/** Performs opening handshakes through `ws`, one `noServer` server for each setting of `perMessageDeflate`. */
export class WsBridge {
  #plain: HandshakeServer | undefined;
  readonly #deflating = new WeakMap<PerMessageDeflateOptions, HandshakeServer>();
  #refused: Error | undefined;

  /**
   * Writes the 101 and calls `open` before this returns and before any byte is read.
   *
   * @throws HandshakeRefused and nothing is written, if `ws` finds fault with the request
   */
  writeHandshake<Request extends ValidatedRequest, T>(request: Request, open: Open<Request, T>): T {
    const { socket, head, perMessageDeflate } = request;
    const server = perMessageDeflate === false ? this.#plainServer() : this.#deflatingServer(perMessageDeflate);
    const view = new RequestView(request, open as Open<ValidatedRequest, unknown>);
    this.#refused = undefined;
    server.handleUpgrade(view, socket, head, onAccepted);
    if (!view.isOpen) throw this.#refused ?? new HandshakeRefused('The client has left');
    return view.opened as T;
  }

  #plainServer(): HandshakeServer {
    this.#plain ??= this.#createServer(false);
    return this.#plain;
  }

  #deflatingServer(perMessageDeflate: PerMessageDeflateOptions): HandshakeServer {
    let server = this.#deflating.get(perMessageDeflate);
    if (server === undefined) {
      server = this.#createServer(perMessageDeflate);
      this.#deflating.set(perMessageDeflate, server);
    }
    return server;
  }

  #createServer(perMessageDeflate: false | PerMessageDeflateOptions): HandshakeServer {
    const server: HandshakeServer = Reflect.construct(WebSocketServer, [
      { noServer: true, clientTracking: false, WebSocket: NegotiationResult, perMessageDeflate },
    ]);
    server.on('headers', (lines: string[], view: RequestView) => {
      lines[lines.length - 1] += view.request.headerLines();
      // Values may hold any byte, and Node writes headers as they are
      view.socket.setDefaultEncoding('latin1');
    });
    // Without a listener ws would write a refusal of its own
    server.on('wsClientError', (error: Error) => {
      this.#refused = new HandshakeRefused(error.message);
    });
    return server;
  }
}

/**
 * Performs a handshake that nobody sees, so that a program fails at once where `ws` is something else. Bun puts a module of
 * its own in the place of the package, which writes to connections of Bun's and leaves any other socket without a 101.
 *
 * @throws Error that says so
 */
export function checkBridge(bridge: Pick<WsBridge, 'writeHandshake'>): void {
  const socket = new PassThrough();
  const request: ValidatedRequest = {
    socket,
    head: Buffer.alloc(0),
    key: undefined,
    subProtocol: undefined,
    extensions: undefined,
    perMessageDeflate: false,
    headerLines: () => '',
  };
  try {
    bridge.writeHandshake(request, () => {});
  } catch {
    // What it says itself, that the client has left, would mislead
    throw new Error(
      'Cannot use websocket-context in this runtime: its module ws writes no handshake to a socket that it is given and does not hand it over, must be the package ws of npm. Bun has a module of its own in its place: run the program with Node or Deno',
    );
  }
  socket.destroy();
}

/** The members of a `WebSocket` that ws uses to open it on the server side. */
interface ServerWebSocket extends WebSocket {
  _protocol: string;
  _extensions: Extensions;
  _receiver: { _errored: boolean; startLoop(callback: (error?: Error) => void): void };
  setSocket(socket: Duplex, head: Buffer, options: object): void;
}

/** What a connection that goes over to `ws` has agreed on, and what holds for it there as everywhere. */
export interface OpenAsWsOptions {
  readonly subProtocol: string | undefined;
  readonly perMessageDeflate: NegotiatedDeflate | undefined;
  /** Most bytes of one message; `Infinity` for no limit. */
  readonly maxPayload: number;
  /** Most bytes that may be held of what has come: messages of `ws` are whole ones. */
  readonly receiveBufferLimit: number;
  /** More than this must not wait to be sent when there is more to send. */
  readonly sendBufferLimit: number;
  /** The asynchronous context of the connection's own request, in which the events of `ws` run. */
  readonly scope: AsyncResource;
  /** Drops the connection, because `waiting` bytes have not been taken yet; returns the error that says so. */
  onSlowConsumer(waiting: number): Error;
  /** Milliseconds that `close()` waits for the client; 0 for as long as it takes. */
  readonly closeTimeout: number;
}

type SendArguments = [data: Parameters<WebSocket['send']>[0], ...rest: unknown[]];

/** A `WebSocket` of `ws` for which the promises of a context hold: its asynchronous context and its `sendBufferLimit`. */
class GuardedWebSocket extends WebSocket {
  // Set by the only one who makes them.
  #options!: OpenAsWsOptions;

  static create(options: OpenAsWsOptions): ServerWebSocket {
    // As ws's own server does it, with its defaults
    const webSocket: GuardedWebSocket & ServerWebSocket = Reflect.construct(GuardedWebSocket, [
      null,
      undefined,
      {
        autoPong: true,
        maxPendingAutoPongs: 60,
        closeTimeout: options.closeTimeout === 0 ? MAX_TIMEOUT : options.closeTimeout,
      },
    ]);
    webSocket.#options = options;
    return webSocket;
  }

  // Sockets, and the compressors that all connections share, report in the context of anybody or of nobody.
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    return this.#options.scope.runInAsyncScope(() => super.emit(event, ...args));
  }

  override send(...args: SendArguments): void {
    const callback = args.findIndex((arg) => typeof arg === 'function');
    if (callback > 0) args[callback] = inCallersContext(args[callback] as (error?: Error) => void);
    const waiting = this.bufferedAmount;
    if (waiting > this.#options.sendBufferLimit && this.readyState === WebSocket.OPEN) {
      const error = this.#options.onSlowConsumer(waiting);
      if (callback > 0) eventLoop.nextTick(args[callback] as (error?: Error) => void, error);
      return;
    }
    Reflect.apply(super.send, this, args);
  }
}

/** A compression may wait for one of another connection, which would call back in a context of its own. */
function inCallersContext(callback: (error?: Error) => void): (error?: Error) => void {
  const scope = new AsyncResource('WebSocketSend');
  return (error) => scope.runInAsyncScope(callback, undefined, error);
}

/**
 * Hands an open connection, of which no frame has been read yet, over to a `WebSocket` of `ws`. No listener of ours may
 * be left on the socket.
 *
 * @param head what has been taken from the socket already
 */
export function openAsWs(socket: Duplex, head: Buffer, options: OpenAsWsOptions): WebSocket {
  const maxPayload = wsLimit(Math.min(options.maxPayload, options.receiveBufferLimit));
  const webSocket = GuardedWebSocket.create(options);
  webSocket._protocol = options.subProtocol ?? '';
  if (options.perMessageDeflate !== undefined) {
    const deflate = options.perMessageDeflate as WsDeflate;
    deflate._maxPayload = maxPayload;
    webSocket._extensions = { 'permessage-deflate': deflate };
  }
  webSocket.setSocket(socket, head, {
    allowSynchronousEvents: true,
    maxBufferedChunks: 256 * 1024,
    maxFragments: 16 * 1024,
    maxPayload,
    skipUTF8Validation: false,
  });
  guardReceiver(webSocket._receiver);
  return webSocket;
}

/**
 * The receiver of ws 8.23 goes on with what was written while it inflated after it has found an error, in a state that it
 * does not expect: an uncaught TypeError, which any client could cause. After an error there is nothing left to read.
 */
function guardReceiver(receiver: ServerWebSocket['_receiver']): void {
  const { startLoop } = receiver;
  // Made, then assigned: see WaitingRequest#start.
  const guardedLoop: typeof startLoop = (callback) => {
    if (!receiver._errored) startLoop.call(receiver, callback);
  };
  receiver.startLoop = guardedLoop;
}
