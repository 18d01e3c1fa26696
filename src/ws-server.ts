import { EventEmitter } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import createError from 'http-errors';
import type { ServerOptions, WebSocket } from 'ws';
import type { WebSocketContext } from './context/web-socket-context.js';
import type { HandlerRequest } from './middleware.js';
import type { SubProtocolChooser } from './options.js';
import { isWebSocketRequest } from './upgrade/handshake.js';

/** A route handler, for requests of any framework. */
export type RouteHandler = (req: IncomingMessage, res: ServerResponse, next: (error?: unknown) => void) => void;

/** Makes the route handler of a server: `fn` gets the connections, `subProtocols` chooses where the route has no list. */
type HandlerFactory = (
  fn: (socket: WebSocketContext, req: IncomingMessage) => void,
  subProtocols: SubProtocolChooser,
) => RouteHandler;

/** The events of a {@link WsServer}. */
export interface WsServerEvents {
  /** A client has connected; `req` is the request of the handshake, as the application has seen it. */
  connection: [ws: WebSocket, req: HandlerRequest];
  /** The last client has left behind `close`. */
  close: [];
}

/**
 * A route in the shape of a `WebSocketServer` of `ws`, for libraries that take one (graphql-ws, tRPC, y-websocket):
 * mount {@link handler}, give the server to the library, and its clients are those of the route. What stands before the
 * handler in the chain decides who connects; limits, keep-alive and draining stay those of the instance.
 *
 * Emits `'connection'` `(ws, req)` for each client and `'close'` when the last one has left behind {@link close}.
 *
 * @example
 * ```ts
 * import { useServer } from 'graphql-ws/use/ws';
 *
 * const wss = sockets.wsServer();
 * app.get('/graphql', wss.handler);
 * useServer({ schema }, wss);
 * ```
 */
export class WsServer extends EventEmitter<WsServerEvents> {
  /** What `WebSocketServer` keeps of its options; `handleProtocols` is honoured whenever a library sets it. */
  readonly options: ServerOptions = { noServer: true };
  /** Of a server that listens by itself; ours are routes. */
  readonly path: string = '';
  /** The clients whose connection is open or closing. */
  readonly clients: Set<WebSocket> = new Set();
  /** The route handler to mount: `app.get('/graphql', wss.handler)`. */
  readonly handler: RouteHandler;
  #state: 'running' | 'closing' | 'closed' = 'running';
  // Apart from the listeners of 'close': libraries remove those before they close.
  readonly #onClosed: ((error?: Error) => void)[] = [];

  /** `sockets.wsServer()` makes them. @internal */
  constructor(makeHandler: HandlerFactory) {
    super();
    const handler = makeHandler(
      ({ ws }, req) => this.#connected(ws, req as HandlerRequest),
      (requested, req) => this.#chooseProtocol(requested, req),
    );
    this.handler = (req, res, next) => {
      // An ordinary request is told the same as ever: 426
      if (this.#state === 'running' || !isWebSocketRequest(req)) handler(req, res, next);
      else next(createError(503, 'Cannot accept the WebSocket request: the server of this route is closed'));
    };
  }

  /** `null`: it listens nowhere by itself. */
  address(): null {
    return null;
  }

  /** Every request that reaches {@link handler} is this server's. */
  shouldHandle(): boolean {
    return this.#state === 'running';
  }

  /**
   * The `handleUpgrade` of `ws`, which a route cannot have: requests arrive through the application.
   *
   * @throws Error always; mount {@link handler}
   */
  handleUpgrade(
    _req: IncomingMessage,
    _socket: Duplex,
    _head: Buffer,
    _callback: (client: WebSocket, req: IncomingMessage) => void,
  ): void {
    throw new Error(
      'Cannot handle the upgrade: requests of wsServer() arrive through the application, mount its handler instead: app.get(path, wss.handler)',
    );
  }

  /**
   * Lets no newcomer in, which get 503, and calls back when the last client has left. It closes no client, as that of
   * `ws` does not: close those in {@link clients}, or the whole instance with `sockets.close()`.
   *
   * @param callback gets an error if the server has been closed before
   */
  close(callback?: (error?: Error) => void): void {
    if (this.#state === 'closed') {
      if (callback !== undefined) process.nextTick(callback, new Error('Cannot close: the server has been closed'));
      return;
    }
    if (callback !== undefined) this.#onClosed.push(callback);
    if (this.#state === 'closing') return;
    this.#state = 'closing';
    if (this.clients.size === 0) process.nextTick(() => this.#closed());
  }

  #connected(ws: WebSocket, req: HandlerRequest): void {
    this.clients.add(ws);
    ws.on('close', () => {
      this.clients.delete(ws);
      if (this.#state === 'closing' && this.clients.size === 0) this.#closed();
    });
    // The handshake was decided on while the server was being closed
    if (this.#state !== 'running') ws.close(1001);
    else this.emit('connection', ws, req);
  }

  #closed(): void {
    this.#state = 'closed';
    for (const callback of this.#onClosed) callback();
    this.emit('close');
  }

  #chooseProtocol(requested: readonly string[], req: IncomingMessage): string | undefined {
    const { handleProtocols } = this.options;
    return handleProtocols === undefined ? undefined : handleProtocols(new Set(requested), req) || undefined;
  }
}
