import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { headerLength, makeFrame, payloadOf, putFrame, putHeader } from '../src/framing/frame.js';
import { BINARY_FRAME, FIN, TEXT_FRAME } from '../src/framing/opcodes.js';
import { serverFrame } from './support/frames.js';

const LENGTHS = [0, 1, 125, 126, 127, 0xff, 0x100, 0xffff, 0x1_0000, 0x1_0001];

describe('makeFrame', () => {
  it('makes the frame that a server sends, in the fewest possible bytes', () => {
    for (const length of LENGTHS) {
      const payload = Buffer.alloc(length, 'a');
      assert.deepEqual(
        makeFrame(FIN | BINARY_FRAME, payload),
        serverFrame({ opcode: BINARY_FRAME, payload }),
        `${length}`,
      );
    }
  });

  it('writes text as UTF-8, whose bytes it counts', () => {
    for (const text of ['', 'text', '€'.repeat(41), '€'.repeat(42), '😀'.repeat(31), '😀'.repeat(32)]) {
      assert.deepEqual(makeFrame(FIN | TEXT_FRAME, text), serverFrame({ payload: text }), text);
    }
  });

  it('copies the payload', () => {
    const payload = Buffer.from('before');
    const frame = makeFrame(FIN | TEXT_FRAME, payload);
    payload.write('after!');
    assert.deepEqual(frame, serverFrame({ payload: 'before' }));
  });
});

describe('payloadOf', () => {
  it('finds the payload behind a header of any length, without a copy', () => {
    for (const length of LENGTHS) {
      const payload = Buffer.alloc(length, 'a');
      const frame = makeFrame(FIN | BINARY_FRAME, payload);
      const found = payloadOf(frame);
      assert.deepEqual(found, payload, `${length}`);
      assert.equal(found.buffer, frame.buffer);
    }
  });
});

describe('putFrame', () => {
  it('puts a frame in its place and says where it ends', () => {
    const buffer = Buffer.alloc(20, '.');
    assert.equal(putFrame(buffer, 3, FIN | TEXT_FRAME, Buffer.from('hello')), 10);
    assert.deepEqual(
      buffer,
      Buffer.concat([Buffer.from('...'), serverFrame({ payload: 'hello' }), Buffer.alloc(10, '.')]),
    );
  });
});

describe('putHeader', () => {
  it('takes as many bytes as headerLength says', () => {
    for (const length of [...LENGTHS, 0xffff_ffff, 0x1_0000_0000]) {
      const header = Buffer.alloc(10);
      assert.equal(putHeader(header, 0, FIN, length), headerLength(length), `${length}`);
    }
  });

  it('announces lengths beyond 32 bits', () => {
    const header = Buffer.alloc(10);
    putHeader(header, 0, FIN | BINARY_FRAME, 0x12_3456_789a);
    assert.equal(header.toString('hex'), '827f000000123456789a');
  });
});
