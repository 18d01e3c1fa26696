import assert from 'node:assert/strict';
import { getEventListeners } from 'node:events';
import { describe, it } from 'node:test';
import { onAbort, whileUncancelled } from '../src/connection/cancellation.js';

describe('onAbort', () => {
  it('tells all who listen, in order, and only those', () => {
    const controller = new AbortController();
    const told: number[] = [];
    onAbort(controller.signal, () => told.push(1));
    const stop = onAbort(controller.signal, () => told.push(2));
    onAbort(controller.signal, () => told.push(3));
    stop();
    stop();
    controller.abort();
    assert.deepEqual(told, [1, 3]);
  });

  it('lets one who is told stop another who has not been', () => {
    const controller = new AbortController();
    const told: string[] = [];
    onAbort(controller.signal, () => {
      told.push('first');
      stop();
    });
    const stop = onAbort(controller.signal, () => told.push('second'));
    controller.abort();
    assert.deepEqual(told, ['first']);
  });

  it('has one listener for any number of operations, and none when they are over', () => {
    const { signal } = new AbortController();
    const stops = Array.from({ length: 10_000 }, () => onAbort(signal, () => {}));
    assert.equal(getEventListeners(signal, 'abort').length, 1);
    for (const stop of stops) stop();
    assert.equal(getEventListeners(signal, 'abort').length, 0);
    onAbort(signal, () => {})();
    assert.equal(getEventListeners(signal, 'abort').length, 0);
  });
});

describe('whileUncancelled', () => {
  it('cancels an operation only as long as it has not settled', async () => {
    for (const settled of [Promise.resolve(1), Promise.reject(new Error('failed'))]) {
      const controller = new AbortController();
      let cancelled = 0;
      await whileUncancelled(settled, controller.signal, () => cancelled++).catch(() => 0);
      controller.abort();
      assert.equal(cancelled, 0);
    }
    const controller = new AbortController();
    await assert.rejects(
      new Promise((_resolve, reject) => {
        void whileUncancelled(new Promise(() => {}), controller.signal, () => reject(controller.signal.reason));
        controller.abort(new Error('no'));
      }),
      /no/,
    );
  });
});
