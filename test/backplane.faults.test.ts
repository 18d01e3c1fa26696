import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type BackplaneNode, localNode } from './support/backplane-node.js';
import { type BrokerName, hasBroker, makeBroker, startBroker } from './support/brokers.js';
import { observe } from './support/connections.js';
import { type DriverName, driverKinds } from './support/drivers.js';
import { passTurns } from './support/fake-socket.js';
import { remoteNode } from './support/remote-node.js';
import type { TestContext } from './support/servers.js';

const kinds: readonly DriverName[] = [
  'redis() with node-redis 6',
  'redis() with node-redis 5',
  'redis() with ioredis 6',
  'redis() with ioredis 5',
  'nats() with nats.js 3',
];

/**
 * Nothing that a broker does may take longer, in turns of 100 ms: the limit is 2 s. Turns and not time, as a process that a
 * busy machine does not let run makes none.
 */
const SOON = 100;

/** What is said of an interruption; a machine that is too busy to answer within 2 s may add another, also at the start. */
const INTERRUPTED = /^(interrupted,)?ready(,interrupted,ready)+$/;

async function assertSoon<T>(promise: Promise<T>): Promise<T> {
  let turns = 0;
  const timer = setInterval(() => turns++, 100);
  try {
    const result = await promise;
    assert.ok(turns < SOON, `took ${turns} turns of 100 ms`);
    return result;
  } finally {
    clearInterval(timer);
  }
}

/** Publishes until the broker says that it has: a machine that is busy may not let it do so within 2 s. */
async function publishSent(node: BackplaneNode, group: string, data: string | Uint8Array): Promise<void> {
  while ((await node.publish(group, data)) !== 'sent') await node.until(({ statuses }) => statuses.at(-1) === 'ready');
}

