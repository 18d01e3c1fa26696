import assert from 'node:assert/strict';
import { describe, it, mock, type TestContext } from 'node:test';
import { type BatchWriter, Cohort, type CohortMember, type Seat } from '../src/connection/sending/cohort.js';
import { Sender } from '../src/connection/sending/sender.js';
import { SharedMessage } from '../src/connection/sending/shared-message.js';
import { whenSlicesAreDone } from '../src/connection/sending/slices.js';
import type { WebSocketContext } from '../src/context/web-socket-context.js';
import type { Batch } from '../src/framing/batch.js';
import { DEFLATE_DEFAULTS } from '../src/framing/deflate-options.js';
import { DeflateSetting } from '../src/framing/deflate-pool.js';
import { payloadOf } from '../src/framing/frame.js';
import { FrameRun } from '../src/framing/frame-run.js';
import { ALL } from '../src/groups/group-backplane.js';
import type { GroupSendResult } from '../src/groups/groups.js';
import { WebSocketMessageType, WebSocketState } from '../src/index.js';
import { negotiated, noise } from './support/deflate.js';
import { passTurns } from './support/fake-socket.js';
import { clientClose, clientFrame, parseFrames } from './support/frames.js';
import { type FakeMember, Hall } from './support/members.js';
import { Random } from './support/random.js';
import { endSlices } from './support/slices.js';

// FUZZ_CASES sets how many stories are tried, FUZZ_SEED the first of them.
const CASES = Number(process.env.FUZZ_CASES ?? 300);
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1);

const text = (data: string, compress?: boolean): SharedMessage => new SharedMessage(data, { text: true, compress });

/** What members have got, one behind the other. */
function received(...members: FakeMember[]): string[] {
  return members.map(({ socket }) => socket.sent.map(({ payload }) => payload).join(''));
}

/** Somebody in a cohort, whose writer the test is. */
class Guest implements CohortMember, BatchWriter {
  readonly highWaterMark: number;
  readonly deflateSetting: DeflateSetting | undefined;
  seat: Seat<string> | undefined;
  /** Bytes of the batches of which it was told, and whether the system took them at once. */
  readonly outcomes: [number, boolean][] = [];
  slices = 0;
  readonly failures: unknown[] = [];
  readonly #written: Buffer[] = [];

  constructor(highWaterMark = 1000, deflateSetting?: DeflateSetting) {
    this.highWaterMark = highWaterMark;
    this.deflateSetting = deflateSetting;
  }

  get writer(): BatchWriter {
    return this;
  }

