import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { connect } from '@nats-io/transport-node';
import { type NatsConnection, nats } from '../src/nats.js';
import { localNode } from './support/backplane-node.js';
import { hasBroker, startBroker } from './support/brokers.js';
import type { TestContext } from './support/servers.js';

/** Opens a driver, and collects what it reports. */
function open(t: TestContext, connection: NatsConnection | Promise<NatsConnection>, prefix?: string) {
  const driver = nats({ connection, prefix });
  const statuses: string[] = [];
  const opened = Promise.resolve(
    driver.open({
      received: () => {},
      status: (status, error) => statuses.push(error instanceof Error ? `${status}: ${error.message}` : status),
    }),
  );
  opened.catch(() => {});
  t.after(() => void driver.close());
  return { driver, statuses, opened };
}

describe('nats()', () => {
  it('refuses what is no connection, and names what it lacks', () => {
    const wrong: readonly [unknown, RegExp][] = [
      [
        undefined,
        /the connection of nats\(\): it is of type undefined, must be a connection of nats.js 3 or the promise of one/,
      ],
      [null, /it is null/],
      [{ publish() {}, subscribe() {} }, /it lacks flush\(\), rtt\(\), status\(\), isClosed\(\)/],
    ];
    for (const [connection, message] of wrong) {
      assert.throws(() => nats({ connection: connection as NatsConnection }), { name: 'TypeError', message });
    }
    assert.throws(() => nats({ connection: {} as never, subject: 'x' } as never), /the option subject of nats\(\)/);
  });

  it('reports a promise that fails, or gives no connection', async (t) => {
    await assert.rejects(open(t, Promise.reject(new Error('no server'))).opened, /no server/);
    await assert.rejects(open(t, Promise.resolve({} as NatsConnection)).opened, /TypeError: .*it lacks publish/);
    const { driver } = open(t, new Promise<NatsConnection>(() => {}));
    await assert.rejects(driver.subscribe('x'), /there is no connection yet/);
    assert.equal(await driver.publish('x', Buffer.of(1)), false);
    assert.equal(driver.maxMessageSize, 1024 * 1024);
  });

  it('is interrupted by a connection that does not answer, and ready when it does', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let answers = false;
    const connection = {
      publish() {},
      subscribe: () => ({ unsubscribe() {} }),
      flush: async () => {},
      rtt: () => (answers ? Promise.resolve(1) : new Promise<number>(() => {})),
      async *status() {},
      isClosed: () => false,
    };
    const { statuses } = open(t, connection as unknown as NatsConnection);
    const settled = async () => {
      for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    };
    await settled();
    for (let round = 0; round < 4; round++) {
      t.mock.timers.tick(2000);
      await settled();
    }
    assert.match(statuses.at(-1) ?? '', /^interrupted: .*it has not answered/);
    answers = true;
    for (let round = 0; round < 4; round++) {
      t.mock.timers.tick(2000);
      await settled();
    }
    assert.equal(statuses.at(-1), 'ready');
  });

  it('leaves errors of others to others, and does not check what is closed', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let answer = (_took: number): void => {};
    const connection = {
      publish() {},
      subscribe: () => ({ unsubscribe() {} }),
      flush: async () => {},
      rtt: () => new Promise<number>((resolve) => (answer = resolve)),
      async *status() {
        const theirs = { operation: 'subscribe', subject: 'theirs' };
        for (const error of [undefined, new Error('x'), Object.assign(new Error('y'), theirs)])
          yield { type: 'error', error };
        await new Promise(() => {});
      },
      isClosed: () => false,
    };
    const { driver, statuses } = open(t, connection as unknown as NatsConnection);
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    driver.close();
    t.mock.timers.tick(60_000);
    for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate);
    answer(1);
    assert.deepEqual(statuses, []);
  });

  describe('with a server', { skip: !hasBroker('nats-server') && 'nats-server is not installed' }, () => {
    it('says that a connection is closed for good', async (t) => {
      const { port } = await startBroker(t, 'nats-server');
      const connection = await connect({ servers: `127.0.0.1:${port}` });
      const { driver, statuses } = open(t, connection);
      while (!statuses.includes('ready')) await sleep(10);
      await driver.subscribe('x');

      await connection.close();

      // On a slow machine it may have been interrupted before
      while (!/closed for good: connect with `maxReconnectAttempts: -1`/.test(statuses.at(-1) ?? '')) await sleep(10);
      driver.unsubscribe('never subscribed');
    });

    it('says what the server does not allow', async (t) => {
      const file = join(tmpdir(), `nats-${process.pid}.conf`);
      writeFileSync(
        file,
        `authorization { users = [ { user: u, password: p, permissions: {
          publish: ["mine.>", "half.>"], subscribe: ["mine.>", "_INBOX.>"] } } ] }`,
      );
      const { port } = await startBroker(t, 'nats-server', ['--config', file]);
      const connect1 = () => connect({ servers: `127.0.0.1:${port}`, user: 'u', pass: 'p' });
      const connections = await Promise.all([connect1(), connect1(), connect1()]);
      t.after(async () => void (await Promise.all(connections.map((each) => each.close()))));
      const [mine, half, theirs] = ['mine', 'half', 'theirs'].map((prefix, index) =>
        open(t, connections[index] as NatsConnection, prefix),
      );
      for (const each of [mine, half, theirs]) while (!each?.statuses.includes('ready')) await sleep(10);

      await mine?.driver.subscribe('a channel.*');
      await assert.rejects(async () => half?.driver.subscribe('x'), /Permissions Violation for Subscription/i);
      assert.equal(await mine?.driver.publish('x', Buffer.of(1)), true);
      const denied = /^interrupted: .*Permissions Violation for Publish/i;
      while (!theirs?.statuses.some((status) => denied.test(status))) {
        await theirs?.driver.publish('x', Buffer.of(1)).catch(() => {});
        await sleep(10);
      }
      assert.ok(!mine?.statuses.some((status) => /Permissions/i.test(status)));
    });

    it('keeps the dots of a prefix, where it can', async (t) => {
      const { port } = await startBroker(t, 'nats-server');
      const watcher = await connect({ servers: `127.0.0.1:${port}` });
      t.after(() => watcher.close());
      const subjects: string[] = [];
      watcher.subscribe('>', { callback: (_error, { subject }) => void subjects.push(subject) });
      await watcher.flush();
      for (const prefix of ['shop.eu', 'shop.', '']) {
        const node = localNode(t, 'nats() with nats.js 3', port, { prefix });
        await node.until(({ statuses }) => statuses.includes('ready'));
        while ((await node.publish('a b', 'x')) !== 'sent') await sleep(10);
      }
      await watcher.flush();

      assert.deepEqual(
        subjects.filter((subject) => subject.includes('group')),
        ['shop.eu.group%3aa%20b', 'shop%2e.group%3aa%20b', '%.group%3aa%20b'],
      );
    });
  });
});
