import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import {
  flushAllInSlices,
  flushInSlices,
  type SliceTarget,
  whenSlicesAreDone,
} from '../src/connection/sending/slices.js';
import { eventLoop } from '../src/event-loop.js';
import { passTurns } from './support/fake-socket.js';

/** The callbacks that have been asked for, to be called by the test, and a clock of its own. */
function takeOver(t: TestContext) {
  const ticks: Array<() => void> = [];
  const turns: Array<() => void> = [];
  const clock = { now: 0 };
  t.mock.method(eventLoop, 'nextTick', (callback: () => void) => void ticks.push(callback));
  t.mock.method(eventLoop, 'setImmediate', (callback: () => void) => void turns.push(callback));
  t.mock.method(performance, 'now', () => clock.now);
  return { ticks, turns, clock };
}

describe('flushInSlices', () => {
  it('lets the event loop go round after each 10 ms, and keeps the order', (t) => {
    const { ticks, turns, clock } = takeOver(t);
    const flushed: number[] = [];
    for (let at = 0; at < 100; at++) {
      flushInSlices({
        onSlice() {
          flushed.push(at);
          clock.now += 0.25;
        },
      });
    }
    assert.equal(ticks.length, 1);
    ticks.shift()?.();
    assert.equal(flushed.length, 48);
    assert.equal(turns.length, 1);
    flushInSlices({ onSlice: () => void flushed.push(100) });
    assert.equal(ticks.length, 0);
    while (turns.length > 0) turns.shift()?.();
    assert.deepEqual(
      flushed,
      Array.from({ length: 101 }, (_, at) => at),
    );
  });

  it('takes many at once, behind those who wait already', (t) => {
    const { ticks, turns } = takeOver(t);
    const flushed: string[] = [];
    const target = (name: string): SliceTarget => ({ onSlice: () => void flushed.push(name) });
    flushAllInSlices([]);
    assert.equal(ticks.length, 0);
    flushAllInSlices([target('1'), target('2')]);
    assert.equal(ticks.length, 1);
    flushInSlices(target('3'));
    flushAllInSlices([target('4'), target('5')]);
    assert.equal(ticks.length, 1);
    ticks.shift()?.();
    assert.deepEqual(flushed, ['1', '2', '3', '4', '5']);
    assert.deepEqual([ticks.length, turns.length], [0, 0]);
  });

  it('lets one have several turns before the next one has his, and looks at the clock between them', (t) => {
    const { ticks, turns, clock } = takeOver(t);
    const flushed: string[] = [];
    flushInSlices({
      onSlice() {
        flushed.push('many');
        clock.now += 1;
      },
      get hasMore() {
        return flushed.length < 40;
      },
    });
    flushInSlices({ onSlice: () => void flushed.push('one') });
    ticks.shift()?.();
    assert.equal(flushed.length, 16);
    turns.shift()?.();
    assert.equal(flushed.length, 32);
    turns.shift()?.();
    assert.deepEqual(flushed, [...Array.from({ length: 40 }, () => 'many'), 'one']);
    assert.deepEqual([ticks.length, turns.length], [0, 0]);
  });

  it('lets who wants another turn have it, though a stream throws in this one', (t) => {
    const { ticks, turns } = takeOver(t);
    const flushed: string[] = [];
    flushInSlices({
      onSlice() {
        flushed.push('many');
        if (flushed.length === 1) throw new Error('a stream of the application');
      },
      get hasMore() {
        return flushed.length < 3;
      },
    });
    flushInSlices({ onSlice: () => void flushed.push('one') });
    assert.throws(() => ticks.shift()?.(), { message: 'a stream of the application' });
    turns.shift()?.();
    assert.deepEqual(flushed, ['many', 'many', 'many', 'one']);
  });

  it('goes on with the others when a stream throws', (t) => {
    const { ticks, turns } = takeOver(t);
    const flushed: string[] = [];
    flushInSlices({
      onSlice() {
        throw new Error('a stream of the application');
      },
    });
    flushInSlices({ onSlice: () => void flushed.push('second') });
    assert.throws(() => ticks.shift()?.(), { message: 'a stream of the application' });
    turns.shift()?.();
    assert.deepEqual(flushed, ['second']);
  });

  it('forgets those who had their turn, however long it goes on', (t) => {
    const { ticks, turns, clock } = takeOver(t);
    let flushed = 0;
    const target = {
      onSlice() {
        flushed++;
        clock.now += 0.001;
        if (flushed < 50_000) flushInSlices(target);
      },
    };
    flushInSlices(target);
    ticks.shift()?.();
    while (turns.length > 0) turns.shift()?.();
    assert.equal(flushed, 50_000);
  });
});

describe('whenSlicesAreDone', () => {
  it('resolves when those have been flushed that waited when it was called', async (t) => {
    const { ticks, turns, clock } = takeOver(t);
    const slow = {
      onSlice() {
        clock.now += 1;
      },
    };
    const events: string[] = [];
    void whenSlicesAreDone().then(() => events.push('nobody waited'));
    for (let at = 0; at < 16; at++) flushInSlices(slow);
    void whenSlicesAreDone().then(() => events.push('first'));
    for (let at = 0; at < 16; at++) flushInSlices(slow);
    void whenSlicesAreDone().then(() => events.push('second'));
    await passTurns();
    assert.deepEqual(events, ['nobody waited']);
    ticks.shift()?.();
    await passTurns();
    assert.deepEqual(events, ['nobody waited', 'first']);
    turns.shift()?.();
    await passTurns();
    assert.deepEqual(events, ['nobody waited', 'first', 'second']);
  });

  it('resolves as soon as those have been flushed, however many wait behind them', async (t) => {
    const { ticks, turns, clock } = takeOver(t);
    const slow = {
      onSlice() {
        clock.now += 1;
      },
    };
    for (let at = 0; at < 20; at++) flushInSlices(slow);
    let isDone = false;
    void whenSlicesAreDone().then(() => {
      isDone = true;
    });
    for (let at = 0; at < 200; at++) flushInSlices(slow);
    ticks.shift()?.();
    await passTurns();
    assert.equal(isDone, false);
    turns.shift()?.();
    await passTurns();
    assert.equal(isDone, true);
    while (turns.length > 0) turns.shift()?.();
  });

  it('takes time in proportion to those who want to know', async (t) => {
    const { ticks } = takeOver(t);
    const taken = (watchers: number): number => {
      flushInSlices({ onSlice: () => {} });
      const before = process.cpuUsage();
      for (let at = 0; at < watchers; at++) void whenSlicesAreDone();
      ticks.shift()?.();
      const { user, system } = process.cpuUsage(before);
      return user + system;
    };
    const least = (watchers: number): number => Math.min(...[1, 2, 3].map(() => taken(watchers)));
    least(10_000);
    const [some, many] = [least(10_000), least(80_000)];
    // 8 times as many take about 8 times as long; in proportion to their square, a thousand times.
    assert.ok(many < 40 * some, `${many} µs for 80,000 instead of ${some} µs for 10,000`);
  });
});
