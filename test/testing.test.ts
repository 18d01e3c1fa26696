import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import {
  constants,
  createServer as createHttp2Server,
  createSecureServer as createSecureHttp2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { createServer as createSecureServer } from 'node:https';
import { describe, it, type TestContext } from 'node:test';
import connectApp from 'connect';
import express, { type Request } from 'express';
import session from 'express-session';
import express4 from 'express4';
import createError from 'http-errors';
import { eventLoop } from '../src/event-loop.js';
import {
  type CloseInfo,
  type WebSocketContext,
  type WebSocketError,
  WebSocketMessageType,
  type WebSocketOptions,
  WebSocketState,
  webSockets,
} from '../src/index.js';
import { HandshakeRefusedError, connect as realConnect } from '../src/testing/index.js';
import { type ServerFrame, ServerFrames } from '../src/testing/server-frames.js';
import { anyFramework, eventually, frameworks, type TestApp } from './support/apps.js';
import { failure, observe, rejectsWith } from './support/connections.js';
import { serverFrame } from './support/frames.js';
import { unhandledIn } from './support/rejections.js';
import { certificate, isOverHttp2, makeHttp2Server } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** Goes by HTTP/2 if the servers of the tests speak it: to one of its own, where an application has none. */
function connect(...[app, ...rest]: Parameters<typeof realConnect>): ReturnType<typeof realConnect> {
  if (!isOverHttp2() || typeof app !== 'function') return realConnect(app, ...rest);
  const server = makeHttp2Server(app as never);
  webSockets().attach(server, app);
  return realConnect(server, ...rest);
}

/** An application whose route `/socket` does what `handler` says. */
function appWith(
  handler: (socket: WebSocketContext, req: IncomingMessage) => unknown,
  options: WebSocketOptions = {},
  create: () => TestApp = anyFramework,
): TestApp {
  const app = create();
  const sockets = webSockets(options);
  app.use('/socket', sockets.handler(handler));
  return app;
}

/** One whose handler reads a message and then does nothing for ever. */
function appThatHangs(options: WebSocketOptions = {}): TestApp {
  const hang = async (socket: WebSocketContext): Promise<void> => {
    await socket.receiveMessageAsync();
    await new Promise(() => {});
  };
  return appWith(hang, { closeTimeout: 0, ...options });
}

/** Lets limits in real time pass at once, and notes them. */
function hurryLimits(t: TestContext): number[] {
  const limits: number[] = [];
  t.mock.method(eventLoop, 'setTimeout', (callback: (value: unknown) => void, ms: number, value: unknown) => {
    limits.push(ms);
    return setTimeout(callback, 1, value);
  });
  return limits;
}

/** What keeps the process alive, but for what the next turn of the event loop does. */
function resources(): string[] {
  return process.getActiveResourcesInfo().filter((name) => name !== 'Immediate');
}

async function echo(socket: WebSocketContext): Promise<void> {
  for await (const message of socket) await socket.sendAsync(message);
}

async function quiet(socket: WebSocketContext): Promise<void> {
  for await (const _ of socket);
}

describe('connect', { timeout: 150_000 }, () => {
  for (const [name, create] of Object.entries(frameworks)) {
    it(`reaches an application of ${name} without a port, through its middleware`, async () => {
      const sockets = webSockets();
      const app = create();
      app.use((_req, res, next) => {
        res.setHeader('X-Before', 'yes');
        next();
      });
      app.use(
        '/chat',
        sockets.handler((socket, req) => socket.sendAsync(req.originalUrl)),
      );
      await using client = await connect(app, '/chat/42?as=gäst');
      assert.equal(await client.receiveAsync(), '/chat/42?as=g%C3%A4st');
      assert.equal(await client.receiveAsync(), undefined);
      assert.equal(client.headers['x-before'], 'yes');
      assert.deepEqual(await client.closed, { code: 1000, reason: '', wasClean: true });
    });
  }

  it('reaches a plain function', async () => {
    const sockets = webSockets();
    await using client = await connect(async (req, res) => {
      if (!sockets.isWebSocketRequest(req)) return void res.writeHead(404).end();
      const socket = await sockets.accept(req);
      await socket.sendAsync('hello');
    }, '/');
    assert.equal(await client.receiveAsync(), 'hello');
  });

  it('reaches what has been attached to a server that does not listen', async (t) => {
    const sockets = webSockets();
    const server = createServer();
    t.after(sockets.attach(server, appWith(echo)));
    await using client = await connect(server, '/socket');
    await client.sendAsync('x');
    assert.equal(await client.receiveAsync(), 'x');
    assert.equal(server.listening, false);
  });

  it('fails loudly where nothing has been attached, and again after a detachment', async () => {
    const server = createServer();
    const message = /^Cannot connect: no application has been attached.*sockets\.attach\(server, app\)/;
    await assert.rejects(connect(server, '/'), failure('ERR_WEBSOCKET_NOT_ATTACHED', { message }));
    server.on('upgrade', () => {});
    webSockets().attach(server, appWith(echo))();
    await assert.rejects(connect(server, '/'), failure('ERR_WEBSOCKET_NOT_ATTACHED'));
  });

  it('sends the headers, the origin and the subprotocols that it is given', async () => {
    const app = appWith((socket, req) => socket.sendAsync(JSON.stringify([req.headers, socket.requestUri])), {
      subProtocols: ['v2', 'v1'],
      origin: ['https://example.com'],
    });
    await using client = await connect(app, '/socket', {
      headers: { Authorization: 'Bearer x', 'X-List': ['a', 'b'], 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' },
      origin: 'https://example.com',
      subProtocols: ['v1', 'v2'],
    });
    const [headers, uri] = JSON.parse(String(await client.receiveAsync()));
    assert.equal(headers.host, 'localhost');
    assert.equal(headers.authorization, 'Bearer x');
    assert.equal(headers['x-list'], 'a, b');
    assert.equal(headers.origin, 'https://example.com');
    assert.equal(uri, 'http://localhost/socket');
    assert.equal(client.subProtocol, 'v2');
    // HTTP/2 has no key, and no answer to it
    const accept = isOverHttp2() ? undefined : 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';
    assert.equal(client.headers['sec-websocket-accept'], accept);
  });

  it('leaves out a header that is undefined', async () => {
    const app = appWith(echo);
    await assert.rejects(connect(app, '/socket', { headers: { 'Sec-WebSocket-Version': undefined } }), { status: 426 });
  });

  it('comes from 127.0.0.1 to localhost', async () => {
    const app = express();
    const sockets = webSockets();
    app.get(
      '/',
      sockets.handler((socket, req: Request) => {
        const { localAddress, localPort } = req.socket;
        const facts = [req.ip, req.hostname, req.secure, socket.isLocal, localAddress, localPort, req.socket.address()];
        return socket.sendAsync(JSON.stringify(facts));
      }),
    );
    await using client = await connect(app, '/');
    assert.deepEqual(JSON.parse(String(await client.receiveAsync())), [
      '127.0.0.1',
      'localhost',
      false,
      true,
      '127.0.0.1',
      80,
      { address: '127.0.0.1', family: 'IPv4', port: 80 },
    ]);
  });

  it('comes over TLS where it is to be secure, which lets secure cookies through', async () => {
    const app = express();
    const sockets = webSockets();
    app.use(session({ secret: 'x', resave: false, saveUninitialized: true, cookie: { secure: true } }));
    app.get(
      '/',
      sockets.handler((socket, req: Request) => socket.sendAsync(`${req.secure} ${req.protocol} ${socket.requestUri}`)),
    );
    await using plain = await connect(app, '/');
    assert.equal(await plain.receiveAsync(), 'false http http://localhost/');
    assert.equal(plain.headers['set-cookie'], undefined);
    await using secure = await connect(app, '/', { secure: true, origin: 'https://localhost' });
    assert.equal(await secure.receiveAsync(), 'true https https://localhost/');
    assert.match(secure.headers['set-cookie']?.[0] ?? '', /^connect\.sid=.*Secure/);
  });

  it('comes over TLS to a server of node:https by itself', async (t) => {
    const sockets = webSockets();
    const server = createSecureServer(certificate);
    const app = appWith((socket) => socket.sendAsync(String(socket.isSecureConnection)));
    t.after(sockets.attach(server, app));
    await using client = await connect(server, '/socket');
    assert.equal(await client.receiveAsync(), 'true');
  });

  it('rejects with what the application answers instead', async () => {
    const app = express();
    const sockets = webSockets();
    app.get('/account', (_req, res) => void res.status(401).set('WWW-Authenticate', 'Bearer').json({ error: 'who?' }));
    app.get('/page', (_req, res) => void res.send('x'.repeat(100_000)));
    app.get('/strange', (_req, res) => void res.writeHead(499).end());
    app.get('/socket', sockets.handler(echo));
    await assert.rejects(connect(app, '/account'), (error) => {
      assert.ok(error instanceof HandshakeRefusedError && error instanceof Error);
      assert.equal(error.name, 'HandshakeRefusedError');
      assert.equal(error.message, 'The handshake was refused with 401 Unauthorized: {"error":"who?"}');
      assert.equal(error.status, 401);
      assert.equal(error.headers['www-authenticate'], 'Bearer');
      assert.equal(error.body, '{"error":"who?"}');
      return true;
    });
    // A page is a refusal, which 200 is not over HTTP/2
    const status = isOverHttp2() ? 400 : 200;
    await assert.rejects(connect(app, '/page'), { status, body: 'x'.repeat(100_000), message: /: x{200}…$/ });
    await assert.rejects(connect(app, '/nowhere'), { status: 404, message: /404 Not Found/ });
    await assert.rejects(connect(app, '/strange'), { message: 'The handshake was refused with 499', body: '' });
    await assert.rejects(connect(app, '/socket', { origin: 'https://elsewhere.example' }), { status: 403 });
  });

  it('rejects when the server drops the connection without an answer', async () => {
    await assert.rejects(
      connect((req) => void req.socket.destroy(), '/'),
      failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', {
        message: 'Cannot connect: the server dropped the connection without an answer',
      }),
    );
  });

  it('rejects with the reason of its signal, and the application sees that the client has left', async () => {
    const controller = new AbortController();
    const { signal } = controller;
    let left = false;
    let arrived = false;
    const connecting = connect(
      (req) => {
        arrived = true;
        req.once('close', () => {
          left = true;
        });
      },
      '/',
      { signal },
    );
    await eventually(() => arrived);
    controller.abort('enough');
    await rejectsWith(connecting, 'enough');
    await eventually(() => left);
    await rejectsWith(connect(appWith(echo), '/socket', { signal }), 'enough');
    await using client = await connect(appWith(echo), '/socket', { signal: new AbortController().signal });
    await client.sendAsync('x');
    assert.equal(await client.receiveAsync(), 'x');
  });

  it('checks its arguments', async () => {
    const app = appWith(echo);
    for (const wrong of [null, undefined, {}, 'app']) {
      await assert.rejects(connect(wrong as never, '/'), { name: 'TypeError', message: /^Cannot connect: app is / });
    }
    for (const wrong of ['chat', '', undefined, 'ws://localhost/']) {
      await assert.rejects(connect(app, wrong as never), {
        name: 'TypeError',
        message: /path is .*must begin with \//,
      });
    }
    await assert.rejects(connect(app, '/', { signal: 5 as never }), TypeError);
  });

  it('serves the application outside of the asynchronous context of the test', async () => {
    const storage = new AsyncLocalStorage<string>();
    const app = appWith((socket) => socket.sendAsync(String(storage.getStore())));
    await storage.run('of the test', async () => {
      await using client = await connect(app, '/socket');
      assert.equal(await client.receiveAsync(), 'undefined');
      assert.equal(storage.getStore(), 'of the test');
    });
  });
});

