import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeepAlive } from '../src/connection/keep-alive.js';
import { SharedMessage } from '../src/connection/sending/shared-message.js';
import { Seating } from '../src/groups/seating.js';
import type { Member } from '../src/member.js';
import { FakeSocket, passTurns } from './support/fake-socket.js';
import { makeMember } from './support/members.js';

const text = (data: string): SharedMessage => new SharedMessage(data, { text: true });
const keepAlive = new KeepAlive();

function enter(): { readonly member: Member; readonly socket: FakeSocket } {
  const socket = new FakeSocket();
  const groups = { join: () => Promise.resolve(), leave: () => {}, leaveAll: () => {} };
  return { member: makeMember(socket, { groups, onTerminated: () => {} }, { keepAlive }), socket };
}

describe('Seating', () => {
  it('seats who can take a message at once, and looks at who has had something else to send', async () => {
    const [one, other] = [enter(), enter()];
    const seating = new Seating([one.member]);
    seating.add(other.member);
    const first = text('a');
    assert.equal(seating.trySend(first), true);
    assert.deepEqual([[...seating.others], seating.size], [[one.member, other.member], 0]);
    for (const member of seating.others) assert.equal(seating.give(member, first), true);
    assert.deepEqual([[...seating.others], seating.size], [[], 2]);
    void other.member.context.sendAsync('own');
    assert.deepEqual([...seating.others], [other.member]);
    const second = text('b');
    assert.equal(seating.trySend(second), true);
    assert.equal(seating.give(other.member, second), true);
    assert.deepEqual([[...seating.others], seating.size], [[other.member], 1]);
    await passTurns();
    assert.deepEqual(one.socket.sentText, ['text a', 'text b']);
    assert.deepEqual(other.socket.sentText, ['text a', 'text own', 'text b']);
  });

  it('looks at a member that the next message is not for', () => {
    const members = [enter().member, enter().member];
    const [first] = members as [Member, Member];
    const seating = new Seating(members);
    const message = text('a');
    seating.trySend(message);
    for (const member of members) seating.give(member, message);
    seating.leaveCohort(first);
    assert.deepEqual([[...seating.others], seating.size], [[first], 1]);
  });

  it('forgets who is not a member any more, wherever he is', () => {
    const [seated, left, other] = [enter().member, enter().member, enter().member];
    const seating = new Seating([seated, left]);
    const message = text('a');
    seating.trySend(message);
    for (const member of [seated, left]) seating.give(member, message);
    void left.context.sendAsync('own');
    seating.add(other);
    for (const member of [seated, left, other]) seating.delete(member);
    assert.deepEqual([[...seating.others], seating.size], [[], 0]);
  });

  it('says which members a volatile message has passed over, and keeps them in mind', async () => {
    const { member, socket } = enter();
    const seating = new Seating([member]);
    socket.stall();
    void member.context.sendAsync('own');
    await passTurns();
    const message = new SharedMessage('a', { text: true, volatile: true });
    seating.trySend(message);
    assert.equal(seating.give(member, message), false);
    assert.deepEqual([...seating.others], [member]);
    socket.unstall();
  });
});
