import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { flushAtEndOfTick } from '../src/connection/sending/end-of-tick.js';
import { encodedIfRepeated } from '../src/connection/sending/repeated-text.js';
import { eventLoop } from '../src/event-loop.js';

describe('flushAtEndOfTick', () => {
  it('flushes all by one callback, also those behind one whose stream throws', (t) => {
    const ticks: (() => void)[] = [];
    t.mock.method(eventLoop, 'nextTick', (tick: () => void) => void ticks.push(tick));
    const flushed: string[] = [];
    const named = (name: string) => ({ flush: () => void flushed.push(name) });
    flushAtEndOfTick(named('first'));
    flushAtEndOfTick({
      flush() {
        throw new Error('a stream of the application');
      },
    });
    flushAtEndOfTick(named('third'));
    assert.equal(ticks.length, 1);
    assert.throws(() => ticks.shift()?.(), { message: 'a stream of the application' });
    flushAtEndOfTick(named('fourth'));
    while (ticks.length > 0) ticks.shift()?.();
    assert.deepEqual(flushed, ['first', 'third', 'fourth']);
    flushAtEndOfTick(named('first'));
    ticks.shift()?.();
    assert.deepEqual(flushed.slice(3), ['first']);
  });

  it('lets go of the text that the tick has sent, also where a stream throws', (t) => {
    const ticks: (() => void)[] = [];
    t.mock.method(eventLoop, 'nextTick', (tick: () => void) => void ticks.push(tick));
    const text = 'a part of a much longer one, which is not to be kept for its sake';
    const flushes = [
      () => {},
      () => {
        throw new Error('a stream of the application');
      },
    ];
    for (const flush of flushes) {
      encodedIfRepeated(text);
      flushAtEndOfTick({ flush });
      try {
        ticks.shift()?.();
      } catch {}
      assert.equal(encodedIfRepeated(text), text);
    }
  });

  it('leaves what is to be flushed by a flush to the next tick', (t) => {
    const ticks: (() => void)[] = [];
    t.mock.method(eventLoop, 'nextTick', (tick: () => void) => void ticks.push(tick));
    const flushed: string[] = [];
    const late = { flush: () => void flushed.push('late') };
    flushAtEndOfTick({ flush: () => flushAtEndOfTick(late) });
    ticks.shift()?.();
    assert.deepEqual(flushed, []);
    ticks.shift()?.();
    assert.deepEqual(flushed, ['late']);
  });
});
