import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { Cohort } from '../src/connection/sending/cohort.js';
import { SharedMessage } from '../src/connection/sending/shared-message.js';
import type { WebSocketContext } from '../src/context/web-socket-context.js';
import { DEFLATE_DEFAULTS } from '../src/framing/deflate-options.js';
import { DeflateSetting } from '../src/framing/deflate-pool.js';
import { ALL } from '../src/groups/group-backplane.js';
import type { GroupSendResult } from '../src/groups/groups.js';
import { WebSocketMessageType, WebSocketState } from '../src/index.js';
import { negotiated, noise } from './support/deflate.js';
import { passTurns } from './support/fake-socket.js';
import { clientClose, clientFrame, parseFrames } from './support/frames.js';
import { type FakeMember, Hall } from './support/members.js';
import { Random } from './support/random.js';

// FUZZ_CASES sets how many stories are tried, FUZZ_SEED the first of them.
const CASES = Number(process.env.FUZZ_CASES ?? 300);
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1);

const text = (data: string, compress?: boolean): SharedMessage => new SharedMessage(data, { text: true, compress });

/** What members have got, one behind the other. */
function received(...members: FakeMember[]): string[] {
  return members.map(({ socket }) => socket.sent.map(({ payload }) => payload).join(''));
}

describe('Cohort', () => {
  it('adds a message for all of them at once, to what each holds', () => {
    const cohort = new Cohort(text('a'));
    const [one, other] = [cohort.join(1000, undefined), cohort.join(1000, undefined)];
    assert.equal(one, other);
    assert.equal(cohort.size, 2);
    assert.equal(cohort.trySend(text('b')), true);
    assert.equal(one.count, 2);
    assert.deepEqual(
      parseFrames(Buffer.concat(one.batch.chunks)).frames.map(({ payload }) => payload.toString()),
      ['a', 'b'],
    );
  });

  it('leaves the message that it began with as it was, for those who wait for it', () => {
    const first = text('a');
    const cohort = new Cohort(first);
    void cohort.join(1000, undefined);
    assert.equal(cohort.trySend(text('b')), true);
    assert.equal(first.plainFrame.count, 1);
  });

  it('is over when one of them has looked at what it holds', () => {
    const cohort = new Cohort(text('a'));
    const run = cohort.join(1000, undefined);
    assert.equal(run.frames.length, 1);
    assert.equal(cohort.trySend(text('b')), false);
    assert.equal(run.count, 1);
  });

  it('takes no more than the one who takes least', () => {
    const frame = text('a').size;
    const cohort = new Cohort(text('a'));
    void cohort.join(1000, undefined);
    void cohort.join(2 * frame, undefined);
    void cohort.join(1000, undefined);
    for (const taken of [true, true, false]) assert.equal(cohort.trySend(text('b')), taken);
  });

  it('takes nothing that one of them has to get compressed', () => {
    const setting = new DeflateSetting({ ...DEFLATE_DEFAULTS, threshold: 10 }, 15);
    const cohort = new Cohort(text('a'));
    void cohort.join(1000, setting);
    void cohort.join(1000, undefined);
    assert.equal(cohort.trySend(text('123456789')), true);
    assert.equal(cohort.trySend(text('1234567890')), false);
    assert.equal(cohort.trySend(text('1234567890', false)), true);
  });

  it('has nothing compressed when it is over', (t) => {
    const setting = new DeflateSetting({ ...DEFLATE_DEFAULTS, threshold: 10 }, 15);
    const cohort = new Cohort(text('a'));
    cohort.join(1000, setting).seal();
    const message = text('1234567890');
    const asked = t.mock.method(message, 'frameFor');
    assert.equal(cohort.trySend(message), false);
    assert.equal(asked.mock.callCount(), 0);
  });
});

/** A connection of each of two halls in which the same happens. */
type Twins = readonly [FakeMember, FakeMember];

/**
 * Two halls in which the same happens, with messages to groups and everything else in any order, in the same tick as often
 * as not. In the second one they except a stranger, so that all others are looked at one by one each time.
 */
class Scene {
  readonly #random: Random;
  readonly #halls: readonly [Hall, Hall];
  readonly #stranger: WebSocketContext;
  readonly #members: Twins[] = [];
  readonly #results: Promise<GroupSendResult>[][] = [];
  readonly #story: string[] = [];
  #sent = 0;

  constructor(t: TestContext, random: Random) {
    this.#random = random;
    this.#halls = [new Hall(t), new Hall(t)];
    this.#stranger = new Hall(t).enter().context;
  }

