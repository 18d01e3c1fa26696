import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Utf8Validator } from '../src/framing/utf8.js';

const decoder = new TextDecoder('utf-8', { fatal: true });

function isText(bytes: Uint8Array): boolean {
  try {
    decoder.decode(bytes);
    return true;
  } catch {
    return false;
  }
}

/** Whether some continuation makes text of `bytes`, according to TextDecoder. */
function canBecomeText(bytes: Uint8Array): boolean {
  const stream = new TextDecoder('utf-8', { fatal: true });
  try {
    stream.decode(bytes, { stream: true });
    return true;
  } catch {
    return false;
  }
}

/** Index of the first byte at which the validator fails when it gets one byte at a time, -1 if it does not. */
function firstFailure(bytes: Buffer): number {
  const validator = new Utf8Validator();
  for (let i = 0; i < bytes.length; i++) if (!validator.write(bytes, i, i + 1)) return i;
  return -1;
}

const PADDING = Buffer.from('x'.repeat(40));

// One of each kind: borders of the ranges of every length, and what is forbidden between them.
const BYTES = [
  0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef,
  0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xf8, 0xff,
];

// Third and fourth bytes all have the same range.
const REST = [0x41, 0x7f, 0x80, 0xbf, 0xc0];

describe('Utf8Validator', () => {
  it('accepts every character of Unicode', () => {
    const validator = new Utf8Validator();
    for (let point = 0; point <= 0x10ffff; point++) {
      if (point === 0xd800) point = 0xe000;
      const bytes = Buffer.from(String.fromCodePoint(point));
      assert.ok(validator.write(bytes, 0, bytes.length) && validator.end(), `U+${point.toString(16)}`);
    }
  });

  it('agrees with TextDecoder about every sequence of up to three bytes', () => {
    const validator = new Utf8Validator();
    const bytes = Buffer.alloc(3);
    for (let length = 1; length <= 2; length++) {
      for (let value = 0; value < 256 ** length; value++) {
        bytes.writeUIntBE(value, 0, length);
        const valid = validator.write(bytes, 0, length);
        assert.equal(validator.end() && valid, isText(bytes.subarray(0, length)), bytes.toString('hex', 0, length));
      }
    }
    // The first byte of a longer character decides; the others are sampled at the borders of their ranges.
    for (let first = 0; first < 256; first++) {
      for (const second of BYTES) {
        for (const third of BYTES) {
          bytes.set([first, second, third]);
          const valid = validator.write(bytes, 0, 3);
          assert.equal(validator.end() && valid, isText(bytes), bytes.toString('hex'));
        }
      }
    }
  });

  it('agrees with TextDecoder about sequences of four bytes, alone and at the end of a long piece', () => {
    const validator = new Utf8Validator();
    for (const first of BYTES) {
      for (const second of BYTES) {
        for (const third of REST) {
          for (const fourth of REST) {
            const bytes = Buffer.of(first, second, third, fourth);
            const expected = isText(bytes);
            const valid = validator.write(bytes, 0, 4);
            assert.equal(validator.end() && valid, expected, bytes.toString('hex'));
            const long = Buffer.concat([PADDING, bytes]);
            const longValid = validator.write(long, 0, long.length);
            assert.equal(validator.end() && longValid, expected, `padded ${bytes.toString('hex')}`);
          }
        }
      }
    }
  });

  it('fails at the first byte that makes the text impossible, not at the end of the character', () => {
    for (const [hex, index] of [
      ['80', 0],
      ['c0', 0],
      ['c1', 0],
      ['f5', 0],
      ['ff', 0],
      ['c241', 1],
      ['e080', 1],
      ['e09f', 1],
      ['eda0', 1],
      ['edbf', 1],
      ['f080', 1],
      ['f08f', 1],
      ['f490', 1],
      ['e1bfc0', 2],
      ['f18041', 2],
      ['f1808041', 3],
      ['cebae1bdb9cf83cebcceb5eda080656469746564', 12],
    ] as const) {
      assert.equal(firstFailure(Buffer.from(hex, 'hex')), index, hex);
      // The same within one piece that is long enough for native code, and whose end cuts the character.
      const bytes = Buffer.concat([PADDING, Buffer.from(hex, 'hex').subarray(0, index + 1)]);
      assert.equal(new Utf8Validator().write(bytes, 0, bytes.length), false, `padded ${hex}`);
      // And where a long piece begins with the byte.
      const validator = new Utf8Validator();
      assert.ok(validator.write(bytes, 0, bytes.length - 1));
      const rest = Buffer.concat([bytes.subarray(-1), PADDING]);
      assert.equal(validator.write(rest, 0, rest.length), false, `cut ${hex}`);
    }
  });

  it('fails as early as TextDecoder does, wherever pieces are cut', () => {
    for (const first of BYTES) {
      for (const second of BYTES) {
        for (const third of BYTES) {
          const bytes = Buffer.of(first, second, third);
          const failure = firstFailure(bytes);
          for (let length = 1; length <= 3; length++) {
            assert.equal(
              failure < 0 || failure >= length,
              canBecomeText(bytes.subarray(0, length)),
              bytes.toString('hex'),
            );
          }
        }
      }
    }
  });

  it('gives the same answer wherever a text is cut in two or three', () => {
    const texts = [
      Buffer.from('κόσμε, 世界, 😀🎉 und ASCII dazwischen, lang genug für beide Wege'),
      Buffer.from('aé世😀'.repeat(12)),
      Buffer.concat([Buffer.from('é'.repeat(40)), Buffer.of(0xed, 0xa0, 0x80), Buffer.from('é'.repeat(40))]),
      Buffer.concat([Buffer.from('世'.repeat(30)), Buffer.of(0xf0, 0x9f, 0x98)]),
    ];
    for (const text of texts) {
      const expected = isText(text);
      for (let first = 0; first <= text.length; first++) {
        for (let second = first; second <= text.length; second++) {
          const validator = new Utf8Validator();
          const valid =
            validator.write(text, 0, first) &&
            validator.write(text, first, second) &&
            validator.write(text, second, text.length);
          assert.equal(valid && validator.end(), expected, `cut at ${first} and ${second}`);
        }
      }
    }
  });

  it('looks only at the given range of the chunk', () => {
    const chunk = Buffer.concat([Buffer.of(0xff), PADDING, Buffer.of(0xff)]);
    const validator = new Utf8Validator();
    assert.ok(validator.write(chunk, 1, chunk.length - 1));
    assert.ok(validator.write(chunk, 1, 4));
    assert.ok(validator.write(chunk, 0, 0));
    assert.ok(validator.end());
  });

  it('begins anew after end(), even if the text before was cut within a character', () => {
    const validator = new Utf8Validator();
    assert.ok(validator.write(Buffer.of(0xe0), 0, 1));
    assert.equal(validator.end(), false);
    assert.ok(validator.write(Buffer.of(0xc3, 0xa9), 0, 2));
    assert.ok(validator.end());
  });
});
