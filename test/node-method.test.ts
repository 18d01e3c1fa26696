import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { Server, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { NodeMethod } from '../src/upgrade/node-method.js';

/** What is looked for in the methods that are told apart; a version of Node in which one is gone makes upgrades slower. */
const methods: readonly (readonly [text: string, method: (...args: never[]) => unknown])[] = [
  ['this._storeHeader(', ServerResponse.prototype.writeHead],
  ['kErrorMonitor', Server.prototype.emit],
  ['_addListener(', Server.prototype.on],
];

describe('a method of Node', () => {
  it('is known by its text, in this version of Node too', () => {
    for (const [text, method] of methods) assert.ok(new NodeMethod(text).is(method), text);
  });

  it('is told from a wrapper, a bound function, a proxy, one that claims its text, and what is no function', () => {
    const { emit } = EventEmitter.prototype;
    const known = new NodeMethod('kErrorMonitor');
    assert.equal(known.is(undefined), false);
    const wrapper = (...args: Parameters<typeof emit>): boolean => Reflect.apply(emit, undefined, args);
    const liar = Object.assign((): boolean => true, { toString: () => String(emit) });
    for (const other of [wrapper, emit.bind(undefined), new Proxy(emit, {}), liar, undefined, String(emit)]) {
      assert.deepEqual([known.is(other), known.is(emit), known.is(other)], [false, true, false]);
    }
  });
});
