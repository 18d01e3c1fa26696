import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkTime, MAX_TIMEOUT, rejectInsteadOfThrow, typeOf } from '../src/arguments.js';

describe('typeOf', () => {
  it('tells null from objects', () => {
    assert.equal(typeOf(null), 'null');
    assert.equal(typeOf({}), 'of type object');
    assert.equal(typeOf(undefined), 'of type undefined');
  });
});

describe('checkTime', () => {
  it('takes what a timer takes, and Infinity where it may be', () => {
    for (const time of [0, 0.5, MAX_TIMEOUT]) assert.equal(checkTime(time, 'Cannot x: time'), time);
    assert.equal(checkTime(Number.POSITIVE_INFINITY, 'Cannot x: time', true), Number.POSITIVE_INFINITY);
  });

  it('says what was found and what is needed', () => {
    const range = {
      name: 'RangeError',
      message: /^Cannot x: time is (-1|NaN|Infinity|2147483648), must be a number from 0/,
    };
    for (const time of [-1, Number.NaN, Number.POSITIVE_INFINITY, MAX_TIMEOUT + 1]) {
      assert.throws(() => checkTime(time, 'Cannot x: time'), range);
    }
    assert.throws(() => checkTime('1', 'Cannot x: time', true), {
      name: 'TypeError',
      message: /^Cannot x: time is of type string, must be a number from 0 to 2147483647 \(milliseconds\) or Infinity$/,
    });
  });
});

describe('rejectInsteadOfThrow', () => {
  it('rejects with what is thrown, and passes on what is not', async () => {
    await assert.rejects(
      rejectInsteadOfThrow(() => {
        throw new Error('thrown');
      }),
      /thrown/,
    );
    assert.equal(await rejectInsteadOfThrow(async () => 1), 1);
  });
});
