import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { constants, createServer } from 'node:http2';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import express from 'express';
import { webSockets } from '../src/index.js';
import { anyFramework, eventually } from './support/apps.js';
import { emitResults } from './support/emit-results.js';
import { BINARY_FRAME, clientClose, clientFrame } from './support/frames.js';
import { type Answer, answerTo, ask, echo, endOf, openStream, site } from './support/http2-site.js';
import { http2Session } from './support/http2-tunnel.js';
import { listen, makeHttp2Server } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

describe('WebSockets over HTTP/2', { timeout: 150_000 }, () => {
  it('travel through the application as GET upgrades of version 2.0', async (t) => {
    let seen: IncomingMessage | undefined;
    const { session } = await site(t, (app, sockets) => {
      app.use((req, _res, next) => {
        seen = req;
        next();
      });
      app.use('/room', sockets.handler(echo));
    });
    const { stream, status, headers } = await answerTo(ask(session, '/room?a=1', { 'x-mine': 'ü', cookie: 'a=1' }));
    assert.equal(status, 200);
    for (const name of ['connection', 'upgrade', 'sec-websocket-accept']) assert.equal(headers[name], undefined);
    assert.equal(seen?.method, 'GET');
    assert.equal(seen?.httpVersion, '2.0');
    assert.equal(seen?.headers.host, 'localhost');
    assert.equal(seen?.headers.upgrade, 'websocket');
    assert.equal(seen?.headers.cookie, 'a=1');
    stream.write(clientFrame({ payload: 'hello' }));
    const [frame] = await once(stream, 'data');
    assert.equal(String((frame as Buffer).subarray(2)), 'hello');
  });

  it('end with END_STREAM behind both close frames', async (t) => {
    const { session } = await site(t, (app, sockets) => void app.use(sockets.handler(echo)));
    const stream = await openStream(session);
    const end = endOf(stream);
    stream.write(clientClose(1000));
    stream.once('end', () => stream.end());
    const { body, ended, code } = await end;
    assert.equal(body.toString('hex'), '880203e8');
    assert.equal(ended, true);
    assert.equal(code, constants.NGHTTP2_NO_ERROR);
  });

  it('are reset with CANCEL by abort()', async (t) => {
    const { session } = await site(t, (app, sockets) => void app.use(sockets.handler((socket) => socket.abort())));
    const stream = await openStream(session);
    const { code } = await endOf(stream);
    assert.equal(stream.aborted, true);
    assert.equal(code, constants.NGHTTP2_CANCEL);
  });

  it('are refused with a body, without what only HTTP/1.1 has, and the stream is over', async (t) => {
    const { session } = await site(t, (app) => {
      app.use((_req, res) => {
        res.statusCode = 401;
        res.setHeader('Set-Cookie', ['a=1', 'b=2']);
        res.setHeader('Connection', 'close');
        res.setHeader('Upgrade', 'websocket');
        res.end('who are you');
      });
    });
    const { stream, status, headers } = await answerTo(ask(session));
    const { body, code } = await endOf(stream);
    assert.equal(status, 401);
    assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
    for (const name of ['connection', 'keep-alive', 'transfer-encoding', 'upgrade'])
      assert.equal(headers[name], undefined);
    assert.equal(String(body), 'who are you');
    assert.equal(code, constants.NGHTTP2_NO_ERROR);
  });

  it('leave to Node what no filter accepts, and ordinary requests', async (t) => {
    const { server, sockets } = await site(t, () => {});
    const other = await listen(
      t,
      makeHttp2Server((_req, res) => void res.end('ordinary')),
    );
    sockets.attach(other, express(), { filter: ({ url }) => url === '/mine' });
    assert.notEqual(server, other);
    const session = await http2Session(t, other);
    assert.equal((await answerTo(ask(session, '/mine'))).status, 404);
    const plain = session.request({ ':path': '/' });
    assert.equal(String((await endOf((await answerTo(plain)).stream)).body), 'ordinary');
    const refused = await answerTo(ask(session, '/other'));
    const untouched = await listen(
      t,
      makeHttp2Server((_req, res) => void res.end('ordinary')),
    );
    const asNode = await answerTo(ask(await http2Session(t, untouched), '/other'));
    assert.equal(refused.status, asNode.status);
  });

  it('are not there unless the server advertises them', async (t) => {
    const sockets = webSockets();
    const server = await listen(
      t,
      createServer((_req, res) => void res.end('ordinary')),
    );
    sockets.attach(server, express());
    const session = await http2Session(t, server);
    assert.equal(session.remoteSettings.enableConnectProtocol, false);
    assert.equal(String((await endOf((await answerTo(session.request())).stream)).body), 'ordinary');
  });

  it('are drained with GOAWAY, so that server.close() completes while responses under way survive', async (t) => {
    const sockets = webSockets();
    let finish = (): void => {};
    const server = await listen(
      t,
      makeHttp2Server((_req, res) => {
        res.write('begun ');
        finish = () => void res.end('done');
      }),
    );
    const app = anyFramework();
    app.use(sockets.handler(echo));
    sockets.attach(server, app);
    const [busy, idle] = [await http2Session(t, server), await http2Session(t, server)];
    const stream = await openStream(busy);
    stream.on('data', () => stream.write(clientClose(1001))).on('end', () => stream.end());
    const { stream: response } = await answerTo(busy.request({ ':path': '/long' }));
    const goaways = [once(busy, 'goaway'), once(idle, 'goaway')];
    const rest = endOf(response);
    assert.deepEqual(await sockets.close(), { closed: 1, aborted: 0 });
    for (const [code] of await Promise.all(goaways)) assert.equal(code, constants.NGHTTP2_NO_ERROR);
    const closed = new Promise((resolve) => server.close(resolve));
    finish();
    assert.equal(String((await rest).body), 'begun done');
    await closed;
  });

  it('are drained with GOAWAY in sessions that are older than the attachment, too', async (t) => {
    const server = await listen(
      t,
      makeHttp2Server((_req, res) => void res.end()),
    );
    const session = await http2Session(t, server);
    const sockets = webSockets();
    const app = anyFramework();
    app.use(sockets.handler(echo));
    sockets.attach(server, app);
    const stream = await openStream(session);
    stream.on('data', () => stream.write(clientClose(1001))).on('end', () => stream.end());
    const goaway = once(session, 'goaway');
    await sockets.close();
    assert.equal((await goaway)[0], constants.NGHTTP2_NO_ERROR);
  });

  it('are forgotten when their stream is reset at any moment', async (t) => {
    const { session, sockets, errors } = await site(t, (app, sockets) => {
      app.use((_req, _res, next) => void setImmediate(next));
      app.use(sockets.handler(echo));
    });
    for (let i = 0; i < 50; i++) ask(session).close(constants.NGHTTP2_CANCEL);
    const stream = await openStream(session);
    // The last resets may be still on their way
    await eventually(() => sockets.connectionCount === 1);
    stream.close(constants.NGHTTP2_CANCEL);
    await eventually(() => sockets.connectionCount === 0);
    assert.equal(errors.length <= 51, true);
    await openStream(session);
  });

  it('are reset, and nothing else happens, when a client ends its half without a close frame', async (t) => {
    const { session, sockets } = await site(t, (app, instance) => void app.use(instance.handler(echo)));
    const bystander = await openStream(session);
    for (let i = 0; i < 10; i++) {
      const stream = await openStream(session);
      stream.end();
      assert.equal((await endOf(stream)).code, constants.NGHTTP2_CANCEL);
    }
    assert.equal(sockets.connectionCount, 1);
    bystander.write(clientFrame({ payload: 'unharmed' }));
    assert.equal(String((await once(bystander, 'data'))[0].subarray(2)), 'unharmed');
  });

  it('wait for nobody else of their session: neither for who is not read nor for who does not read', async (t) => {
    const { session } = await site(t, (app, sockets) => {
      app.use(
        '/unread',
        sockets.handler(async (socket) => void (await socket.closed)),
      );
      app.use(
        '/push',
        sockets.handler(async (socket) => {
          for (;;) await socket.sendAsync(Buffer.alloc(1 << 20));
        }),
      );
      app.use('/echo', sockets.handler(echo));
    });
    const unread = await openStream(session, '/unread');
    for (let i = 0; i < 64; i++) unread.write(clientFrame({ opcode: BINARY_FRAME, payload: Buffer.alloc(1 << 16) }));
    // More than maxSessionMemory of Node (10 MB) waits for these
    for (let i = 0; i < 30; i++) await openStream(session, '/push');
    const stream = await openStream(session, '/echo');
    for (let round = 0; round < 20; round++) {
      stream.write(clientFrame({ payload: `round ${round}` }));
      assert.equal(String((await once(stream, 'data'))[0].subarray(2)), `round ${round}`);
    }
    assert.ok(unread.writableLength > 0);
  });

  it('have one limit with all others, maxConnections, and a stream beyond it harms none', async (t) => {
    const { session, sockets } = await site(t, (app, instance) => void app.use(instance.handler(echo)), {
      maxConnections: 5,
    });
    const answers = await Promise.all(Array.from({ length: 50 }, () => answerTo(ask(session))));
    const refused = answers.filter(({ status }) => status === 503);
    assert.equal(refused.length, 45);
    for (const { stream, headers } of refused) {
      assert.equal(headers['retry-after'], '10');
      assert.equal((await endOf(stream)).code, constants.NGHTTP2_NO_ERROR);
    }
    assert.equal(sockets.connectionCount, 5);
    const { stream } = answers.find(({ status }) => status === 200) as Answer;
    stream.write(clientFrame({ payload: 'still here' }));
    assert.equal(String((await once(stream, 'data'))[0].subarray(2)), 'still here');
  });

  it('go over to ws', async (t) => {
    const { session } = await site(t, (app, sockets) => {
      app.use(
        sockets.handler(async ({ ws, closed }) => {
          ws.on('message', (data) => ws.send(`ws: ${data}`));
          await closed;
        }),
      );
    });
    const stream = await openStream(session);
    stream.write(clientFrame({ payload: 'hello' }));
    assert.equal(String((await once(stream, 'data'))[0].subarray(2)), 'ws: hello');
    const end = endOf(stream);
    stream.write(clientClose(1000));
    stream.once('end', () => stream.end());
    assert.equal((await end).code, constants.NGHTTP2_NO_ERROR);
  });

  it('are refused with large bodies at the pace of the client, however the application writes them', async (t) => {
    const body = 'x'.repeat(3 << 20);
    const { session } = await site(t, (app) => {
      app.use('/chunked', (_req, res) => {
        res.statusCode = 403;
        res.setHeader('Transfer-Encoding', 'chunked');
        res.setHeader('Trailer', 'X-Sum');
        for (let at = 0; at < body.length; at += 1 << 16) res.write(body.slice(at, at + (1 << 16)));
        res.addTrailers({ 'X-Sum': 'all' });
        res.end();
      });
      app.use('/piped', (_req, res) => {
        res.statusCode = 403;
        Readable.from(Array.from({ length: 48 }, (_, at) => body.slice(at << 16, (at + 1) << 16))).pipe(res);
      });
      app.use((_req, res) => {
        res.statusCode = 403;
        res.setHeader('Content-Length', body.length);
        res.end(body);
      });
    });
    for (const path of ['/', '/chunked', '/piped']) {
      const { stream, headers } = await answerTo(ask(session, path));
      assert.equal(headers['transfer-encoding'], undefined);
      const { body: got, code, trailers } = await endOf(stream);
      assert.equal(got.length, body.length, path);
      assert.equal(code, constants.NGHTTP2_NO_ERROR);
      assert.equal(trailers['x-sum'], path === '/chunked' ? 'all' : undefined);
    }
  });

  it('are seen by other upgrade listeners, unless they are exclusive', async (t) => {
    const sockets = webSockets();
    const server = await listen(
      t,
      makeHttp2Server((_req, res) => void res.end()),
    );
    const app = anyFramework();
    app.use('/ours', sockets.handler(echo));
    const seen: unknown[] = [];
    server.on('upgrade', (req: IncomingMessage, socket) => {
      seen.push(req.url);
      if (req.url === '/theirs') socket.end('HTTP/1.1 418 Teapot\r\n\r\n');
    });
    const detach = sockets.attach(server, app);
    const session = await http2Session(t, server);
    assert.equal((await answerTo(ask(session, '/ours'))).status, 200);
    assert.equal((await answerTo(ask(session, '/theirs'))).status, 418);
    detach();
    sockets.attach(server, app, { exclusive: true });
    assert.equal((await answerTo(ask(session, '/theirs'))).status, 404);
    assert.deepEqual(seen, ['/ours', '/theirs']);
  });

  it('are streams of which emit says what it says of an event with listeners', async (t) => {
    const { server, session } = await site(t, (app, sockets) => void app.use(sockets.handler(echo)));
    const heard = emitResults(server, 'stream');
    await openStream(session);
    assert.deepEqual(heard, [true]);
  });

  it('are left alone when nothing is attached any more, by drains too', async (t) => {
    const sockets = webSockets();
    const server = await listen(
      t,
      makeHttp2Server((_req, res) => void res.end('ordinary')),
    );
    sockets.attach(server, anyFramework())();
    const session = await http2Session(t, server);
    assert.notEqual((await answerTo(ask(session))).status, 404);
    await sockets.close();
    assert.equal((await answerTo(session.request())).status, 200);
    assert.equal(session.closed, false);
  });
});
