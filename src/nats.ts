/**
 * Groups in many processes, over NATS.
 *
 * @module websocket-context/nats
 */

import { typeOf } from './arguments.js';
import type { BackplaneDriver, BackplaneDriverEvents } from './backplane/driver.js';
import { checkDriverOptions, checkPrefix, missingMethods } from './backplane/driver-options.js';
import { LIMIT, within } from './backplane/within.js';
import { isThenable } from './thenable.js';

/** A connection of nats.js 3, as `connect()` of `@nats-io/transport-node` gives it. */
export interface NatsConnection {
  publish(subject: string, payload: Uint8Array): void;
  subscribe(
    subject: string,
    options: { callback: (error: Error | null, message: { readonly data: Uint8Array }) => void },
  ): { unsubscribe(): void };
  flush(): Promise<void>;
  rtt(): Promise<number>;
  status(): AsyncIterable<{ readonly type: string }>;
  isClosed(): boolean;
  readonly info?: { readonly max_payload: number } | undefined;
}

/** Options of {@link nats}. */
export interface NatsOptions {
  /**
   * Your connection, or the promise of one. It stays yours: it is not closed. Give it `maxReconnectAttempts: -1`, or it
   * is closed for good by nats.js when the server has been away for a while.
   */
  readonly connection: NatsConnection | Promise<NatsConnection>;
  /**
   * Separates applications, and instances of `webSockets()`, that share a NATS: only those with the same prefix hear of
   * each other. All subjects begin with it and a dot, so that `shop.>` is what an account has to allow for `'shop'`. At
   * most 128 bytes of UTF-8. Default `'websocket-context'`.
   */
  readonly prefix?: string | undefined;
}

const METHODS = ['publish', 'subscribe', 'flush', 'rtt', 'status', 'isClosed'];

/** `max_payload` of a server that is not configured otherwise, until its own is known. */
const DEFAULT_MAX_PAYLOAD = 1024 * 1024;

/** A connection that should work and does not is looked at again after so many ms. */
const RETRY = 2000;

/**
 * A backplane on NATS: `webSockets({ backplane: nats({ connection, prefix: 'shop' }) })`.
 *
 * @throws TypeError if the connection is none of nats.js 3 nor a promise, or for another wrong option; RangeError for a
 * prefix that is too long
 *
 * @example
 * ```ts
 * import { connect } from '@nats-io/transport-node';
 * import { webSockets } from 'websocket-context';
 * import { nats } from 'websocket-context/nats';
 *
 * const connection = connect({ servers: 'localhost:4222', maxReconnectAttempts: -1 });
 * const sockets = webSockets({ backplane: nats({ connection, prefix: 'shop' }) });
 * ```
 */
export function nats(options: NatsOptions): BackplaneDriver {
  checkDriverOptions('nats', options, ['connection', 'prefix']);
  const connection: unknown = options.connection;
  if (!isThenable(connection)) checkConnection(connection);
  return new NatsDriver(options.connection, subjectPrefix(checkPrefix(options.prefix)));
}

