import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { openRaw } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

describe('a context', { timeout: 20_000 }, () => {
  const counterparts: ReadonlyArray<readonly [habit: string, counterpart: RegExp]> = [
    ['on', /Cannot call socket\.on: .*for await \(const message of socket\).*socket\.closed.*socket\.ws/],
    ['once', /Cannot call socket\.once: .*for await/],
    ['off', /for await/],
    ['addListener', /for await/],
    ['removeListener', /for await/],
    ['addEventListener', /Cannot call socket\.addEventListener: .*for await.*socket\.ws/],
    ['removeEventListener', /for await/],
    ['send', /Cannot call socket\.send: this is a WebSocketContext, use `await socket\.sendAsync\(data\)`/],
    ['close', /use `await socket\.closeAsync\(code, reason\)`/],
    ['terminate', /use `socket\.abort\(\)`/],
    ['pause', /do not read/],
    ['resume', /read on/],
  ];
  for (const [habit, message] of counterparts) {
    it(`fails with a sentence where somebody calls ${habit}, as with ws`, async (t) => {
      const { socket } = await openRaw(t);
      assert.throws(() => Reflect.get(socket, habit)('message', () => {}), { name: 'TypeError', message });
    });
  }

  for (const handler of ['onopen', 'onmessage', 'onerror', 'onclose']) {
    it(`fails with a sentence where somebody sets ${handler}, as in a browser`, async (t) => {
      const { socket } = await openRaw(t);
      assert.equal(Reflect.get(socket, handler), undefined);
      const message = new RegExp(`Cannot set socket\\.${handler}: .*for await`);
      assert.throws(() => Object.assign(socket, { [handler]: () => {} }), { name: 'TypeError', message });
    });
  }

  it('fails with a sentence where somebody reads readyState', async (t) => {
    const { socket } = await openRaw(t);
    const message = /Cannot read socket\.readyState: .*use `socket\.state`.*Open is 2/;
    assert.throws(() => Reflect.get(socket, 'readyState'), { name: 'TypeError', message });
  });

  it('says so too where events.once listens', async (t) => {
    const { socket } = await openRaw(t);
    await assert.rejects(once(socket as never, 'message'), { name: 'TypeError', message: /emits no events/ });
  });

  it('shows none of this to who looks at it, and has nothing of it itself', async (t) => {
    const { socket } = await openRaw(t);
    assert.doesNotMatch(inspect(socket, { depth: 0 }), /readyState|onmessage/);
    assert.deepEqual(Object.keys(socket), []);
  });
});
