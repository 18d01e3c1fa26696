import { typeOf } from '../arguments.js';
import { missingMethods } from './driver-options.js';

/**
 * Two connections to Redis, one to publish and one to subscribe, used once: after `onError` or `destroy` nothing that was
 * asked of them happens any more, and what was asked may stay unanswered for ever.
 */
export interface RedisWire {
  connect(): Promise<unknown>;
  publish(channel: string, bytes: Uint8Array): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  destroy(): void;
}

/** What a wire reports. */
interface RedisWireEvents {
  onMessage(channel: string, bytes: Uint8Array): void;
  /** Something is wrong with a connection, or a client has begun to look for a way around. */
  onError(error: unknown): void;
}

/** Makes wires, each with duplicates of one client. */
export type RedisWires = (events: RedisWireEvents) => RedisWire;

/** node-redis: a client of a server, a sentinel or a cluster. */
interface NodeRedis {
  duplicate(): NodeRedis;
  connect(): Promise<unknown>;
  destroy(): void;
  on(event: string, listener: (error: unknown) => void): unknown;
  publish(channel: string, message: Buffer): Promise<unknown>;
  subscribe(channel: string, listener: NodeRedisListener, bufferMode: true): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  sPublish(channel: string, message: Buffer): Promise<unknown>;
  sSubscribe(channel: string, listener: NodeRedisListener, bufferMode: true): Promise<unknown>;
  sUnsubscribe(channel: string): Promise<unknown>;
}

type NodeRedisListener = (message: Buffer, channel: Buffer) => void;

const NODE_REDIS = 'duplicate connect destroy on publish subscribe unsubscribe sPublish sSubscribe sUnsubscribe'.split(
  ' ',
);

/** ioredis: a client of a server, perhaps found by sentinels, or of a cluster. */
interface IoRedis {
  readonly isCluster: boolean;
  duplicate(options: object): IoRedis;
  duplicate(nodes: readonly [], options: object): IoRedis;
  connect(): Promise<unknown>;
  disconnect(): void;
  on(event: 'messageBuffer' | 'smessageBuffer', listener: (channel: Buffer, message: Buffer) => void): unknown;
  on(event: string, listener: (error?: unknown) => void): unknown;
  publish(channel: string, message: Buffer): Promise<unknown>;
  subscribe(channel: string): Promise<unknown>;
  unsubscribe(channel: string): Promise<unknown>;
  spublish(channel: string, message: Buffer): Promise<unknown>;
  ssubscribe(channel: string): Promise<unknown>;
  sunsubscribe(channel: string): Promise<unknown>;
}

const IO_REDIS = 'duplicate connect disconnect on publish subscribe unsubscribe spublish ssubscribe sunsubscribe'.split(
  ' ',
);

/**
 * Finds out which client this is, by its members.
 *
 * @throws TypeError if it is none that can be used, or `sharded` does not go with it
 */
