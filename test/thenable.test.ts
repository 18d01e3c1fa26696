import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isThenable } from '../src/thenable.js';

describe('isThenable()', () => {
  const withThen = (then: unknown): object => Object.fromEntries([['then', then]]);

  it('is true for promises, of whichever library', () => {
    for (const value of [Promise.resolve(1), withThen(() => {})]) assert.equal(isThenable<unknown>(value), true);
  });

  it('is false for anything else', () => {
    const values = [undefined, null, true, 1, 'then', {}, [], withThen(1), () => {}];
    for (const value of values) assert.equal(isThenable<unknown>(value), false);
  });
});
