import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Outgoing, SendQueue, type SendTicket } from '../src/connection/send-queue.js';
import type { Batch } from '../src/framing/frame-writer.js';
import { failure, rejectsWith, watch } from './support/connections.js';
import { settle } from './support/fake-socket.js';
import { parseFrames } from './support/frames.js';

class Owner {
  readonly batches: Buffer[] = [];
  /** Whether the system takes batches at once. */
  takes = true;
  closes = 0;
  drains = 0;
  writeBatch({ chunks }: Batch): boolean {
    this.batches.push(Buffer.concat(chunks));
    return this.takes;
  }
  closeFrameCommitted(): void {
    this.closes++;
  }
  compressionFailed(): void {
    assert.fail();
  }
  drained(): void {
    this.drains++;
  }
  get frames(): string[] {
    return parseFrames(Buffer.concat(this.batches)).frames.map(
      ({ opcode, fin, payload }) => `${opcode}${fin ? '' : '+'} ${payload.length > 20 ? payload.length : payload}`,
    );
  }
}

const message = (data: string | Uint8Array, more: Partial<Outgoing> = {}): Outgoing => ({
  data,
  text: typeof data === 'string',
  endOfMessage: true,
  compress: undefined,
  whole: false,
  ...more,
});

function start(limit = Number.POSITIVE_INFINITY) {
  const owner = new Owner();
  const queue = new SendQueue(owner, undefined, limit);
  return { owner, queue };
}

