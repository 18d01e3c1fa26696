import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { recycle } from '../src/framing/batch.js';
import { COPY_LIMIT, FrameWriter } from '../src/framing/frame-writer.js';
import { BINARY_FRAME, FIN, TEXT_FRAME } from '../src/framing/opcodes.js';
import { parseFrames, serverFrame } from './support/frames.js';

const LENGTHS = [0, 1, 47, 48, 49, 125, 126, 127, 4093, 4094, COPY_LIMIT, COPY_LIMIT + 1, 65_535, 65_536, 70_000];

function taken(writer: FrameWriter): Buffer {
  const { byteLength } = writer;
  const batch = writer.take();
  const bytes = Buffer.concat(batch.chunks);
  assert.equal(bytes.length, byteLength);
  assert.equal(batch.byteLength, byteLength);
  recycle(batch);
  return bytes;
}

describe('FrameWriter', () => {
  it('writes frames of every length as RFC 6455 wants them', () => {
    for (const length of LENGTHS) {
      const writer = new FrameWriter();
      const payload = Buffer.alloc(length, length);
      writer.append(FIN | BINARY_FRAME, payload);
      assert.deepEqual(taken(writer), serverFrame({ opcode: BINARY_FRAME, payload }), `${length}`);
    }
  });

  for (const [what, character] of [
    ['ASCII', 'a'],
    ['two bytes per character', 'ü'],
    ['three bytes per character', '€'],
    ['surrogate pairs', '😀'],
    ['lone surrogates', '\ud800'],
  ] as const) {
    it(`writes text of every length as UTF-8, first in a block and further behind: ${what}`, () => {
      const before = serverFrame({ payload: 'before'.repeat(100) });
      for (const length of [...LENGTHS, 41, 42, 43, 62, 63, 1364, 1365, 1366, 21_843, 21_844, 21_845]) {
        const writer = new FrameWriter();
        const text = character.repeat(length);
        const expected = serverFrame({ payload: text });
        writer.appendText(FIN | TEXT_FRAME, text);
        assert.ok(taken(writer).equals(expected), `${length}`);
        writer.appendText(FIN | TEXT_FRAME, 'before'.repeat(100));
        writer.appendText(FIN | TEXT_FRAME, text);
        assert.ok(taken(writer).equals(Buffer.concat([before, expected])), `${length}, further behind`);
      }
    });
  }

  it('writes text into the block itself as long as its UTF-8 form is sure to fit', () => {
    for (const [length, chunks] of [
      [COPY_LIMIT + 1, 1],
      [21_844, 1],
      [21_845, 2],
    ] as const) {
      const writer = new FrameWriter();
      writer.appendText(FIN | TEXT_FRAME, 'a'.repeat(length));
      assert.equal(writer.take().chunks.length, chunks, `${length}`);
    }
  });

  it('begins with a block of 4 KiB if that is enough, fills it to its end, and goes on with 64 KiB', () => {
    const writer = new FrameWriter();
    const sizes = (...lengths: number[]): number[] => {
      for (const length of lengths) writer.append(FIN | BINARY_FRAME, Buffer.alloc(length));
      const batch = writer.take();
      recycle(batch);
      return batch.blocks.map((block) => block.length);
    };
    assert.deepEqual(sizes(4092), [4096]);
    assert.deepEqual(sizes(4093), [65_536]);
    assert.deepEqual(sizes(2000, 2088), [4096]);
    assert.deepEqual(sizes(2000, 2089), [4096, 65_536]);
    assert.deepEqual(sizes(2000, 2088, 1), [4096, 65_536]);
  });

  it('puts many frames into one chunk, and begins a further block when one is full', () => {
    const writer = new FrameWriter();
    const expected: string[] = [];
    for (let i = 0; i < 20_000; i++) {
      expected.push(`${i}`);
      writer.appendText(FIN | TEXT_FRAME, `${i}`);
    }
    const batch = writer.take();
    assert.ok(batch.chunks.length < 5);
    const { frames } = parseFrames(Buffer.concat(batch.chunks));
    assert.deepEqual(
      frames.map(({ payload }) => String(payload)),
      expected,
    );
  });

  it('refers to large payloads and copies small ones, which may be changed at once', () => {
    const writer = new FrameWriter();
    const small = Buffer.from('small');
    const large = new Uint8Array(COPY_LIMIT + 1);
    writer.append(FIN | BINARY_FRAME, small);
    writer.append(FIN | BINARY_FRAME, large);
    writer.append(FIN | BINARY_FRAME, small);
    small.fill(0);
    const { chunks } = writer.take();
    assert.equal(chunks.length, 3);
    assert.equal(chunks[1]?.buffer, large.buffer);
    writer.append(FIN | BINARY_FRAME, large);
    assert.equal(writer.take().chunks.length, 2, 'nothing is behind the last one');
    const { frames } = parseFrames(Buffer.concat(chunks));
    assert.deepEqual([String(frames[0]?.payload), String(frames[2]?.payload)], ['small', 'small']);
  });

  it('starts anew after a batch, and has no chunk for nothing', () => {
    const writer = new FrameWriter();
    assert.deepEqual(writer.take(), { chunks: [], byteLength: 0, blocks: [] });
    writer.appendText(FIN | TEXT_FRAME, 'a');
    taken(writer);
    assert.equal(writer.byteLength, 0);
    writer.appendText(FIN | TEXT_FRAME, 'b');
    assert.deepEqual(taken(writer), serverFrame({ payload: 'b' }));
    assert.deepEqual(writer.take(), { chunks: [], byteLength: 0, blocks: [] });
  });

  it('uses the blocks of a batch again once they have been given back, and not before', () => {
    const [first, second] = [new FrameWriter(), new FrameWriter()];
    first.appendText(FIN | TEXT_FRAME, 'x'.repeat(5000));
    second.appendText(FIN | TEXT_FRAME, 'y'.repeat(5000));
    const batch = first.take();
    assert.notEqual(batch.chunks[0]?.buffer, second.take().chunks[0]?.buffer);
    recycle(batch);
    first.appendText(FIN | TEXT_FRAME, 'z'.repeat(5000));
    assert.equal(first.take().chunks[0]?.buffer, batch.chunks[0]?.buffer);
  });

  it('does not hold on to the blocks of a peak', () => {
    const writer = new FrameWriter();
    for (let i = 0; i < 100; i++) writer.append(FIN | BINARY_FRAME, Buffer.alloc(COPY_LIMIT));
    for (let i = 0; i < 400; i++) writer.append(FIN | BINARY_FRAME, Buffer.alloc(COPY_LIMIT));
    const batch = writer.take();
    assert.ok(batch.blocks.length > 100);
    recycle(batch);
    for (let i = 0; i < 500; i++) writer.append(FIN | BINARY_FRAME, Buffer.alloc(COPY_LIMIT));
    const again = writer.take();
    assert.equal(again.blocks.filter((block) => batch.blocks.includes(block)).length, 64);
  });
});
