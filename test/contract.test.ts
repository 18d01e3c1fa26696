// The acceptance tests: one for each row of the contract's tables, in its order and under its name. The details of each
// row have tests in the files of their modules.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import {
  WebSocketContext,
  WebSocketError,
  type WebSocketMessage,
  WebSocketMessageType,
  type WebSocketRequest,
  WebSocketState,
  webSockets,
} from '../src/index.js';
import { anyFramework, eventually, serveApp } from './support/apps.js';
import { connectWs, nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';
import { rawConnect, rawUpgrade } from './support/raw-client.js';
import { serve, type TestContext, urlOf } from './support/servers.js';

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
  return await (await rawUpgrade(t, server, { headers })).readHead();
};

const elsewhere = { Origin: 'https://elsewhere.example' };

describe('1. What a user writes', { timeout: 30_000 }, () => {
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

describe('2. The middleware', { timeout: 30_000 }, () => {
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
    const serverClosed = once(server.close(), 'close');
    const drained = sockets.close({ code: 1001, reason: 'restart', timeout: 50 });
    assert.deepEqual(await client.nextClose(), { code: 1001, reason: 'restart' });
    assert.deepEqual(await drained, { closed: 0, aborted: 1 });
    await serverClosed;
  });

  it('without attach: fails loudly and names attach', async (t) => {
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

describe('2. Options', { timeout: 30_000 }, () => {
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
    client.send({ opcode: 2, payload: Buffer.alloc(20_000) });
    await assert.rejects(socket.receiveMessageAsync(), { code: 'ERR_WEBSOCKET_MESSAGE_TOO_BIG' });
    assert.equal((await client.nextClose()).code, 1009);
  });

  it('maxPayload: 1009 for a fragment reader, too', async (t) => {
    const { socket, client } = await openRaw(t, { maxPayload: 10 });
    client.send({ payload: '12345', fin: false });
    client.send({ payload: '678901', opcode: 0 });
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
    assert.equal((await client.next()).opcode, 9);
    assert.deepEqual(await socket.closed, { code: 1006, reason: '', wasClean: false });
    const alive = await openWs(t, { keepAliveInterval: 20, keepAliveTimeout: 200 });
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

describe('3.1 ASP.NET style', { timeout: 30_000 }, () => {
  it('state', async (t) => {
    const { socket, client } = await openRaw(t);
    const states: number[] = [socket.state];
    client.close(1000);
    await socket.receiveAsync();
    states.push(socket.state);
    await socket.closeAsync();
    states.push(socket.state);
    assert.deepEqual(states, [2, 4, 5]);
  });

  it('closeStatus, closeStatusDescription', async (t) => {
    const { socket, client } = await openRaw(t);
    assert.deepEqual([socket.closeStatus, socket.closeStatusDescription], [undefined, undefined]);
    client.close();
    await socket.receiveAsync();
    assert.deepEqual([socket.closeStatus, socket.closeStatusDescription], [1005, '']);
  });

  it('subProtocol', async (t) => {
    const { socket } = await openWs(t, { subProtocols: ['a'] }, { protocols: ['b', 'a'] });
    assert.equal(socket.subProtocol, 'a');
  });

  it('receiveAsync', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('abc');
    const { data, count, messageType, endOfMessage } = await socket.receiveAsync(Buffer.alloc(2));
    assert.deepEqual([data.toString(), count, messageType, endOfMessage], ['ab', 2, WebSocketMessageType.Text, false]);
  });

  it('receiveAsync: small payloads that are kept do not pin the chunk they came in', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.write(Buffer.concat(Array.from({ length: 1000 }, () => Buffer.of(0x82, 0x81, 0, 0, 0, 0, 7))));
    for (let i = 0; i < 1000; i++) assert((await socket.receiveAsync()).data.buffer.byteLength <= 16 * 1024);
  });

  it('sendAsync', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.sendAsync('text');
    await socket.sendAsync(Uint8Array.of(1));
    assert.deepEqual([await nextMessage(client), await nextMessage(client)], ['text', Buffer.of(1)]);
  });

  it('closeAsync', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.closeAsync(4000, 'x');
    assert.deepEqual(await nextClose(client), { code: 4000, reason: 'x' });
    await socket.closeAsync();
  });

  it('closeOutputAsync', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.closeOutputAsync(4000, 'x');
    client.send('still');
    assert.equal(await socket.receiveMessageAsync(), 'still');
  });

  it('abort', async (t) => {
    const { socket, client } = await openWs(t);
    const pending = socket.receiveAsync();
    socket.abort();
    await assert.rejects(pending, { code: 'ERR_WEBSOCKET_OPERATION_ABORTED' });
    assert.equal((await nextClose(client)).code, 1006);
  });

  it('[Symbol.asyncDispose]', async (t) => {
    const { socket, client } = await openWs(t);
    await socket[Symbol.asyncDispose]();
    assert.equal((await nextClose(client)).code, 1000);
  });

  it('client-initiated close is not answered behind the application’s back', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close(1000);
    await socket.receiveAsync();
    await socket.sendAsync('still possible');
    assert.equal((await client.next()).payload.toString(), 'still possible');
    await socket.closeAsync(1000);
    assert.equal((await client.nextClose()).code, 1000);
  });

  it('cancellation: a send of which nothing is out is withdrawn, another is finished', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.socket.pause();
    const out = new AbortController();
    const waiting = new AbortController();
    const first = socket.sendAsync(Buffer.alloc(4_000_000), { signal: out.signal });
    await new Promise((resolve) => setImmediate(resolve));
    const second = socket.sendAsync('withdrawn', { signal: waiting.signal });
    out.abort('out');
    waiting.abort('waiting');
    await assert.rejects(first, (reason) => reason === 'out');
    await assert.rejects(second, (reason) => reason === 'waiting');
    client.raw.socket.resume();
    await socket.sendAsync('usable');
    assert.equal((await client.next()).payload.length, 4_000_000);
    assert.equal((await client.next()).payload.toString(), 'usable');
  });

  it('concurrency: a receive that is pending during a close gets what still arrives, then the close', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.receiveAsync();
    const closing = socket.closeAsync();
    client.send('first');
    assert.equal((await pending).data.toString(), 'first');
    const last = socket.receiveAsync();
    client.close(1000);
    assert.equal((await last).messageType, WebSocketMessageType.Close);
    await closing;
  });
});

