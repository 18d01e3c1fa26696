import type { IncomingMessage } from 'node:http';
import type { PerMessageDeflateOptions } from 'ws';
import { insteadOfOptions, MAX_TIMEOUT, typeOf } from './arguments.js';
import type { BackplaneDriver, BackplaneStatus } from './backplane/driver.js';
import { missingMethods } from './backplane/driver-options.js';
import type { WebSocketContext } from './context/web-socket-context.js';
import { checkDeflateOptions, DEFLATE_DEFAULTS } from './framing/deflate-options.js';
import { normalizeOrigin } from './upgrade/origin.js';
import { isToken } from './upgrade/subprotocol.js';

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

/** What `onError` is told of an error. */
export interface HandlerErrorInfo {
  /**
   * Clients cause such errors at any time: by leaving, by breaking the protocol, by asking for what they do not get
   * (http errors below 500). Anything else is worth a look.
   */
  readonly expected: boolean;
}

/** Options that hold for one route (`handler`, `accept`) or, given to `webSockets()`, for all. Times in milliseconds. */
export interface WebSocketRouteOptions {
  /**
   * Which browser pages may connect: `'same-origin'`, `'any'`, a list of origins (`'https://example.com'`), or a
   * function. A request without an `Origin` header does not come from a browser and is allowed. Default
   * `'same-origin'`. Corresponds to `AspNetWebSocketOptions.RequireSameOrigin` and `WebSocketOptions.AllowedOrigins`.
   */
  readonly origin?: 'same-origin' | 'any' | readonly string[] | OriginPolicyFunction | undefined;
  /**
   * Supported subprotocols in the server's order of preference, or a function that chooses. A protocol that the client
   * did not request is never selected. Default: none. Corresponds to `AspNetWebSocketOptions.SubProtocol`.
   */
  readonly subProtocols?: readonly string[] | SubProtocolChooser | undefined;
  /**
   * Most bytes held for one connection: input that nobody has read yet (beyond it TCP stops the sender) and a message
   * being assembled (beyond it the connection is closed with 1009). Readers of fragments are not limited by it.
   * Positive integer, default 4194304 (4 MiB), as `receiveBufferLimit` of IIS.
   */
  readonly receiveBufferLimit?: number | undefined;
  /** Most bytes of one received message; the connection is closed with 1009 beyond. Positive integer or `Infinity`, the default. */
  readonly maxPayload?: number | undefined;
  /**
   * Most bytes that may wait to be sent before another send aborts the connection. A single message of any size is
   * no offence. Positive integer or `Infinity`, default 16777216 (16 MiB).
   */
  readonly sendBufferLimit?: number | undefined;
  /** A connection from which nothing has come for this long is sent a ping. 0 switches pings off. Default 30000. */
  readonly keepAliveInterval?: number | undefined;
  /** How long after a ping of {@link keepAliveInterval} anything must arrive before the connection is aborted. 0 never aborts. Default 20000. */
  readonly keepAliveTimeout?: number | undefined;
  /** Longest time from the upgrade request to the first byte of its answer; then 503. 0 waits for ever. Default 10000. */
  readonly handshakeTimeout?: number | undefined;
  /**
   * Longest time that a close handshake may take before the TCP connection is dropped. When the client closed first, it
   * runs from the application's last read or write, and then acknowledges. 0 waits for ever. Default 10000.
   */
  readonly closeTimeout?: number | undefined;
  /**
   * Compression (permessage-deflate, RFC 7692), as the `ws` option of the same name, except that contexts are not taken
   * over from message to message unless `serverNoContextTakeover` and `clientNoContextTakeover` are `false`: each costs
   * up to 300 KiB of memory for as long as a connection lives. `true` takes all defaults. Default `false`.
   */
  readonly perMessageDeflate?: boolean | PerMessageDeflateOptions | undefined;
  /**
   * Most connections open at once; beyond it 503 with `Retry-After`. Given to a route it bounds the connections of that
   * route, beside the limit for all of them. Positive integer or `Infinity`, the default.
   */
  readonly maxConnections?: number | undefined;
  /**
   * Gets every error that an application's handler threw, or that reached the end of the chain, after the handshake.
   * Such an error is never sent to the client and never becomes an uncaught exception. Default: none; then errors that
   * are not `expected` are printed, as Express prints those that nobody handles.
   */
  readonly onError?:
    | ((error: unknown, socket: WebSocketContext, req: IncomingMessage, info: HandlerErrorInfo) => void)
    | undefined;
}

