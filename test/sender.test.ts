import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Cohort } from '../src/connection/sending/cohort.js';
import { type Outgoing, Sender, type SendTicket } from '../src/connection/sending/sender.js';
import { SharedMessage } from '../src/connection/sending/shared-message.js';
import type { Batch } from '../src/framing/batch.js';
import { failure, observe, rejectsWith } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';
import { parseFrames } from './support/frames.js';

class Owner {
  readonly batches: Buffer[] = [];
  /** Whether the system takes batches at once. */
  takes = true;
  closes = 0;
  drains = 0;
  write({ chunks }: Batch): boolean {
    this.batches.push(Buffer.concat(chunks));
    return this.takes;
  }
  onTaken(): void {}
  onCloseFrame(): void {
    this.closes++;
  }
  onWriteFailed(error: unknown): void {
    throw error;
  }

  onCompressionFailed(): void {
    assert.fail();
  }
  onDrained(): void {
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
  ownMessage: false,
  ...more,
});

function start(limit = Number.POSITIVE_INFINITY) {
  const owner = new Owner();
  const sender = new Sender(owner, owner, undefined, limit);
  return { owner, sender };
}

describe('Sender', () => {
  it('writes what a tick has brought together in one batch, and says when nothing waits', async () => {
    const { owner, sender } = start();
    assert.equal(sender.trySend('a', true, true, undefined), true);
    assert.equal(sender.trySend(Buffer.from('b'), false, true, undefined), true);
    sender.sendControl(9, Buffer.from('p'));
    assert.equal(sender.isIdle, false);
    assert.equal(sender.bufferedAmount, 9);
    await passTurns();
    assert.equal(owner.batches.length, 1);
    assert.deepEqual(owner.frames, ['1 a', '2 b', '9 p']);
    assert.equal(sender.isIdle, true);
    assert.equal(owner.drains, 1);
    assert.deepEqual([sender.messages, sender.bytes], [2, 9]);
  });

  it('never has more than one batch with the system', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    sender.trySend('a', true, true, undefined);
    await passTurns();
    sender.trySend('b', true, true, undefined);
    await passTurns();
    assert.equal(sender.isWriting, true);
    assert.deepEqual(owner.frames, ['1 a']);
    sender.written();
    assert.deepEqual(owner.frames, ['1 a', '1 b']);
    sender.written();
    assert.equal(sender.isIdle, true);
    sender.written();
  });

  it('lets other work in between two large messages that the system takes at once', async () => {
    const { sender } = start();
    const order: string[] = [];
    setImmediate(() => order.push('other work'));
    await sender.send(message(Buffer.alloc(100_000)));
    order.push('sent');
    assert.deepEqual(order, ['other work', 'sent']);
  });

  it('lets small messages wait behind those that wait, and beyond the limit of the caller', async () => {
    const { owner, sender } = start(10);
    owner.takes = false;
    const first = sender.send(message(Buffer.alloc(20_000)));
    assert.equal(sender.trySend('a', true, true, undefined), false);
    await passTurns();
    assert.equal(sender.trySend('a', true, true, undefined), false);
    sender.written();
    await first;
    assert.equal(sender.trySend('a', true, true, undefined), true);
    assert.equal(sender.trySend('x'.repeat(20_000), true, true, undefined), false);
  });

  it('counts messages that go to many, those that a cohort has not written and those among its own', async () => {
    const { owner, sender } = start();
    const [first, second] = [new SharedMessage('s', { text: true }), new SharedMessage('t', { text: true })];
    const cohort = new Cohort<undefined>();
    assert.equal(cohort.trySend(first), true);
    sender.sendShared(first, cohort, undefined);
    assert.equal(cohort.trySend(second), true);
    assert.deepEqual([sender.messages, sender.bytes, sender.bufferedAmount], [2, 6, 6]);
    assert.equal(sender.isIdle, false);
    sender.trySend('a', true, true, undefined);
    assert.deepEqual([sender.messages, sender.bytes, sender.bufferedAmount], [3, 9, 9]);
    sender.sendShared(first, undefined, undefined);
    assert.equal(sender.messages, 4);
    await passTurns();
    sender.sendShared(first, undefined, undefined);
    assert.equal(sender.messages, 5);
    await passTurns();
    assert.equal(cohort.trySend(first), true);
    sender.sendShared(first, cohort, undefined);
    await passTurns();
    assert.deepEqual([sender.messages, sender.bytes, sender.bufferedAmount], [6, 18, 0]);
    assert.equal(sender.isIdle, true);
    sender.leaveCohort();
    assert.deepEqual([sender.messages, sender.bytes, sender.bufferedAmount], [6, 18, 0]);
    assert.deepEqual(owner.frames, ['1 s', '1 t', '1 a', '1 s', '1 s', '1 s']);
  });

  it('counts the bytes of text, not its characters', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    const sends = [sender.send(message(Buffer.alloc(200_000))), sender.send(message('€'.repeat(20_000)))].map(observe);
    await passTurns();
    assert.equal(sender.bufferedAmount, 200_010 + 60_000);
    sender.written();
    sender.written();
    await passTurns();
    assert.deepEqual(
      sends.map(({ outcome }) => outcome),
      [undefined, undefined],
    );
  });

  it('withdraws once, and nothing that has settled', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    const tickets: SendTicket[] = [];
    const keep = (ticket: SendTicket): void => {
      tickets.push(ticket);
    };
    const sends = [200_000, 20_000, 30_000].map((size) => sender.send(message(Buffer.alloc(size)), keep));
    await passTurns();
    const [first, second] = tickets as [SendTicket, SendTicket];
    assert.equal(sender.withdraw(second, 'no'), true);
    assert.equal(sender.withdraw(second, 'again'), false);
    assert.equal(sender.withdraw(first, 'no'), false);
    await rejectsWith(sends[1] as Promise<void>, 'no');
    await rejectsWith(sends[0] as Promise<void>, 'no');
    sender.written();
    sender.written();
    await sends[2];
    assert.deepEqual(owner.frames, ['2 200000', '2 30000']);
    assert.equal(sender.bufferedAmount, 0);
  });

  it('lets go of a close frame without taking it back', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    const large = sender.send(message(Buffer.alloc(200_000)));
    const more = sender.send(message(Buffer.alloc(200_000)));
    let ticket: SendTicket | undefined;
    const closed = sender.sendClose(Buffer.alloc(0), (given) => {
      ticket = given;
    });
    await passTurns();
    sender.letGo(ticket ?? assert.fail(), 'no');
    await rejectsWith(closed, 'no');
    for (let i = 0; i < 3; i++) sender.written();
    await Promise.all([large, more]);
    assert.deepEqual(owner.frames, ['2 200000', '2 200000', '8 ']);
    assert.equal(owner.closes, 1);
  });

  it('keeps the close frame when it takes everything back', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    const sends = [sender.send(message(Buffer.alloc(200_000))), sender.send(message('x'.repeat(20_000)))];
    const closed = sender.sendClose(Buffer.alloc(0));
    await passTurns();
    sender.withdrawAll('no');
    for (const sent of sends) await rejectsWith(sent, 'no');
    for (let i = 0; i < 2; i++) sender.written();
    await closed;
    assert.deepEqual(owner.frames, ['2 200000', '8 ']);
  });

  it('rejects everything that waits on failure, held messages included, and still writes its batch', async () => {
    const { owner, sender } = start();
    sender.trySend('a', true, false, undefined);
    assert.equal(sender.insideMessage, true);
    const waiting = [
      sender.send(message('held', { ownMessage: true })),
      sender.send(message(Buffer.alloc(20_000))),
      sender.sendClose(Buffer.alloc(0)),
    ];
    sender.rejectAll('over');
    for (const one of waiting) await rejectsWith(one, 'over');
    sender.destroy();
    await passTurns();
    assert.deepEqual(owner.frames, ['1+ a']);
    assert.equal(sender.bufferedAmount, 0);
  });

  it('rejects whole messages that waited in the sender when a close ends the message before them', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    const sends = [sender.send(message(Buffer.alloc(200_000), { endOfMessage: false }))];
    const held = assert.rejects(
      sender.send(message('held', { ownMessage: true })),
      failure('ERR_WEBSOCKET_INVALID_STATE'),
    );
    sends.push(sender.sendClose(Buffer.alloc(0)));
    await passTurns();
    sender.written();
    sender.written();
    await Promise.all([...sends, held]);
    assert.deepEqual(owner.frames, ['2+ 200000', '8 ']);
  });

  it('goes through thousands of pending messages in order', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    const sends = Array.from({ length: 3000 }, (_, i) => sender.send(message(`${i}`)));
    for (let i = 0; i < 10; i++) {
      await passTurns(1);
      sender.written();
    }
    await Promise.all(sends);
    assert.deepEqual(
      owner.frames,
      Array.from({ length: 3000 }, (_, i) => `1 ${i}`),
    );
  });

  it('gives everything to the system unless something has to wait', async () => {
    const { owner, sender } = start();
    owner.takes = false;
    sender.trySend('a', true, true, undefined);
    await passTurns();
    sender.trySend('b', true, true, undefined);
    assert.equal(sender.writeAll(), true);
    assert.deepEqual(owner.frames, ['1 a', '1 b']);
    const other = start();
    assert.equal(other.sender.writeAll(), true);
    other.sender.trySend('a', true, false, undefined);
    assert.equal(other.sender.writeAll(), false);
  });
});
