import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WebSocketContext } from '../src/context/web-socket-context.js';
import { ALL, type GroupBackplane, type GroupMessage, NO_BACKPLANE } from '../src/groups/group-backplane.js';
import { Seating } from '../src/groups/seating.js';
import { WebSocketMessageType, WebSocketState } from '../src/index.js';
import { LARGE } from './support/connections.js';
import { FakeSocket, passTurns } from './support/fake-socket.js';
import { CLOSE_FRAME, clientClose, clientFrame } from './support/frames.js';
import { type FakeMember, Hall, makeMember } from './support/members.js';

/** What members have got, as text; what is longer than 20 bytes by its length. */
function got(...members: FakeMember[]): string[][] {
  return members.map(({ socket }) =>
    socket.sent.map(({ payload }) => (payload.length > 20 ? `${payload.length}` : payload.toString())),
  );
}

/** Makes members slow: the system does not take what is sent to them from now on, which is a byte to begin with. */
async function slowDown(...members: FakeMember[]): Promise<void> {
  for (const { context, socket } of members) {
    socket.stall();
    await context.sendAsync('.');
  }
  await passTurns();
}

/** A backplane that records what it is asked, and says what it is told to. */
class FakeBackplane implements GroupBackplane {
  readonly asked: string[] = [];
  joining: Promise<void> = Promise.resolve();
  limit: number = Number.POSITIVE_INFINITY;
  outcome: Promise<'sent' | 'unavailable'> = Promise.resolve('sent');
  last: GroupMessage | undefined;

  join(group: string): Promise<void> {
    this.asked.push(`join ${group}`);
    return this.joining;
  }

  leave(group: string): void {
    this.asked.push(`leave ${group}`);
  }

  assertFits(_group: string, message: GroupMessage): void {
    if (message.data.length > this.limit) throw new RangeError('Too long');
  }

  publish(group: string, message: GroupMessage): Promise<'sent' | 'unavailable'> {
    this.asked.push(`publish ${group} ${Buffer.from(message.data).toString()}`);
    this.last = message;
    return this.outcome;
  }

  publishClose(group: string, status: number, description: string): Promise<'sent' | 'unavailable'> {
    this.asked.push(`close ${group} ${status} ${description}`);
    return this.outcome;
  }

  countAsync(_group: string, timeout: number): Promise<{ count: number; nodes: number; missing: number }> {
    return Promise.resolve({ count: timeout, nodes: 2, missing: 1 });
  }
}

