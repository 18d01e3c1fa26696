import type { IncomingMessage } from 'node:http';
import type { PerMessageDeflateOptions } from 'ws';
import type { WebSocketContext } from './context/web-socket-context.js';

/**
 * Decides whether a browser page of `origin` may open a connection.
 *
 * @returns `true` to allow; `false` refuses with 403; throwing or rejecting refuses with 500
 */
export type OriginPolicyFunction = (origin: string, req: IncomingMessage) => boolean | Promise<boolean>;

/**
 * Chooses the subprotocol of a connection from those that the client requested, in the client's order.
 *
 * @returns one of `requested`, or `undefined` for none
 */
export type SubProtocolChooser = (requested: readonly string[], req: IncomingMessage) => string | undefined;

/** Options that hold for one route (`handler`, `accept`) or, given to `webSockets()`, for all. Times in milliseconds. */
export interface WebSocketRouteOptions {
  /**
   * Which browser pages may connect: `'same-origin'`, `'any'`, a list of origins (`'https://example.com'`), or a
   * function. A request without an `Origin` header does not come from a browser and is allowed. Default
   * `'same-origin'`. Corresponds to `AspNetWebSocketOptions.RequireSameOrigin` and `WebSocketOptions.AllowedOrigins`.
   */
  readonly origin?: 'same-origin' | 'any' | readonly string[] | OriginPolicyFunction;
  /**
   * Supported subprotocols in the server's order of preference, or a function that chooses. A protocol that the client
   * did not request is never selected. Default: none. Corresponds to `AspNetWebSocketOptions.SubProtocol`.
   */
  readonly subProtocols?: readonly string[] | SubProtocolChooser;
  /**
   * Most bytes held for one connection: input that nobody has read yet (beyond it TCP stops the sender) and a message
   * being assembled (beyond it the connection is closed with 1009). Readers of fragments are not limited by it.
   * Positive integer, default 4194304 (4 MiB), as `receiveBufferLimit` of IIS.
   */
  readonly receiveBufferLimit?: number;
  /** Most bytes of one received message; the connection is closed with 1009 beyond. Positive integer or `Infinity`, the default. */
  readonly maxPayload?: number;
  /**
   * Most bytes that may wait to be sent before another send aborts the connection. A single message of any size is
   * no offence. Positive integer or `Infinity`, default 16777216 (16 MiB).
   */
  readonly sendBufferLimit?: number;
  /** A connection from which nothing has come for this long is sent a ping. 0 switches pings off. Default 30000. */
  readonly keepAliveInterval?: number;
  /** How long after a ping of {@link keepAliveInterval} anything must arrive before the connection is aborted. 0 never aborts. Default 20000. */
  readonly keepAliveTimeout?: number;
  /** Longest time from the upgrade request to the first byte of its answer; then 503. 0 waits for ever. Default 10000. */
  readonly handshakeTimeout?: number;
  /**
   * Longest time that a close handshake may take before the TCP connection is dropped. When the client closed first, it
   * runs from the application's last read or write, and then acknowledges. 0 waits for ever. Default 10000.
   */
  readonly closeTimeout?: number;
  /** Compression, as the `ws` option of the same name; `true` takes its defaults without context takeover. Default `false`. */
  readonly perMessageDeflate?: boolean | PerMessageDeflateOptions;
}

/** Options of `webSockets()`: those of every route and the ones that hold for all of them together. */
export interface WebSocketOptions extends WebSocketRouteOptions {
  /** Most connections open at once; beyond it 503 with `Retry-After`. Positive integer or `Infinity`, the default. */
  readonly maxConnections?: number;
  /**
   * Gets every error that an application's handler threw, or that reached the end of the chain, after the handshake.
   * Such an error is never sent to the client and never becomes an uncaught exception. Default: none.
   */
  readonly onError?: (error: unknown, socket: WebSocketContext, req: IncomingMessage) => void;
}

/** Validated options of a route, with all defaults filled in. Frozen. */
export interface ResolvedRouteOptions {
  readonly origin: 'same-origin' | 'any' | ReadonlySet<string> | OriginPolicyFunction;
  readonly subProtocols: readonly string[] | SubProtocolChooser;
  readonly receiveBufferLimit: number;
  readonly maxPayload: number;
  readonly sendBufferLimit: number;
  readonly keepAliveInterval: number;
  readonly keepAliveTimeout: number;
  readonly handshakeTimeout: number;
  readonly closeTimeout: number;
  readonly perMessageDeflate: false | PerMessageDeflateOptions;
}

/** Validated options of an instance. Frozen. */
export interface ResolvedOptions extends ResolvedRouteOptions {
  readonly maxConnections: number;
  readonly onError: WebSocketOptions['onError'] | undefined;
}
