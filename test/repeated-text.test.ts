import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { encodedIfRepeated, forgetText } from '../src/connection/sending/repeated-text.js';

describe('encodedIfRepeated', () => {
  beforeEach(forgetText);

  for (const text of ['a'.repeat(49), 'ü'.repeat(200), '€'.repeat(4096), `${'😀'.repeat(30)}\ud800`]) {
    it(`encodes a text once that is sent again: ${text.slice(0, 2)}, ${text.length} characters`, () => {
      assert.equal(encodedIfRepeated(text), text);
      const bytes = encodedIfRepeated(text);
      assert.deepEqual(bytes, Buffer.from(text));
      assert.equal(encodedIfRepeated(`${text.slice(0, -1)}${text.slice(-1)}`), bytes);
    });
  }

  it('remembers the last text alone, and not beyond the tick', () => {
    const [one, other] = ['1'.repeat(50), '2'.repeat(50)] as const;
    for (const text of [one, other, one, other]) assert.equal(encodedIfRepeated(text), text);
    assert.deepEqual(encodedIfRepeated(other), Buffer.from(other));
    forgetText();
    assert.equal(encodedIfRepeated(other), other);
  });

  it('leaves alone what takes no call into the runtime, and what is too long to be kept', () => {
    for (const length of [0, 48, 4097]) {
      const text = 'a'.repeat(length);
      for (let time = 0; time < 3; time++) assert.equal(encodedIfRepeated(text), text, `${length}`);
    }
  });
});
