import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recycle } from '../src/framing/batch.js';
import { makeFrame, payloadOf } from '../src/framing/frame.js';
import { FrameRun } from '../src/framing/frame-run.js';
import { BINARY_FRAME, FIN, RSV1, TEXT_FRAME } from '../src/framing/opcodes.js';
import { passTurns } from './support/fake-socket.js';
import { parseFrames } from './support/frames.js';

const run = (text: string): FrameRun => new FrameRun(makeFrame(FIN | TEXT_FRAME, text));
const large = (size: number): FrameRun => new FrameRun(makeFrame(FIN | BINARY_FRAME, Buffer.alloc(size)));
const texts = (chunks: readonly Buffer[]): string[] =>
  parseFrames(Buffer.concat(chunks)).frames.map(({ payload }) => payload.toString());

describe('FrameRun', () => {
  it('is the same for all that have been sent the same frames in the same turn', async () => {
    const [a, b, c] = [run('a'), run('b'), run('c')];
    const first = a.followedBy(b).followedBy(c);
    assert.equal(a.followedBy(b).followedBy(c), first);
    assert.deepEqual(texts(a.followedBy(c).frames), ['a', 'c']);
    assert.deepEqual(texts(first.frames), ['a', 'b', 'c']);
    assert.equal(first.byteLength, 9);
    await passTurns();
    assert.notEqual(a.followedBy(b).followedBy(c), first);
  });

  it('is forgotten with the turn, in every turn', async () => {
    const [a, b] = [run('a'), run('b')];
    for (let turn = 0; turn < 3; turn++) {
      const longer = a.followedBy(b);
      assert.equal(a.followedBy(b), longer);
      await passTurns(1);
      assert.notEqual(a.followedBy(b), longer);
      await passTurns(1);
    }
  });

  it('is joined once, and the batch is the same for all', () => {
    const [a, b] = [large(4000), large(4000)];
    const ours = a.followedBy(b);
    assert.equal(ours.batch.chunks.length, 2);
    assert.equal(a.followedBy(b), ours);
    const { batch } = ours;
    assert.equal(batch.chunks.length, 1);
    assert.deepEqual(batch.chunks[0], Buffer.concat(ours.frames));
    assert.equal(ours.batch, batch);
    recycle(batch);
  });

  it('is not joined where a copy would cost more than it saves', () => {
    const [a, b] = [large(200_000), large(200_000)];
    assert.equal(a.batch.chunks[0], a.frames[0]);
    a.followedBy(b);
    assert.equal(a.followedBy(b).batch.chunks.length, 2);
  });

  it('is joined for one alone if its frames are no longer than references', () => {
    assert.equal(run('a').followedBy(run('b')).batch.chunks.length, 1);
  });

  it('goes on with all frames of another one, whether many have come there or one', () => {
    const [a, b, c] = [run('a'), run('b'), run('c')];
    const all = run('0').followedByAll(a.followedBy(b).followedBy(c));
    assert.deepEqual(texts(all.frames), ['0', 'a', 'b', 'c']);
    assert.deepEqual([all.count, all.byteLength], [4, 12]);
    assert.deepEqual(texts(a.followedByAll(b).frames), ['a', 'b']);
    const long = Array.from({ length: 20_000 }, () => run('x')).reduce((before, next) => before.followedBy(next));
    assert.equal(a.followedByAll(long).count, 20_001);
  });

  it('is joined where many come to it at once', () => {
    assert.equal(large(60_000).followedBy(large(60_000), true).batch.chunks.length, 1);
    assert.equal(large(60_000).followedBy(large(60_000)).batch.chunks.length, 2);
  });

  it('tells whether its last frame is compressed', () => {
    assert.equal(run('a').isCompressed, false);
    assert.equal(new FrameRun(makeFrame(FIN | RSV1 | TEXT_FRAME, Buffer.from('a'))).isCompressed, true);
  });
});

describe('payloadOf', () => {
  it('is the payload of a frame, whatever the length of its header', () => {
    for (const length of [0, 125, 126, 0xffff, 0x1_0000]) {
      const payload = Buffer.alloc(length, 'a');
      assert.deepEqual(payloadOf(makeFrame(FIN | BINARY_FRAME, payload)), payload);
      assert.deepEqual(payloadOf(makeFrame(FIN | TEXT_FRAME, payload.toString())), payload);
    }
    assert.equal(payloadOf(makeFrame(FIN | TEXT_FRAME, 'ü😀')).toString(), 'ü😀');
  });
});
