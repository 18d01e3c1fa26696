/**
 * Groups in many processes, over Redis.
 *
 * @module websocket-context/redis
 */

import type { BackplaneDriver, BackplaneDriverEvents } from './backplane/driver.js';
import { channelPrefix, checkDriverOptions, checkPrefix } from './backplane/driver-options.js';
import { makeRedisWires, type RedisWire, type RedisWires } from './backplane/redis-wire.js';
import { within } from './backplane/within.js';
import { Deadline } from './deadline.js';

/** A client of node-redis 5 or later or of ioredis 5 or later, of a server or of a cluster. Connected or not. */
export interface RedisClient {
  duplicate(...args: never[]): unknown;
  connect(...args: never[]): unknown;
  publish(...args: never[]): unknown;
  subscribe(...args: never[]): unknown;
  unsubscribe(...args: never[]): unknown;
  on(...args: never[]): unknown;
}

/** Options of {@link redis}. */
export interface RedisOptions {
  /** Your client. It says how to connect, and is never used itself: the backplane has connections of its own. */
  readonly client: RedisClient;
  /**
   * Separates applications, and instances of `webSockets()`, that share a Redis: only those with the same prefix hear of
   * each other. All channels begin with it, so that `&shop:*` is what an ACL has to allow for `'shop:'`. At most 128
   * bytes of UTF-8. Default `'websocket-context'`.
   */
  readonly prefix?: string | undefined;
  /**
   * Uses sharded channels (`SSUBSCRIBE`, Redis 7 and later), which spread over the nodes of a cluster. All processes must
   * agree. Default: `true` for the client of a cluster, where ordinary channels would not keep the order of messages,
   * `false` for any other.
   */
  readonly sharded?: boolean | undefined;
}

/** A Redis whose subscribers may fall 32 MiB behind by default carries two of these. */
const MAX_MESSAGE_SIZE = 16 * 1024 * 1024;

/** How long connecting may take, in ms. */
const CONNECT_LIMIT = 10_000;

/** A new attempt follows after so many ms, and after twice as many each time it fails. */
const FIRST_RETRY = 100;
const LAST_RETRY = 2000;

/** Redis has so many ms to bring a message back to its sender, and is then asked again. */
const LOOP_LIMIT = 2000;

/**
 * A backplane on Redis publish/subscribe: `webSockets({ backplane: redis({ client, prefix: 'shop:' }) })`.
 *
 * @throws TypeError if the client is none of node-redis 5 or ioredis 5 or later, or for another wrong option; RangeError
 * for a prefix that is too long
 *
 * @example
 * ```ts
 * import { createClient } from 'redis';
 * import { webSockets } from 'websocket-context';
 * import { redis } from 'websocket-context/redis';
 *
 * const client = createClient({ url: 'redis://localhost:6379' });
 * const sockets = webSockets({ backplane: redis({ client, prefix: 'shop:' }) });
 * ```
 */
export function redis(options: RedisOptions): BackplaneDriver {
  checkDriverOptions('redis', options, ['client', 'prefix', 'sharded']);
  return new RedisDriver(makeRedisWires(options.client, options.sharded), channelPrefix(checkPrefix(options.prefix)));
}

/**
 * A wire is thrown away with whatever its clients still hold when anything goes wrong with it, and a new one takes its
 * place. So nothing waits in a client's queue for better times, and nothing is sent again.
 */
class RedisDriver implements BackplaneDriver {
  readonly maxMessageSize: number = MAX_MESSAGE_SIZE;
  readonly #wires: RedisWires;
  readonly #prefix: string;
  /** What is published here comes back if the connections are what they seem to be. */
  readonly #loop: string;
  #events: BackplaneDriverEvents | undefined;
  #wire: RedisWire | undefined;
  #isReady = false;
  #isLoopOut = false;
  #delay = FIRST_RETRY;
  #retry: NodeJS.Timeout | undefined;
  #deadline: Deadline | undefined;

  constructor(wires: RedisWires, prefix: string) {
    this.#wires = wires;
    this.#prefix = prefix;
    this.#loop = `${prefix}loop:${crypto.randomUUID()}`;
  }

  open(events: BackplaneDriverEvents): void {
    this.#events = events;
    void this.#connect();
  }

  async subscribe(channel: string): Promise<void> {
    await this.#current().subscribe(this.#prefix + channel);
  }

  async unsubscribe(channel: string): Promise<void> {
    await this.#current().unsubscribe(this.#prefix + channel);
  }

  async publish(channel: string, bytes: Uint8Array): Promise<boolean> {
    if (!this.#isReady) return false;
    await this.#current().publish(this.#prefix + channel, bytes);
    return true;
  }

  close(): void {
    this.#events = undefined;
    this.#leaveWire();
  }

  #current(): RedisWire {
    if (this.#wire === undefined) throw new Error('Cannot use Redis: there is no connection');
    return this.#wire;
  }

  async #connect(): Promise<void> {
    const onError = (error: unknown): void => {
      if (wire === this.#wire) this.#fail(error);
    };
    let wire: RedisWire | undefined;
    try {
      wire = this.#wires({ onMessage: (channel, bytes) => this.#receive(channel, bytes), onError });
      this.#wire = wire;
      const tooLate = new Error(`Cannot connect to Redis: there is no answer after ${CONNECT_LIMIT} ms`);
      const late = await within(this.#prepare(wire), CONNECT_LIMIT, tooLate);
      if (late !== undefined) throw late;
    } catch (error) {
      onError(error);
      return;
    }
    if (wire !== this.#wire) return;
    this.#isReady = true;
    this.#delay = FIRST_RETRY;
    this.#checkLoop();
    this.#events?.status('ready');
  }

  async #prepare(wire: RedisWire): Promise<undefined> {
    await wire.connect();
    await wire.subscribe(this.#loop);
  }

  /** Finds out about connections that are dead and do not know it. */
  #checkLoop(): void {
    this.#isLoopOut = true;
    this.#current().publish(this.#loop, Buffer.of(0)).catch(ignore);
    this.#deadline = new Deadline(() => {
      if (this.#isLoopOut) this.#fail(new Error(`Cannot use Redis: it has not answered for ${LOOP_LIMIT} ms`));
      else this.#checkLoop();
    }, LOOP_LIMIT);
  }

  #receive(channel: string, bytes: Uint8Array): void {
    if (channel === this.#loop) this.#isLoopOut = false;
    else this.#events?.received(channel.slice(this.#prefix.length), bytes);
  }

  #fail(error: unknown): void {
    this.#leaveWire();
    // Not all processes at once.
    const delay = this.#delay * (1 + Math.random() / 2);
    this.#delay = Math.min(2 * this.#delay, LAST_RETRY);
    this.#retry = setTimeout(() => void this.#connect(), delay);
    this.#events?.status('interrupted', error);
  }

  #leaveWire(): void {
    clearTimeout(this.#retry);
    this.#deadline?.clear();
    this.#isReady = false;
    const wire = this.#wire;
    this.#wire = undefined;
    wire?.destroy();
  }
}

function ignore(): void {}