describe('Groups, membership', () => {
  it('knows the connections of its own instance only', (t) => {
    const [here, elsewhere] = [new Hall(t), new Hall(t)];
    const [{ context }] = here.enterGroup('room', 1) as [FakeMember];
    void elsewhere.enterGroup('room', 2);
    for (const group of [here.group('room'), here.all]) assert.equal(group.members.has(context), true);
    for (const group of [elsewhere.group('room'), elsewhere.all]) assert.equal(group.members.has(context), false);
    assert.equal(here.group('empty').members.has(context), false);
  });

  it('has a member when addToGroupAsync returns, and not any more when removeFromGroupAsync returns', async (t) => {
    const hall = new Hall(t);
    const { context } = hall.enter();
    const room = hall.group('room');
    const added = context.addToGroupAsync('room');
    assert.deepEqual([...room.members], [context]);
    assert.deepEqual([...context.groups], ['room']);
    await added;
    const removed = context.removeFromGroupAsync('room');
    assert.equal(room.size, 0);
    assert.equal(context.groups.size, 0);
    await removed;
  });

  it('takes a second time for the first, and the removal of a stranger for nothing', async (t) => {
    const hall = new Hall(t);
    const [one, other] = [hall.enter().context, hall.enter().context];
    await one.addToGroupAsync('room');
    await one.addToGroupAsync('room');
    await other.removeFromGroupAsync('room');
    await other.removeFromGroupAsync('nowhere');
    assert.equal(hall.group('room').size, 1);
    await other.addToGroupAsync('room');
    await other.addToGroupAsync('room');
    assert.equal(hall.group('room').size, 2);
    await one.removeFromGroupAsync('room');
    assert.deepEqual([...hall.group('room').members], [other]);
    assert.equal(hall.group('room').members.has(other), true);
    assert.equal(hall.group('room').members.has(one), false);
  });

  it('tells names apart by case, and takes any text of 1 to 256 bytes', async (t) => {
    const hall = new Hall(t);
    const { context } = hall.enter();
    for (const name of ['Room', 'room', '*', ' ', 'ü'.repeat(128), '😀', '\0']) {
      await context.addToGroupAsync(name);
      assert.equal(hall.group(name).name, name);
      assert.equal(hall.group(name).size, 1);
      assert.equal(hall.group(name).members.has(context), true);
      assert.equal(hall.group(name).members.has(hall.enter().context), false);
    }
    assert.equal(context.groups.size, 7);
    assert.equal(hall.all.name, '*');
    const { size } = hall.all;
    await context.removeFromGroupAsync('*');
    assert.equal(hall.all.size, size);
  });

  it('leaves the one group that it is told to, and stays in the others until it ends', async (t) => {
    const hall = new Hall(t);
    const { context } = hall.enter();
    for (const name of ['a', 'b', 'c']) await context.addToGroupAsync(name);
    await context.removeFromGroupAsync('b');
    assert.deepEqual([...context.groups], ['a', 'c']);
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => hall.group(name).size),
      [1, 0, 1],
    );
    context.abort();
    assert.deepEqual(
      ['a', 'b', 'c'].map((name) => hall.group(name).size),
      [0, 0, 0],
    );
  });

  it('refuses names that cannot be, and records nothing', async (t) => {
    const { context } = new Hall(t).enter();
    for (const operation of ['addToGroupAsync', 'removeFromGroupAsync'] as const) {
      await assert.rejects(context[operation](''), {
        name: 'RangeError',
        message: /name is 0 bytes of UTF-8, must be 1 to 256/,
      });
      await assert.rejects(context[operation]('ü'.repeat(129)), { name: 'RangeError', message: /name is 258 bytes/ });
      await assert.rejects(context[operation]('a\ud800'), { name: 'TypeError', message: /lone surrogate/ });
      await assert.rejects(context[operation](null as never), { name: 'TypeError', message: /name is of type null/ });
      await assert.rejects(context[operation](1 as never), { name: 'TypeError', message: /name is of type number/ });
    }
    assert.equal(context.groups.size, 0);
  });

  it('lets a connection leave by itself when it cannot be sent to any more', async (t) => {
    const hall = new Hall(t);
    const [closing, aborted, lost, faulty, stays] = hall.enterGroup('room', 5) as [
      FakeMember,
      FakeMember,
      FakeMember,
      FakeMember,
      FakeMember,
    ];
    for (const { context } of [closing, aborted, lost, faulty]) await context.addToGroupAsync('other');
    await closing.context.closeOutputAsync();
    assert.equal(closing.context.state, WebSocketState.CloseSent);
    aborted.context.abort();
    lost.socket.reset();
    faulty.socket.arrive(Buffer.from('not a frame at all'));
    await passTurns();
    assert.deepEqual([...hall.group('room').members], [stays.context]);
    assert.equal(hall.group('other').size, 0);
    for (const { context } of [closing, aborted, lost, faulty]) {
      assert.equal(context.groups.size, 0);
      await assert.rejects(context.addToGroupAsync('room'), { code: 'ERR_WEBSOCKET_INVALID_STATE' });
      assert.equal(context.groups.size, 0);
    }
    assert.equal(hall.group('room').size, 1);
  });

  it('keeps nobody in mind who is gone before it is told that he has come', async (t) => {
    const hall = new Hall(t);
    hall.enter();
    hall.enter();
    await hall.all.sendAsync('a');
    const added = t.mock.method(Seating.prototype, 'add').mock;
    hall.groups.opened(makeMember(new FakeSocket(), { groups: hall.groups, onTerminated: () => {} }));
    assert.equal(added.callCount(), 0);
    const { context } = hall.enter();
    assert.deepEqual(
      added.calls.map(({ arguments: [member] }) => member?.context),
      [context],
    );
  });

  it('keeps a member whose client has closed, as long as it can be sent to', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    void member.context.receiveMessageAsync();
    member.socket.arrive(clientClose(1000));
    await passTurns();
    assert.equal(member.context.state, WebSocketState.CloseReceived);
    assert.equal((await hall.group('room').sendAsync('late')).members, 1);
    assert.deepEqual([...hall.group('room').members], [member.context]);
    assert.deepEqual([...hall.all.members], []);
    assert.equal(hall.all.size, 0);
    assert.equal(hall.all.members.has(member.context), false);
    assert.equal((await hall.all.sendAsync('to all')).members, 0);
    assert.equal((await hall.all.closeAsync()).members, 0);
    assert.equal((await hall.group('room').closeAsync()).members, 1);
    assert.equal(hall.group('room').size, 0);
    assert.deepEqual(got(member)[0]?.[0], 'late');
  });

  it('gives nothing to a member whose close frame waits to be sent', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    await slowDown(member);
    void member.context.sendAsync(Buffer.alloc(LARGE));
    void member.context.closeOutputAsync();
    assert.equal((await hall.group('room').sendAsync('late')).members, 0);
    assert.equal((await hall.group('room').closeAsync()).members, 0);
    assert.equal(hall.all.size, 0);
  });

  it('is told of the life of groups and connections, the first and the last of each', async (t) => {
    const backplane = new FakeBackplane();
    const hall = new Hall(t, backplane);
    const [one, other] = [hall.enter().context, hall.enter().context];
    await one.addToGroupAsync('room');
    await other.addToGroupAsync('room');
    await one.removeFromGroupAsync('room');
    other.abort();
    one.abort();
    assert.deepEqual(backplane.asked, [`join ${ALL}`, 'join room', 'leave room', `leave ${ALL}`]);
  });

  it('resolves addToGroupAsync when the messages of all processes come', async (t) => {
    const backplane = new FakeBackplane();
    let reached: (() => void) | undefined;
    backplane.joining = new Promise((resolve) => {
      reached = resolve;
    });
    const hall = new Hall(t, backplane);
    const order: string[] = [];
    const joins = [1, 2].map((at) => {
      const { context } = hall.enter();
      return context.addToGroupAsync('room').then(() => order.push(`member ${at}`));
    });
    await passTurns();
    assert.deepEqual(order, []);
    assert.equal(hall.group('room').size, 2);
    reached?.();
    await Promise.all(joins);
    await hall.enter().context.addToGroupAsync('room');
    assert.deepEqual(order, ['member 1', 'member 2']);
  });

  it('shows members and groups as they are at any moment, and lets a loop over them change them', async (t) => {
    const hall = new Hall(t);
    const { members } = hall.group('room');
    const contexts = hall.enterGroup('room', 3).map(({ context }) => context);
    assert.deepEqual([...members], contexts);
    for (const context of members) await context.removeFromGroupAsync('room');
    assert.equal(members.size, 0);
    const [first] = contexts as [WebSocketContext];
    const { groups } = first;
    for (const name of ['a', 'b', 'c']) await first.addToGroupAsync(name);
    assert.deepEqual([...groups], ['a', 'b', 'c']);
    assert.equal(groups.has('b'), true);
    assert.equal(groups.has('d'), false);
    for (const name of groups) await first.removeFromGroupAsync(name);
    assert.equal(groups.size, 0);
  });
});

