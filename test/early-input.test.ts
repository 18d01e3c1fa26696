import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EARLY_INPUT_LIMIT, EarlyInput } from '../src/connection/receiving/early-input.js';

describe('EarlyInput', () => {
  it('has what it was given, though it be unmasked in place afterwards', () => {
    const early = new EarlyInput();
    const chunk = Buffer.from('one');
    early.keep(chunk);
    early.keep(Buffer.from('two'));
    chunk.fill(0);

    assert.equal(early.concat().toString(), 'onetwo');
  });

  it('is full when much has been kept', () => {
    const early = new EarlyInput();
    early.keep(Buffer.alloc(EARLY_INPUT_LIMIT - 1000));
    assert.equal(early.isFull, false);
    early.keep(Buffer.alloc(1000));
    assert.equal(early.isFull, true);
  });

  it('is full of tiny chunks, too', () => {
    const early = new EarlyInput();
    for (let i = 0; i < 1024; i++) early.keep(Buffer.alloc(1));
    assert.equal(early.isFull, true);
  });
});