/** Sends `total` bytes in frames of `size` and reads them slowly; most bytes taken from the system ahead of the reader. */
const mostAhead = async (t: TestContext, total: number, size: number): Promise<number> => {
  const limit = 256 * 1024;
  const { socket, client, req } = await openRaw(t, { receiveBufferLimit: limit });
  const tcp = client.raw.socket;
  const mask = Buffer.alloc(4);
  void (async () => {
    const chunk = Buffer.alloc(Math.min(size, 64 * 1024));
    for (let sent = 0; sent < total; sent += size) {
      const header = Buffer.alloc(10);
      header[0] = (sent === 0 ? 2 : 0) | (sent + size >= total ? 0x80 : 0);
      header[1] = 0xff;
      header.writeBigUInt64BE(BigInt(size), 2);
      tcp.write(Buffer.concat([header, mask]));
      for (let done = 0; done < size; done += chunk.length) {
        if (!tcp.write(chunk.subarray(0, Math.min(chunk.length, size - done))))
          await once(tcp, 'drain').catch(() => {});
      }
    }
  })();
  let read = 0;
  let ahead = 0;
  for (let reads = 0; ; reads++) {
    const { count, endOfMessage } = await socket.receiveAsync();
    read += count;
    if (reads % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    ahead = Math.max(ahead, req.socket.bytesRead - read);
    if (endOfMessage) break;
  }
  assert.equal(read, total);
  return ahead;
};

describe('3.2 IIS style', { timeout: 60_000 }, () => {
  it('readFragment', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('x');
    const { data, count, utf8Encoded, finalFragment, connectionClose } = await socket.readFragment();
    assert.deepEqual(
      [data.toString(), count, utf8Encoded, finalFragment, connectionClose],
      ['x', 1, true, true, false],
    );
  });

  it('writeFragment', async (t) => {
    const { socket, client } = await openWs(t);
    assert.equal(await socket.writeFragment('ä', { utf8Encoded: true, finalFragment: true }), 2);
    assert.equal(await nextMessage(client), 'ä');
  });

  it('sendConnectionClose', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.sendConnectionClose();
    assert.deepEqual(await client.nextClose(), { code: 1005, reason: '' });
  });

  it('closeTcpConnection', async (t) => {
    const { socket, client } = await openRaw(t);
    socket.closeTcpConnection();
    assert.equal((await client.raw.readToEnd()).length, 0);
  });

  it('getCloseStatus', async (t) => {
    const { socket, client } = await openRaw(t);
    assert.equal(socket.getCloseStatus(), undefined);
    client.close(4000, 'x');
    await socket.readFragment();
    assert.deepEqual(socket.getCloseStatus(), { statusCode: 4000, reason: 'x' });
  });

  it('cancelOutstandingIO', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.readFragment();
    socket.cancelOutstandingIO();
    await assert.rejects(pending, { hresult: 0x800703e3 });
    client.send('kept');
    assert.equal((await socket.readFragment()).data.toString(), 'kept');
  });

  it('the callback form: exactly once, after the call has returned', async (t) => {
    const { socket, client } = await openWs(t);
    const calls: unknown[][] = [];
    const result = socket.writeFragment('x', {}, (...args) => void calls.push(args), 'context');
    assert.deepEqual([result, calls], [undefined, []]);
    await nextMessage(client);
    await eventually(() => calls.length > 0);
    assert.deepEqual(calls, [[undefined, 'context', 1, true, true, false]]);
  });

  it('a message of 64 MiB in one frame passes in constant memory', async (t) => {
    const ahead = await mostAhead(t, 64 * 1024 * 1024, 64 * 1024 * 1024);
    assert(ahead < 1024 * 1024, `${ahead} bytes were taken ahead of the reader`);
  });

  it('a message of 64 MiB in 1,024 frames passes in constant memory', async (t) => {
    const ahead = await mostAhead(t, 64 * 1024 * 1024, 64 * 1024);
    assert(ahead < 1024 * 1024, `${ahead} bytes were taken ahead of the reader`);
  });

  it('text fails at the first impossible byte', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ payload: Buffer.of(0x61, 0xc0), fin: false });
    await assert.rejects(
      async () => {
        for (;;) await socket.readFragment();
      },
      { code: 'ERR_WEBSOCKET_FAULTED' },
    );
    assert.equal((await client.nextClose()).code, 1007);
  });
});

