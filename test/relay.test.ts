import assert from 'node:assert/strict';
import cluster, { type Worker } from 'node:cluster';
import { describe, it } from 'node:test';
import { relay } from '../src/cluster.js';
import type { TestContext } from './support/servers.js';

const TYPE = 'websocket-context:backplane';

/** A worker, as the primary sees it. */
class FakeWorker {
  readonly reports: Record<string, unknown>[] = [];
  /** It takes nothing while it is told to wait; these are the callbacks. */
  waiting: (() => void)[] | undefined;

  send(report: Record<string, unknown>, callback: () => void): boolean {
    this.reports.push(report);
    if (this.waiting === undefined) callback();
    else this.waiting.push(callback);
    return true;
  }

  /** Says something to the primary. */
  say(message: object): void {
    cluster.emit('message', this, message);
  }

  ask(from: string, does: string, channel?: string, data?: string): void {
    this.say(
      does === 'publish'
        ? { type: TYPE, from, does, messages: [{ channel, data }] }
        : { type: TYPE, from, does, channel },
    );
  }
}

/** Starts a relay with two workers, each with a driver that is subscribed to `room`. */
function start(t: TestContext, bufferLimit?: number): [FakeWorker, FakeWorker, () => void] {
  const [one, other] = [new FakeWorker(), new FakeWorker()];
  const workers = { one, other, gone: undefined } as unknown as NodeJS.Dict<Worker>;
  const before = cluster.workers;
  Object.assign(cluster, { workers });
  const end = relay({ bufferLimit });
  t.after(() => {
    end();
    Object.assign(cluster, { workers: before });
  });
  for (const [worker, name] of [
    [one, 'a'],
    [other, 'b'],
  ] as const) {
    worker.ask(name, 'open');
    worker.ask(name, 'subscribe', 'room');
  }
  return [one, other, end];
}

function said({ reports }: FakeWorker): unknown[] {
  return reports.map(({ says }) => says);
}

describe('relay()', () => {
  it('tells the workers that it is there, passes on what they say, and tells them of its end', (t) => {
    const [one, other, end] = start(t);

    one.ask('a', 'publish', 'room', 'aGk=');
    one.ask('a', 'publish', 'nobody', 'aGk=');
    one.say({ hello: 'application' });
    one.ask('unknown', 'publish', 'room', 'aGk=');
    end();
    one.ask('a', 'publish', 'room', 'aGk=');

    assert.deepEqual(said(one), ['here', 'opened', 'subscribed', 'ended']);
    assert.deepEqual(said(other), ['here', 'opened', 'subscribed', 'published', 'ended']);
    assert.deepEqual(other.reports[3], {
      type: TYPE,
      to: 'b',
      says: 'published',
      messages: [{ channel: 'room', data: 'aGk=' }],
    });
  });

  it('passes nothing to those that have left, been closed or disconnected, and starts anew with one that opens again', (t) => {
    const [one, other] = start(t);

    other.ask('b', 'unsubscribe', 'room');
    other.ask('b', 'unsubscribe', 'room');
    one.ask('a', 'publish', 'room', '1');
    other.ask('b', 'subscribe', 'room');
    other.ask('b', 'open');
    one.ask('a', 'publish', 'room', '2');
    other.ask('b', 'subscribe', 'room');
    other.ask('b', 'close');
    one.ask('a', 'publish', 'room', '3');
    other.ask('c', 'open');
    other.ask('c', 'subscribe', 'room');
    cluster.emit('disconnect', other as unknown as Worker);
    one.ask('a', 'publish', 'room', '4');

    assert.ok(!said(other).includes('published'));
  });

  it('throws away what a worker does not take, and tells it when it has caught up', (t) => {
    const [one, other] = start(t, 10);
    other.waiting = [];

    for (let index = 0; index < 5; index++) one.ask('a', 'publish', 'room', '12345678');
    for (const taken of other.waiting) taken();
    other.waiting = undefined;

    assert.deepEqual(said(other).slice(3), ['published', 'published', 'lost']);
  });

  it('passes on what came together together, each worker what is for it, in order', (t) => {
    const [one, other] = start(t);
    other.ask('b', 'subscribe', 'attic');
    const messages = ['room', 'attic', 'cellar', 'room'].map((channel, at) => ({ channel, data: `${at}` }));

    one.say({ type: TYPE, from: 'a', does: 'publish', messages });

    assert.deepEqual(other.reports.at(-1)?.['messages'], [messages[0], messages[1], messages[3]]);
    assert.equal(said(other).filter((says) => says === 'published').length, 1);
    assert.ok(!said(one).includes('published'));
  });

  it('cannot be used in a worker', (t) => {
    const { isPrimary } = cluster;
    Object.assign(cluster, { isPrimary: false });
    t.after(() => void Object.assign(cluster, { isPrimary }));

    assert.throws(() => relay(), /^Error: Cannot use relay\(\): this process is a worker of node:cluster/);
  });
});