describe('Groups, sending', () => {
  it('sends to all members and to nobody else: a string as text, bytes as binary', async (t) => {
    const hall = new Hall(t);
    const members = hall.enterGroup('room', 3) as [FakeMember, FakeMember, FakeMember];
    const stranger = hall.enter();
    const sent = [
      hall.group('room').sendAsync('text'),
      hall.group('room').sendAsync(Buffer.from('bytes')),
      hall.group('room').sendAsync(Buffer.from('as text'), { messageType: WebSocketMessageType.Text }),
      hall.group('room').sendAsync('as bytes', { messageType: WebSocketMessageType.Binary }),
      hall.group('room').sendAsync(new Uint16Array([0x4142]).buffer),
      hall.group('room').sendAsync(''),
    ];
    for (const result of await Promise.all(sent)) {
      assert.deepEqual(result, { members: 3, skipped: 0, backplane: 'none' });
    }
    for (const { socket } of members) {
      assert.deepEqual(socket.sentText, [
        'text text',
        'binary bytes',
        'text as text',
        'binary as bytes',
        'binary BA',
        'text ',
      ]);
    }
    assert.deepEqual(stranger.socket.sent, []);
  });

  it('sends to nobody in a group without members', async (t) => {
    const hall = new Hall(t);
    assert.deepEqual(await hall.group('empty').sendAsync('a'), { members: 0, skipped: 0, backplane: 'none' });
    assert.deepEqual(await hall.group('empty').closeAsync(), { members: 0, skipped: 0, backplane: 'none' });
    assert.deepEqual([...hall.group('empty').members], []);
  });

  it('excepts a context, or several', async (t) => {
    const hall = new Hall(t);
    const [a, b, c] = hall.enterGroup('room', 3) as [FakeMember, FakeMember, FakeMember];
    const room = hall.group('room');
    assert.equal((await room.sendAsync('1', { except: a.context })).members, 2);
    assert.equal((await room.sendAsync('2', { except: [a.context, b.context, hall.enter().context] })).members, 1);
    assert.equal((await room.sendAsync('3', { except: new Set([c.context]) })).members, 2);
    assert.equal((await room.sendAsync('4', { except: [] })).members, 3);
    assert.deepEqual(got(a, b, c), [
      ['3', '4'],
      ['1', '3', '4'],
      ['1', '2', '4'],
    ]);
  });

  it('takes its data when it is called, so that the caller may reuse the buffer', async (t) => {
    const hall = new Hall(t);
    const members = hall.enterGroup('room', 2);
    await slowDown(...members);
    const buffer = Buffer.from('before');
    const large = Buffer.alloc(LARGE, 1);
    const sent = [hall.group('room').sendAsync(buffer), hall.group('room').sendAsync(large)];
    buffer.write('after!');
    large.fill(2);
    await Promise.all(sent);
    for (const { socket } of members) {
      socket.unstall();
      await passTurns(10);
      assert.deepEqual(socket.sentText.slice(0, 2), ['text .', 'binary before']);
      assert.deepEqual(socket.sent[2]?.payload, Buffer.alloc(LARGE, 1));
    }
  });

  it('keeps the order of the calls, direct sends and control frames included', async (t) => {
    const hall = new Hall(t);
    const [a, b] = hall.enterGroup('room', 2) as [FakeMember, FakeMember];
    const room = hall.group('room');
    void room.sendAsync('1');
    void a.context.sendAsync('2');
    void room.sendAsync('3');
    void room.sendAsync(Buffer.alloc(LARGE));
    void a.context.sendAsync('4');
    void a.context.sendAsync(Buffer.alloc(LARGE - 1));
    void b.context.sendAsync('5');
    await room.sendAsync('6');
    await passTurns(10);
    assert.deepEqual(got(a, b), [
      ['1', '2', '3', `${LARGE}`, '4', `${LARGE - 1}`, '6'],
      ['1', '3', `${LARGE}`, '5', '6'],
    ]);
  });

  it('writes the messages of a tick to each member with one call, as one buffer that all share', async (t) => {
    const hall = new Hall(t);
    const members = hall.enterGroup('room', 3);
    const written: Buffer[] = [];
    for (const { socket } of members) {
      const write = socket._write.bind(socket);
      t.mock.method(socket, '_write', (chunk: Buffer, encoding: BufferEncoding, done: () => void) => {
        written.push(chunk);
        write(chunk, encoding, done);
      });
    }
    for (const data of ['1', '22', '333']) void hall.group('room').sendAsync(data);
    await passTurns();
    assert.equal(written.length, 3);
    assert.ok(written.every(({ buffer }) => buffer === written[0]?.buffer));
    assert.deepEqual(got(...members), [
      ['1', '22', '333'],
      ['1', '22', '333'],
      ['1', '22', '333'],
    ]);
  });

  it('lets whole messages wait until a fragmented one has ended', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    await member.context.sendAsync('a', { endOfMessage: false });
    assert.equal((await hall.group('room').sendAsync('whole')).members, 1);
    assert.equal((await hall.group('room').sendAsync('slot', { latest: 'key' })).members, 1);
    await member.context.sendAsync('b', { endOfMessage: false });
    await hall.group('room').sendAsync('newer', { latest: 'key' });
    await passTurns();
    assert.deepEqual(member.socket.sentText, ['text+ a', 'continuation+ b']);
    await member.context.sendAsync('c');
    await member.context.sendAsync('next');
    await passTurns();
    assert.deepEqual(member.socket.sentText, [
      'text+ a',
      'continuation+ b',
      'continuation c',
      'text whole',
      'text newer',
      'text next',
    ]);
  });

  it('drops what waits for the end of a message that our close cuts off', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    await member.context.sendAsync('a', { endOfMessage: false });
    await hall.group('room').sendAsync('whole');
    await member.context.closeOutputAsync(1000);
    await passTurns();
    assert.deepEqual(
      member.socket.sent.map(({ opcode }) => opcode),
      [1, CLOSE_FRAME],
    );
    assert.equal(member.context.bufferedAmount, 0);
  });

  it('aborts a member that never ends a fragmented message when more than sendBufferLimit waits', async (t) => {
    const hall = new Hall(t);
    const [stuck] = hall.enterGroup('room', 1, { sendBufferLimit: 10_000 }) as [FakeMember];
    const [fine] = hall.enterGroup('room', 1, { sendBufferLimit: 10_000 }) as [FakeMember];
    await stuck.context.sendAsync('a', { endOfMessage: false });
    let members = 2;
    for (let count = 0; members === 2; count++) {
      assert.ok(count < 20);
      ({ members } = await hall.group('room').sendAsync(Buffer.alloc(1000)));
    }
    assert.equal(stuck.context.state, WebSocketState.Aborted);
    assert.equal(fine.context.state, WebSocketState.Open);
  });

  it('is not withdrawn by cancelOutstandingIO, which withdraws what callers of the connection have begun', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    await slowDown(member);
    const direct = assert.rejects(member.context.sendAsync(Buffer.alloc(LARGE)), {
      code: 'ERR_WEBSOCKET_OPERATION_ABORTED',
    });
    await hall.group('room').sendAsync('for all');
    member.context.cancelOutstandingIO();
    await direct;
    member.socket.unstall();
    await passTurns();
    assert.deepEqual(got(member), [['.', 'for all']]);
  });

  it('refuses wrong arguments before anybody has got anything', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    const room = hall.group('room');
    const wrong: Array<[unknown[], RegExp]> = [
      [[undefined], /data is of type undefined/],
      [[1], /data is of type number/],
      [['a', { messageType: 'text' }], /messageType is of type string/],
      [['a', { compress: 1 }], /compress is of type number, must be a boolean/],
      [['a', { volatile: 'yes' }], /volatile is of type string, must be a boolean/],
      [['a', { local: null }], /local is null, must be a boolean/],
      [['a', { latest: 1 }], /latest is of type number, must be a string/],
      [['a', { latest: '' }], /latest is empty/],
      [['a', { latest: 'key', volatile: true }], /volatile and latest are both given/],
      [['a', { except: 'me' }], /except is of type string/],
      [['a', { except: null }], /except is null/],
      [['a', { except: [member.context, {}] }], /except is of type object/],
      [['a', { except: {} }], /except is of type object/],
    ];
    for (const [args, message] of wrong) {
      await assert.rejects(room.sendAsync(...(args as Parameters<typeof room.sendAsync>)), {
        name: 'TypeError',
        message,
      });
    }
    await assert.rejects(room.sendAsync('a', { messageType: 2 as never }), { name: 'RangeError' });
    await passTurns();
    assert.deepEqual(member.socket.sent, []);
  });
});