describe('SendQueue', () => {
  it('writes what a tick has brought together in one batch, and says when nothing waits', async () => {
    const { owner, queue } = start();
    assert.equal(queue.trySend('a', true, true, undefined), true);
    assert.equal(queue.trySend(Buffer.from('b'), false, true, undefined), true);
    queue.sendControl(9, Buffer.from('p'));
    assert.equal(queue.isIdle, false);
    assert.equal(queue.bufferedAmount, 9);
    await settle();
    assert.equal(owner.batches.length, 1);
    assert.deepEqual(owner.frames, ['1 a', '2 b', '9 p']);
    assert.equal(queue.isIdle, true);
    assert.equal(owner.drains, 1);
    assert.deepEqual([queue.messages, queue.bytes], [2, 9]);
  });

  it('never has more than one batch with the system', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    queue.trySend('a', true, true, undefined);
    await settle();
    queue.trySend('b', true, true, undefined);
    await settle();
    assert.equal(queue.isWriting, true);
    assert.deepEqual(owner.frames, ['1 a']);
    queue.written();
    assert.deepEqual(owner.frames, ['1 a', '1 b']);
    queue.written();
    assert.equal(queue.isIdle, true);
    queue.written();
  });

  it('lets other work in between two large messages that the system takes at once', async () => {
    const { queue } = start();
    const order: string[] = [];
    setImmediate(() => order.push('other work'));
    await queue.send(message(Buffer.alloc(100_000)));
    order.push('sent');
    assert.deepEqual(order, ['other work', 'sent']);
  });

  it('lets small messages wait behind those that wait, and beyond the limit of the caller', async () => {
    const { owner, queue } = start(10);
    owner.takes = false;
    const first = queue.send(message(Buffer.alloc(20_000)));
    assert.equal(queue.trySend('a', true, true, undefined), false);
    await settle();
    assert.equal(queue.trySend('a', true, true, undefined), false);
    queue.written();
    await first;
    assert.equal(queue.trySend('a', true, true, undefined), true);
    assert.equal(queue.trySend('x'.repeat(20_000), true, true, undefined), false);
  });

  it('counts the bytes of text, not its characters', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    const sends = [queue.send(message(Buffer.alloc(200_000))), queue.send(message('€'.repeat(20_000)))].map(watch);
    await settle();
    assert.equal(queue.bufferedAmount, 200_010 + 60_000);
    queue.written();
    queue.written();
    await settle();
    assert.deepEqual(
      sends.map(({ outcome }) => outcome),
      [undefined, undefined],
    );
  });

  it('withdraws once, and nothing that has settled', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    const tickets: SendTicket[] = [];
    const keep = (ticket: SendTicket): void => {
      tickets.push(ticket);
    };
    const sends = [200_000, 20_000, 30_000].map((size) => queue.send(message(Buffer.alloc(size)), keep));
    await settle();
    const [first, second] = tickets as [SendTicket, SendTicket];
    assert.equal(queue.withdraw(second, 'no'), true);
    assert.equal(queue.withdraw(second, 'again'), false);
    assert.equal(queue.withdraw(first, 'no'), false);
    await rejectsWith(sends[1] as Promise<void>, 'no');
    await rejectsWith(sends[0] as Promise<void>, 'no');
    queue.written();
    queue.written();
    await sends[2];
    assert.deepEqual(owner.frames, ['2 200000', '2 30000']);
    assert.equal(queue.bufferedAmount, 0);
  });

  it('lets go of a close frame without taking it back', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    const large = queue.send(message(Buffer.alloc(200_000)));
    const more = queue.send(message(Buffer.alloc(200_000)));
    let ticket: SendTicket | undefined;
    const closed = queue.sendClose(Buffer.alloc(0), (given) => {
      ticket = given;
    });
    await settle();
    queue.letGo(ticket ?? assert.fail(), 'no');
    await rejectsWith(closed, 'no');
    for (let i = 0; i < 3; i++) queue.written();
    await Promise.all([large, more]);
    assert.deepEqual(owner.frames, ['2 200000', '2 200000', '8 ']);
    assert.equal(owner.closes, 1);
  });

  it('keeps the close frame when it takes everything back', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    const sends = [queue.send(message(Buffer.alloc(200_000))), queue.send(message('x'.repeat(20_000)))];
    const closed = queue.sendClose(Buffer.alloc(0));
    await settle();
    queue.withdrawAll('no');
    for (const sent of sends) await rejectsWith(sent, 'no');
    for (let i = 0; i < 2; i++) queue.written();
    await closed;
    assert.deepEqual(owner.frames, ['2 200000', '8 ']);
  });

  it('rejects everything that waits on failure, held messages included, and still writes its batch', async () => {
    const { owner, queue } = start();
    queue.trySend('a', true, false, undefined);
    assert.equal(queue.insideMessage, true);
    const waiting = [
      queue.send(message('held', { whole: true })),
      queue.send(message(Buffer.alloc(20_000))),
      queue.sendClose(Buffer.alloc(0)),
    ];
    queue.fail('over');
    for (const one of waiting) await rejectsWith(one, 'over');
    queue.release();
    await settle();
    assert.deepEqual(owner.frames, ['1+ a']);
    assert.equal(queue.bufferedAmount, 0);
  });

  it('rejects whole messages that waited in the queue when a close ends the message before them', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    const sends = [queue.send(message(Buffer.alloc(200_000), { endOfMessage: false }))];
    const held = assert.rejects(queue.send(message('held', { whole: true })), failure('ERR_WEBSOCKET_INVALID_STATE'));
    sends.push(queue.sendClose(Buffer.alloc(0)));
    await settle();
    queue.written();
    queue.written();
    await Promise.all([...sends, held]);
    assert.deepEqual(owner.frames, ['2+ 200000', '8 ']);
  });

  it('goes through thousands of pending messages in order', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    const sends = Array.from({ length: 3000 }, (_, i) => queue.send(message(`${i}`)));
    for (let i = 0; i < 10; i++) {
      await settle(1);
      queue.written();
    }
    await Promise.all(sends);
    assert.deepEqual(
      owner.frames,
      Array.from({ length: 3000 }, (_, i) => `1 ${i}`),
    );
  });

  it('surrenders everything to the system unless something has to wait', async () => {
    const { owner, queue } = start();
    owner.takes = false;
    queue.trySend('a', true, true, undefined);
    await settle();
    queue.trySend('b', true, true, undefined);
    assert.equal(queue.surrender(), true);
    assert.deepEqual(owner.frames, ['1 a', '1 b']);
    const other = start();
    assert.equal(other.queue.surrender(), true);
    other.queue.trySend('a', true, false, undefined);
    assert.equal(other.queue.surrender(), false);
  });
});
