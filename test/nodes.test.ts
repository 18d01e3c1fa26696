import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Nodes } from '../src/backplane/nodes.js';

describe('Nodes', () => {
  /** Knows `a` and `b`, which were heard of when our monotonic clock stood at 0. */
  function known(): Nodes {
    const nodes = new Nodes();
    nodes.noteActivity('a', 0);
    nodes.noteActivity('b', 0);
    return nodes;
  }

  it('tells whom it has not known before', () => {
    const nodes = new Nodes();
    assert.equal(nodes.noteActivity('a', 0), true);
    assert.equal(nodes.noteActivity('a', 1), false);
    assert.equal(nodes.noteActivity('b', 1), true);
    assert.deepEqual([nodes.size, [...nodes.ids]], [2, ['a', 'b']]);
  });

  it('forgets who has said goodbye', () => {
    const nodes = known();
    nodes.gone('a');
    assert.deepEqual([...nodes.ids], ['b']);
    assert.equal(nodes.noteActivity('a', 1), true);
  });

  it('forgets who has been silent for more than 15 s, whatever the clock shows', () => {
    for (const start of [0, 1_000_000]) {
      const nodes = new Nodes();
      nodes.noteActivity('a', start);
      nodes.noteActivity('b', start);
      nodes.noteActivity('b', start + 1);
      nodes.forgetSilent(start + 15_000);
      assert.deepEqual([...nodes.ids], ['a', 'b']);
      nodes.forgetSilent(start + 15_001);
      assert.deepEqual([...nodes.ids], ['b']);
    }
  });

  it('takes the clock of another for as ours until it is measured', () => {
    assert.equal(known().age('a', 700, 1000), 300);
    assert.equal(new Nodes().age('stranger', 700, 1000), 300);
  });

  it('knows how old something is by the clock of who sent it, which showed its time in the middle of the answer', () => {
    const nodes = known();
    // Asked at 1000 and answered at 1100: it was 1050 here when it was 61,050 there.
    nodes.measured('a', 1000, 61_050, 1100);
    assert.equal(nodes.age('a', 61_200, 1500), 300);
    assert.equal(nodes.age('b', 1200, 1500), 300);
    nodes.measured('a', 2000, 2050, 2100);
    assert.equal(nodes.age('a', 2200, 2500), 300);
  });

  it('learns nothing from an answer that took more than 2 s, or came before its question because our clock was set', () => {
    const nodes = known();
    nodes.measured('a', 1000, 61_000, 3001);
    nodes.measured('b', 1000, 61_000, 999);
    assert.equal(nodes.age('a', 700, 1000), 300);
    assert.equal(nodes.age('b', 700, 1000), 300);
    nodes.measured('a', 1000, 62_000, 3000);
    nodes.measured('b', 1000, 61_000, 1000);
    assert.equal(nodes.age('a', 60_700, 1000), 300);
    assert.equal(nodes.age('b', 60_700, 1000), 300);
  });

  it('measures nobody whom it does not know', () => {
    const nodes = known();
    nodes.measured('stranger', 1000, 61_050, 1100);
    assert.equal(nodes.size, 2);
    assert.equal(nodes.age('stranger', 700, 1000), 300);
  });
});