describe('Groups, slow members', () => {
  it('let a message wait, as a reference to what all share', async (t) => {
    const hall = new Hall(t);
    const [slow, fast] = hall.enterGroup('room', 2) as [FakeMember, FakeMember];
    await slowDown(slow);
    const sent = ['1', '2', '3'].map((data) => hall.group('room').sendAsync(data));
    for (const result of await Promise.all(sent))
      assert.deepEqual(result, { members: 2, skipped: 0, backplane: 'none' });
    assert.equal(slow.context.bufferedAmount, 3 * 4);
    assert.deepEqual(got(fast), [['1', '2', '3']]);
    slow.socket.unstall();
    await passTurns();
    assert.deepEqual(got(slow), [['.', '1', '2', '3']]);
  });

  it('are passed over by what is volatile', async (t) => {
    const hall = new Hall(t);
    const [slow, fast] = hall.enterGroup('room', 2) as [FakeMember, FakeMember];
    await slowDown(slow);
    assert.deepEqual(await hall.group('room').sendAsync('1', { volatile: true }), {
      members: 1,
      skipped: 1,
      backplane: 'none',
    });
    slow.socket.unstall();
    await passTurns();
    assert.equal((await hall.group('room').sendAsync('2', { volatile: true })).members, 2);
    assert.deepEqual(got(slow, fast), [
      ['.', '2'],
      ['1', '2'],
    ]);
  });

  it('get the latest message of a key in the place of the one that waits', async (t) => {
    const hall = new Hall(t);
    const [slow, fast] = hall.enterGroup('room', 2) as [FakeMember, FakeMember];
    void slow.context.addToGroupAsync('other room');
    await slowDown(slow);
    const room = hall.group('room');
    for (const rate of ['1.1', '1.2', '1.30']) {
      await room.sendAsync(`EUR ${rate}`, { latest: 'EUR' });
      await room.sendAsync(`GBP ${rate}`, { latest: 'GBP' });
      await room.sendAsync('news');
    }
    await hall.group('other room').sendAsync('EUR elsewhere', { latest: 'EUR' });
    await hall.all.sendAsync('EUR for all', { latest: 'EUR' });
    const waiting = ['EUR 1.30', 'GBP 1.30', 'news', 'news', 'news', 'EUR elsewhere', 'EUR for all'];
    assert.equal(slow.context.bufferedAmount, 3 + waiting.reduce((sum, text) => sum + text.length + 2, 0));
    assert.deepEqual(got(fast)[0]?.length, 10);
    slow.socket.unstall();
    await passTurns();
    assert.deepEqual(got(slow), [['.', ...waiting]]);
    await slowDown(slow);
    await room.sendAsync('EUR 1.4', { latest: 'EUR' });
    slow.socket.unstall();
    await passTurns();
    assert.deepEqual(got(slow)[0]?.at(-1), 'EUR 1.4');
  });

  it('are aborted alone when more than sendBufferLimit waits, and are not counted then', async (t) => {
    const hall = new Hall(t);
    const [slow, fast] = hall.enterGroup('room', 2, { sendBufferLimit: 100_000 }) as [FakeMember, FakeMember];
    await slowDown(slow);
    const seen: unknown[] = [];
    slow.context.signal.addEventListener('abort', () => {
      // Whoever is told of it may send at once: behind the message that is under way.
      seen.push(slow.context.state);
      void hall.group('room').sendAsync('gone');
    });
    const room = hall.group('room');
    assert.equal((await room.sendAsync(Buffer.alloc(LARGE))).members, 2);
    assert.deepEqual(seen, []);
    assert.equal((await room.sendAsync('more')).members, 1);
    assert.deepEqual(seen, [WebSocketState.Aborted]);
    assert.equal(room.size, 1);
    await passTurns();
    assert.deepEqual(got(fast), [[`${LARGE}`, 'more', 'gone']]);
  });

  it('are not those for which much was sent in one tick, if the system takes it', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1, { sendBufferLimit: 100_000 }) as [FakeMember];
    const room = hall.group('room');
    const sent = Array.from({ length: 10 }, () => room.sendAsync(Buffer.alloc(50_000)));
    for (const { members } of await Promise.all(sent)) assert.equal(members, 1);
    assert.equal(member.context.state, WebSocketState.Open);
    await passTurns();
    assert.equal(member.socket.sent.length, 10);
  });

  it('cannot be kept waiting for any number of tiny messages', async (t) => {
    const hall = new Hall(t);
    const [slow] = hall.enterGroup('room', 1, { sendBufferLimit: 100_000 }) as [FakeMember];
    await slowDown(slow);
    let count = 0;
    while (slow.context.state === WebSocketState.Open && count < 10_000) {
      void hall.group('room').sendAsync('');
      count++;
    }
    assert.ok(count < 2000, `${count} messages`);
  });

  it('get all that waited when a message of theirs ends, however many there are', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    await member.context.sendAsync('a', { endOfMessage: false });
    const count = 150_000;
    for (let at = 0; at < count; at++) void hall.group('room').sendAsync('');
    await member.context.sendAsync('b');
    while (member.context.bufferedAmount > 0) await passTurns();
    assert.equal(member.socket.sent.length, count + 2);
  });
});

