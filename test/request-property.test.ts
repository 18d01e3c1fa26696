import assert from 'node:assert/strict';
import { once } from 'node:events';
import { get, IncomingMessage } from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import { describe, it } from 'node:test';
import express from 'express';
import { RequestProperty } from '../src/upgrade/request-property.js';
import { rawUpgrade } from './support/raw-client.js';
import { accept, attached } from './support/upgrades.js';

const property = (): RequestProperty =>
  new RequestProperty('answer', { configurable: true, enumerable: false, get: () => 42 });

function requestOf(prototype: object): IncomingMessage & { answer?: unknown } {
  return Object.setPrototypeOf(new IncomingMessage(new Socket()), prototype);
}

describe('a property of accepted requests', () => {
  it('is that of all requests of a framework, with a single accessor', () => {
    const framework = Object.create(IncomingMessage.prototype);
    const [root, mounted] = [Object.create(framework), Object.create(framework)];
    const answer = property();
    for (const prototype of [root, mounted, root]) {
      const req = requestOf(prototype);
      answer.addTo(req);
      assert.equal(req.answer, 42);
      assert.ok(!Object.hasOwn(req, 'answer'));
    }
    assert.equal(requestOf(mounted).answer, 42);
    assert.ok(Object.hasOwn(framework, 'answer'));
    assert.ok(!('answer' in IncomingMessage.prototype));
  });

  it('is the own one of a request with the prototype of Node', () => {
    const req = requestOf(IncomingMessage.prototype);
    property().addTo(req);
    assert.equal(req.answer, 42);
    assert.ok(!('answer' in IncomingMessage.prototype));
  });

  it('leaves alone what stands under its name on a prototype, and comes before it', () => {
    const mine = { answer: { configurable: true, value: 'mine' } };
    const prototype = Object.create(Object.create(IncomingMessage.prototype), mine);
    const req = requestOf(prototype);
    property().addTo(req);
    assert.deepEqual([req.answer, requestOf(prototype).answer], [42, 'mine']);
  });

  it('comes in the place of what the application has set on the request itself', () => {
    const prototype = Object.create(IncomingMessage.prototype);
    const answer = property();
    answer.addTo(requestOf(prototype));
    const req = requestOf(prototype);
    Object.defineProperty(req, 'answer', { configurable: true, value: 'mine' });
    answer.addTo(req);
    assert.equal(req.answer, 42);
  });

  it('is the own one where a prototype takes nothing, or is not of Node', () => {
    for (const prototype of [Object.freeze(Object.create(IncomingMessage.prototype)), Object.create(null)]) {
      const req = requestOf(prototype);
      property().addTo(req);
      assert.equal(req.answer, 42);
      assert.ok(Object.hasOwn(req, 'answer'));
    }
  });
});

describe('req.webSocket', () => {
  it('is undefined for all other requests of Express, not listed, and can be set on each', async (t) => {
    const app = express();
    const seen: unknown[] = [];
    app.get('/', (req, res) => {
      if (req.headers.upgrade === undefined) {
        seen.push(req.webSocket);
        Object.assign(req, { webSocket: 'mine' });
        seen.push(req.webSocket, Object.keys(req).includes('webSocket'));
        res.end();
        return;
      }
      const context = accept(req);
      seen.push(Object.keys(req).includes('webSocket'));
      Object.assign(req, { webSocket: context });
      seen.push(Object.is(req.webSocket, context));
    });
    const server = await attached(t, app);
    await (await rawUpgrade(t, server)).readHead();
    const { port } = server.address() as AddressInfo;
    const [response]: IncomingMessage[] = await once(get({ port, agent: false }), 'response');
    response?.resume();
    await (await rawUpgrade(t, server)).readHead();
    assert.deepEqual(seen, [false, true, undefined, 'mine', true, false, true]);
  });
});
