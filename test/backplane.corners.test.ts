import assert from 'node:assert/strict';
import cluster from 'node:cluster';
import { describe, it } from 'node:test';
import { createClient } from 'redis';
import { Backplane } from '../src/backplane/backplane.js';
import type { BackplaneDriver, BackplaneDriverEvents } from '../src/backplane/driver.js';
import { relay } from '../src/cluster.js';
import { ALL } from '../src/groups/group-backplane.js';
import { redis } from '../src/redis.js';
import { FakeClock } from './support/fake-clock.js';
import { Hall } from './support/members.js';

async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
}

/** A driver whose parts the test replaces. */
function makeDriver(parts: Partial<BackplaneDriver> = {}) {
  const opened: { events?: BackplaneDriverEvents } = {};
  const driver: BackplaneDriver = {
    maxMessageSize: 100,
    open: (events) => {
      opened.events = events;
    },
    subscribe: async () => {},
    unsubscribe: () => {},
    publish: async () => true,
    close: () => {},
    ...parts,
  };
  const statuses: string[] = [];
  const backplane = new Backplane(driver, {
    onMessage: () => {},
    onClose: () => {},
    onCount: () => 0,
    onStatus: (status) => statuses.push(status),
  });
  return { backplane, statuses, events: opened.events as BackplaneDriverEvents };
}

describe('a backplane', () => {
  it('says for whom a message is too long', () => {
    const { backplane } = makeDriver();
    const message = { text: true, data: Buffer.alloc(100) };

    assert.throws(() => backplane.assertFits(ALL, message), /Cannot send to all: the message is/);
    assert.throws(() => backplane.assertFits('room', message), /Cannot send to the group "room": the message is/);
  });

  it('closes although its driver cannot', async () => {
    const { backplane } = makeDriver({ close: () => Promise.reject(new Error('cannot')) });

    await backplane.close();
  });

  it('goes on connecting while its driver does', async () => {
    const { statuses, events } = makeDriver();
    events.status('connecting');
    await settled();

    assert.deepEqual(statuses, []);
  });

  it('tries again where a subscription fails without saying why, and forgets who has left meanwhile', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const asked: string[] = [];
    const { backplane, events, statuses } = makeDriver({
      subscribe: (channel) => {
        asked.push(channel);
        return asked.length < 4 || channel.includes('other') ? Promise.reject(undefined) : Promise.resolve();
      },
    });
    void backplane.join('room');
    void backplane.join('other');
    events.status('ready');
    await settled();
    backplane.leave('other');
    for (let round = 0; round < 5; round++) {
      t.mock.timers.tick(2000);
      await settled();
    }
    assert.ok(asked.length > 3);
    assert.equal(statuses.at(-1), 'ready');
    await backplane.close();
  });

  it('counts no longer than it is open', async () => {
    const { backplane, events } = makeDriver();
    events.status('ready');
    await settled();
    const counted = backplane.countAsync('room', 60_000);
    await settled();
    await backplane.close();

    assert.equal((await counted).count, 0);
  });
});

describe('relay()', () => {
  it('ends where there are no workers', (t) => {
    const before = cluster.workers;
    t.after(() => void Object.assign(cluster, { workers: before }));
    Object.assign(cluster, { workers: undefined });

    relay()();
  });
});

describe('redis()', () => {
  /** Opens a driver whose client has these parts in place of those that talk to Redis. */
  function openRedis(parts: object) {
    const client = createClient();
    const duplicate = Object.assign(Object.create(client), { destroy() {}, on() {} }, parts);
    client.duplicate = () => duplicate;
    const statuses: string[] = [];
    const driver = redis({ client });
    driver.open({ received: () => {}, status: (status) => statuses.push(status) });
    return { driver, statuses };
  }

  it('may be closed while it connects', async () => {
    const connecting: (() => void)[] = [];
    const { driver, statuses } = openRedis({
      connect: () =>
        new Promise<void>((resolve) => {
          connecting.push(resolve);
        }),
      subscribe: async () => {},
    });
    await settled();
    driver.close();
    for (const connected of connecting) connected();
    await settled();

    assert.equal(statuses.includes('ready'), false);
  });

  it('is interrupted when Redis has not brought a message back for 2 s, and not before', async (t) => {
    const clock = new FakeClock().install(t);
    let doesAnswer = true;
    let listener: (bytes: Buffer, channel: string) => void = () => {};
    const { driver, statuses } = openRedis({
      connect: async () => {},
      subscribe: async (_channel: string, heard: typeof listener) => {
        listener = heard;
      },
      publish: async (channel: string, bytes: Buffer) => {
        if (doesAnswer) listener(bytes, channel);
      },
    });
    await settled();

    clock.advance(6000);
    assert.deepEqual(statuses, ['ready']);
    doesAnswer = false;
    clock.advance(4000);

    assert.deepEqual(statuses, ['ready', 'interrupted']);
    driver.close();
  });
});

describe('a group', () => {
  it('lists its only member', async (t) => {
    const hall = new Hall(t);
    const { context } = hall.enter();
    await context.addToGroupAsync('alone');

    assert.deepEqual([...hall.group('alone').members], [context]);
    assert.equal(hall.group('alone').members.has(context), true);
    const other = hall.enter().context;
    assert.equal(hall.group('alone').members.has(other), false);
    await other.addToGroupAsync('alone');
    assert.equal(hall.group('alone').members.has(other), true);
    assert.deepEqual([...hall.group('nobody').members], []);
  });
});
