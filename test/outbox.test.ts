import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { encode, messageSize } from '../src/backplane/envelope.js';
import { Outbox, type OutboxTarget } from '../src/backplane/outbox.js';
import type { GroupMessage } from '../src/groups/group-backplane.js';

class Target implements OutboxTarget {
  maxMessageSize = 1024 * 1024;
  readonly sent: string[] = [];
  readonly outcomes: boolean[] = [];
  async send(channel: string, messages: readonly GroupMessage[]): Promise<boolean> {
    this.sent.push(
      `${channel}: ${messages.map(({ data }) => (data.length > 20 ? data.length : String(data))).join(' ')}`,
    );
    return this.outcomes.shift() ?? true;
  }
}

const message = (data: string | Buffer): GroupMessage => ({ text: true, data: Buffer.from(data) });
const tick = (): Promise<void> => new Promise((resolve) => process.nextTick(resolve));

describe('Outbox', () => {
  it('sends what a tick puts in at its end, for each channel together', async () => {
    const target = new Target();
    const outbox = new Outbox(target);
    for (const at of [1, 2, 3]) void outbox.put('a', message(`${at}`));
    void outbox.put('b', message('4'));
    void outbox.put('a', message('5'));
    assert.deepEqual(target.sent, []);
    await tick();
    assert.deepEqual(target.sent, ['a: 1 2 3 5', 'b: 4']);
    void outbox.put('a', message('6'));
    await tick();
    await tick();
    assert.deepEqual(target.sent.slice(2), ['a: 6']);
  });

  it('tells each message what has become of those that it went with', async () => {
    const target = new Target();
    const outbox = new Outbox(target);
    target.outcomes.push(false, true);
    const all = ['a', 'a', 'b'].map((channel) => outbox.put(channel, message('x')));
    assert.deepEqual(await Promise.all(all), [false, false, true]);
  });

  it('sends a channel, or all, before the end of the tick when it is told to, and then no more', async () => {
    const target = new Target();
    const outbox = new Outbox(target);
    for (const channel of ['a', 'b', 'c']) void outbox.put(channel, message('x'));
    outbox.flush('b');
    outbox.flush('never heard of');
    assert.deepEqual(target.sent, ['b: x']);
    outbox.flushAll();
    assert.deepEqual(target.sent, ['b: x', 'a: x', 'c: x']);
    await tick();
    assert.equal(target.sent.length, 3);
  });

  it('makes no envelope of more than 64 KiB of several messages, in order', async () => {
    const target = new Target();
    const outbox = new Outbox(target);
    const [envelope, header] = [messageSize(message('')), 9];
    const half = 32 * 1024;
    void outbox.put('a', message(Buffer.alloc(half - envelope)));
    void outbox.put('a', message(Buffer.alloc(half - header)));
    void outbox.put('a', message('next'));
    void outbox.put('a', message(Buffer.alloc(100_000)));
    void outbox.put('a', message('last'));
    await tick();
    assert.deepEqual(target.sent, [`a: ${half - envelope} ${half - header}`, 'a: next', 'a: 100000', 'a: last']);
  });

  it('makes none that is more than the driver takes', async () => {
    const target = new Target();
    target.maxMessageSize = messageSize(message('12345'));
    const outbox = new Outbox(target);
    void outbox.put('a', message('12345'));
    void outbox.put('a', message(''));
    await tick();
    assert.deepEqual(target.sent, ['a: 12345', 'a: ']);
    target.maxMessageSize += messageSize(message('')) - encode('00'.repeat(16), 0, { kind: 'hello' }).length;
    void outbox.put('a', message('12345'));
    void outbox.put('a', message(''));
    await tick();
    assert.deepEqual(target.sent.slice(2), ['a: 12345 ']);
  });
});
