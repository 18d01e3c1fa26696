import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { afterInput, Deadline } from '../src/deadline.js';
import { FakeClock } from './support/fake-clock.js';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Does not come back before timers of up to so many ms are due, all of them: their turn is one then. */
function block(ms: number): void {
  const end = performance.now() + ms + 5;
  while (performance.now() < end);
}

describe('afterInput()', () => {
  it('calls back when a turn has brought nothing more', async () => {
    let came = 0;
    let called = 0;
    afterInput(
      () => called++,
      () => came,
    );
    assert.equal(called, 0);
    for (let i = 0; i < 5; i++) {
      came++;
      await turn();
      assert.equal(called, 0);
    }
    await turn();
    await turn();
    assert.equal(called, 1);
  });

  it('does not wait for ever for one who goes on sending', async () => {
    let came = 0;
    let called = 0;
    afterInput(
      () => called++,
      () => came++,
    );
    for (let i = 0; i < 70; i++) await turn();
    assert.equal(called, 1);
  });

  it('can be called off', async () => {
    let called = 0;
    afterInput(() => called++)();
    await turn();
    assert.equal(called, 0);
  });
});

describe('Deadline', () => {
  it('expires a turn behind its time', async () => {
    const order: string[] = [];
    await new Promise<void>((resolve) => {
      const deadline = new Deadline(() => {
        order.push('expired');
        resolve();
      }, 5);
      deadline.refresh();
      setTimeout(() => order.push('a timer of the same time'), 5);
      block(5);
    });
    assert.deepEqual(order, ['a timer of the same time', 'expired']);
  });

  it('can be refreshed and cleared, also in the turn in which its time was up', async (t) => {
    // Long enough that a turn does not take it once more.
    const LIMIT = 50;
    let expired = 0;
    const refreshed = new Deadline(() => expired++, LIMIT);
    const cleared = new Deadline(() => expired++, LIMIT);
    await new Promise<void>((resolve) => {
      setTimeout(() => {
        refreshed.refresh();
        cleared.clear();
        resolve();
      }, LIMIT);
      block(LIMIT);
    });
    await turn();
    assert.equal(expired, 0);
    refreshed.clear();

    const clock = new FakeClock().install(t);
    const deadline = new Deadline(() => expired++, 10).unref();
    clock.advance(9);
    deadline.refresh();
    clock.advance(9);
    assert.equal(expired, 0);
    clock.advance(1);
    assert.equal(expired, 1);
    deadline.clear();
    assert.equal(clock.pending, 0);
  });
});
