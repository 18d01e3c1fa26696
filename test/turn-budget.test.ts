import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventLoop } from '../src/event-loop.js';
import { TurnBudget } from '../src/framing/turn-budget.js';

describe('TurnBudget', () => {
  it('is spent in a turn of the event loop, and whole again in the next', async (t) => {
    const budget = new TurnBudget(10);
    const asked = t.mock.method(eventLoop, 'setImmediate').mock;
    for (let turn = 0; turn < 2; turn++) {
      assert.equal(budget.hasRest, true);
      budget.take(9);
      assert.equal(budget.hasRest, true);
      budget.take(1);
      assert.equal(budget.hasRest, false);
      budget.take(100);
      assert.equal(budget.hasRest, false);
      assert.equal(asked.callCount(), turn + 1);
      await new Promise(setImmediate);
    }
    assert.equal(budget.hasRest, true);
  });
});
