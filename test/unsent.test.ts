import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recycle } from '../src/framing/batch.js';
import { headerLength, makeFrame } from '../src/framing/frame.js';
import { FrameRun } from '../src/framing/frame-run.js';
import { COPY_LIMIT, type FrameWriter } from '../src/framing/frame-writer.js';
import { BINARY_FRAME, FIN, TEXT_FRAME } from '../src/framing/opcodes.js';
import { batchOf, ownFrames, type Unsent, withShared } from '../src/framing/unsent.js';
import { parseFrames } from './support/frames.js';

const run = (text: string): FrameRun => new FrameRun(makeFrame(FIN | TEXT_FRAME, text));
const large = (size: number): FrameRun => new FrameRun(makeFrame(FIN | BINARY_FRAME, Buffer.alloc(size)));

/** Adds a frame of its own. */
function withOwn(unsent: Unsent | undefined, text: string): FrameWriter {
  const writer = ownFrames(unsent);
  writer.appendText(FIN | TEXT_FRAME, text);
  return writer;
}

/** The payloads of what was put together, long ones as their length. */
function sent(unsent: Unsent): (string | number)[] {
  const { byteLength } = unsent;
  const batch = batchOf(unsent);
  const bytes = Buffer.concat(batch.chunks);
  assert.equal(batch.byteLength, bytes.length);
  assert.equal(byteLength, bytes.length);
  recycle(batch);
  return parseFrames(bytes).frames.map(({ payload }) => (payload.length > 1 ? payload.length : payload.toString()));
}

describe('what a connection has not sent yet', () => {
  it('is a reference to frames that go to others too, as long as there are no others', () => {
    const [a, b] = [run('a'), run('b')];
    assert.equal(withShared(undefined, a), a);
    assert.equal(withShared(a, b), a.followedBy(b));
    assert.equal(batchOf(a), a.batch);
  });

  it('has frames of its own between those in the order in which they came, and refers to large ones', () => {
    const huge = large(COPY_LIMIT + 1);
    const shared = withShared(run('a'), huge);
    const writer = withShared(withShared(withOwn(shared, 'b'), run('c')), huge);
    const all = withOwn(writer, 'd');
    all.append(FIN | BINARY_FRAME, Buffer.from('e'));
    assert.equal(all, writer);
    const { byteLength } = all;
    const batch = batchOf(all);
    assert.equal(batch.byteLength, byteLength);
    assert.equal(Buffer.concat(batch.chunks).length, byteLength);
    assert.equal(batch.chunks.filter((chunk) => chunk === huge.frames[0]).length, 2);
    assert.equal(batch.chunks.length, 5); // and what is small, in between
    const { frames } = parseFrames(Buffer.concat(batch.chunks));
    assert.deepEqual(
      frames.map(({ payload }) => (payload.length > 1 ? payload.length : payload.toString())),
      ['a', COPY_LIMIT + 1, 'b', 'c', COPY_LIMIT + 1, 'd', 'e'],
    );
    recycle(batch);
  });

  it('has a copy of a frame of COPY_LIMIT, and of none that is longer', () => {
    for (const [size, isCopied] of [
      [COPY_LIMIT, true],
      [COPY_LIMIT + 1, false],
    ] as const) {
      const frame = large(size - headerLength(size));
      assert.equal(frame.byteLength, size);
      const batch = batchOf(withOwn(frame, 'own'));
      assert.equal(batch.chunks.length, isCopied ? 1 : 2);
      recycle(batch);
    }
  });

  it('borrows a writer for frames of its own until they are sent', () => {
    const first = withOwn(undefined, 'a');
    const second = withOwn(undefined, 'b');
    assert.notEqual(first, second);
    assert.deepEqual(sent(first), ['a']);
    const third = withOwn(undefined, 'c');
    assert.equal(third, first);
    assert.deepEqual([sent(third), sent(second)], [['c'], ['b']]);
  });

  it('keeps no more writers than a peak of 1,024 connections has needed', () => {
    const peak = Array.from({ length: 1100 }, () => withOwn(undefined, 'a'));
    for (const writer of peak) sent(writer);
    const again = Array.from({ length: 1100 }, () => withOwn(undefined, 'b'));
    assert.equal(again.filter((writer) => peak.includes(writer)).length, 1024);
    for (const writer of again) assert.deepEqual(sent(writer), ['b']);
  });
});