/** Options of `webSockets()`: those of a route, which may be overridden there, and what holds for the whole instance. */
export interface WebSocketOptions extends WebSocketRouteOptions {
  /**
   * How groups reach the members in other processes: what `redis()`, `nats()`, `cluster()` or `workers()` makes, each from
   * an entry point of its own, or a driver of yours. Default: none, groups are those of this process.
   */
  readonly backplane?: BackplaneDriver | undefined;
  /**
   * Is told when the status of the backplane changes: `'ready'`, or `'interrupted'` with what is known of the cause.
   * Default: none; then an interruption is a warning of the process (`WebSocketBackplaneWarning`).
   */
  readonly onBackplane?: ((status: BackplaneStatus, error: Error | undefined) => void) | undefined;
}

/** Options of `attach`. */
export interface AttachOptions {
  /** Which upgrade requests are ours; the others are left to other listeners entirely. Default: all. */
  readonly filter?: ((req: IncomingMessage) => boolean) | undefined;
  /**
   * Whether the requests that {@link filter} accepts are hidden from all other upgrade listeners of the server: a `ws` server
   * with a `path`, a proxy, a framework's adapter, which might answer them or hang up. Default `false`.
   */
  readonly exclusive?: boolean | undefined;
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
  readonly maxConnections: number;
  readonly onError: WebSocketRouteOptions['onError'];
}

/** Validated options of an instance. Frozen. */
export interface ResolvedOptions extends ResolvedRouteOptions {
  readonly backplane: BackplaneDriver | undefined;
  readonly onBackplane: WebSocketOptions['onBackplane'];
}

const DEFAULT_TIMEOUT = 10_000;

const defaults: ResolvedRouteOptions = Object.freeze({
  origin: 'same-origin',
  subProtocols: Object.freeze([]),
  receiveBufferLimit: 4 * 1024 * 1024,
  maxPayload: Number.POSITIVE_INFINITY,
  sendBufferLimit: 16 * 1024 * 1024,
  keepAliveInterval: 30_000,
  keepAliveTimeout: 20_000,
  handshakeTimeout: DEFAULT_TIMEOUT,
  closeTimeout: DEFAULT_TIMEOUT,
  perMessageDeflate: false,
  maxConnections: Number.POSITIVE_INFINITY,
  onError: undefined,
});

/** Checks an option and gives it the form in which the library uses it. */
type Resolve<T> = (name: string, value: unknown) => T;

type Resolvers<T> = { readonly [K in keyof T]: Resolve<T[K]> };