describe('3.3 JavaScript style', { timeout: 30_000 }, () => {
  it('for await', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('text');
    client.send({ opcode: 2, payload: 'bytes' });
    client.close();
    const messages: WebSocketMessage[] = [];
    for await (const message of socket) messages.push(message);
    assert.deepEqual(messages, ['text', Buffer.from('bytes')]);
  });

  it('receiveMessageAsync', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close();
    assert.equal(await socket.receiveMessageAsync(), undefined);
  });

  it('readable, writable', async (t) => {
    const { socket, client } = await openWs(t);
    const piped = socket.readable.pipeTo(socket.writable);
    client.send('round');
    assert.equal(await nextMessage(client), 'round');
    client.close();
    await piped;
  });

  it('signal: already fired if the client left during the handshake', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    const outcome = new Promise<unknown>((resolve) => {
      sockets.attach(server, async (req) => {
        req.socket.destroy();
        resolve(
          await sockets.accept(req).then(
            (socket) => socket.signal.aborted,
            () => 'refused',
          ),
        );
      });
    });
    await rawUpgrade(t, server);
    assert.notEqual(await outcome, false);
  });

  it('closed', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.reset();
    assert.deepEqual(await socket.closed, { code: 1006, reason: '', wasClean: false });
  });

  it('bufferedAmount', async (t) => {
    const { socket } = await openRaw(t);
    const sent = socket.sendAsync(Buffer.alloc(100_000));
    assert(socket.bufferedAmount >= 100_000);
    await sent;
    await eventually(() => socket.bufferedAmount === 0);
  });

  it('ping', async (t) => {
    const { socket } = await openWs(t);
    assert.equal(typeof (await socket.ping()), 'number');
  });

  it('request', async (t) => {
    const { socket, req } = await openRaw(t);
    assert.equal(socket.request, req);
  });

  it('ws', async (t) => {
    const { socket, client } = await openWs(t);
    socket.ws.send('from ws');
    assert.equal(await nextMessage(client), 'from ws');
    await assert.rejects(socket.sendAsync('x'), { code: 'ERR_WEBSOCKET_INVALID_STATE' });
  });

  it('the facts of the handshake', async (t) => {
    const { socket } = await openRaw(t, { origin: 'any' }, { request: { path: '/a?b', headers: elsewhere } });
    assert.equal(socket.origin, 'https://elsewhere.example');
    assert.equal(socket.requestUri.href, 'http://localhost/a?b');
    for (const name of [
      'secWebSocketKey',
      'secWebSocketProtocols',
      'secWebSocketVersion',
      'isSecureConnection',
      'isLocal',
      'isClientConnected',
      'userHostAddress',
      'cookies',
      'items',
      'isAuthenticated',
      'timestamp',
    ] as const) {
      assert.notEqual(socket[name], undefined, name);
    }
    assert.deepEqual([socket.userAgent, socket.user], [undefined, undefined]);
  });
});

describe('3.4 Errors', { timeout: 30_000 }, () => {
  it('WebSocketError: code, webSocketErrorCode, hresult, cause', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.receiveAsync();
    client.raw.end();
    const error = await pending.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert(error instanceof WebSocketError);
    assert.equal(error.code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
    assert.equal(error.webSocketErrorCode, 8);
    assert.equal(error.hresult, 0x80070026);
    await assert.rejects(socket.receiveAsync(), { code: 'ERR_WEBSOCKET_INVALID_STATE', cause: error });
  });

  it('a message says what failed, then the state found and the state needed', async (t) => {
    const { socket } = await openRaw(t);
    await socket.closeOutputAsync();
    await assert.rejects(socket.sendAsync('x'), {
      message: 'Cannot send: state is CloseSent, must be Open or CloseReceived',
    });
  });
});
