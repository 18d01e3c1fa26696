// The acceptance tests: one for each row of the contract's tables, in its order and under its name. The details of each
// row have tests in the files of their modules.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { WebSocketContext, type WebSocketRequest, WebSocketState, webSockets } from '../src/index.js';
import { anyFramework, serveApp } from './support/apps.js';
import { BINARY_FRAME, CONTINUATION, PING_FRAME } from './support/frames.js';
import { connectWs, nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';
import { rawConnect, rawUpgrade } from './support/raw-client.js';
import { isOverHttp2, serve, type TestContext, urlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const socketOf = (req: IncomingMessage): WebSocketContext | undefined => (req as WebSocketRequest).webSocket;

const echo = async (socket: WebSocketContext): Promise<void> => {
  for await (const message of socket) await socket.sendAsync(message);
};

/** The status of a handshake with these headers on a site with these options. */
const statusOf = async (
  t: TestContext,
  options: Parameters<typeof webSockets>[0],
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: Readonly<Record<string, string>> }> => {
  const { server } = await serveApp(t, anyFramework, (app, sockets) => void app.use(sockets.handler(echo)), options);
  const raw = await rawUpgrade(t, server, { headers });
  return raw.readHead();
};

const elsewhere = { Origin: 'https://elsewhere.example' };

describe('1. What a user writes', { timeout: 120_000 }, () => {
  it('position in the chain: before it any answer, behind it a context', async (t) => {
    const { url, server } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use((req, res, next) => {
        if (req.headers.authorization === undefined) {
          res.statusCode = 401;
          res.end('before');
        } else next();
      });
      app.use(sockets);
      app.use(async (req, _res, next) => {
        const socket = socketOf(req);
        if (!socket) return next();
        await socket.sendAsync('tick');
        await socket.closeAsync(1000, 'done');
      });
    });
    assert.equal((await (await rawUpgrade(t, server)).readResponse()).body, 'before');
    const client = await connectWs(t, url, [], { headers: { Authorization: 'x' } });
    assert.equal(await nextMessage(client), 'tick');
    assert.deepEqual(await nextClose(client), { code: 1000, reason: 'done' });
  });
});

describe('2. The middleware', { timeout: 120_000 }, () => {
  it('call: handshake for a WebSocket request, next() for any other', async (t) => {
    const { url, server } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use(sockets);
      app.use((req, res) => {
        const socket = socketOf(req);
        if (socket) void socket.sendAsync('socket').then(() => socket.closeAsync());
        else res.end('http');
      });
    });
    assert.equal(await (await fetch(urlOf(server))).text(), 'http');
    const client = await connectWs(t, url);
    assert.equal(await nextMessage(client), 'socket');
    assert.equal((await nextClose(client)).code, 1000);
  });

  it('handler: 426 with Upgrade for plain HTTP, otherwise the function', async (t) => {
    const { url, server } = await serveApp(t, anyFramework, (app, sockets) => void app.use(sockets.handler(echo)));
    const response = await fetch(urlOf(server));
    await response.text();
    assert.equal(response.status, 426);
    const client = await connectWs(t, url);
    client.send('x');
    assert.equal(await nextMessage(client), 'x');
  });

  it('accept: now; twice, or after the response has begun, rejects', async (t) => {
    const { sockets, req, socket } = await openRaw(t);
    assert(socket instanceof WebSocketContext);
    await assert.rejects(sockets.accept(req), { code: 'ERR_WEBSOCKET_INVALID_STATE' });
  });

  it('isWebSocketRequest and requestedProtocols: what the client asks for', async (t) => {
    const { sockets, req } = await openRaw(t, {}, { request: { headers: { 'Sec-WebSocket-Protocol': 'b, a' } } });
    assert.equal(sockets.isWebSocketRequest(req), true);
    assert.deepEqual(sockets.requestedProtocols(req), ['b', 'a']);
  });

  it('attach: a real ServerResponse, twice is harmless, returns a function that detaches', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    const app = (_req: IncomingMessage, res: { end(body: string): unknown }): unknown => res.end('a real response');
    const detach = [sockets.attach(server, app), sockets.attach(server, app)];
    assert.equal(server.listenerCount('upgrade'), 1);
    assert.equal((await (await rawUpgrade(t, server)).readResponse()).body, 'a real response');
    for (const one of detach) one();
    assert.equal(server.listenerCount('upgrade'), 0);
  });

  it('attach over https', async (t) => {
    const { socket, client } = await openRaw(t, {}, { secure: true });
    client.send('secret');
    assert.equal(await socket.receiveMessageAsync(), 'secret');
  });

  it('attach: while a request waits, req and res emit close when the client goes away', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    const client = await rawConnect(t, server);
    const gone = new Promise<void>((resolve) => {
      sockets.attach(server, (req, res) => {
        void Promise.all([once(req, 'close').catch(() => {}), once(res, 'close')]).then(() => resolve());
        req.on('error', () => {});
        client.reset();
      });
    });
    client.request();
    await gone;
  });

  it('connections: the live ones', async (t) => {
    const { sockets, socket } = await openRaw(t);
    assert.deepEqual([...sockets.connections], [socket]);
    socket.abort();
    assert.equal(sockets.connections.size, 0);
  });

  it('close: 503 for newcomers, close frames, acknowledgements, the rest is aborted', async (t) => {
    const { sockets, server, client } = await openRaw(t);
    const serverClosed = once(server, 'close');
    server.close();
    const drained = sockets.close({ code: 1001, reason: 'restart', timeout: 50 });
    assert.deepEqual(await client.nextClose(), { code: 1001, reason: 'restart' });
    assert.deepEqual(await drained, { closed: 0, aborted: 1 });
    await serverClosed;
  });

  // Over HTTP/2 Node itself refuses it, as its server wants
  it('without attach: fails loudly and names attach', { skip: isOverHttp2() }, async (t) => {
    const app = anyFramework();
    app.use(webSockets());
    app.use((error: Error, _req: IncomingMessage, res: ServerResponse, _next: unknown) => res.end(error.message));
    const server = await serve(t, app);
    assert.match((await (await rawUpgrade(t, server)).readResponse()).body, /attach\(/);
  });

  it('the response side: headers of res go out with the 101, entity headers do not', async (t) => {
    const { server } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use((_req, res, next) => {
        res.setHeader('Set-Cookie', ['a=1', 'b=2']);
        res.setHeader('Content-Security-Policy', "default-src 'self'");
        res.setHeader('Content-Type', 'text/html');
        res.setHeader('Content-Length', '5');
        next();
      });
      app.use(sockets.handler(echo));
    });
    const { status, headers, lines } = await (await rawUpgrade(t, server)).readHead();
    assert.equal(status, 101);
    assert.deepEqual(
      lines.filter(([name]) => name.toLowerCase() === 'set-cookie').map(([, value]) => value),
      ['a=1', 'b=2'],
    );
    assert.equal(headers['content-security-policy'], "default-src 'self'");
    assert.deepEqual([headers['content-type'], headers['content-length']], [undefined, undefined]);
  });
});

