import { connect } from '@nats-io/transport-node';
import { Redis } from 'ioredis';
import { Redis as Redis5 } from 'ioredis5';
import { createClient } from 'redis';
import { createClient as createClient5 } from 'redis5';
import type { BackplaneDriver } from '../../src/backplane/driver.js';
import { cluster, workers } from '../../src/cluster.js';
import { nats } from '../../src/nats.js';
import { redis } from '../../src/redis.js';
import type { BrokerName } from './brokers.js';

/** A driver with one version of one client. */
export interface DriverKind {
  readonly broker: BrokerName | undefined;
  /** Makes the driver, with a client that connects to `port` if there is a broker. */
  make(port: number, prefix: string | undefined): Made;
}

interface Made {
  readonly driver: BackplaneDriver;
  /** Closes the client of the user. */
  end?(): void | Promise<void>;
}

/** Takes the errors that a client reports: that nobody listens is not what is tested. */
function quiet<T extends { on(event: 'error', listener: () => void): unknown }>(client: T): T {
  client.on('error', () => {});
  return client;
}

// The clients of Redis are not connected: the backplane needs none that is.
export const driverKinds = {
  'redis() with node-redis 6': {
    broker: 'redis-server',
    make: (port, prefix) => ({ driver: redis({ client: createClient({ url: `redis://127.0.0.1:${port}` }), prefix }) }),
  },
  'redis() with node-redis 5': {
    broker: 'redis-server',
    make: (port, prefix) => ({
      driver: redis({ client: createClient5({ url: `redis://127.0.0.1:${port}` }), prefix }),
    }),
  },
  'redis() with node-redis 5 and RESP3': {
    broker: 'redis-server',
    make: (port, prefix) => ({
      driver: redis({ client: createClient5({ RESP: 3, url: `redis://127.0.0.1:${port}` }), prefix }),
    }),
  },
  'redis() with ioredis 6': {
    broker: 'redis-server',
    make: (port, prefix) => {
      const client = quiet(new Redis(port, '127.0.0.1'));
      return { driver: redis({ client, prefix }), end: () => client.disconnect() };
    },
  },
  'redis() with ioredis 5': {
    broker: 'redis-server',
    make: (port, prefix) => ({
      driver: redis({ client: new Redis5(port, '127.0.0.1', { lazyConnect: true }), prefix }),
    }),
  },
  'redis() with sharded channels of node-redis 6': {
    broker: 'redis-server',
    make: (port, prefix) => ({
      driver: redis({ client: createClient({ url: `redis://127.0.0.1:${port}` }), prefix, sharded: true }),
    }),
  },
  'redis() with sharded channels of ioredis 6': {
    broker: 'redis-server',
    make: (port, prefix) => ({
      driver: redis({
        client: new Redis(port, '127.0.0.1', { lazyConnect: true, keyPrefix: 'keys:' }),
        prefix,
        sharded: true,
      }),
    }),
  },
  'nats() with nats.js 3': {
    broker: 'nats-server',
    make: (port, prefix) => {
      const connection = connect({
        servers: `127.0.0.1:${port}`,
        reconnectTimeWait: 100,
        maxReconnectAttempts: -1,
        waitOnFirstConnect: true,
      });
      return {
        driver: nats({ connection, prefix }),
        end: async () => (await connection).close(),
      };
    },
  },
  'workers()': {
    broker: undefined,
    make: (_port, prefix) => ({ driver: workers({ prefix }) }),
  },
  'cluster()': {
    broker: undefined,
    make: (_port, prefix) => ({ driver: cluster({ prefix }) }),
  },
} as const satisfies Readonly<Record<string, DriverKind>>;

export type DriverName = keyof typeof driverKinds;

export const driverNames = Object.keys(driverKinds) as DriverName[];
