import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, Redis } from 'ioredis';
import { Cluster as Cluster5 } from 'ioredis5';
import { createClient, createCluster } from 'redis';
import { createCluster as createCluster5 } from 'redis5';
import { Backplane } from '../src/backplane/backplane.js';
import { type RedisClient, redis } from '../src/redis.js';
import { hasBroker, startBroker } from './support/brokers.js';

describe('redis()', () => {
  it('refuses what is no client, and names what it lacks', () => {
    const wrong: readonly [unknown, RegExp][] = [
      [undefined, /it is of type undefined, must be a client of node-redis 5 or later or of ioredis 5 or later/],
      [null, /it is null/],
      [{ publish() {} }, /it lacks duplicate\(\), connect\(\), destroy\(\)/],
      [Object.assign(Object.create(createClient()), { destroy: undefined }), /it lacks destroy\(\)/],
      [
        Object.assign(Object.create(new Redis({ lazyConnect: true })), { ssubscribe: undefined }),
        /it lacks ssubscribe\(\)/,
      ],
    ];
    for (const [client, message] of wrong) {
      assert.throws(() => redis({ client: client as RedisClient }), { name: 'TypeError', message });
    }
  });

  it('refuses wrong options', () => {
    const client = createClient();
    const wrong: readonly [unknown, string, RegExp][] = [
      [undefined, 'TypeError', /the options of redis\(\): they are undefined, must be an object/],
      [null, 'TypeError', /they are null/],
      [[], 'TypeError', /they are an array/],
      [client, 'TypeError', /they are an instance of \w+, did you mean redis\({ client }\)\?$/],
      [new Redis({ lazyConnect: true }), 'TypeError', /they are an instance of \w+, did you mean redis\({ client }\)/],
      [
        { client, prefx: 'x' },
        'TypeError',
        /the option prefx of redis\(\): there is none of that name, must be one of client, prefix, sharded/,
      ],
      [{ client, prefix: 1 }, 'TypeError', /the prefix: it is of type number, must be a string of at most 128 bytes/],
      [{ client, prefix: '\ud800' }, 'TypeError', /lone surrogate/],
      [{ client, prefix: 'ä'.repeat(65) }, 'RangeError', /it is 130 bytes/],
      [{ client, sharded: 'yes' }, 'TypeError', /sharded of redis\(\): it is of type string, must be true or false/],
      [
        { client: new Cluster([], { lazyConnect: true }), sharded: false },
        'TypeError',
        /must be true or absent for the client of a cluster/,
      ],
    ];
    for (const [options, name, message] of wrong) {
      assert.throws(() => redis(options as never), { name, message });
    }
  });

  it('is interrupted, and no more, by a client that cannot even be duplicated', async () => {
    const client = createClient();
    client.duplicate = () => {
      throw new Error('no duplicate');
    };
    const error = await new Promise<unknown>((resolve) => {
      const driver = redis({ client });
      driver.open({
        received: () => {},
        status: (_status, cause) => {
          driver.close();
          resolve(cause);
        },
      });
    });
    assert.match(String(error), /no duplicate/);
  });

  it('has nothing to say before it is opened', async () => {
    const driver = redis({ client: createClient() });

    await assert.rejects(async () => driver.subscribe('x'), /Cannot use Redis: there is no connection/);
    await assert.rejects(async () => driver.unsubscribe('x'), /Cannot use Redis: there is no connection/);
    assert.equal(await driver.publish('x', Buffer.of(1)), false);
  });

  it('lets a client go that complains of being let go', () => {
    const client = createClient();
    const complains = (): never => {
      throw new Error('The client is closed');
    };
    const duplicate = Object.assign(Object.create(client), { connect: async () => {}, destroy: complains, on() {} });
    client.duplicate = () => duplicate;
    const driver = redis({ client });
    driver.open({ received: () => {}, status: () => {} });

    driver.close();
  });

  describe('with the client of a cluster', {
    skip: !hasBroker('redis-server') && 'redis-server is not installed',
  }, () => {
    const clusters: Readonly<Record<string, (port: number) => RedisClient>> = {
      'node-redis 6': (port) => createCluster({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] }),
      'node-redis 5': (port) => createCluster5({ rootNodes: [{ url: `redis://127.0.0.1:${port}` }] }),
      'ioredis 6': (port) => new Cluster([{ host: '127.0.0.1', port }], { lazyConnect: true, keyPrefix: 'keys:' }),
      'ioredis 5': (port) => new Cluster5([{ host: '127.0.0.1', port }], { lazyConnect: true }),
    };
    for (const [name, make] of Object.entries(clusters)) {
      it(`of ${name} carries messages on sharded channels, in order`, async (t) => {
        const { port } = await startBroker(t, 'redis-server', [
          '--cluster-enabled',
          'yes',
          '--cluster-announce-ip',
          '127.0.0.1',
        ]);
        const cli = (...args: string[]) => execFileSync('redis-cli', ['-p', `${port}`, ...args], { encoding: 'utf8' });
        cli('cluster', 'addslotsrange', '0', '16383');
        while (!cli('cluster', 'info').includes('cluster_state:ok')) await sleep(50);
        const heard: string[] = [];
        const nodes = [0, 1].map(
          () =>
            new Backplane(redis({ client: make(port) }), {
              onMessage: (_group, { data }) => void heard.push(Buffer.from(data).toString()),
              onClose: () => {},
              onCount: () => 1,
              onStatus: () => {},
            }),
        );
        t.after(async () => void (await Promise.all(nodes.map((node) => node.close()))));
        const [one, other] = nodes as [Backplane, Backplane];
        await other.join('room');
        while (one.info.nodes < 2 || other.info.status !== 'ready') await sleep(10);

        for (let index = 0; index < 50; index++) {
          void one.publish('room', { text: true, data: Buffer.from(`${index}`) });
        }
        while (heard.length < 50) await sleep(10);

        assert.deepEqual(
          heard,
          Array.from({ length: 50 }, (_, index) => `${index}`),
        );
        assert.match(cli('pubsub', 'shardchannels'), /websocket-context\|group:room/);
      });
    }
  });
});
