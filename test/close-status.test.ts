import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { closePayload, fitDescription, WebSocketCloseStatus } from '../src/connection/closing/close-status.js';

describe('WebSocketCloseStatus', () => {
  it('has the members and numbers of .NET, and cannot be changed', () => {
    assert.deepEqual(Object.values(WebSocketCloseStatus), [1000, 1001, 1002, 1003, 1005, 1007, 1008, 1009, 1010, 1011]);
    assert.ok(Object.isFrozen(WebSocketCloseStatus));
  });
});

describe('closePayload', () => {
  it('accepts 1000 to 1003, 1007 to 1014 and 3000 to 4999, and refuses all others with a RangeError', () => {
    for (let status = 0; status <= 6000; status++) {
      const allowed =
        (status >= 1000 && status <= 1003) || (status >= 1007 && status <= 1014) || (status >= 3000 && status <= 4999);
      if (allowed) assert.equal(closePayload(status, undefined).readUInt16BE(0), status);
      else if (status !== 1005) assert.throws(() => closePayload(status, undefined), RangeError, `${status}`);
    }
    for (const status of [-1, 1000.5, Number.NaN, Number.POSITIVE_INFINITY, 65536 + 1000]) {
      assert.throws(() => closePayload(status, undefined), RangeError, `${status}`);
    }
  });

  it('makes an empty frame of 1005, which has no room for a description', () => {
    assert.equal(closePayload(1005, undefined).length, 0);
    assert.equal(closePayload(1005, '').length, 0);
    assert.throws(() => closePayload(1005, 'x'), /no room for a description/);
  });

  it('writes the description as UTF-8, at most 123 bytes of it', () => {
    assert.deepEqual(closePayload(1000, 'ü'), Buffer.of(3, 0xe8, 0xc3, 0xbc));
    assert.equal(closePayload(1000, '').length, 2);
    assert.equal(closePayload(1000, 'x'.repeat(123)).length, 125);
    assert.throws(() => closePayload(1000, 'ü'.repeat(62)), /description is 124 bytes of UTF-8, must be at most 123/);
  });

  it('refuses values of other types with a TypeError', () => {
    for (const args of [['1000'], [null], [{}], [1000, 1], [1000, null]]) {
      assert.throws(() => Reflect.apply(closePayload, undefined, args), TypeError);
    }
  });
});

describe('fitDescription', () => {
  it('leaves alone what fits', () => {
    for (const text of ['', 'x'.repeat(123), 'ü'.repeat(61)]) assert.equal(fitDescription(text), text);
  });

  it('cuts between two characters', () => {
    assert.equal(fitDescription('x'.repeat(200)), 'x'.repeat(123));
    for (const character of ['ü', '€', '😀']) {
      for (const padding of ['', 'x', 'xx', 'xxx']) {
        const fitted = fitDescription(padding + character.repeat(200));
        assert.match(fitted, new RegExp(`^${padding}(${character})+$`, 'u'));
        assert.ok(Buffer.byteLength(fitted) > 119 && Buffer.byteLength(fitted) <= 123);
      }
    }
  });
});