describe('Groups, closing', () => {
  it('sends a close frame to all members, which leave, and goes on reading', async (t) => {
    const hall = new Hall(t);
    const [a, b, excepted] = hall.enterGroup('room', 3) as [FakeMember, FakeMember, FakeMember];
    await hall.group('room').sendAsync('bye');
    assert.deepEqual(await hall.group('room').closeAsync(4001, 'kicked', { except: excepted.context }), {
      members: 2,
      skipped: 0,
      backplane: 'none',
    });
    assert.deepEqual([...hall.group('room').members], [excepted.context]);
    for (const { context, socket } of [a, b]) {
      assert.equal(context.state, WebSocketState.CloseSent);
      assert.deepEqual(socket.sentText, ['text bye', 'close \x0f\xa1kicked']);
      socket.arrive(clientFrame({ payload: 'last words' }), clientClose(4001));
      assert.equal(await context.receiveMessageAsync(), 'last words');
      assert.equal(await context.receiveMessageAsync(), undefined);
      assert.equal(context.state, WebSocketState.Closed);
    }
    assert.equal(excepted.context.state, WebSocketState.Open);
  });

  it('closes all connections with 1000 by default, and behind what waits', async (t) => {
    const hall = new Hall(t);
    const [slow, fast] = [hall.enter(), hall.enter()];
    await slowDown(slow);
    await hall.all.sendAsync('waits');
    assert.equal((await hall.all.closeAsync()).members, 2);
    assert.equal((await hall.all.sendAsync('too late')).members, 0);
    slow.socket.unstall();
    await passTurns();
    assert.deepEqual(slow.socket.sentText, ['text .', 'text waits', 'close \x03\xe8']);
    assert.deepEqual(fast.socket.sentText, ['text waits', 'close \x03\xe8']);
  });

  it('refuses what cannot be sent, and closes nobody', async (t) => {
    const hall = new Hall(t);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    const room = hall.group('room');
    await assert.rejects(room.closeAsync(1006), { name: 'RangeError' });
    await assert.rejects(room.closeAsync('1000' as never), { name: 'TypeError' });
    await assert.rejects(room.closeAsync(1000, 'x'.repeat(124)), { name: 'RangeError' });
    await assert.rejects(room.closeAsync(1000, '', { except: 1 as never }), {
      name: 'TypeError',
      message: /Cannot close/,
    });
    assert.equal(member.context.state, WebSocketState.Open);
    await room.closeAsync(1005);
    assert.deepEqual(member.socket.sentText, ['close ']);
  });
});

