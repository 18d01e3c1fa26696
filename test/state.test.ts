import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { canSend, isTerminal, nextState, type StateEvent, stateName, WebSocketState } from '../src/connection/state.js';

const { None, Connecting, Open, CloseSent, CloseReceived, Closed, Aborted } = WebSocketState;
const ALL = [None, Connecting, Open, CloseSent, CloseReceived, Closed, Aborted];

describe('WebSocketState', () => {
  it('has the members and numbers of .NET, and cannot be changed', () => {
    assert.deepEqual(ALL, [0, 1, 2, 3, 4, 5, 6]);
    assert.ok(Object.isFrozen(WebSocketState));
  });

  it('has a name for every state', () => {
    for (const state of ALL) assert.equal(Reflect.get(WebSocketState, stateName(state)), state);
  });
});

describe('nextState', () => {
  for (const [event, transitions] of Object.entries({
    closeSent: { [Open]: CloseSent, [CloseReceived]: Closed },
    closeReceived: { [Open]: CloseReceived, [CloseSent]: Closed },
    aborted: { [Open]: Aborted, [CloseSent]: Aborted, [CloseReceived]: Aborted },
  }) as Array<[StateEvent, Partial<Record<WebSocketState, WebSocketState>>]>) {
    it(`moves on ${event} as the table says, and stays where it says nothing`, () => {
      for (const state of ALL) assert.equal(nextState(state, event), transitions[state] ?? state);
    });
  }
});

describe('isTerminal and canSend', () => {
  it('know which states end a connection and in which our half is open', () => {
    assert.deepEqual(ALL.filter(isTerminal), [Closed, Aborted]);
    assert.deepEqual(ALL.filter(canSend), [Open, CloseReceived]);
  });
});