  /** What has been written to it. */
  get written(): string {
    return parseFrames(Buffer.concat(this.#written))
      .frames.map(({ payload }) => payload.toString())
      .join('');
  }

  /** What happens in the middle of a write to him, once. */
  during: (() => void) | undefined;

  write({ chunks }: Batch): boolean {
    this.#written.push(...chunks);
    const { during } = this;
    this.during = undefined;
    during?.();
    return true;
  }

  onWritten(batch: Batch, isTaken: boolean): void {
    this.outcomes.push([batch.byteLength, isTaken]);
  }

  onSlice(): void {
    this.slices++;
  }

  onWriteFailed(error: unknown): void {
    this.failures.push(error);
  }
}

/** A cohort of those, to whom a message goes as each of them sits down. */
function open(first: SharedMessage, ...guests: Guest[]): Cohort<string> {
  const cohort = new Cohort<string>();
  assert.equal(cohort.trySend(first), true);
  guests.forEach((guest, at) => {
    guest.seat = cohort.join(guest, `${at}`);
  });
  return cohort;
}

/** What somebody who leaves has not been written yet. */
function leave({ seat }: Guest): string {
  const run = seat?.leave();
  return (run?.frames ?? []).map((frame) => payloadOf(frame)).join('');
}

/** Resolves when nobody has anything left to be written, what has come during the writing included. */
async function everybodyIsWrittenTo(): Promise<void> {
  for (let count = 0; count < 4; count++) await whenSlicesAreDone();
}

describe('Cohort', () => {
  it('writes what has been sent to all of them as one batch, again and again', async () => {
    const guests = [new Guest(), new Guest()] as const;
    const cohort = open(text('a'), ...guests);
    assert.equal(cohort.size, 2);
    assert.equal(cohort.trySend(text('b')), true);
    const writes = guests.map((guest) => mock.method(guest, 'write'));
    await everybodyIsWrittenTo();
    assert.deepEqual(
      guests.map(({ written }) => written),
      ['ab', 'ab'],
    );
    assert.equal(writes[0]?.mock.calls[0]?.arguments[0], writes[1]?.mock.calls[0]?.arguments[0]);
    assert.equal(cohort.trySend(text('c')), true);
    await everybodyIsWrittenTo();
    assert.deepEqual(
      guests.map(({ written }) => written),
      ['abc', 'abc'],
    );
    assert.deepEqual(
      writes.map(({ mock }) => mock.callCount()),
      [2, 2],
    );
  });

  it('has room for those who begin with the first message of a batch', async () => {
    const cohort = open(text('a'));
    assert.ok(cohort.join(new Guest(), 'in time'));
    cohort.trySend(text('b'));
    assert.equal(cohort.join(new Guest(), 'late'), undefined);
    await everybodyIsWrittenTo();
    cohort.trySend(text('c'));
    const guest = new Guest();
    assert.ok(cohort.join(guest, 'next time'));
    const [between, late] = [new Guest(), new Guest()];
    guest.during = () => {
      cohort.trySend(text('d'));
      between.seat = cohort.join(between, 'while it writes');
      assert.equal(between.seat?.unwrittenBytes, 3);
      cohort.trySend(text('e'));
      assert.equal(cohort.join(late, 'late'), undefined);
    };
    await everybodyIsWrittenTo();
    assert.deepEqual([guest.written, between.written, late.written], ['cde', 'de', '']);
  });

  it('gives who leaves what has not been written to him, and tells whose connection that was', async () => {
    const guests = Array.from({ length: 6 }, () => new Guest()) as [Guest, Guest, Guest, Guest, Guest, Guest];
    const cohort = open(text('a'), ...guests);
    cohort.trySend(text('b'));
    const [first, written, current, next, ...last] = guests;
    assert.equal(first.seat?.unwrittenBytes, 6);
    assert.equal(leave(first), 'ab');
    assert.deepEqual(cohort.takeLeavers(), ['0']);
    assert.deepEqual(cohort.takeLeavers(), []);
    current.during = () => {
      assert.deepEqual([written.seat?.unwrittenBytes, next.seat?.unwrittenBytes], [0, 6]);
      assert.deepEqual([leave(written), leave(next)], ['', 'ab']);
      cohort.trySend(text('c'));
      cohort.trySend(text('d'));
      assert.deepEqual([current.seat?.unwrittenBytes, last[0].seat?.unwrittenBytes], [6, 12]);
      assert.equal(leave(current), 'cd');
      const [one, other] = last.map(({ seat }) => seat?.leave());
      assert.equal(one, other);
      assert.deepEqual(
        one?.frames.map((frame) => payloadOf(frame).toString()),
        ['a', 'b', 'c', 'd'],
      );
    };
    await everybodyIsWrittenTo();
    assert.deepEqual([cohort.size, cohort.takeLeavers()], [0, ['1', '3', '2', '4', '5']]);
    assert.deepEqual(
      guests.map(({ slices }) => slices),
      [1, 0, 1, 1, 1, 1],
    );
    assert.deepEqual(current.outcomes, [[6, true]]);
    assert.deepEqual(
      guests.map((guest) => guest.written),
      ['', 'ab', 'ab', '', '', ''],
    );
  });

  it('gives who leaves in the middle of a further write no more than has come since the one before', async () => {
    const [first, second, third] = [new Guest(), new Guest(), new Guest()];
    const cohort = open(text('a'), first, second, third);
    second.during = () => {
      cohort.trySend(text('b'));
      second.during = () => {
        assert.equal(leave(third), 'b');
        cohort.trySend(text('c'));
        assert.equal(leave(first), 'c');
      };
    };
    await everybodyIsWrittenTo();
    assert.deepEqual([first.written, second.written, third.written], ['ab', 'abc', 'a']);
  });

  it('tells who leaves in the middle of a write to him that it is one', async () => {
    const [first, second] = [new Guest(), new Guest()];
    const cohort = open(text('a'), first, second);
    const inWrite: (boolean | undefined)[] = [];
    second.during = () => {
      inWrite.push(first.seat?.isInWrite, second.seat?.isInWrite);
      assert.equal(leave(second), '');
    };
    inWrite.push(first.seat?.isInWrite);
    await everybodyIsWrittenTo();
    assert.deepEqual(inWrite, [false, false, true]);
    assert.equal(second.seat?.isInWrite, false);
    assert.deepEqual([second.outcomes, cohort.size], [[[3, true]], 1]);
  });

  it('puts nothing together for nobody', async (t) => {
    const guest = new Guest(1_000_000);
    const cohort = open(text('a'.repeat(50_000)), guest);
    cohort.trySend(text('b'.repeat(50_000)));
    leave(guest);
    const joined = t.mock.method(Buffer, 'concat');
    await everybodyIsWrittenTo();
    assert.equal(joined.mock.callCount(), 0);
  });

  it('takes time in proportion to those who leave while messages come, and does not begin anew for each', async () => {
    const guests = Array.from({ length: 8000 }, () => new Guest(1_000_000));
    const cohort = open(text('a'), ...guests);
    const [first, ...others] = guests as [Guest, ...Guest[]];
    let made = 0;
    first.during = () => {
      const runs = new Set<unknown>();
      for (const { seat } of others) {
        cohort.trySend(text('b'));
        runs.add(seat?.leave());
      }
      made = runs.size;
    };
    const asked = mock.method(FrameRun.prototype, 'followedByAll');
    await everybodyIsWrittenTo();
    asked.mock.restore();
    assert.deepEqual([made, asked.mock.callCount()], [7999, 1]);
  });

  it('counts what each has been sent since he sat down', async () => {
    const [first, second] = [new Guest(), new Guest()];
    const cohort = open(text('a'), first);
    cohort.trySend(text('bb'));
    await everybodyIsWrittenTo();
    cohort.trySend(text('ccc'));
    second.seat = cohort.join(second, '2');
    assert.deepEqual([first.seat?.messages, first.seat?.bytes], [3, 12]);
    assert.deepEqual([second.seat?.messages, second.seat?.bytes], [1, 5]);
  });

  it('knows where everybody sits when most have left', async () => {
    const guests = Array.from({ length: 50 }, () => new Guest());
    const cohort = open(text('a'), ...guests);
    for (const guest of guests.slice(0, 40)) leave(guest);
    await everybodyIsWrittenTo();
    cohort.trySend(text('b'));
    await everybodyIsWrittenTo();
    const [one, other] = guests.slice(40) as [Guest, Guest];
    assert.equal(leave(one), '');
    cohort.trySend(text('c'));
    const newcomer = new Guest();
    newcomer.seat = cohort.join(newcomer, 'new');
    assert.equal(leave(other), 'c');
    await everybodyIsWrittenTo();
    assert.deepEqual(cohort.takeLeavers().slice(-2), ['40', '41']);
    assert.deepEqual([cohort.size, newcomer.written, guests[42]?.written], [9, 'c', 'abc']);
  });

  it('tells who has not taken all at once, and goes on with the others where a stream throws', async () => {
    const [behind, broken, other] = [new Guest(), new Guest(), new Guest()];
    const error = new Error('a stream of the application');
    mock.method(behind, 'write', () => false);
    broken.during = () => {
      throw error;
    };
    open(text('a'), behind, broken, other);
    await everybodyIsWrittenTo();
    assert.deepEqual(behind.outcomes, [[3, false]]);
    assert.deepEqual([broken.failures, broken.outcomes, other.outcomes, other.written], [[error], [], [], 'a']);
  });

  it('takes no more than the one who takes least', () => {
    const frame = text('a').size;
    const cohort = open(text('a'), new Guest(1000), new Guest(2 * frame), new Guest(1000));
    for (const taken of [true, true, false]) assert.equal(cohort.trySend(text('b')), taken);
  });

  it('counts what it is writing against that, too', async () => {
    const frame = text('a').size;
    const guest = new Guest(2 * frame);
    const cohort = open(text('a'), guest);
    cohort.trySend(text('b'));
    const taken: boolean[] = [];
    guest.during = () => {
      for (let count = 0; count < 2; count++) taken.push(cohort.trySend(text('c')));
    };
    await everybodyIsWrittenTo();
    assert.deepEqual([taken, guest.written], [[true, false], 'abc']);
  });

  it('takes nothing that one of them has to get compressed, and has nothing compressed', (t) => {
    const setting = new DeflateSetting({ ...DEFLATE_DEFAULTS, threshold: 10 }, 15);
    const cohort = open(text('a'), new Guest(1000, setting), new Guest());
    const long = text('1234567890');
    const asked = t.mock.method(long, 'frameFor');
    assert.equal(cohort.trySend(text('123456789')), true);
    assert.equal(cohort.trySend(long), false);
    assert.equal(cohort.trySend(text('1234567890', false)), true);
    assert.equal(asked.mock.callCount(), 0);
  });

  it('forgets what those could not take who have all left', () => {
    const setting = new DeflateSetting({ ...DEFLATE_DEFAULTS, threshold: 10 }, 15);
    const guests = [new Guest(text('a').size, setting), new Guest()] as const;
    const cohort = open(text('a'), ...guests);
    cohort.trySend(text('b'));
    const long = text('1234567890');
    leave(guests[0]);
    assert.equal(cohort.trySend(long), false);
    leave(guests[1]);
    assert.equal(cohort.trySend(long), true);
    const guest = new Guest();
    guest.seat = cohort.join(guest, 'new');
    assert.equal(guest.seat?.unwrittenBytes, long.size);
    assert.equal(cohort.trySend(long), true);
  });

  it('keeps nothing for nobody, and has room with each message until somebody is there', async () => {
    const left = new Guest();
    const cohort = open(text('a'), left);
    assert.equal(leave(left), 'a');
    cohort.trySend(text('b'));
    cohort.trySend(text('c'));
    const guest = new Guest();
    guest.seat = cohort.join(guest, 'new');
    assert.deepEqual([guest.seat?.messages, guest.seat?.bytes, guest.seat?.unwrittenBytes], [1, 3, 3]);
    await everybodyIsWrittenTo();
    assert.deepEqual([left.written, left.slices, guest.written], ['', 1, 'c']);
  });
});

/** A connection of each of two halls in which the same happens. */
type Twins = readonly [FakeMember, FakeMember];

/**
 * Two halls in which the same happens, with messages to groups and everything else in any order, in the same tick as often
 * as not. In the second one they except more strangers than there are members, so that all are looked at one by one each
 * time.
 */
class Scene {
  readonly #random: Random;
  readonly #halls: readonly [Hall, Hall];
  readonly #strangers: readonly WebSocketContext[];
  readonly #members: Twins[] = [];
  readonly #results: Promise<GroupSendResult>[][] = [];
  readonly #story: string[] = [];
  #sent = 0;

  constructor(t: TestContext, random: Random, strangers: readonly WebSocketContext[]) {
    this.#random = random;
    this.#halls = [new Hall(t), new Hall(t)];
    this.#strangers = strangers;
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
        const except = [...(excepted ? [excepted[at as 0 | 1].context] : []), ...(at === 0 ? [] : this.#strangers)];
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
  it('look only at those who have had something else to send since the last message', async (t) => {
    const hall = new Hall(t);
    const [, other] = hall.enterGroup('room', 4) as [FakeMember, FakeMember];
    const room = hall.group('room');
    const asked = t.mock.method(Sender.prototype, 'sendShared');
    const looks = (): number => asked.mock.callCount();
    await room.sendAsync('a');
    assert.equal(looks(), 4);
    await room.sendAsync('b');
    assert.equal(looks(), 4);
    void other.context.sendAsync('own');
    await room.sendAsync('c');
    assert.equal(looks(), 5);
    const { members } = await room.sendAsync('d', { except: other.context });
    assert.deepEqual([looks(), members], [5, 3]);
    await room.sendAsync('e');
    await room.sendAsync('f');
    assert.equal(looks(), 6);
    assert.equal(received(other)[0], 'abowncef');
  });

  it('look at nobody again where each message excepts its sender', async (t) => {
    const hall = new Hall(t);
    const members = hall.enterGroup('room', 10);
    const asked = t.mock.method(Sender.prototype, 'sendShared');
    const looks: number[] = [];
    for (const { context } of members.slice(0, 4)) {
      asked.mock.resetCalls();
      const result = await hall.group('room').sendAsync('a', { except: context });
      assert.equal(result.members, 9);
      looks.push(asked.mock.callCount());
    }
    // All others, then the one that was excepted before.
    assert.deepEqual(looks, [9, 1, 1, 1]);
  });

  it('look at each member alone with what is compressed for him, and seat him with what is not', async (t) => {
    const hall = new Hall(t);
    const options = { ...DEFLATE_DEFAULTS, threshold: 10 };
    for (let count = 0; count < 10; count++) {
      hall.enterGroup('room', 1, { compression: { negotiated: negotiated(), options } });
    }
    const asked = t.mock.method(Sender.prototype, 'sendShared');
    const looks: number[] = [];
    for (const data of ['0123456789', '9876543210', 'a', 'b', '0123456789', 'c', 'd']) {
      asked.mock.resetCalls();
      assert.equal((await hall.group('room').sendAsync(data)).members, 10);
      looks.push(asked.mock.callCount());
    }
    assert.deepEqual(looks, [10, 10, 10, 0, 10, 10, 0]);
  });

  it('look at each member where more are excepted than there are', async (t) => {
    const [hall, elsewhere] = [new Hall(t), new Hall(t)];
    const members = hall.enterGroup('room', 3);
    const strangers = [1, 2, 3, 4].map(() => elsewhere.enter().context);
    await hall.group('room').sendAsync('a');
    const asked = t.mock.method(Sender.prototype, 'sendShared');
    assert.equal((await hall.group('room').sendAsync('b', { except: strangers })).members, 3);
    assert.equal(asked.mock.callCount(), 3);
    assert.deepEqual(received(...members), ['ab', 'ab', 'ab']);
  });

  it('look at nobody again as all of the instance', async (t) => {
    const hall = new Hall(t);
    hall.enter();
    hall.enter();
    const asked = t.mock.method(Sender.prototype, 'sendShared');
    for (const data of ['a', 'b']) assert.equal((await hall.all.sendAsync(data)).members, 2);
    assert.equal(asked.mock.callCount(), 2);
  });

  it('look at nobody for long who was pinged while others were written to', async (t) => {
    const hall = new Hall(t);
    endSlices(t);
    const members = hall.enterGroup('room', 64);
    await hall.group('room').sendAsync('a');
    const asked = t.mock.method(Sender.prototype, 'sendShared');
    const looks: number[] = [];
    for (const { context } of members) {
      asked.mock.resetCalls();
      void hall.group('room').sendAsync('b');
      void context.ping().catch(() => {});
      await passTurns(1);
      looks.push(asked.mock.callCount());
    }
    assert.ok(Math.max(...looks) < 16, looks.join());
  });

  it('are done with a message only when those have been written to who have left since', async (t) => {
    const hall = new Hall(t);
    endSlices(t);
    for (const name of ['big', 'other']) void hall.enterGroup(name, 40);
    const last = hall.enterGroup('room', 40).at(-1) as FakeMember;
    for (const name of ['big', 'other', 'room']) await hall.group(name).sendAsync('0');
    let isDone = false;
    void hall
      .group('room')
      .sendAsync('a')
      .then(() => {
        isDone = true;
      });
    void hall.group('big').sendAsync('b');
    await passTurns(1);
    assert.equal(isDone, false);
    void hall.group('other').sendAsync('c');
    void last.context.removeFromGroupAsync('room');
    while (!isDone) await passTurns(1);
    assert.deepEqual(last.socket.sentText, ['text 0', 'text a']);
  });

  it('keep the order, and count right, where the stream of a member calls the application', async (t) => {
    for (const act of [
      ({ context }: FakeMember) => {
        for (const data of ['x'.repeat(60), 'y']) void context.sendAsync(data).catch(() => {});
      },
      ({ context }: FakeMember) => context.closeTcpConnection(),
      ({ context }: FakeMember) => void context.sendAsync('own'),
    ]) {
      for (const method of ['write', '_write'] as const) {
        const hall = new Hall(t);
        const [member, other] = hall.enterGroup('room', 2, { sendBufferLimit: 50 }) as [FakeMember, FakeMember];
        await hall.group('room').sendAsync('0');
        const { socket } = member;
        const write = socket[method].bind(socket) as (...args: unknown[]) => never;
        Object.assign(socket, {
          [method]: (...args: unknown[]) => {
            Object.assign(socket, { [method]: write });
            act(member);
            return write(...args);
          },
        });
        void hall.group('room').sendAsync('a');
        await passTurns();
        // Who was overloaded has been aborted before this came to him.
        if (!socket.destroyed) {
          assert.deepEqual(socket.sentText.slice(0, 2), ['text 0', 'text a']);
          assert.equal(member.context.bufferedAmount, 0);
        }
        assert.deepEqual(other.socket.sentText, ['text 0', 'text a']);
      }
    }
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
    const elsewhere = new Hall(t);
    const strangers = Array.from({ length: 40 }, () => elsewhere.enter().context);
    for (let seed = FIRST_SEED; seed < FIRST_SEED + CASES; seed++)
      await new Scene(t, new Random(seed), strangers).play();
  });
});
