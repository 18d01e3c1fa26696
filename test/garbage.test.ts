import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import express from 'express';
import { WebSocket } from 'ws';
import { webSockets } from '../src/index.js';
import { clientFrame } from './support/frames.js';
import { keptByOldGeneration } from './support/memory.js';
import { openRaw } from './support/open-pair.js';
import { serve, webSocketUrlOf } from './support/servers.js';

/** Bytes that an application has with a request. */
const BALLAST = 200_000;

/** Bytes of a buffer to receive into. */
const RECEIVED = 8192;

function ballast(): number[] {
  return new Array(BALLAST / 8).fill(0.5);
}

// What outlives a young collection costs a collection of everything: it is in the old generation, or is referred to from there.
describe('what is over dies young', () => {
  it('a buffer that was received into', async (t) => {
    const { socket, client } = await openRaw(t);
    const few = 100;
    const fragments = Buffer.concat(new Array(few).fill(clientFrame({ payload: 'a' })));

    const kept = await keptByOldGeneration(500, async (count) => {
      for (let i = 0; i < count; i++) {
        if (i % few === 0) client.raw.write(fragments);
        await socket.receiveAsync(new Uint8Array(RECEIVED));
      }
    });

    assert.ok(kept < RECEIVED / 2, `${kept} bytes of each receiveAsync()`);
  });

  it('a connection and its request, also if they were answered late', async (t) => {
    const app = express();
    const server = await serve(t, app);
    const sockets = webSockets();
    sockets.attach(server, app);
    app.use(async (req, _res, next) => {
      Object.assign(req, { ballast: ballast() });
      await setImmediate();
      next();
    });
    app.get(
      '/',
      sockets.handler(async (socket) => {
        const ended = socket.closed;
        for await (const message of socket) await socket.sendAsync(message);
        await ended;
      }),
    );
    const url = webSocketUrlOf(server);

    const kept = await keptByOldGeneration(40, async (count) => {
      for (let i = 0; i < count; i++) {
        const client = new WebSocket(url);
        await once(client, 'open');
        client.close();
        await once(client, 'close');
      }
    });

    assert.ok(kept < BALLAST / 2, `${kept} bytes of each request`);
  });
});