describe('connect to a server of HTTP/2', { timeout: 150_000 }, () => {
  const settings = { enableConnectProtocol: true };

  /** Says over which version of HTTP it was reached. */
  function versionApp(): TestApp {
    return appWith((socket, req) => socket.sendAsync(`${req.httpVersion} ${socket.requestUri}`));
  }

  it('opens a stream of a session, which needs no port and ends with the client', async (t) => {
    const server = createHttp2Server({ settings });
    t.after(webSockets().attach(server, versionApp()));
    const opened = once(server, 'session');
    const client = await connect(server, '/socket', { headers: { host: 'example.com' } });
    assert.equal(await client.receiveAsync(), '2.0 http://example.com/socket');
    assert.deepEqual(await client.closed, { code: 1000, reason: '', wasClean: true });
    const [session] = (await opened) as [ServerHttp2Session];
    await eventually(() => session.destroyed);
    assert.equal(server.listening, false);
  });

  it('comes over TLS to a server that has it', async (t) => {
    const server = createSecureHttp2Server({ ...certificate, settings, allowHTTP1: true });
    t.after(webSockets().attach(server, versionApp()));
    await using client = await connect(server, '/socket');
    assert.equal(await client.receiveAsync(), '2.0 https://localhost/socket');
    assert.equal(client.headers[':status'], undefined);
  });

  it('comes by HTTP/1.1 to one that speaks it and does not advertise WebSockets over HTTP/2', async (t) => {
    const server = createSecureHttp2Server({ ...certificate, allowHTTP1: true });
    t.after(webSockets().attach(server, versionApp()));
    await using client = await connect(server, '/socket');
    assert.equal(await client.receiveAsync(), '1.1 https://localhost/socket');
  });

  it('says what is missing of one that takes no WebSockets at all', async (t) => {
    for (const server of [createHttp2Server(), createSecureHttp2Server(certificate)]) {
      t.after(webSockets().attach(server, versionApp()));
      const message = /takes no WebSockets, create it with settings: \{ enableConnectProtocol: true \}$/;
      await assert.rejects(connect(server, '/socket'), { name: 'TypeError', message });
    }
  });

  it('rejects when the session ends without an answer', async (t) => {
    const server = createHttp2Server({ settings });
    t.after(webSockets().attach(server, versionApp()));
    for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_INTERNAL_ERROR]) {
      server.once('session', (session) => session.destroy(undefined, code));
      await assert.rejects(connect(server, '/'), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    }
  });

  it('resets the stream of a client that is cut, and breaks off at one that the server resets with an error', async (t) => {
    const server = createHttp2Server({ settings });
    const closes: CloseInfo[] = [];
    t.after(
      webSockets({ onError: () => {} }).attach(
        server,
        appWith(async (socket) => void closes.push(await socket.closed)),
      ),
    );
    const streams: ServerHttp2Stream[] = [];
    server.on('session', (session) => session.on('stream', (stream: ServerHttp2Stream) => streams.push(stream)));
    (await connect(server, '/socket')).terminate();
    await eventually(() => closes.length === 1);
    assert.equal(streams[0]?.rstCode, constants.NGHTTP2_CANCEL);
    assert.equal(closes[0]?.code, 1006);

    const client = await connect(server, '/socket');
    streams[1]?.close(constants.NGHTTP2_INTERNAL_ERROR);
    await assert.rejects(client.receiveAsync(), (error: Error) => {
      assert.match(String(error.cause), /NGHTTP2_INTERNAL_ERROR/);
      return true;
    });
    const other = await connect(server, '/socket');
    streams[2]?.session?.destroy();
    assert.deepEqual(await other.closed, { code: 1006, reason: '', wasClean: false });
  });
});