class NatsDriver implements BackplaneDriver {
  readonly #promised: NatsConnection | Promise<NatsConnection>;
  readonly #prefix: string;
  readonly #subscriptions: Map<string, { unsubscribe(): void }> = new Map();
  #events: BackplaneDriverEvents | undefined;
  #connection: NatsConnection | undefined;
  #isReady = false;
  #maxPayload = DEFAULT_MAX_PAYLOAD;
  /** The next flush, which all that is published in a tick waits for. */
  #flush: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(promised: NatsConnection | Promise<NatsConnection>, prefix: string) {
    this.#promised = promised;
    this.#prefix = prefix;
  }

  get maxMessageSize(): number {
    // There is none while the connection is broken.
    this.#maxPayload = this.#connection?.info?.max_payload ?? this.#maxPayload;
    return this.#maxPayload;
  }

  async open(events: BackplaneDriverEvents): Promise<void> {
    this.#events = events;
    const connection = await this.#promised;
    checkConnection(connection);
    this.#connection = connection;
    void this.#check();
    for await (const { type, ...rest } of connection.status()) {
      if (this.#events === undefined) break;
      if (type === 'reconnect') void this.#check();
      else if (type === 'disconnect' || type === 'staleConnection')
        this.#lost(new Error('The connection to NATS is lost'));
      else if (type === 'error' && isDeniedPublish(rest, this.#prefix)) this.#checkLater(rest.error);
    }
    this.#lost(new Error('The connection to NATS is closed for good: connect with `maxReconnectAttempts: -1`'));
  }

  async subscribe(channel: string): Promise<void> {
    const connection = this.#current();
    let denial: Error | undefined;
    // A connection subscribes again by itself.
    if (!this.#subscriptions.has(channel)) {
      const callback = (error: Error | null, { data }: { readonly data: Uint8Array }): void => {
        if (error === null) {
          this.#events?.received(channel, data);
        } else {
          denial = error;
          this.#subscriptions.delete(channel);
        }
      };
      this.#subscriptions.set(channel, connection.subscribe(this.#prefix + encodeToken(channel), { callback }));
    }
    await connection.flush();
    if (denial !== undefined) throw denial;
  }

  unsubscribe(channel: string): void {
    this.#subscriptions.get(channel)?.unsubscribe();
    this.#subscriptions.delete(channel);
  }

  async publish(channel: string, bytes: Uint8Array): Promise<boolean> {
    if (!this.#isReady) return false;
    const connection = this.#current();
    connection.publish(this.#prefix + encodeToken(channel), bytes);
    this.#flush ??= Promise.resolve().then(() => {
      this.#flush = undefined;
      return connection.flush();
    });
    await this.#flush;
    return true;
  }

  close(): void {
    this.#events = undefined;
    this.#isReady = false;
    clearTimeout(this.#timer);
    if (this.#connection?.isClosed() === false) for (const each of this.#subscriptions.values()) each.unsubscribe();
    this.#subscriptions.clear();
  }

  #current(): NatsConnection {
    if (this.#connection === undefined) throw new Error('Cannot use NATS: there is no connection yet');
    return this.#connection;
  }

  /** Finds out whether the connection works. */
  async #check(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const took = await within(this.#current().rtt(), LIMIT, undefined);
      if (took === undefined) throw new Error(`Cannot use NATS: it has not answered for ${LIMIT} ms`);
      this.#isReady = true;
      this.#events?.status('ready');
    } catch (error) {
      this.#checkLater(error);
    }
  }

  /** The connection is there, but does not do what it should; perhaps it will. */
  #checkLater(error: unknown): void {
    this.#lost(error);
    if (this.#events === undefined || this.#connection?.isClosed()) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.#check(), RETRY);
    this.#timer.unref();
  }

  #lost(error: unknown): void {
    this.#isReady = false;
    clearTimeout(this.#timer);
    this.#events?.status('interrupted', error);
  }
}

/** The server does not let us publish what we have to. */
function isDeniedPublish(status: object, prefix: string): status is { error: Error } {
  const error: unknown = Reflect.get(status, 'error');
  if (!(error instanceof Error) || !('operation' in error) || !('subject' in error)) return false;
  return error.operation === 'publish' && String(error.subject).startsWith(prefix);
}

function checkConnection(connection: unknown): void {
  const needed = 'must be a connection of nats.js 3 or the promise of one';
  if (typeof connection !== 'object' || connection === null) {
    const found = typeOf(connection);
    throw new TypeError(`Cannot use the connection of nats(): it is ${found}, ${needed}`);
  }
  const missing = missingMethods(connection, METHODS);
  if (missing.length === 0) return;
  throw new TypeError(
    `Cannot use the connection of nats(): it lacks ${missing.map((name) => `${name}()`).join(', ')}, ${needed}`,
  );
}

/**
 * What the subjects of an application begin with. Its dots separate tokens as everywhere in NATS, unless a token would be
 * empty; whatever a subject must not have is encoded.
 */
function subjectPrefix(prefix: string): string {
  // A token must not be empty; no encoded prefix is this one.
  if (prefix === '') return '%.';
  const tokens = prefix.split('.');
  return `${tokens.includes('') ? encodeToken(prefix) : tokens.map(encodeToken).join('.')}.`;
}

/** Encodes a name as one token of a subject: what is not a letter, a digit, - or _ becomes %XX for each byte of UTF-8. */
function encodeToken(name: string): string {
  if (/^[\w-]+$/.test(name)) return name;
  let token = '';
  for (const byte of Buffer.from(name)) {
    const character = String.fromCharCode(byte);
    token += /[\w-]/.test(character) ? character : `%${byte.toString(16).padStart(2, '0')}`;
  }
  return token;
}
