import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { LastingContexts, type ZlibContextOwner } from '../src/framing/lasting-contexts.js';

function setUp(count: number): { contexts: LastingContexts; dropped: number[]; owners: ZlibContextOwner[] } {
  const dropped: number[] = [];
  const owners = Array.from({ length: count }, (_, at) => ({ dropContext: () => void dropped.push(at) }));
  return { contexts: new LastingContexts(), dropped, owners };
}

describe('LastingContexts', () => {
  it('drops the one that has been idle longest when there are more than 64', () => {
    const { contexts, dropped, owners } = setUp(66);
    for (const owner of owners.slice(0, 64)) contexts.keep(owner);
    assert.deepEqual(dropped, []);
    for (const owner of owners.slice(64)) contexts.keep(owner);
    assert.deepEqual(dropped, [0, 1]);
  });

  it('drops none that is in use, or gone', () => {
    const { contexts, dropped, owners } = setUp(67);
    for (const owner of owners.slice(0, 64)) contexts.keep(owner);
    contexts.use(owners[0] as ZlibContextOwner);
    contexts.forget(owners[1] as ZlibContextOwner);
    for (const owner of owners.slice(64)) contexts.keep(owner);
    assert.deepEqual(dropped, [2]);
  });

  it('are enough with 64, idle or in use, until 16 messages have done without or one is gone', () => {
    const { contexts, owners } = setUp(64);
    const [first, second] = owners as [ZlibContextOwner, ZlibContextOwner];
    owners.forEach((owner, at) => {
      assert.equal(contexts.areEnough, false);
      contexts.use(owner);
      contexts.use(owner);
      if (at % 2 === 0) contexts.keep(owner);
    });
    for (let round = 0; round < 2; round++) {
      for (let message = 0; message < 16; message++) {
        assert.equal(contexts.areEnough, true);
        contexts.passOver();
      }
      assert.equal(contexts.areEnough, false);
      contexts.admit();
    }
    for (const owner of [first, second]) {
      assert.equal(contexts.areEnough, true);
      contexts.forget(owner);
      assert.equal(contexts.areEnough, false);
      contexts.use(owner);
    }
  });
});
