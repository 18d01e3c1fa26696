import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { InflateWindow } from '../src/framing/inflate-window.js';

describe('InflateWindow', () => {
  it('keeps the last bytes of all, in order, however they were cut', () => {
    for (const size of [1, 7, 16]) {
      for (const cuts of [[0], [1], [3], [5, 0, 2], [7], [16], [40], [1, 15, 16, 17, 6, 33]]) {
        const window = new InflateWindow(size);
        let all = Buffer.alloc(0);
        for (let round = 0; round < 12; round++) {
          const chunk = Buffer.from(Array.from({ length: cuts[round % cuts.length] ?? 0 }, (_, i) => all.length + i));
          all = Buffer.concat([all, chunk]);
          window.write(chunk);
          assert.deepEqual(window.toBuffer(), all.subarray(Math.max(0, all.length - size)), `${size}: ${cuts}`);
        }
      }
    }
  });

  it('keeps a copy', () => {
    const window = new InflateWindow(8);
    const chunk = Buffer.from('abc');
    window.write(chunk);
    chunk.fill('x');
    assert.equal(`${window.toBuffer()}`, 'abc');
  });

  it('takes no memory for a piece when it is full', (t) => {
    const window = new InflateWindow(8);
    window.write(Buffer.from('12345678'));
    const allocate = t.mock.method(Buffer, 'allocUnsafeSlow');
    for (let i = 0; i < 100; i++) window.write(Buffer.from('abc'));
    assert.equal(allocate.mock.callCount(), 0);
  });
});
