import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { IpcDriver } from '../src/backplane/ipc-driver.js';
import { FakeClock } from './support/fake-clock.js';

const TYPE = 'websocket-context:backplane';

/** The worker's side of the channel to its primary. */
class FakeIpc extends EventEmitter {
  readonly sent: Record<string, unknown>[] = [];
  failure: Error | null = null;
  send? = (
    message: unknown,
    _handle: undefined,
    _options: undefined,
    callback: (error: Error | null) => void,
  ): boolean => {
    this.sent.push(message as Record<string, unknown>);
    callback(this.failure);
    return true;
  };

  /** The relay says something to the driver that was opened last. */
  say(message: object): void {
    this.emit('message', { type: TYPE, to: this.sent.find(({ does }) => does === 'open')?.['from'], ...message });
  }
}

function open() {
  const ipc = new FakeIpc();
  const driver = new IpcDriver(ipc, 'p|');
  const received: string[] = [];
  const statuses: string[] = [];
  driver.open({
    received: (channel, bytes) => received.push(`${channel} ${Buffer.from(bytes)}`),
    status: (status, error) => statuses.push(error instanceof Error ? `${status}: ${error.message}` : status),
  });
  return { ipc, driver, received, statuses };
}

describe('IpcDriver', () => {
  it('is ready when the relay has answered, and carries bytes', async () => {
    const { ipc, driver, received, statuses } = open();
    assert.equal(await driver.publish('room', Buffer.from('early')), false);
    ipc.say({ says: 'opened' });

    const subscribing = Promise.all([driver.subscribe('room'), driver.subscribe('room')]);
    ipc.say({ says: 'subscribed', channel: 'p|room' });
    await subscribing;
    assert.equal(await driver.publish('room', Buffer.from('hello')), true);
    ipc.say({ says: 'published', messages: [{ channel: 'p|room', data: Buffer.from('hi').toString('base64') }] });
    ipc.emit('message', { hello: 'from the application' });
    ipc.emit('message', {
      type: TYPE,
      to: 'another driver',
      says: 'published',
      messages: [{ channel: 'p|room', data: '' }],
    });
    driver.unsubscribe('room');
    await driver.close();

    assert.deepEqual(statuses, ['ready']);
    assert.deepEqual(received, ['room hi']);
    assert.deepEqual(
      ipc.sent.map(({ does, channel }) => [does, channel].join(' ').trim()),
      ['open', 'subscribe p|room', 'subscribe p|room', 'publish', 'unsubscribe p|room', 'close'],
    );
    assert.equal(ipc.listenerCount('message') + ipc.listenerCount('disconnect'), 0);
  });

  it('sends what a tick publishes as one, before whatever follows, and sooner where it is much', async () => {
    const { ipc, driver } = open();
    ipc.say({ says: 'opened' });
    const sent = () =>
      ipc.sent.slice(1).map(({ does, messages }) => [does, (messages as { data: string }[] | undefined)?.length]);

    const published = ['a', 'b', 'c'].map((text) => driver.publish('room', Buffer.from(text)));
    assert.deepEqual(sent(), []);
    assert.deepEqual(await Promise.all(published), [true, true, true]);
    assert.deepEqual(sent(), [['publish', 3]]);

    void driver.publish('room', Buffer.from('d'));
    driver.unsubscribe('room');
    assert.deepEqual(sent().slice(1), [
      ['publish', 1],
      ['unsubscribe', undefined],
    ]);
    void driver.publish('room', Buffer.from('e'));
    void driver.publish('room', Buffer.alloc(1024 * 1024));
    assert.deepEqual(sent().slice(3), [['publish', 2]]);
    ipc.failure = new Error('the channel is closed');
    assert.equal(await driver.publish('room', Buffer.from('f')), false);
    await driver.close();
  });

  it('says what is missing when nobody answers, and asks again', (t) => {
    const clock = new FakeClock().install(t);
    const { ipc, statuses } = open();

    clock.advance(2000);
    assert.match(
      statuses[0] ?? '',
      /^interrupted: Cannot reach the other workers: the primary has not answered for 2000 ms\. It must call relay\(\)/,
    );
    assert.equal(ipc.sent.length, 2);
    ipc.emit('message', { type: TYPE, says: 'here' });
    ipc.say({ says: 'opened' });
    clock.advance(10_000);

    assert.equal(ipc.sent.length, 3);
    assert.deepEqual(statuses.slice(1), ['ready']);
  });

  it('reports what it has missed, the end of the relay and that of the primary', async () => {
    const { ipc, driver, statuses } = open();
    ipc.say({ says: 'opened' });

    ipc.emit('message', { type: TYPE, says: 'lost' });
    ipc.say({ says: 'opened' });
    ipc.emit('message', { type: TYPE, says: 'ended' });
    ipc.say({ says: 'opened' });
    ipc.failure = new Error('closed');
    assert.equal(await driver.publish('room', Buffer.of(1)), false);
    delete ipc.send;
    assert.equal(await driver.publish('room', Buffer.of(1)), false);
    ipc.emit('disconnect');
    ipc.say({ says: 'subscribed', channel: 'p|nobody waits' });
    await driver.close();

    assert.deepEqual(
      statuses.map((status) => status.slice(0, 40)),
      [
        'ready',
        'interrupted: This worker was too slow: m',
        'ready',
        'interrupted: Cannot reach the other work',
        'ready',
        'interrupted: Cannot reach the other work',
      ],
    );
  });
});
