import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { early, late } from '../src/upgrade/layout.js';

describe('what is added to a request or a response of Express', () => {
  it('is added before or behind it, not twice', () => {
    const added: string[] = [];
    early((where: string) => void added.push(where))('before');
    late((where: string) => void added.push(where))('behind');
    assert.equal(added.length, 1);
  });
});