export function makeRedisWires(client: unknown, sharded: unknown): RedisWires {
  if (sharded !== undefined && typeof sharded !== 'boolean') {
    throw new TypeError(`Cannot use the option sharded of redis(): it is ${typeOf(sharded)}, must be true or false`);
  }
  if (isIoRedis(client)) {
    const isSharded = checkSharded(client.isCluster, sharded);
    return (events) => new IoRedisWire(client, isSharded, events);
  }
  if (isNodeRedis(client)) {
    const isSharded = checkSharded('masters' in client, sharded);
    return (events) => new NodeRedisWire(client, isSharded, events);
  }
  throw new TypeError(
    `Cannot use the client of redis(): ${complaint(client)}, must be a client of node-redis 5 or later or of ioredis 5 or later`,
  );
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function isIoRedis(client: unknown): client is IoRedis {
  return isObject(client) && missingMethods(client, IO_REDIS).length === 0;
}

function isNodeRedis(client: unknown): client is NodeRedis {
  return isObject(client) && missingMethods(client, NODE_REDIS).length === 0;
}

function complaint(client: unknown): string {
  if (!isObject(client)) return `it is ${typeOf(client)}`;
  const lists = [missingMethods(client, NODE_REDIS), missingMethods(client, IO_REDIS)];
  // The library that it resembles most.
  const [fewest = []] = lists.sort((one, other) => one.length - other.length);
  return `it lacks ${fewest.map((name) => `${name}()`).join(', ')}`;
}

function checkSharded(isCluster: boolean, sharded: boolean | undefined): boolean {
  if (isCluster && sharded === false) {
    throw new TypeError(
      'Cannot use the option sharded of redis(): it is false, must be true or absent for the client of a cluster, whose ' +
        'ordinary channels do not keep the order of messages',
    );
  }
  return sharded ?? isCluster;
}

class NodeRedisWire implements RedisWire {
  readonly #publisher: NodeRedis;
  readonly #subscriber: NodeRedis;
  readonly #isSharded: boolean;
  readonly #listener: NodeRedisListener;

  constructor(client: NodeRedis, isSharded: boolean, { onMessage, onError }: RedisWireEvents) {
    this.#isSharded = isSharded;
    this.#listener = (message, channel) => onMessage(channel.toString(), message);
    this.#publisher = client.duplicate();
    this.#subscriber = client.duplicate();
    for (const each of [this.#publisher, this.#subscriber]) {
      // A client reconnects by itself, and sends what it still holds then; it is to be gone before.
      each.on('error', onError);
      each.on('node-error', onError);
      each.on('end', () => onError(new Error('The connection to Redis has ended')));
    }
  }

  async connect(): Promise<void> {
    await Promise.all([this.#publisher.connect(), this.#subscriber.connect()]);
  }

  publish(channel: string, bytes: Uint8Array): Promise<unknown> {
    const message = asBuffer(bytes);
    return this.#isSharded ? this.#publisher.sPublish(channel, message) : this.#publisher.publish(channel, message);
  }

  subscribe(channel: string): Promise<unknown> {
    return this.#isSharded
      ? this.#subscriber.sSubscribe(channel, this.#listener, true)
      : this.#subscriber.subscribe(channel, this.#listener, true);
  }

  unsubscribe(channel: string): Promise<unknown> {
    return this.#isSharded ? this.#subscriber.sUnsubscribe(channel) : this.#subscriber.unsubscribe(channel);
  }

  destroy(): void {
    for (const each of [this.#publisher, this.#subscriber]) {
      try {
        each.destroy();
      } catch {
        // node-redis 5 complains of a client that is closed already.
      }
    }
  }
}

/** None of the options by which ioredis makes up for a broken connection, and no prefix but ours. */
const IO_REDIS_OPTIONS = {
  lazyConnect: true,
  enableOfflineQueue: false,
  autoResubscribe: false,
  autoResendUnfulfilledCommands: false,
  enableAutoPipelining: false,
  keyPrefix: '',
};

class IoRedisWire implements RedisWire {
  readonly #publisher: IoRedis;
  readonly #subscriber: IoRedis;
  readonly #isSharded: boolean;

  constructor(client: IoRedis, isSharded: boolean, { onMessage, onError }: RedisWireEvents) {
    this.#isSharded = isSharded;
    this.#publisher = duplicate(client);
    this.#subscriber = duplicate(client);
    for (const each of [this.#publisher, this.#subscriber]) {
      each.on('error', onError);
      each.on('node error', onError);
      each.on('close', () => onError(new Error('The connection to Redis has been closed')));
    }
    this.#subscriber.on(isSharded ? 'smessageBuffer' : 'messageBuffer', (channel, message) =>
      onMessage(channel.toString(), message),
    );
  }

  async connect(): Promise<void> {
    await Promise.all([this.#publisher.connect(), this.#subscriber.connect()]);
  }

  publish(channel: string, bytes: Uint8Array): Promise<unknown> {
    const message = asBuffer(bytes);
    return this.#isSharded ? this.#publisher.spublish(channel, message) : this.#publisher.publish(channel, message);
  }

  subscribe(channel: string): Promise<unknown> {
    return this.#isSharded ? this.#subscriber.ssubscribe(channel) : this.#subscriber.subscribe(channel);
  }

  unsubscribe(channel: string): Promise<unknown> {
    return this.#isSharded ? this.#subscriber.sunsubscribe(channel) : this.#subscriber.unsubscribe(channel);
  }

  destroy(): void {
    this.#publisher.disconnect();
    this.#subscriber.disconnect();
  }
}

function duplicate(client: IoRedis): IoRedis {
  if (!client.isCluster) return client.duplicate(IO_REDIS_OPTIONS);
  const { keyPrefix, lazyConnect, enableOfflineQueue } = IO_REDIS_OPTIONS;
  const options = { keyPrefix, lazyConnect, enableOfflineQueue, shardedSubscribers: true };
  return client.duplicate([], { ...options, redisOptions: { keyPrefix } });
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}