/** Nothing depends on anything else, and nearly all of the time is spent waiting. */
describe('A broker', { concurrency: true }, () => {
  for (const kind of kinds) {
    const brokerName: BrokerName = driverKinds[kind].broker ?? 'redis-server';
    const skip = !hasBroker(brokerName) && `${brokerName} is not installed`;

    async function pair(t: TestContext, port: number) {
      const [one, other] = [localNode(t, kind, port), localNode(t, kind, port)];
      await Promise.all([one, other].map((node) => node.until(({ statuses }) => statuses.includes('ready'))));
      await Promise.all([one, other].map((node) => node.until(async () => (await node.info()).nodes === 2)));
      await other.join('room');
      return [one, other] as const;
    }

    describe(`of ${kind}`, { skip }, () => {
      it('that is killed loses what is sent meanwhile, says so, and delivers none of it later', async (t) => {
        const broker = await startBroker(t, brokerName);
        const [one, other] = await pair(t, broker.port);
        await publishSent(one, 'room', 'before');
        await other.until(({ arrivals }) => arrivals.length > 0);

        const killed = broker.kill();
        const outcomes = new Map<string, string>();
        for (let index = 0; one.statuses.at(-1) === 'ready'; index++) {
          const text = `while it dies ${index}`;
          const publishing = one.publish('room', text).then((outcome) => outcomes.set(text, outcome));
          await Promise.race([publishing, new Promise((resolve) => setTimeout(resolve, 5))]);
        }
        await killed;
        await other.until(({ statuses }) => statuses.at(-1) === 'interrupted');
        assert.equal(await assertSoon(one.publish('room', 'while it is dead')), 'unavailable');
        await assertSoon(one.join('another room'));
        await broker.start();
        await Promise.all([one, other].map((node) => node.until(({ statuses }) => statuses.at(-1) === 'ready')));
        await other.until(async (node) => (await node.info()).nodes === 2);
        await publishSent(one, 'room', 'after');
        await publishSent(other, 'another room', 'the other way');

        await other.until(({ arrivals }) => arrivals.at(-1)?.data === 'after');
        await one.until(({ arrivals }) => arrivals.length > 0);
        const between = other.arrivals
          .map(({ data = '' }) => data)
          .filter((data) => !['before', 'after'].includes(data));
        for (const data of between) assert.equal(outcomes.get(data), 'sent', data);
        for (const { statuses } of [one, other]) assert.match(statuses.join(), INTERRUPTED);
        assert.ok((await one.info()).unavailable > 0);
      });

      it('that stands still holds nobody up, and is used again when it goes on', async (t) => {
        const broker = await startBroker(t, brokerName);
        const [one, other] = await pair(t, broker.port);

        broker.stop();
        // It takes a moment to stand still.
        while ((await assertSoon(one.publish('room', 'first'))) === 'sent');
        const second = observe(one.publish('room', 'second'));
        await passTurns();
        assert.equal(second.outcome, 'unavailable', 'the second does not wait too');
        await assertSoon(one.join('another room'));
        assert.equal((await one.info()).status, 'interrupted');
        const counted = await assertSoon(one.count('room', 500));
        await other.until(({ statuses }) => statuses.at(-1) === 'interrupted');
        broker.go();
        await Promise.all([one, other].map((node) => node.until(({ statuses }) => statuses.at(-1) === 'ready')));
        await publishSent(one, 'room', 'after');
        await publishSent(other, 'another room', 'the other way');

        await other.until(({ arrivals }) => arrivals.at(-1)?.data === 'after');
        await one.until(({ arrivals }) => arrivals.length > 0);
        assert.deepEqual(counted, { count: 0, nodes: 0, missing: 1 });
        assert.ok(!other.arrivals.some(({ data }) => data === 'second'));
        for (const { statuses } of [one, other]) assert.match(statuses.join(), INTERRUPTED);
      });

      it('that is away at the start is used when it comes', async (t) => {
        const broker = await makeBroker(t, brokerName);
        const [one, other] = [localNode(t, kind, broker.port), localNode(t, kind, broker.port)];

        await assertSoon(other.join('room'));
        assert.equal(await assertSoon(one.publish('room', 'too early')), 'unavailable');
        assert.notEqual((await one.info()).status, 'ready');
        await broker.start();
        await Promise.all([one, other].map((node) => node.until(({ statuses }) => statuses.at(-1) === 'ready')));
        await publishSent(one, 'room', 'in time');

        await other.until(({ arrivals }) => arrivals.length > 0);
        assert.deepEqual(new Set(other.arrivals.map(({ data }) => data)), new Set(['in time']));
      });

      it('that is dead or stands still does not keep close() waiting', async (t) => {
        const broker = await startBroker(t, brokerName);
        const [one, other] = await pair(t, broker.port);

        broker.stop();
        await assertSoon(one.close());
        broker.go();
        await broker.kill();
        await assertSoon(other.close());

        assert.equal(await one.publish('room', 'x'), 'unavailable');
      });
    });
  }

  const skip = !hasBroker('redis-server') && 'redis-server is not installed';
  for (const kind of kinds.filter((each) => driverKinds[each].broker === 'redis-server')) {
    it(`of ${kind} that drops a slow subscriber is subscribed to again`, { skip }, async (t) => {
      const limit = ['--client-output-buffer-limit', 'pubsub 1mb 0 0'];
      const { port } = await startBroker(t, 'redis-server', limit);
      const one = localNode(t, kind, port);
      const slow = await remoteNode(t, { kind, port });
      await Promise.all([one, slow].map((node) => node.until(({ statuses }) => statuses.includes('ready'))));
      await slow.join('room');

      slow.signal('SIGSTOP');
      for (let index = 0; index < 200; index++) await publishSent(one, 'room', Buffer.alloc(256 * 1024));
      slow.signal('SIGCONT');

      await slow.until(({ statuses }) => INTERRUPTED.test(statuses.join()));
      await publishSent(one, 'room', 'after');
      await slow.until(({ arrivals }) => arrivals.at(-1)?.data === 'after');
      assert.ok(slow.arrivals.length < 200);
    });
  }
});
