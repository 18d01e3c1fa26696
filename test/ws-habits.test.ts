import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import express from 'express';
import { webSockets } from '../src/index.js';
import { connect } from '../src/testing/index.js';
import { openRaw } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

describe('a context', { timeout: 150_000 }, () => {
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
    ['join', /use `await socket\.addToGroupAsync\(name\)`/],
    ['leave', /use `await socket\.removeFromGroupAsync\(name\)`/],
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

describe('what else is not as in ws or socket.io', { timeout: 150_000 }, () => {
  it('fails with a sentence on a group', () => {
    const group = webSockets().group('room');
    for (const [habit, message] of [
      [
        'send',
        /Cannot call group\.send: this is a WebSocketGroup, use `await group\.sendAsync\(data\)`, with `\{ except/,
      ],
      ['broadcast', /sendAsync/],
      ['emit', /sendAsync/],
      ['add', /use `await socket\.addToGroupAsync\(group\.name\)`/],
      ['delete', /use `await socket\.removeFromGroupAsync\(group\.name\)`/],
      ['close', /use `await group\.closeAsync\(code, reason\)`/],
    ] as const) {
      assert.throws(() => Reflect.get(group, habit)('x'), { name: 'TypeError', message });
    }
  });

  it('fails with a sentence on the client of a test', async () => {
    const app = express();
    const sockets = webSockets();
    app.get(
      '/',
      sockets.handler((socket) => socket.closed),
    );
    await using client = await connect(app, '/');
    for (const [habit, message] of [
      ['on', /Cannot call client\.on: .* emits no events: use `await client\.receiveAsync\(\)`/],
      ['once', /emits no events/],
      ['addEventListener', /emits no events/],
      ['send', /use `await client\.sendAsync\(data\)`/],
      ['close', /use `await client\.closeAsync\(code, reason\)`/],
      ['receiveMessageAsync', /use `await client\.receiveAsync\(\)`, which gives whole messages/],
    ] as const) {
      assert.throws(() => Reflect.get(client, habit)('message', () => {}), { name: 'TypeError', message });
    }
  });
});
