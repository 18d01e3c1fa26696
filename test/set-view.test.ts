import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { SetView, snapshot } from '../src/context/set-view.js';

function viewOf<T>(set: Set<T>): SetView<T> {
  return new SetView({ size: () => set.size, has: (value) => set.has(value), values: () => snapshot(set) });
}

describe('SetView', () => {
  it('shows what there is at the moment', () => {
    const set = new Set(['a']);
    const view = viewOf(set);
    set.add('b');
    assert.equal(view.size, 2);
    assert.equal(view.has('b'), true);
    assert.deepEqual([...view], ['a', 'b']);
    assert.deepEqual([...view.keys()], ['a', 'b']);
    assert.deepEqual([...view.values()], ['a', 'b']);
    assert.deepEqual(
      [...view.entries()],
      [
        ['a', 'a'],
        ['b', 'b'],
      ],
    );
    const seen: unknown[] = [];
    view.forEach(function (this: unknown, value, key, all) {
      seen.push([this, value, key, all]);
    }, 'this');
    assert.deepEqual(seen, [
      ['this', 'a', 'a', view],
      ['this', 'b', 'b', view],
    ]);
    assert.equal(inspect(view), inspect(set));
    assert.equal(String(view), '[object Set]');
  });

  it('lets the body of a loop change what it looks at', () => {
    const set = new Set([1, 2, 3]);
    const seen: number[] = [];
    for (const value of viewOf(set)) {
      seen.push(value);
      set.clear();
      set.add(4);
    }
    assert.deepEqual(seen, [1, 2, 3]);
  });

  it('combines and compares with other sets as sets of younger versions of Node do', () => {
    const view = viewOf(new Set([1, 2]));
    const other = new Map([
      [2, 'b'],
      [3, 'c'],
    ]);
    assert.deepEqual(view.union(other), new Set([1, 2, 3]));
    assert.deepEqual(view.intersection(other), new Set([2]));
    assert.deepEqual(view.difference(other), new Set([1]));
    assert.deepEqual(view.symmetricDifference(other), new Set([1, 3]));
    assert.equal(view.isSubsetOf(other), false);
    assert.equal(view.isSubsetOf(new Set([1, 2, 3])), true);
    assert.equal(view.isSupersetOf(other), false);
    assert.equal(view.isSupersetOf(viewOf(new Set([1]))), true);
    assert.equal(view.isDisjointFrom(other), false);
    assert.equal(view.isDisjointFrom(new Set([5])), true);
  });
});
