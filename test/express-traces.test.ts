import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import express from 'express';
import { webSockets } from '../src/index.js';
import { clearTraces, type ExpressTraces } from '../src/upgrade/express-traces.js';
import { haveSameLayout } from './support/layouts.js';
import { rawUpgrade } from './support/raw-client.js';
import { serve, type TestContext } from './support/servers.js';

/** So many requests as a handler has them, one after the other. */
async function requests(t: TestContext, count: number): Promise<(IncomingMessage & ExpressTraces)[]> {
  const app = express();
  const server = await serve(t, app);
  const sockets = webSockets({ onError: assert.ifError });
  sockets.attach(server, app);
  const seen: IncomingMessage[] = [];
  app.get(
    '/:room',
    sockets.handler((_socket, req) => void seen.push(req)),
  );
  for (let i = 0; i < count; i++) await (await rawUpgrade(t, server, { path: '/opera' })).readHead();
  return seen;
}

describe('what Express leaves on a request', () => {
  it('gives it no layout of its own, once Express has had one', async (t) => {
    const [first, second, third] = await requests(t, 3);
    assert.ok(first && second && third && haveSameLayout(second, third));
    assert.ok(!('undefined' in first));
  });

  it('does not keep the rest of the chain behind a handler', async (t) => {
    const [req] = await requests(t, 1);
    assert.ok(req);
    assert.deepEqual([req.next, req._parsedUrl, req.originalUrl], [undefined, undefined, '/opera']);
  });

  it('is gone where the next application begins', () => {
    const req = { baseUrl: 'a', originalUrl: 'b', params: {}, next: () => {}, route: {}, _parsedUrl: {} };
    clearTraces(req as never);
    assert.deepEqual(Object.values(req), Array(6).fill(undefined));
  });
});