describe('a client for tests', { timeout: 150_000 }, () => {
  it('sends and receives messages of any kind and size', async () => {
    await using client = await connect(appWith(echo), '/socket');
    const messages = ['', 'grüezi', 'x'.repeat(126), 'y'.repeat(70_000), Buffer.alloc(0), Buffer.alloc(1_000_000, 7)];
    for (const message of messages) {
      await client.sendAsync(message);
      assert.deepEqual(await client.receiveAsync(), message);
    }
    await client.sendAsync(new Uint16Array([1, 2]), { messageType: WebSocketMessageType.Text });
    assert.equal(await client.receiveAsync(), '\x01\0\x02\0');
  });

  it('keeps what it has sent apart from the buffer, which may be reused', async () => {
    await using client = await connect(appWith(echo), '/socket');
    const buffer = Buffer.from('abc');
    const sent = client.sendAsync(buffer);
    buffer.fill(0);
    await sent;
    assert.deepEqual(await client.receiveAsync(), Buffer.from('abc'));
  });

  it('sends messages in fragments', async () => {
    const app = appWith(async (socket) => {
      for (;;) {
        const { data, endOfMessage, messageType } = await socket.receiveAsync();
        if (messageType === WebSocketMessageType.Close) return;
        await socket.sendAsync(`${data} ${endOfMessage}`);
      }
    });
    await using client = await connect(app, '/socket');
    await client.sendAsync('be', { endOfMessage: false });
    await client.sendAsync('gun');
    await client.sendAsync('next');
    assert.deepEqual(
      [await client.receiveAsync(), await client.receiveAsync(), await client.receiveAsync()],
      ['be false', 'gun true', 'next true'],
    );
  });

  it('receives messages that come in fragments', async () => {
    const app = appWith(async (socket) => {
      await socket.sendAsync('gr€', { endOfMessage: false });
      await socket.sendAsync('', { endOfMessage: false });
      await socket.sendAsync('üezi');
      await socket.sendAsync(Buffer.of(1), { endOfMessage: false });
      await socket.sendAsync(Buffer.of(2));
    });
    await using client = await connect(app, '/socket');
    assert.equal(await client.receiveAsync(), 'gr€üezi');
    assert.deepEqual(await client.receiveAsync(), Buffer.of(1, 2));
  });

  it('iterates to the close of the server, and goes on behind a break', async () => {
    const app = appWith(async (socket) => {
      for (const text of ['1', '2', '3']) await socket.sendAsync(text);
      await socket.closeAsync(4001, 'done');
    });
    await using client = await connect(app, '/socket');
    const seen: unknown[] = [];
    for await (const message of client) {
      seen.push(message);
      break;
    }
    const left = client[Symbol.asyncIterator]()[Symbol.asyncIterator]();
    await left.return?.();
    assert.deepEqual(await left.next(), { value: undefined, done: true });
    for await (const message of client) seen.push(message);
    assert.deepEqual(seen, ['1', '2', '3']);
    assert.deepEqual(await client.closed, { code: 4001, reason: 'done', wasClean: true });
    await client.closeAsync();
  });

  it('gives several readers a message each, and one that is cancelled none', async () => {
    await using client = await connect(appWith(echo), '/socket');
    const controller = new AbortController();
    const { signal } = controller;
    const first = client.receiveAsync();
    const cancelled = client.receiveAsync({ signal });
    const second = client.receiveAsync({ signal: new AbortController().signal });
    controller.abort('enough');
    await rejectsWith(cancelled, 'enough');
    await rejectsWith(client.receiveAsync({ signal }), 'enough');
    await client.sendAsync('1');
    await client.sendAsync('2');
    assert.deepEqual([await first, await second], ['1', '2']);
    await assert.rejects(client.receiveAsync({ signal: 5 as never }), TypeError);
  });

  it('closes with a code and a reason, and resolves when the server has acknowledged', async () => {
    let seen: unknown;
    const app = appWith(async (socket) => {
      await quiet(socket);
      seen = [socket.closeStatus, socket.closeStatusDescription];
    });
    const client = await connect(app, '/socket');
    const pending = client.receiveAsync();
    await client.closeAsync(4000, 'enough');
    assert.deepEqual(seen, [4000, 'enough']);
    assert.equal(await pending, undefined);
    assert.equal(await client.receiveAsync(), undefined);
    assert.deepEqual(await client.closed, { code: 4000, reason: 'enough', wasClean: true });
    await assert.rejects(client.sendAsync('x'), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await client.closeAsync();
    await client[Symbol.asyncDispose]();
  });

  it('closes without a code', async () => {
    const client = await connect(appWith(quiet), '/socket');
    await client.closeAsync(1005);
    assert.deepEqual(await client.closed, { code: 1005, reason: '', wasClean: true });
  });

  it('checks what it is to send and close with', async () => {
    await using client = await connect(appWith(echo), '/socket');
    await assert.rejects(client.sendAsync(5 as never), TypeError);
    await assert.rejects(client.closeAsync(1006), RangeError);
    await assert.rejects(client.closeAsync(1000, 'x'.repeat(124)), RangeError);
    await client.sendAsync('still open');
    assert.equal(await client.receiveAsync(), 'still open');
  });

  it('reports a connection that is cut behind the messages before, to pending and later reads', async () => {
    const app = appWith(async (socket) => {
      await socket.sendAsync('last words');
      await socket.receiveMessageAsync();
      socket.abort();
    });
    const client = await connect(app, '/socket');
    assert.equal(await client.receiveAsync(), 'last words');
    const reads = [client.receiveAsync(), client.receiveAsync()];
    await client.sendAsync('go');
    for (const read of [...reads, client.receiveAsync()]) {
      await assert.rejects(read, failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    }
    assert.deepEqual(await client.closed, { code: 1006, reason: '', wasClean: false });
    await assert.rejects(client.closeAsync(), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    await assert.rejects(client.sendAsync('x'), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(async () => {
      for await (const _ of client) assert.fail('nothing comes');
    }, failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
  });

  it('cuts the connection itself', async () => {
    let state: WebSocketState | undefined;
    const app = appWith(async (socket) => {
      await socket.closed;
      state = socket.state;
    });
    const client = await connect(app, '/socket');
    const read = client.receiveAsync();
    client.terminate();
    client.terminate();
    await assert.rejects(read, failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    await eventually(() => state !== undefined);
    assert.equal(state, WebSocketState.Aborted);
    assert.equal((await client.closed).code, 1006);
  });

  it('answers pings, and passes over pongs', async () => {
    const app = appWith(async (socket) => {
      await socket.sendAsync(String((await socket.ping('are you there')) >= 0));
      await quiet(socket);
    });
    await using client = await connect(app, '/socket');
    assert.equal(await client.receiveAsync(), 'true');
    // The server answers it with a pong, which is not a message.
    await client.sendAsync('x');
  });

  it('breaks off where the server compresses what it cannot read', async () => {
    const app = appWith((socket) => socket.sendAsync('x'.repeat(5000)), { perMessageDeflate: true });
    const headers = { 'sec-websocket-extensions': 'permessage-deflate' };
    const client = await connect(app, '/socket', { headers });
    await assert.rejects(client.receiveAsync(), (error: Error) => {
      assert.match(String(error.cause), /masked or compressed/);
      return true;
    });
  });

  it('ends no process by what nobody awaits when the connection is cut', async () => {
    const app = appWith((socket) => socket.abort());
    const unhandled = await unhandledIn(async () => {
      const client = await connect(app, '/socket');
      void client.sendAsync('x');
      void client.closeAsync();
      await client.closed;
      void client.sendAsync('x');
    });
    assert.deepEqual(unhandled, []);
  });
});

describe('the connection in memory', { timeout: 150_000 }, () => {
  it('lets the server feel a client that does not read, and go on when it does', async () => {
    let sent = 0;
    let socket: WebSocketContext | undefined;
    const app = appWith(async (it) => {
      socket = it;
      for (; sent < 100; sent++) await it.sendAsync(Buffer.alloc(100_000, sent));
    });
    const client = await connect(app, '/socket');
    client.pause();
    await eventually(() => socket !== undefined && socket.bufferedAmount > 0);
    const before = sent;
    for (let i = 0; i < 20; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.ok(sent < 10 && sent - before <= 2, `${sent} messages were sent, ${before} before`);
    client.resume();
    for (let i = 0; i < 100; i++) assert.deepEqual(await client.receiveAsync(), Buffer.alloc(100_000, i));
    await client.closed;
  });

  it('lets the client feel a server that does not read: sendAsync waits', async () => {
    let go: (() => void) | undefined;
    const app = appWith(
      async (socket) => {
        // The first read decides, from then on input is held up to the limit.
        await socket.receiveMessageAsync();
        await new Promise<void>((resolve) => {
          go = resolve;
        });
        let bytes = 0;
        for (;;) {
          const { count, messageType } = await socket.receiveAsync();
          if (messageType === WebSocketMessageType.Close) return;
          bytes += count;
          if (bytes === 1_000_000) await socket.sendAsync('all');
        }
      },
      { receiveBufferLimit: 100_000 },
    );
    await using client = await connect(app, '/socket');
    await client.sendAsync('first');
    const sent = observe(client.sendAsync(Buffer.alloc(1_000_000)));
    await eventually(() => go !== undefined);
    for (let i = 0; i < 50; i++) await new Promise((resolve) => setImmediate(resolve));
    assert.equal(sent.outcome, 'pending');
    go?.();
    assert.equal(await client.receiveAsync(), 'all');
    assert.equal(sent.outcome, undefined);
  });

  it('fails a send that the server’s side has not taken when the connection is cut', async () => {
    const client = await connect(appThatHangs({ receiveBufferLimit: 1000 }), '/socket');
    await client.sendAsync('first');
    const sent = client.sendAsync(Buffer.alloc(1_000_000));
    await new Promise((resolve) => setImmediate(resolve));
    client.terminate();
    await assert.rejects(sent, failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
  });

  it('takes what a socket can be told', async () => {
    const app = appWith((socket, req) => {
      req.socket.setKeepAlive(true).setNoDelay(true).setTimeout(0).ref().unref();
      return socket.sendAsync(`${req.socket.bytesRead > 0} ${req.socket.bytesWritten > 0}`);
    });
    await using client = await connect(app, '/socket');
    // What counts over HTTP/2 is the data of the stream
    assert.equal(await client.receiveAsync(), `${!isOverHttp2()} true`);
  });

  it('passes at most 64 KiB at once', async () => {
    const sizes: number[] = [];
    const app = appWith(async (socket) => {
      for (;;) {
        const { count, endOfMessage } = await socket.receiveAsync();
        sizes.push(count);
        if (endOfMessage) return;
      }
    });
    const client = await connect(app, '/socket');
    await client.sendAsync(Buffer.alloc(1_000_000));
    await client.closed;
    assert.ok(Math.max(...sizes) <= 65_536 && sizes.length > 10, sizes.join());
  });

  it('lets a client that does not read be found out by the limits', async () => {
    const sockets = webSockets({ sendBufferLimit: 300_000 });
    const app = anyFramework();
    app.use(
      sockets.handler(async (socket) => {
        while (!socket.signal.aborted) {
          void socket.sendAsync(Buffer.alloc(100_000));
          await new Promise((resolve) => setImmediate(resolve));
        }
      }),
    );
    const client = await connect(app, '/');
    client.pause();
    await eventually(() => sockets.connectionCount === 0);
    client.resume();
    assert.equal((await client.closed).code, 1006);
  });

  it('resets the server’s side when the client is cut with something unread', async () => {
    let failed: Error | undefined;
    const app = appWith(async (socket) => {
      await socket.sendAsync(Buffer.alloc(1_000_000)).catch((error: Error) => {
        failed = error;
      });
    });
    const client = await connect(app, '/socket');
    client.pause();
    await new Promise((resolve) => setImmediate(resolve));
    client.terminate();
    await eventually(() => failed !== undefined);
    const { code, cause } = failed as WebSocketError;
    assert.equal(code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
    // CANCEL is no error of a stream; versions of Node differ in what they say of the write
    if (!isOverHttp2()) assert.equal((cause as { code?: string } | undefined)?.code, 'ECONNRESET');
  });

  it('says what is missing when nothing comes, the server does not read, or the connection stays open', async (t) => {
    const limits = hurryLimits(t);
    const client = await connect(
      appWith(() => new Promise(() => {})),
      '/socket',
    );
    const missing = (message: RegExp) => failure('ERR_WEBSOCKET_OPERATION_ABORTED', { message });
    await assert.rejects(
      client.receiveAsync(),
      missing(/^Cannot receive: nothing came within 10000 ms; let the handler send or close/),
    );
    await assert.rejects(
      async () => {
        for await (const _ of client) assert.fail('nothing comes');
      },
      missing(/nothing came/),
    );
    client.pause();
    await assert.rejects(
      client.receiveAsync(),
      missing(/the client is paused, and nothing came within 10000 ms; call resume/),
    );
    client.resume();
    await assert.rejects(
      client.closed,
      missing(/^Cannot wait for the close: the connection has not ended within 10000 ms; let its handler/),
    );
    await assert.rejects(
      client.sendAsync(Buffer.alloc(8 * 2 ** 20)),
      missing(/^Cannot send: the server has not taken the data within 10000 ms; let its handler read/),
    );
    assert.deepEqual(limits, [10_000, 10_000, 10_000, 10_000, 10_000]);
    client.terminate();
    assert.equal((await client.closed).code, 1006);
  });

  it('loses no message to a read that has come to nothing', async (t) => {
    const app = appWith(async (socket) => {
      await socket.receiveMessageAsync();
      await socket.sendAsync('late');
      await quiet(socket);
    });
    await using client = await connect(app, '/socket');
    const limits = hurryLimits(t);
    await assert.rejects(client.receiveAsync(), failure('ERR_WEBSOCKET_OPERATION_ABORTED'));
    t.mock.restoreAll();
    await client.sendAsync('go');
    assert.equal(await client.receiveAsync(), 'late');
    assert.deepEqual(limits, [10_000]);
  });

  it('keeps the process alive while something is waited for, and no longer', async () => {
    const before = resources();
    const client = await connect(appWith(quiet), '/socket');
    const signal = AbortSignal.timeout(20);
    const waiting = [client.closed, client.receiveAsync()];
    const timed = client.receiveAsync({ signal });
    assert.deepEqual(resources().toSorted(), [...before, 'Timeout', 'Timeout', 'Timeout'].toSorted());
    await assert.rejects(timed, { name: 'TimeoutError' });
    await client.closeAsync();
    await Promise.all(waiting);
    assert.deepEqual(resources(), before);
  });

  it('leaves no connection, no timer and no listener when the client is closed', async () => {
    const sockets = webSockets();
    const app = express4();
    app.get('/', sockets.handler(echo));
    const before = resources();
    for (let i = 0; i < 10; i++) {
      await using client = await connect(app, '/');
      await client.sendAsync('x');
    }
    assert.equal(sockets.connectionCount, 0);
    assert.deepEqual(resources(), before);
    assert.deepEqual(await sockets.close(), { closed: 0, aborted: 0 });
  });

  it('is let go of by await using even if the server never acknowledges', async (t) => {
    const disposed = await connect(appThatHangs(), '/socket');
    await disposed.sendAsync('x');
    disposed.pause();
    const limits = hurryLimits(t);
    {
      await using _client = disposed;
    }
    assert.deepEqual(await disposed.closed, { code: 1006, reason: '', wasClean: false });
    assert.deepEqual(limits, [1000]);
  });

  it('is cut when the server does not acknowledge closeAsync, which says what to do', async (t) => {
    const client = await connect(appThatHangs(), '/socket');
    await client.sendAsync('x');
    const limits = hurryLimits(t);
    const message = /has not acknowledged within 10000 ms; let its handler read on, return or call closeAsync/;
    await assert.rejects(client.closeAsync(), failure('ERR_WEBSOCKET_CLOSE_TIMEOUT', { message }));
    assert.equal((await client.closed).code, 1006);
    assert.deepEqual(limits, [10_000]);
  });

  it('is drained like any other', async () => {
    const sockets = webSockets();
    const app = connectApp();
    app.use(sockets.handler(quiet));
    const client = await connect(app, '/');
    assert.deepEqual(await sockets.close({ reason: 'restarting' }), { closed: 1, aborted: 0 });
    assert.deepEqual(await client.closed, { code: 1001, reason: 'restarting', wasClean: true });
    await assert.rejects(connect(app, '/'), { status: 503 });
  });

  it('tells the client what a handler that fails is closed with', async () => {
    const app = appWith(() => {
      throw createError(418, 'I am a teapot');
    });
    const client = await connect(app, '/socket');
    assert.deepEqual(await client.closed, { code: 4418, reason: 'I am a teapot', wasClean: true });
  });
});

describe('the frames of a server', () => {
  it('are cut out of chunks of any size', () => {
    const payloads = ['', 'short', 'x'.repeat(126), 'y'.repeat(70_000)];
    const bytes = Buffer.concat(payloads.map((payload) => serverFrame({ payload })));
    for (const size of [1, 7, 70_000, bytes.length]) {
      const frames = new ServerFrames();
      const seen: ServerFrame[] = [];
      for (let at = 0; at < bytes.length; at += size) seen.push(...frames.push(bytes.subarray(at, at + size)));
      assert.deepEqual(
        seen.map(({ payload }) => payload.toString()),
        payloads,
      );
    }
  });

  it('are refused when they are masked', () => {
    assert.throws(() => [...new ServerFrames().push(serverFrame({ mask: true }))], /masked or compressed/);
  });
});