  async play(): Promise<void> {
    for (let count = 2 + this.#random.below(4); count > 0; count--) this.#enter();
    for (let count = 5 + this.#random.below(30); count > 0; count--) {
      if (this.#random.chance(60)) this.#sendToGroup();
      else await this.#next();
      this.#assertAlike();
    }
    this.#each('unstall', this.#members, ({ socket }) => socket.unstall());
    await passTurns();
    this.#assertAlike();
    for (const results of this.#results) {
      const [one, other] = await Promise.all(results);
      assert.deepEqual(one, other, this.#story.join(', '));
    }
  }

  async #next(): Promise<void> {
    const random = this.#random;
    const twins = random.pick(this.#members);
    const data = this.#data();
    switch (random.below(17)) {
      case 0:
        return this.#enter();
      case 1:
        return this.#join('b', twins);
      case 2:
        return this.#each('leave a', [twins], ({ context }) => void context.removeFromGroupAsync('a'));
      case 3:
        return this.#each('own', [twins], ({ context }) => void context.sendAsync(data));
      case 4:
        return this.#each(
          'large',
          [twins],
          ({ context }) => void context.sendAsync(Buffer.alloc(20_000, data), { compress: false }),
        );
      case 5:
      case 6: {
        const endOfMessage = random.chance(50);
        const options = { messageType: WebSocketMessageType.Text, endOfMessage, compress: false } as const;
        return this.#each('fragment', [twins], ({ context }) => void context.sendAsync(data, options));
      }
      case 7:
        return this.#each('ping', [twins], ({ context }) => void context.ping().catch(() => {}));
      case 8:
        return this.#each('stall', [twins], ({ socket }) => socket.stall());
      case 9:
        return this.#each('unstall', [twins], ({ socket }) => socket.unstall());
      case 10:
        return this.#each('peer closes', [twins], ({ socket }) => socket.arrive(clientClose(1000)));
      case 11:
        return this.#each('close output', [twins], ({ context }) => void context.closeOutputAsync().catch(() => {}));
      case 12:
        if (random.chance(50)) return this.#each('abort', [twins], ({ context }) => context.abort());
        this.#story.push('close b');
        for (const hall of this.#halls) void hall.group('b').closeAsync();
        return;
      case 13:
        return this.#each('cancel', [twins], ({ context }) => context.cancelOutstandingIO());
      case 14:
        return this.#each('end TCP', [twins], ({ context }) => context.closeTcpConnection());
      case 15:
        return this.#each('break the protocol', [twins], ({ socket }) => socket.arrive(clientFrame({ opcode: 3 })));
      default:
        this.#story.push('tick');
        return random.chance(50) ? passTurns(1) : new Promise((resolve) => process.nextTick(resolve));
    }
  }

  #enter(): void {
    const settings = {
      sendBufferLimit: this.#random.pick([60_000, 16 * 1024 * 1024]),
      ...(this.#random.chance(30) && { compression: { negotiated: negotiated({}), options: DEFLATE_DEFAULTS } }),
    };
    const [one, other] = this.#halls;
    const twins: Twins = [one.enter(settings), other.enter(settings)];
    this.#members.push(twins);
    this.#each('enter', [twins], () => {});
    for (const name of ['a', 'b']) {
      if (this.#random.chance(70)) this.#join(name, twins);
    }
  }

  #join(name: string, twins: Twins): void {
    this.#each(`join ${name}`, [twins], ({ context }) => void context.addToGroupAsync(name).catch(() => {}));
  }

  #sendToGroup(): void {
    const random = this.#random;
    const key = random.pick(['a', 'a', 'b', ALL]);
    // What is compressed in another thread is ready when it is, in one hall before the other.
    const isLong = random.chance(5);
    const data = isLong ? noise(30_000, this.#sent) : this.#data();
    const options = isLong
      ? { compress: false }
      : random.pick([{}, {}, {}, { volatile: true }, { latest: 'key' }, { compress: true }]);
    const excepted = random.chance(10) ? random.pick(this.#members) : undefined;
    this.#story.push(`to '${key}' ${JSON.stringify(options)} ${data.length} ${excepted ? 'but one' : ''}`);
    this.#results.push(
      this.#halls.map((hall, at) => {
        const except = [...(excepted ? [excepted[at as 0 | 1].context] : []), ...(at === 0 ? [] : [this.#stranger])];
        return hall.group(key).sendAsync(data, { ...options, except });
      }),
    );
  }

  #data(): string {
    return `${this.#sent++}`;
  }

  #each(what: string, all: readonly Twins[], act: (member: FakeMember) => void): void {
    this.#story.push(`${what} ${all.map((twins) => this.#members.indexOf(twins))}`);
    for (const twins of all) twins.forEach(act);
  }

  #assertAlike(): void {
    for (const twins of this.#members) {
      const [one, other] = twins.map(({ context, socket, traffic }) => ({
        ...traffic(),
        state: context.state,
        bufferedAmount: context.bufferedAmount,
        sent: socket.sentText,
      }));
      assert.deepEqual(one, other, `${this.#members.indexOf(twins)} after ${this.#story.join(', ')}`);
    }
  }
}

describe('Groups', () => {
  it('look at members anew in the next turn of the event loop, and keep nothing of this one', async (t) => {
    const hall = new Hall(t);
    void hall.enterGroup('room', 2);
    const room = hall.group('room');
    const asked = t.mock.method(Cohort.prototype, 'trySend');
    void room.sendAsync('a');
    void room.sendAsync('b');
    assert.deepEqual(
      asked.mock.calls.map(({ result }) => result),
      [true],
    );
    await passTurns(1);
    void room.sendAsync('c');
    assert.equal(asked.mock.callCount(), 1);
  });

  it('give to who has joined a group in the same tick, and not to who has left', async (t) => {
    const hall = new Hall(t);
    const newcomer = hall.enter();
    const [first, leaver, other] = hall.enterGroup('room', 3) as [FakeMember, FakeMember, FakeMember];
    const room = hall.group('room');
    void room.sendAsync('a');
    void newcomer.context.addToGroupAsync('room');
    void room.sendAsync('b');
    await passTurns();
    void room.sendAsync('c');
    void leaver.context.removeFromGroupAsync('room');
    assert.equal((await room.sendAsync('d')).members, 3);
    assert.deepEqual(received(first, leaver, other, newcomer), ['abcd', 'abc', 'abcd', 'bcd']);
  });

  it('give to all but those who are excepted, behind and before messages to all, and when slow ones have caught up', async (t) => {
    const hall = new Hall(t);
    const members = hall.enterGroup('room', 5) as [FakeMember, FakeMember, FakeMember, FakeMember, FakeMember];
    const slow = members.slice(3);
    for (const { context, socket } of slow) {
      socket.stall();
      void context.sendAsync('.');
    }
    await passTurns();
    const room = hall.group('room');
    void room.sendAsync('a', { except: members[0].context });
    void room.sendAsync('b');
    await new Promise((resolve) => process.nextTick(resolve));
    void room.sendAsync('c');
    for (const { socket } of slow) socket.unstall();
    void room.sendAsync('d');
    void room.sendAsync('e');
    void room.sendAsync('f', { except: members[1].context });
    await passTurns();
    assert.deepEqual(received(...members), ['bcdef', 'abcde', 'abcdef', '.abcdef', '.abcdef']);
  });

  it('give to who has come in the same tick, as one of all, and not to who is gone', async (t) => {
    const hall = new Hall(t);
    const [first, gone] = [hall.enter(), hall.enter()];
    void hall.all.sendAsync('a');
    const newcomer = hall.enter();
    void hall.all.sendAsync('b');
    await passTurns();
    void hall.all.sendAsync('c');
    gone.context.abort();
    assert.equal((await hall.all.sendAsync('d')).members, 2);
    assert.deepEqual(received(first, gone, newcomer), ['abcd', 'ab', 'bcd']);
  });

  it('give nothing to who has begun to close in the same tick, as one of all', async (t) => {
    const hall = new Hall(t);
    const members = [hall.enter(), hall.enter(), hall.enter()] as const;
    void hall.all.sendAsync('a');
    members[0].socket.emit('data', clientClose(1000));
    assert.equal(members[0].context.state, WebSocketState.CloseReceived);
    assert.equal((await hall.all.sendAsync('b')).members, 2);
  });

  it('copy nothing for a member alone', async (t) => {
    const hall = new Hall(t);
    const [{ socket }] = hall.enterGroup('room', 1) as [FakeMember];
    const chunks: number[] = [];
    t.mock.method(socket, '_writev', (all: { chunk: Buffer }[], done: () => void) => {
      chunks.push(...all.map(({ chunk }) => chunk.length));
      done();
    });
    for (let count = 0; count < 2; count++) void hall.group('room').sendAsync(Buffer.alloc(60_000));
    await passTurns();
    assert.deepEqual(chunks, [60_004, 60_004]);
  });

  it(`give each member what it would get if all were looked at each time, in ${CASES} stories`, async (t) => {
    for (let seed = FIRST_SEED; seed < FIRST_SEED + CASES; seed++) await new Scene(t, new Random(seed)).play();
  });
});
