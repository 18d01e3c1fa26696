import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { WebSocketState } from '../src/index.js';
import type { JoinedGroup, Member } from '../src/member.js';
import { FakeSocket } from './support/fake-socket.js';
import { makeMember } from './support/members.js';

/** A member of nothing, and what it reports. */
function enter(socket: FakeSocket, onTerminated: (member: Member) => void = () => {}): Member {
  return makeMember(socket, {
    groups: {
      join: (member, name) => {
        member.groups = [...member.groups, { name }];
        return Promise.resolve();
      },
      leave: (member, name) => {
        member.groups = member.groups.filter((group) => group.name !== name);
      },
      leaveAll: (member) => {
        member.groups = [];
      },
    },
    onTerminated,
  });
}

describe('Member', () => {
  it('has its context when it reports a connection that was lost before it began', () => {
    const socket = new FakeSocket();
    socket.destroy();
    const states: WebSocketState[] = [];
    const { context } = enter(socket, (gone) => states.push(gone.context.state));
    assert.deepEqual(states, [WebSocketState.Aborted]);
    assert.equal(context.signal.aborted, true);
  });

  it('has left its groups before the application learns that the connection begins to close', async () => {
    const { context } = enter(new FakeSocket());
    await context.addToGroupAsync('a');
    await context.addToGroupAsync('b');
    const seen: number[] = [];
    context.closing.addEventListener('abort', () => seen.push(context.groups.size));
    context.signal.addEventListener('abort', () => seen.push(context.groups.size));
    context.abort();
    assert.deepEqual(seen, [0, 0]);
  });

  it('shows the groups that it is in, none, one or several', () => {
    const member = enter(new FakeSocket());
    const [a, b]: JoinedGroup[] = [{ name: 'a' }, { name: 'b' }];
    for (const groups of [[], [a], [a, b], [b], []] as JoinedGroup[][]) {
      member.groups = groups;
      assert.deepEqual(member.groups, groups);
    }
    member.context.abort();
  });

  it('reports its end in the asynchronous context of its handshake', () => {
    const user = new AsyncLocalStorage<string>();
    const users: unknown[] = [];
    const member = user.run('alice', () => enter(new FakeSocket(), () => users.push(user.getStore())));
    user.run('bob', () => member.context.abort());
    assert.deepEqual(users, ['alice']);
  });
});