describe('Groups and other processes', () => {
  it('publishes what is not local, behind a check of its size that nobody gets around', async (t) => {
    const backplane = new FakeBackplane();
    backplane.limit = 5;
    const hall = new Hall(t, backplane);
    const [member] = hall.enterGroup('room', 1) as [FakeMember];
    const room = hall.group('room');
    assert.equal((await room.sendAsync('12345', { compress: true, latest: 'key' })).backplane, 'sent');
    assert.deepEqual(backplane.last, {
      text: true,
      data: Buffer.from('12345'),
      compress: true,
      volatile: undefined,
      latest: 'key',
    });
    backplane.outcome = Promise.resolve('unavailable');
    assert.equal((await hall.all.sendAsync('all', { volatile: true })).backplane, 'unavailable');
    assert.equal(backplane.last?.volatile, true);
    await assert.rejects(room.sendAsync('123456'), { name: 'RangeError', message: 'Too long' });
    assert.equal((await room.sendAsync('local 123', { local: true })).backplane, 'none');
    assert.equal((await room.closeAsync(4000, 'over')).backplane, 'unavailable');
    assert.deepEqual(backplane.asked.slice(2, 5), ['publish room 12345', `publish ${ALL} all`, 'close room 4000 over']);
    assert.deepEqual(got(member)[0]?.slice(0, 3), ['12345', 'all', 'local 123']);
  });

  it('gives its members what others publish', async (t) => {
    const hall = new Hall(t);
    const [a, b] = hall.enterGroup('room', 2) as [FakeMember, FakeMember];
    const stranger = hall.enter();
    hall.groups.onMessage('room', { text: true, data: Buffer.from('from afar') });
    hall.groups.onMessage(ALL, { text: false, data: Buffer.from('to all') });
    hall.groups.onMessage('empty', { text: true, data: Buffer.from('to nobody') });
    await passTurns();
    assert.deepEqual(got(a, b, stranger), [['from afar', 'to all'], ['from afar', 'to all'], ['to all']]);
    await slowDown(a);
    hall.groups.onMessage('room', { text: true, data: Buffer.from('skips'), volatile: true });
    hall.groups.onMessage('room', { text: true, data: Buffer.from('old'), latest: 'key' });
    hall.groups.onMessage('room', { text: true, data: Buffer.from('new'), latest: 'key' });
    a.socket.unstall();
    await passTurns();
    assert.deepEqual(got(a)[0]?.slice(2), ['.', 'new']);
    assert.equal(hall.groups.onCount('room'), 2);
    assert.equal(hall.groups.onCount(ALL), 3);
    hall.groups.onClose('room', 4000, 'over');
    assert.equal(hall.groups.onCount('room'), 0);
    assert.equal(hall.groups.onCount(ALL), 1);
  });

  it('counts members in all processes, and those that did not answer', async (t) => {
    const hall = new Hall(t, new FakeBackplane());
    hall.enterGroup('room', 3);
    assert.deepEqual(await hall.group('room').countAsync({ timeout: 50 }), { count: 53, nodes: 3, missing: 1 });
    assert.deepEqual(await hall.group('room').countAsync(), { count: 1003, nodes: 3, missing: 1 });
    const alone = new Hall(t);
    alone.enterGroup('room', 2);
    assert.deepEqual(await alone.group('room').countAsync(), { count: 2, nodes: 1, missing: 0 });
    for (const timeout of ['1', null]) {
      await assert.rejects(alone.all.countAsync({ timeout: timeout as never }), {
        name: 'TypeError',
        message: /timeout is/,
      });
    }
    for (const timeout of [-1, Number.NaN, 2 ** 31]) {
      await assert.rejects(alone.all.countAsync({ timeout }), {
        name: 'RangeError',
        message: /must be a number from 0 to/,
      });
    }
  });

  it('knows of no others without a backplane', async () => {
    const message = { text: true, data: Buffer.from('a') };
    await NO_BACKPLANE.join('room');
    NO_BACKPLANE.assertFits('room', message);
    assert.equal(await NO_BACKPLANE.publish('room', message), 'none');
    assert.equal(await NO_BACKPLANE.publishClose('room', 1000, ''), 'none');
    NO_BACKPLANE.leave('room');
  });
});