describe('2. Options', { timeout: 120_000 }, () => {
  it('origin', async (t) => {
    assert.equal((await statusOf(t, {}, elsewhere)).status, 403);
    assert.equal((await statusOf(t, {}, { Origin: 'http://localhost' })).status, 101);
    assert.equal((await statusOf(t, {})).status, 101);
    assert.equal((await statusOf(t, { origin: 'any' }, elsewhere)).status, 101);
    assert.equal((await statusOf(t, { origin: ['https://elsewhere.example'] }, elsewhere)).status, 101);
    assert.equal((await statusOf(t, { origin: async () => false }, elsewhere)).status, 403);
    assert.equal((await statusOf(t, { origin: () => assert.fail('x') }, elsewhere)).status, 500);
  });

  it('subProtocols', async (t) => {
    const protocolOf = async (subProtocols: string[], asked: string): Promise<string | undefined> =>
      (await statusOf(t, { subProtocols }, { 'Sec-WebSocket-Protocol': asked })).headers['sec-websocket-protocol'];
    assert.equal(await protocolOf(['v2', 'v1'], 'v1, v2'), 'v2');
    assert.equal(await protocolOf(['v2'], 'bearer-token'), undefined);
    assert.equal(await protocolOf([], 'v1'), undefined);
  });

  it('receiveBufferLimit: backpressure for what is unread, 1009 for a message', async (t) => {
    const { socket, client } = await openRaw(t, { receiveBufferLimit: 10_000 });
    client.send({ opcode: BINARY_FRAME, payload: Buffer.alloc(20_000) });
    await assert.rejects(socket.receiveMessageAsync(), { code: 'ERR_WEBSOCKET_MESSAGE_TOO_BIG' });
    assert.equal((await client.nextClose()).code, 1009);
  });

  it('maxPayload: 1009 for a fragment reader, too', async (t) => {
    const { socket, client } = await openRaw(t, { maxPayload: 10 });
    client.send({ payload: '12345', fin: false });
    client.send({ payload: '678901', opcode: CONTINUATION });
    assert.equal((await socket.receiveAsync()).count, 5);
    await assert.rejects(
      async () => {
        for (;;) await socket.receiveAsync();
      },
      { code: 'ERR_WEBSOCKET_MESSAGE_TOO_BIG' },
    );
    assert.equal((await client.nextClose()).code, 1009);
  });

  it('sendBufferLimit: aborts who lets more pile up; a single large message is no offence', async (t) => {
    const { socket, client } = await openWs(t, { sendBufferLimit: 1000 });
    await socket.sendAsync(Buffer.alloc(1_000_000));
    assert.equal((await nextMessage(client)).length, 1_000_000);
    const slow = await openRaw(t, { sendBufferLimit: 1000 });
    slow.client.raw.socket.pause();
    const sends = Array.from({ length: 20 }, () => slow.socket.sendAsync(Buffer.alloc(1_000_000)));
    const codes = (await Promise.allSettled(sends)).map((one) => (one.status === 'rejected' ? one.reason.code : ''));
    assert(codes.includes('ERR_WEBSOCKET_SEND_BUFFER_FULL'));
    assert.equal(slow.socket.state, WebSocketState.Aborted);
  });

  it('keepAliveInterval, keepAliveTimeout: ping when idle, abort without a pong', async (t) => {
    const { socket, client } = await openRaw(t, { keepAliveInterval: 20, keepAliveTimeout: 20 });
    assert.equal((await client.next()).opcode, PING_FRAME);
    assert.deepEqual(await socket.closed, { code: 1006, reason: '', wasClean: false });
    const alive = await openWs(t, { keepAliveInterval: 20, keepAliveTimeout: 20_000 });
    for (let i = 0; i < 3; i++) await once(alive.client, 'ping');
    assert.equal(alive.socket.state, WebSocketState.Open);
  });

  it('handshakeTimeout: 503', async (t) => {
    const { server } = await serveApp(t, anyFramework, (app) => void app.use(() => {}), { handshakeTimeout: 20 });
    assert.equal((await (await rawUpgrade(t, server)).readHead()).status, 503);
  });

  it('closeTimeout: how long a close handshake may take', async (t) => {
    const { socket } = await openRaw(t, { closeTimeout: 20 });
    await assert.rejects(socket.closeAsync(), { code: 'ERR_WEBSOCKET_CLOSE_TIMEOUT' });
    const late = await openRaw(t, { closeTimeout: 20 });
    late.client.close(4000, 'mine');
    assert.deepEqual(await late.client.nextClose(), { code: 4000, reason: 'mine' });
  });

  it('maxConnections: 503 with Retry-After', async (t) => {
    const { url, server } = await serveApp(t, anyFramework, (app, sockets) => void app.use(sockets.handler(echo)), {
      maxConnections: 1,
    });
    await connectWs(t, url);
    const { status, headers } = await (await rawUpgrade(t, server)).readHead();
    assert.equal(status, 503);
    assert(headers['retry-after']);
  });

  for (const [takeover, perMessageDeflate] of [
    ['without context takeover', { threshold: 100 }],
    ['with context takeover', { threshold: 100, serverNoContextTakeover: false, clientNoContextTakeover: false }],
  ] as const) {
    it(`perMessageDeflate ${takeover}`, async (t) => {
      const { socket, client, req } = await openWs(t, { perMessageDeflate }, { client: { perMessageDeflate: true } });
      assert.match(client.extensions, /permessage-deflate/);
      const text = 'compress me '.repeat(10_000);
      const wire = async (send: () => Promise<unknown>): Promise<number> => {
        const before = req.socket.bytesWritten;
        await send();
        await nextMessage(client);
        return req.socket.bytesWritten - before;
      };
      assert((await wire(() => socket.sendAsync(text))) < 5000);
      assert((await wire(() => socket.sendAsync(text, { compress: false }))) > text.length);
      assert((await wire(() => socket.sendAsync('x'.repeat(99)))) > 99);
      assert((await wire(() => socket.sendAsync('x'.repeat(99), { compress: true }))) < 50);

      const fragments = nextMessage(client);
      for (let i = 0; i < 5; i++) await socket.sendAsync(`part ${i} `, { endOfMessage: false });
      await socket.sendAsync('end');
      assert.equal(await fragments, 'part 0 part 1 part 2 part 3 part 4 end');

      for (let i = 0; i < 3; i++) client.send(text);
      for (let i = 0; i < 3; i++) assert.equal(await socket.receiveMessageAsync(), text);
      client.send('parts ', { fin: false });
      client.send('of one', { fin: true });
      assert.equal(await socket.receiveMessageAsync(), 'parts of one');
    });
  }

  it('onError', async (t) => {
    const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use(sockets.handler(() => Promise.reject(new Error('secret'))));
    });
    assert.deepEqual(await nextClose(await connectWs(t, url)), { code: 1011, reason: '' });
    assert.equal(String(errors[0]), 'Error: secret');
  });
});