/** A value as an error message shows it: what it is, not how long it is. */
function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}\u2026` : value);
  if (typeof value === 'number' || typeof value === 'boolean' || value === null || value === undefined)
    return `${value}`;
  if (Array.isArray(value)) return 'an array';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

function complaint(name: string, value: unknown, accepted: string): string {
  return `Cannot use the option ${name}: it is ${show(value)}, must be ${accepted}`;
}

const integer =
  (min: number, max: number, accepted: string): Resolve<number> =>
  (name, value) => {
    if (typeof value !== 'number') throw new TypeError(complaint(name, value, accepted));
    if (value === max) return value;
    if (!Number.isInteger(value) || value < min || value > max) throw new RangeError(complaint(name, value, accepted));
    return value;
  };

const size = integer(1, Number.POSITIVE_INFINITY, 'a positive integer or Infinity');
const finiteSize = integer(1, Number.MAX_SAFE_INTEGER, 'a positive integer');
const milliseconds = integer(0, MAX_TIMEOUT, `an integer from 0 to ${MAX_TIMEOUT} (milliseconds)`);

const ORIGINS = "'same-origin', 'any', a list of origins such as ['https://example.com'], or a function";

function resolveOrigin(name: string, value: unknown): ResolvedRouteOptions['origin'] {
  if (value === 'same-origin' || value === 'any') return value;
  if (isFunction<OriginPolicyFunction>(value)) return value;
  if (typeof value === 'string') throw new RangeError(complaint(name, value, ORIGINS));
  if (!Array.isArray(value)) throw new TypeError(complaint(name, value, ORIGINS));
  return new Set(value.map((item: unknown, index) => resolveOriginItem(`${name}[${index}]`, item)));
}

function resolveOriginItem(name: string, value: unknown): string {
  const accepted = "a scheme and a host, perhaps a port, such as 'https://example.com'";
  if (typeof value !== 'string') throw new TypeError(complaint(name, value, accepted));
  const origin = normalizeOrigin(value);
  if (origin === undefined) throw new RangeError(complaint(name, value, accepted));
  return origin;
}

const SUB_PROTOCOLS = 'a list of subprotocol names or a function';

function resolveSubProtocols(name: string, value: unknown): ResolvedRouteOptions['subProtocols'] {
  if (isFunction<SubProtocolChooser>(value)) return value;
  if (!Array.isArray(value)) throw new TypeError(complaint(name, value, SUB_PROTOCOLS));
  const protocols = value.map((item: unknown, index) => {
    const accepted = "a token (letters, digits and !#$%&'*+-.^_`|~)";
    if (typeof item !== 'string') throw new TypeError(complaint(`${name}[${index}]`, item, accepted));
    if (!isToken(item)) throw new RangeError(complaint(`${name}[${index}]`, item, accepted));
    return item;
  });
  return Object.freeze(protocols);
}

function boolean(name: string, value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError(complaint(name, value, 'true or false'));
  return value;
}

function object(name: string, value: unknown): object {
  if (typeof value !== 'object' || value === null)
    throw new TypeError(complaint(name, value, 'an object of zlib options'));
  return value;
}

// RFC 7692 section 7.1.2: 8 to 15, of which zlib does not really have 8
const windowBits = integer(9, 15, 'an integer from 9 to 15');

const deflateResolvers: Resolvers<Required<PerMessageDeflateOptions>> = {
  serverNoContextTakeover: boolean,
  clientNoContextTakeover: boolean,
  serverMaxWindowBits: windowBits,
  clientMaxWindowBits: windowBits,
  zlibDeflateOptions: object,
  zlibInflateOptions: object,
  threshold: integer(0, Number.POSITIVE_INFINITY, 'a non-negative integer or Infinity'),
  concurrencyLimit: size,
};

function resolveDeflate(name: string, value: unknown): ResolvedRouteOptions['perMessageDeflate'] {
  if (value === false) return false;
  if (value === true) return DEFLATE_DEFAULTS;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new TypeError(complaint(name, value, 'true, false or an object'));
  }
  const resolved = resolve(DEFLATE_DEFAULTS, value, deflateResolvers, `${name}.`);
  checkDeflateOptions(resolved);
  return resolved;
}

const resolvers: Resolvers<ResolvedRouteOptions> = {
  origin: resolveOrigin,
  subProtocols: resolveSubProtocols,
  receiveBufferLimit: finiteSize,
  maxPayload: size,
  sendBufferLimit: size,
  keepAliveInterval: milliseconds,
  keepAliveTimeout: milliseconds,
  handshakeTimeout: milliseconds,
  closeTimeout: milliseconds,
  perMessageDeflate: resolveDeflate,
  maxConnections: size,
  onError: (name, value) => {
    if (!isFunction<NonNullable<WebSocketRouteOptions['onError']>>(value)) {
      throw new TypeError(complaint(name, value, 'a function'));
    }
    return value;
  },
};

const DRIVER_METHODS = ['open', 'subscribe', 'unsubscribe', 'publish', 'close'];

function resolveBackplane(name: string, value: unknown): BackplaneDriver {
  const accepted = 'a driver, such as redis({ client }) makes';
  if (typeof value !== 'object' || value === null) throw new TypeError(complaint(name, value, accepted));
  if (isDriver(value)) return value;
  const missing = missingMethods(value, DRIVER_METHODS).map((method) => `${method}()`);
  const found = missing.length > 0 ? `an object without ${missing.join(', ')}` : 'an object without maxMessageSize';
  throw new TypeError(`Cannot use the option ${name}: it is ${found}, must be ${accepted}`);
}

