import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import {
  type DrainOptions,
  type WebSocketContext,
  WebSocketError,
  type WebSocketMessage,
  WebSocketState,
  webSockets,
} from '../src/index.js';
import { anyFramework, eventually, serveApp } from './support/apps.js';
import { FakeClock } from './support/fake-clock.js';
import { BINARY_FRAME } from './support/frames.js';
import { connectWs, FramePeer, nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import { webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

describe('connections', { timeout: 120_000 }, () => {
  it('holds a connection from its handshake to its end', async (t) => {
    const { socket, sockets, client } = await openWs(t);
    assert.deepEqual([...sockets.connections], [socket]);
    client.close();
    await socket.closeAsync();
    assert.equal(sockets.connections.size, 0);
    assert(!sockets.connections.has(socket));
  });

  it('lets go of a connection that is aborted by either side', async (t) => {
    const { socket, sockets, client } = await openWs(t);
    client.terminate();
    await socket.closed;
    assert.equal(sockets.connections.size, 0);
    const second = await openWs(t);
    second.socket.abort();
    assert.equal(second.sockets.connections.size, 0);
  });

  it('can be looked at only, and a loop passes over those that have left meanwhile', async (t) => {
    const { socket, sockets, server } = await openWs(t);
    await connectWs(t, webSocketUrlOf(server));
    await eventually(() => sockets.connections.size === 2);
    assert.equal('delete' in sockets.connections, false);
    const seen: WebSocketContext[] = [];
    for (const one of sockets.connections) {
      seen.push(one);
      for (const other of sockets.connections) if (other !== one) other.abort();
    }
    assert.deepEqual(seen, [socket]);
  });
});

describe('close', { timeout: 120_000 }, () => {
  it('resolves at once without connections', async () => {
    assert.deepEqual(await webSockets().close(), { closed: 0, aborted: 0 });
  });

  it('closes all connections with 1001, waits for the acknowledgements and lets server.close() complete', async (t) => {
    const { url, sockets, server } = await serveApp(t, anyFramework, (app, all) => {
      app.use(
        all.handler(async (socket) => {
          for await (const _ of socket);
        }),
      );
    });
    const clients = [await connectWs(t, url), await connectWs(t, url), await connectWs(t, url)];
    const serverClosed = once(server.close(), 'close');
    assert.deepEqual(await sockets.close(), { closed: 3, aborted: 0 });
    for (const client of clients) assert.deepEqual(await nextClose(client), { code: 1001, reason: '' });
    await serverClosed;
  });

  it('sends the code and the reason that it is given', async (t) => {
    const { sockets, client } = await openWs(t);
    await sockets.close({ code: 4000, reason: 'moving to another host' });
    assert.deepEqual(await nextClose(client), { code: 4000, reason: 'moving to another host' });
  });

  it('sends an empty close frame for 1005, to a connection handed over to ws as well', async (t) => {
    const { sockets, client } = await openWs(t);
    await sockets.close({ code: 1005 });
    assert.equal((await nextClose(client)).code, 1005);
    const handedOver = await openWs(t);
    assert(handedOver.socket.ws);
    assert.deepEqual(await handedOver.sockets.close({ code: 1005 }), { closed: 1, aborted: 0 });
    assert.equal((await nextClose(handedOver.client)).code, 1005);
  });

  it('aborts after timeout what has not acknowledged, and counts it', async (t) => {
    const { sockets, client, socket, server } = await openRaw(t);
    const serverClosed = once(server.close(), 'close');
    assert.deepEqual(await sockets.close({ timeout: 20 }), { closed: 0, aborted: 1 });
    assert.equal(socket.state, WebSocketState.Aborted);
    assert.equal((await client.nextClose()).code, 1001);
    await serverClosed;
  });

  it('waits no longer than timeout for a client that acknowledges and does not end TCP', async (t) => {
    const { sockets, socket, client, server } = await openRaw(t);
    const serverClosed = once(server.close(), 'close');
    const clock = new FakeClock().install(t);
    const drained = sockets.close({ timeout: 200 });
    await client.nextClose();
    client.close(1001);
    await eventually(() => socket.state === WebSocketState.Closed);
    clock.advance(200);
    assert.deepEqual(await drained, { closed: 1, aborted: 0 });
    assert.equal(client.raw.socket.destroyed, false);
    await serverClosed;
  });

  it('aborts at once with a timeout of 0', async (t) => {
    const { sockets } = await openRaw(t);
    assert.deepEqual(await sockets.close({ timeout: 0 }), { closed: 0, aborted: 1 });
  });

  it('waits with a timeout of Infinity for as long as closeTimeout', async (t) => {
    const { sockets } = await openRaw(t, { closeTimeout: 20 });
    assert.deepEqual(await sockets.close({ timeout: Number.POSITIVE_INFINITY }), { closed: 0, aborted: 1 });
  });

  it('waits for ever by default where closeTimeout is 0', async (t) => {
    const { sockets, client } = await openRaw(t, { closeTimeout: 0 });
    const drained = sockets.close();
    assert.equal((await client.nextClose()).code, 1001);
    // Longer than a timer of 0 ms
    await new Promise((resolve) => setTimeout(resolve, 10));
    client.close(1001);
    assert.deepEqual(await drained, { closed: 1, aborted: 0 });
  });

  it('counts a connection that the client drops during the drain as aborted', async (t) => {
    const { sockets, client } = await openRaw(t);
    const drained = sockets.close();
    await client.nextClose();
    client.raw.reset();
    assert.deepEqual(await drained, { closed: 0, aborted: 1 });
  });

  it('lets a handler that reads have the last data of its client', async (t) => {
    const received: WebSocketMessage[] = [];
    const { server, sockets } = await serveApp(t, anyFramework, (app, all) => {
      app.use(
        all.handler(async (socket) => {
          for await (const message of socket) received.push(message);
        }),
      );
    });
    const raw = await rawUpgrade(t, server);
    await raw.readHead();
    const client = new FramePeer(raw);
    const drained = sockets.close();
    assert.equal((await client.nextClose()).code, 1001);
    client.send('one more');
    client.send('and another');
    client.close(1001);
    assert.deepEqual(await drained, { closed: 1, aborted: 0 });
    await eventually(() => received.length === 2);
    assert.deepEqual(received, ['one more', 'and another']);
  });

  it('sees the acknowledgement of a client behind more data than anybody reads', async (t) => {
    const { sockets, client } = await openRaw(t, { receiveBufferLimit: 1000 });
    const drained = sockets.close();
    await client.nextClose();
    for (let i = 0; i < 100; i++) client.send({ opcode: BINARY_FRAME, payload: Buffer.alloc(1000) });
    client.close(1001);
    assert.deepEqual(await drained, { closed: 1, aborted: 0 });
  });

  it('acknowledges a close that the client has begun', async (t) => {
    const { sockets, client, socket } = await openRaw(t);
    client.close(4000);
    await socket.receiveAsync();
    assert.deepEqual(await sockets.close(), { closed: 1, aborted: 0 });
    await client.nextClose();
  });

  it('closes a connection that was handed over to ws', async (t) => {
    const { sockets, client, socket } = await openWs(t);
    const { ws } = socket;
    ws.on('message', (data) => ws.send(data));
    assert.deepEqual(await sockets.close({ reason: 'restart' }), { closed: 1, aborted: 0 });
    assert.deepEqual(await nextClose(client), { code: 1001, reason: 'restart' });
    assert.equal(socket.state, WebSocketState.Closed);
  });

  it('aborts a connection that was handed over to ws and does not answer', async (t) => {
    const { sockets, socket, server } = await openRaw(t);
    assert(socket.ws);
    const serverClosed = once(server.close(), 'close');
    assert.deepEqual(await sockets.close({ timeout: 20 }), { closed: 0, aborted: 1 });
    await serverClosed;
  });

  it('joins the first when it is called again', async (t) => {
    const { sockets, client } = await openRaw(t);
    const first = sockets.close({ code: 4000 });
    const second = sockets.close({ code: 4001, timeout: 0 });
    assert.equal((await client.nextClose()).code, 4000);
    client.close(4000);
    assert.deepEqual(await first, { closed: 1, aborted: 0 });
    assert.equal(await second, await first);
    assert.equal(await sockets.close(), await first);
  });

  it('refuses newcomers with 503 and Connection: close, during and after', async (t) => {
    const { sockets, client, server } = await openRaw(t);
    const drained = sockets.close();
    for (let i = 0; i < 2; i++) {
      const raw = await rawUpgrade(t, server);
      const { status, headers } = await raw.readResponse();
      assert.equal(status, 503);
      assert.equal(headers['connection'], 'close');
      client.close(1001);
      await drained;
    }
  });

  it('refuses a handshake that waited for an asynchronous origin function when it began', async (t) => {
    let allow: ((allowed: boolean) => void) | undefined;
    const { server, sockets } = await serveApp(t, anyFramework, (app, all) => void app.use(all.handler(() => {})), {
      origin: () =>
        new Promise((resolve) => {
          allow = resolve;
        }),
    });
    const raw = await rawUpgrade(t, server, { headers: { Origin: 'https://a.example' } });
    await eventually(() => allow !== undefined);
    assert.deepEqual(await sockets.close(), { closed: 0, aborted: 0 });
    allow?.(true);
    assert.equal((await raw.readHead()).status, 503);
    assert.equal(sockets.connections.size, 0);
  });

  it('sends a connection away that it was called in the middle of', async (t) => {
    const { url, sockets } = await serveApp(t, anyFramework, (app, all) => {
      app.use((_req, res, next) => {
        const { writeHead } = res;
        res.writeHead = (...args: unknown[]) => {
          void all.close({ reason: 'from on-headers' });
          return Reflect.apply(writeHead, res, args);
        };
        next();
      });
      app.use(
        all.handler(async (socket) => {
          for await (const _ of socket);
        }),
      );
    });
    const client = await connectWs(t, url);
    assert.deepEqual(await nextClose(client), { code: 1001, reason: 'from on-headers' });
    await eventually(() => sockets.connections.size === 0);
  });

  it('lets a drained connection send no more', async (t) => {
    const { sockets, client, socket } = await openRaw(t);
    const drained = sockets.close();
    await assert.rejects(socket.sendAsync('late'), (error) => {
      assert(error instanceof WebSocketError);
      return error.code === 'ERR_WEBSOCKET_INVALID_STATE';
    });
    client.close(1001);
    await drained;
  });

  for (const [options, type] of [
    [{ code: 'x' }, TypeError],
    [{ code: null }, TypeError],
    [{ reason: 7 }, TypeError],
    [{ timeout: '5' }, TypeError],
    [{ timeout: null }, TypeError],
    [{ code: 999 }, RangeError],
    [{ code: 1006 }, RangeError],
    [{ code: 1001.5 }, RangeError],
    [{ code: 1005, reason: 'no room' }, RangeError],
    [{ reason: 'x'.repeat(124) }, RangeError],
    [{ reason: 'ä'.repeat(62) }, RangeError],
    [{ timeout: -1 }, RangeError],
    [{ timeout: Number.NaN }, RangeError],
    [{ timeout: 2 ** 31 }, RangeError],
    [null, TypeError],
  ] as const) {
    it(`rejects ${JSON.stringify(options)?.slice(0, 40)} with a ${type.name} and closes nothing`, async (t) => {
      const { sockets, socket, client } = await openWs(t);
      await assert.rejects(sockets.close(options as DrainOptions), type);
      assert.equal(socket.state, WebSocketState.Open);
      await socket.sendAsync('still open');
      assert.equal(await nextMessage(client), 'still open');
    });
  }
});
