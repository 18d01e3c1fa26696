import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventLoop } from '../src/event-loop.js';
import { openRaw } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

describe('eventLoop', { timeout: 120_000 }, () => {
  it('keeps what it was loaded with, so that bytes flow while fake timers stand still', async (t) => {
    const { socket, client } = await openRaw(t);
    const real = { nextTick: process.nextTick, setImmediate: globalThis.setImmediate };
    t.after(() => {
      process.nextTick = real.nextTick;
      globalThis.setImmediate = real.setImmediate;
    });
    const stopped: string[] = [];
    const own = (stack = ''): boolean => stack.includes('/src/');
    process.nextTick = (callback: (...args: never[]) => void, ...args: never[]) => {
      // Node's own streams, which no fake timers of jest reach, go on.
      if (own(new Error().stack?.split('\n')[2])) stopped.push('nextTick');
      else real.nextTick(callback, ...args);
    };
    t.mock.method(globalThis, 'setImmediate', () => stopped.push('setImmediate'));

    // Above the high-water mark, so that a send is settled in a later turn.
    const sent = Promise.all(Array.from({ length: 20 }, () => socket.sendAsync('x'.repeat(15_000))));
    for (let i = 0; i < 20; i++) await client.next();
    await sent;
    await socket.closeOutputAsync();
    assert.deepEqual(await client.nextClose(), { code: 1000, reason: '' });
    assert.deepEqual(stopped, []);
    assert.notEqual(eventLoop.nextTick, process.nextTick);
  });
});