function isDriver(value: object): value is BackplaneDriver {
  return (
    missingMethods(value, DRIVER_METHODS).length === 0 && 'maxMessageSize' in value && Number(value.maxMessageSize) > 0
  );
}

const instanceResolvers: Resolvers<ResolvedOptions> = {
  ...resolvers,
  backplane: resolveBackplane,
  onBackplane: (name, value) => {
    if (!isFunction<NonNullable<WebSocketOptions['onBackplane']>>(value)) {
      throw new TypeError(complaint(name, value, 'a function'));
    }
    return value;
  },
};

const attachResolvers: Resolvers<AttachOptions> = {
  filter: (_name, value) => {
    if (!isFunction<NonNullable<AttachOptions['filter']>>(value)) {
      throw new TypeError(`Cannot attach: filter is ${typeOf(value)}, must be a function`);
    }
    return value;
  },
  exclusive: boolean,
};

function isFunction<T extends (...args: never[]) => unknown>(value: unknown): value is T {
  return typeof value === 'function';
}

/** Fills in from `base` what `given` does not say. */
function resolve<T extends object>(base: T, given: object, known: Resolvers<T>, prefix = ''): T {
  const resolved = { ...base };
  for (const name of Object.keys(given)) {
    if (!isKeyOf(known, name)) throw new TypeError(unknownOption(prefix + name, known));
    const value: unknown = Reflect.get(given, name);
    if (value !== undefined) resolved[name] = known[name](prefix + name, value);
  }
  return Object.freeze(resolved);
}

function isKeyOf<T extends object>(known: T, name: PropertyKey): name is keyof T {
  return Object.hasOwn(known, name);
}

function unknownOption(name: string, known: object): string {
  // As `ws` has it; an attachment has a filter for that.
  if (name === 'path' && !('filter' in known))
    return 'Cannot use the option path: the route is the path, app.get(path, handler)';
  return name === 'backplane' || name === 'onBackplane'
    ? `Cannot use the option ${name} for a single route: it holds for all connections, give it to webSockets()`
    : `Cannot use the option ${name}: there is none of that name, must be one of ${Object.keys(known).join(', ')}`;
}

function assertRecord(options: unknown, known: object): void {
  const found = insteadOfOptions(options, known);
  if (found !== undefined) {
    const shown = typeof options === 'object' ? found : show(options);
    throw new TypeError(`Cannot use the options: they are ${shown}, must be an object`);
  }
  if ('writeHead' in Object(options)) {
    throw new TypeError('Cannot use the options: they are a ServerResponse, must be options, or nothing: accept(req)');
  }
}

/**
 * Validates the options of `webSockets()` and fills in the defaults.
 *
 * @throws TypeError for a value of a wrong type or an unknown name, RangeError for a value out of range
 */
export function resolveOptions(options: WebSocketOptions = {}): ResolvedOptions {
  assertRecord(options, instanceResolvers);
  return resolve<ResolvedOptions>(
    { ...defaults, backplane: undefined, onBackplane: undefined },
    options,
    instanceResolvers,
  );
}

/**
 * Validates the options of one route, which override those in `base`.
 *
 * @throws TypeError for a value of a wrong type or an unknown name, RangeError for a value out of range
 */
export function resolveRouteOptions(
  base: ResolvedRouteOptions,
  overrides?: WebSocketRouteOptions,
): ResolvedRouteOptions {
  if (overrides === undefined) return base;
  assertRecord(overrides, resolvers);
  return resolve(base, overrides, resolvers);
}

/**
 * Validates the options of `attach`.
 *
 * @throws TypeError for a value of a wrong type or an unknown name
 */
export function resolveAttachOptions(options: AttachOptions = {}): AttachOptions {
  assertRecord(options, attachResolvers);
  return resolve<AttachOptions>({}, options, attachResolvers);
}
