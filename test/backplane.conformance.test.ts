import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, before, describe, it, type TestContext as NodeTestContext } from 'node:test';
import { relay } from '../src/cluster.js';
import { type BackplaneNode, localNode } from './support/backplane-node.js';
import { type Broker, hasBroker, startBroker } from './support/brokers.js';
import { type DriverName, driverKinds, driverNames } from './support/drivers.js';
import { type RemoteNode, remoteNode } from './support/remote-node.js';
import type { TestContext } from './support/servers.js';

/** Cleans up behind a whole suite. */
class SuiteContext implements TestContext {
  readonly #cleanUps: (() => void | Promise<void>)[] = [];

  after(cleanUp: () => void | Promise<void>): void {
    this.#cleanUps.unshift(cleanUp);
  }

  async end(): Promise<void> {
    for (const cleanUp of this.#cleanUps) await cleanUp();
  }
}

/** How often a test begins anew on a machine that is busy. */
const MOST_ATTEMPTS = 5;

let lastName = 0;

/** A prefix that no other test has. */
function newPrefix(): string {
  lastName++;
  return `test${lastName}`;
}

for (const kind of driverNames) {
  const { broker: brokerName } = driverKinds[kind];
  const skip = brokerName !== undefined && !hasBroker(brokerName) && `${brokerName} is not installed`;

  describe(`The backplane ${kind}`, { skip }, () => {
    const suite = new SuiteContext();
    let broker: Broker | undefined;
    before(async () => {
      if (brokerName !== undefined) broker = await startBroker(suite, brokerName);
      if (kind === 'cluster()') suite.after(relay());
    });
    after(() => suite.end());

    const made: BackplaneNode[] = [];

    /** A test for a broker that answers: it begins anew if a machine that is busy has not let it do so within 2 s. */
    function itUndisturbed(promise: string, test: (t: NodeTestContext) => Promise<void>): void {
      it(promise, async (t) => {
        for (let attempt = 1; ; attempt++) {
          made.length = 0;
          try {
            await test(t);
            return;
          } catch (error) {
            const isDisturbed = made.some(({ statuses }) => statuses.includes('interrupted'));
            if (!isDisturbed || attempt === MOST_ATTEMPTS) throw error;
            t.diagnostic(`Interrupted, attempt ${attempt}: ${error}`);
            await Promise.all(made.map((node) => node.close()));
          }
        }
      });
    }

    async function makeNode(t: TestContext, prefix: string, members?: number): Promise<BackplaneNode> {
      const node = await (kind === 'cluster()' ? makeProcess(t, prefix, members) : makeLocal(t, kind, prefix, members));
      made.push(node);
      return node;
    }

    async function makeLocal(
      t: TestContext,
      name: DriverName,
      prefix: string,
      members?: number,
    ): Promise<BackplaneNode> {
      return localNode(t, name, broker?.port ?? 0, { prefix, members });
    }

    function makeProcess(t: TestContext, prefix: string, members?: number): Promise<RemoteNode> {
      return remoteNode(t, { kind, port: broker?.port ?? 0, prefix, members });
    }

    /** Two nodes, the second of which is in the group. */
    async function pair(
      t: TestContext,
      group: string,
      prefix: string = newPrefix(),
    ): Promise<[BackplaneNode, BackplaneNode]> {
      const nodes = await Promise.all([makeNode(t, prefix), makeNode(t, prefix)]);
      await Promise.all(nodes.map((node) => node.until(async () => (await node.info()).nodes === 2)));
      await nodes[1].join(group);
      return nodes;
    }

    itUndisturbed('brings messages once, in order, and to others only', async (t) => {
      const [one, other] = await pair(t, 'room');
      await one.join('room');
      const texts = Array.from({ length: 500 }, (_, index) => `message ${index}`);

      const outcomes = await Promise.all(texts.map((text) => one.publish('room', text)));

      await other.until(({ arrivals }) => arrivals.length >= texts.length);
      await one.publish('room', 'last');
      await other.until(({ arrivals }) => arrivals.at(-1)?.data === 'last');
      assert.deepEqual(new Set(outcomes), new Set(['sent']));
      assert.deepEqual(
        other.arrivals.map(({ data }) => data),
        [...texts, 'last'],
      );
      assert.deepEqual(one.arrivals, []);
      const { status, nodes, published, unavailable } = await one.info();
      assert.deepEqual(
        { status, nodes, published, unavailable },
        { status: 'ready', nodes: 2, published: 501, unavailable: 0 },
      );
      assert.equal((await other.info()).received, 501);
      assert.deepEqual([one.statuses, other.statuses], [['ready'], ['ready']]);
    });

    itUndisturbed('keeps every byte and option', async (t) => {
      const [one, other] = await pair(t, 'room');
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index));

      await one.publish('room', bytes, { compress: true, volatile: true });
      await one.publish('room', 'grüße 👋', { compress: false, latest: 'clé' });
      await one.publish('room', new Uint8Array(0));
      await one.publishClose('room', 4001, 'bye ☂');

      await other.until(({ arrivals }) => arrivals.length === 4);
      assert.deepEqual(JSON.parse(JSON.stringify(other.arrivals)), [
        { group: 'room', data: bytes.toString('hex'), options: { text: false, compress: true, volatile: true } },
        { group: 'room', data: 'grüße 👋', options: { text: true, compress: false, volatile: false, latest: 'clé' } },
        { group: 'room', data: '', options: { text: false, volatile: false } },
        { group: 'room', close: { status: 4001, description: 'bye ☂' } },
      ]);
    });

    itUndisturbed('keeps groups apart, whatever their names are', async (t) => {
      const names = [
        '',
        '*',
        '>',
        'a.b',
        'a b',
        'a*',
        'a?',
        '[a]',
        'ä/ö',
        '#',
        '{x}y',
        'a|b',
        'a%b',
        '\n\0',
        '👋',
        'x'.repeat(256),
      ];
      const prefix = newPrefix();
      const [one, other] = await Promise.all([makeNode(t, prefix), makeNode(t, prefix)]);
      for (const name of names) await other.join(name);

      for (const name of names) await one.publish(name, name);
      await one.publish('axb', 'none of them');

      await other.until(({ arrivals }) => arrivals.length >= names.length);
      // One channel of threads may overtake another.
      const arrived = other.arrivals.map(({ group, data }) => [group, data]).sort();
      assert.deepEqual(arrived, names.map((name) => [name, name]).sort());
    });

    itUndisturbed('keeps applications apart, also when their prefixes and names are the same together', async (t) => {
      const [shop, inner] = await Promise.all([makeNode(t, 'shop:'), makeNode(t, 'shop:eu:')]);
      for (const node of [shop, inner]) for (const name of ['eu:x', 'x', '|x', '']) await node.join(name);
      const [shopPeer, innerPeer] = await Promise.all([makeNode(t, 'shop:'), makeNode(t, 'shop:eu:')]);
      for (const node of [shopPeer, innerPeer]) await node.until(({ statuses }) => statuses.includes('ready'));

      await shopPeer.publish('eu:x', 'for shop:');
      await innerPeer.publish('x', 'for shop:eu:');
      await shopPeer.publish('eu:x', 'end');
      await innerPeer.publish('x', 'end');

      for (const node of [shop, inner]) await node.until(({ arrivals }) => arrivals.at(-1)?.data === 'end');
      assert.deepEqual(
        [shop, inner].map(({ arrivals }) => arrivals.map(({ group, data }) => `${group} ${data}`)),
        [
          ['eu:x for shop:', 'eu:x end'],
          ['x for shop:eu:', 'x end'],
        ],
      );
      await shop.until(async (node) => (await node.info()).nodes === 2);
    });

    it('carries what fits, and says so before anybody gets what does not', async (t) => {
      const [one, other] = await pair(t, 'room');
      const limit = brokerName === 'nats-server' ? 1024 * 1024 : 16 * 1024 * 1024;
      const envelope = 35;

      const fits = randomBytes(limit - envelope);
      // A busy machine may take longer than the 2 s that a broker has.
      while ((await one.publish('room', fits)) !== 'sent')
        await one.until(async (node) => (await node.info()).status === 'ready');
      await assert.rejects(
        async () => one.publish('room', Buffer.alloc(limit - envelope + 1)),
        /Cannot send to the group "room": the message is \d+ bytes with its envelope, must be at most \d+/,
      );

      await other.until(({ arrivals }) => arrivals.length > 0);
      assert.equal(other.arrivals[0]?.data, fits.toString('hex'));
    });

    itUndisturbed('leaves a group 2 s after its last member, and not when one comes back before', async (t) => {
      const [one, other] = await pair(t, 'room');
      await other.join('stays');
      await other.leave('stays');
      await other.join('stays');
      await other.leave('room');
      await one.publish('room', 'for nobody');

      assert.equal(await one.publish('stays', 'here'), 'sent');

      await other.until(({ arrivals }) => arrivals.length > 0);
      assert.deepEqual(
        other.arrivals.map(({ data }) => data),
        ['here'],
      );
      await new Promise((resolve) => setTimeout(resolve, 2100));
      // Behind it, everybody knows that the group has been left.
      await other.join('barrier');
      await one.publish('room', 'for nobody');
      await other.join('room');
      assert.equal(await one.publish('room', 'here again'), 'sent');
      await other.until(({ arrivals }) => arrivals.at(-1)?.data === 'here again');
      assert.equal(other.arrivals.length, 2);
    });

    it('counts in all processes, and says how many are silent', async (t) => {
      const prefix = newPrefix();
      const one = await makeNode(t, prefix);
      const two = await makeNode(t, prefix, 5);
      const three = await makeProcess(t, prefix, 7);
      await one.until(async (node) => (await node.info()).nodes === 3);

      assert.deepEqual(await one.count('room', 10_000), { count: 12, nodes: 2, missing: 0 });
      await three.kill();
      // A process that is busy takes its time to answer.
      let counted = { count: 0, nodes: 0, missing: 2 };
      for (let timeout = 500; counted.nodes === 0 && timeout <= 8000; timeout *= 2) {
        counted = await one.count('room', timeout);
      }
      assert.deepEqual(counted, { count: 5, nodes: 1, missing: 1 });
      await two.close();
      await one.until(async (node) => (await node.info()).nodes <= 2);
    });

    it('lets the process end when it is closed', async (t) => {
      const node = await makeProcess(t, newPrefix(), 1);
      await node.join('room');
      await node.publish('room', 'x');

      await node.close();

      if (kind === 'cluster()') {
        // A worker is kept by its connection to the primary, which is not ours.
        return;
      }
      assert.equal(await node.exited, 0);
    });
  });
}
