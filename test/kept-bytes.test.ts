import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { allocate, copyOf } from '../src/connection/receiving/kept-bytes.js';

describe('bytes that are kept', () => {
  it('share an ArrayBuffer while they are short, without overlapping, each aligned', () => {
    const pieces = Array.from({ length: 2000 }, (_, i) => allocate(i % 100).fill(i));
    assert.ok(new Set(pieces.map(({ buffer }) => buffer)).size < 30);
    for (const [i, piece] of pieces.entries()) {
      assert.equal(piece.byteOffset % 8, 0);
      assert.ok(piece.every((byte) => byte === i % 256));
    }
  });

  it('have an ArrayBuffer of their own from 1 KiB on', () => {
    assert.equal(allocate(1024).buffer.byteLength, 1024);
    assert.ok(allocate(1023).buffer.byteLength > 1024);
  });

  it('cannot be transferred with those of others', () => {
    const piece = allocate(100);
    // Node 20 makes a copy of what may not be transferred, later versions throw.
    try {
      structuredClone(piece.buffer, { transfer: [piece.buffer as ArrayBuffer] });
    } catch {}
    assert.equal(piece.length, 100);
  });

  it('are copies of what they were made of', () => {
    const chunk = Buffer.from('abcdef');
    const copy = copyOf(chunk, 1, 4);
    chunk.fill('x');
    assert.equal(`${copy}`, 'bcd');
  });
});
