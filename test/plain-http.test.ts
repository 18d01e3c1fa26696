import assert from 'node:assert/strict';
import type { IncomingMessage, Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { describe, it } from 'node:test';
import express from 'express';
import { attach } from '../src/upgrade/attach.js';
import { type RawRequest, rawConnect, rawUpgrade, requestBytes } from './support/raw-client.js';
import { listen, makeServer, serve, type TestContext } from './support/servers.js';
import { accept, assertClean, Deferred, responseTo } from './support/upgrades.js';

const readBody = async (req: IncomingMessage): Promise<string> => {
  let body = '';
  for await (const chunk of req) body += chunk;
  return body;
};

/** A server that tells what it was asked, and accepts WebSocket requests. */
const telling = async (t: TestContext, options: { secure?: boolean } = {}): Promise<Server> => {
  const server = await serve(
    t,
    async (req, res) => {
      res.end(JSON.stringify([req.method, req.url, await readBody(req), req.rawHeaders]));
    },
    options,
  );
  attach(server, (req) => accept(req), { handshakeTimeout: 60_000 });
  return server;
};

const h2c = (request: RawRequest = {}): RawRequest => ({
  ...request,
  headers: {
    Upgrade: 'h2c',
    Connection: 'Upgrade, HTTP2-Settings',
    'HTTP2-Settings': 'AAMAAABkAAQCAAAAAAIAAAAA',
    'Sec-WebSocket-Version': undefined,
    'Sec-WebSocket-Key': undefined,
    ...request.headers,
  },
});

describe('a request for another protocol', () => {
  for (const secure of [false, true]) {
    describe(secure ? 'over https' : 'over http', () => {
      it('is served as an ordinary request', async (t) => {
        const client = await rawUpgrade(t, await telling(t, { secure }), h2c({ path: '/path?q=1' }));
        const response = await client.readResponse();
        assert.equal(response.status, 200);
        assert.deepEqual(JSON.parse(response.body).slice(0, 3), ['GET', '/path?q=1', '']);
        assert.equal(client.ended, false);
      });

      it('has its body, of known length or in chunks, in one piece or in several', async (t) => {
        const server = await telling(t, { secure });
        const bodies = [
          [{ 'Content-Length': '11' }, ['hello world']],
          [{ 'Content-Length': '11' }, ['hello', ' world']],
          [{ 'Transfer-Encoding': 'chunked' }, ['b\r\nhello world\r\n0\r\n\r\n']],
          [{ 'Transfer-Encoding': 'chunked' }, ['5\r\nhello\r\n', '6\r\n wor', 'ld\r\n', '0\r\n\r\n']],
          [{ 'Content-Length': '11' }, ['', 'hello world']],
        ] as const;
        for (const [headers, [tail, ...rest]] of bodies) {
          const client = await rawUpgrade(t, server, h2c({ method: 'POST', headers, tail }));
          for (const piece of rest) {
            await new Promise((resolve) => setTimeout(resolve, 10));
            client.write(piece);
          }
          const { body } = await client.readResponse();
          assert.deepEqual(JSON.parse(body).slice(0, 3), ['POST', '/', 'hello world']);
        }
      });

      it('may be followed by others, and by a WebSocket, on the same connection', async (t) => {
        const server = await telling(t, { secure });
        const client = await rawConnect(t, server);
        const requests = [
          requestBytes(h2c({ method: 'POST', path: '/1', headers: { 'Content-Length': '3' }, tail: 'one' })),
          Buffer.from('GET /plain HTTP/1.1\r\nHost: localhost\r\n\r\n'),
          requestBytes(h2c({ path: '/2' })),
          requestBytes({ path: '/ws' }),
        ];
        // Where Node itself goes on parsing, it loses what a client pipelines behind such a request in the same packet
        const pipelined = !('shouldUpgradeCallback' in server);
        if (pipelined) client.write(Buffer.concat(requests.splice(0)));
        const urls = [];
        for (let i = 0; i < 3; i++) {
          client.write(requests.shift() ?? '');
          urls.push(JSON.parse((await client.readResponse()).body)[1]);
        }
        assert.deepEqual(urls, ['/1', '/plain', '/2']);
        client.write(requests.shift() ?? '');
        assert.equal((await client.readHead()).status, 101);
        await assertClean(client);
      });
    });
  }

  it('keeps its headers but those that ask to upgrade', async (t) => {
    const server = await telling(t);
    const headers = {
      Upgrade: 'h2c',
      connection: ['keep-alive , upgrade', 'X-Hop,Http2-Settings,X-Other', 'Upgrade'],
      'HTTP2-Settings': 'AAMAAABk',
      'X-Latin': '\u00e9\u00ff',
      'X-List': 'a,upgrade',
      'X-Twice': ['1', '2'],
    };
    const { body } = await responseTo(t, server, h2c({ headers: { ...headers, Connection: undefined } }));
    const rawHeaders: string[] = JSON.parse(body)[3];
    const others = ['X-Latin', '\u00e9\u00ff', 'X-List', 'a,upgrade', 'X-Twice', '1', 'X-Twice', '2'];
    // Newer versions of Node hand the request over as it was sent, because it is never taken for an upgrade
    if ('shouldUpgradeCallback' in server) assert.deepEqual(rawHeaders.slice(-others.length), others);
    else {
      const connection = ['connection', 'keep-alive', 'connection', 'X-Hop,X-Other'];
      assert.deepEqual(rawHeaders, ['Host', 'localhost', ...connection, ...others]);
    }
  });

  it('closes the connection if the client asks for it', async (t) => {
    const client = await rawUpgrade(t, await telling(t), h2c({ headers: { Connection: 'Upgrade, close' } }));
    assert.equal((await client.readResponse()).headers['connection'], 'close');
    await client.readToEnd();
  });

  it('can be an HTTP/1.0 one', async (t) => {
    const response = await responseTo(t, await telling(t), h2c({ version: '1.0' }));
    assert.equal(response.status, 200);
    assert.equal(response.headers['connection'], 'close');
  });

  it('waits for its turn behind an earlier request', async (t) => {
    const release = new Deferred<void>();
    const server = makeServer(async (req, res) => {
      if (req.url === '/slow') await release.promise;
      res.end(req.url);
    });
    attach(server, () => assert.fail('reached'), { handshakeTimeout: 60_000 });
    await listen(t, server);
    const client = await rawConnect(t, server);
    client.write(
      Buffer.concat([Buffer.from('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n'), requestBytes(h2c({ path: '/next' }))]),
    );
    await new Promise((resolve) => setTimeout(resolve, 20));
    release.resolve();
    assert.equal((await client.readResponse()).body, '/slow');
    assert.equal((await client.readResponse()).body, '/next');
  });

  it('is given up when the client resets while it waits for its turn', async (t) => {
    const arrived = new Deferred<void>();
    const closed = new Deferred<void>();
    const server = await serve(t, (req) => {
      // Newer versions of Node hand it over as the ordinary request that it is, without waiting
      assert.ok(req.url === '/slow' || 'shouldUpgradeCallback' in server, req.url);
      req.socket.on('close', () => closed.resolve());
      arrived.resolve();
    });
    attach(server, () => {}, { handshakeTimeout: 60_000 });
    const client = await rawConnect(t, server);
    client.write(Buffer.concat([Buffer.from('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n'), requestBytes(h2c())]));
    await arrived.promise;
    client.reset();
    await closed.promise;
  });

  it('leaves as many listeners for errors on its connection as any request', async (t) => {
    const server = await serve(t, (req, res) => res.end(String(req.socket.listenerCount('error'))));
    const [plain, replayed] = [await rawConnect(t, server), await rawConnect(t, server)];
    plain.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    const expected = (await plain.readResponse()).body;
    attach(server, () => {}, { handshakeTimeout: 60_000 });
    replayed.request(h2c());
    assert.equal((await replayed.readResponse()).body, expected);
  });

  it('is not replayed without end on one connection', async (t) => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => {
      warnings.push(warning.name);
    };
    process.on('warning', onWarning);
    t.after(() => {
      process.removeListener('warning', onWarning);
    });
    const server = await serve(t, (_req, res) => res.end('plain'));
    attach(server, () => assert.fail('reached'), { handshakeTimeout: 60_000, filter: () => false });
    const client = await rawConnect(t, server);
    let answers = 0;
    for (let last = false; !last; answers++) {
      client.request();
      last = (await client.readResponse()).headers['connection'] === 'close';
    }
    assert.equal(answers, 4);
    await client.readToEnd();
    await new Promise(setImmediate);
    assert.deepEqual(warnings, []);
  });

  it('does not break the application with its requests for a WebSocket that no filter accepts', async (t) => {
    const app = express();
    app.get('/plain', (_req, res) => {
      res.send('plain');
    });
    const server = await serve(t, app);
    attach(server, app, { handshakeTimeout: 60_000, filter: (req) => req.url === '/ws' });
    assert.equal((await responseTo(t, server, { path: '/plain' })).body, 'plain');
    assert.equal((await responseTo(t, server, { path: '/nowhere' })).status, 404);
  });

  it('is not in the way of a client that resets the connection', async (t) => {
    const arrived = new Deferred<void>();
    const closed = new Deferred<void>();
    const server = await serve(t, (req) => {
      req.on('close', () => closed.resolve());
      req.socket.resume();
      arrived.resolve();
    });
    attach(server, () => assert.fail('reached'), { handshakeTimeout: 60_000 });
    const client = await rawUpgrade(t, server, h2c({ method: 'POST', headers: { 'Content-Length': '10' }, tail: 'x' }));
    await arrived.promise;
    client.reset();
    await closed.promise;
  });
});

describe('shouldUpgradeCallback of newer versions of Node', () => {
  type Asked = Server & { shouldUpgradeCallback?: (req: IncomingMessage) => boolean };

  const requestFor = (upgrade: string): IncomingMessage =>
    Object.assign(Object.create(null), { headers: { upgrade, connection: 'Upgrade' } });

  const make = (): Asked => {
    const server: Asked = createSecureServer();
    server.shouldUpgradeCallback = function (this: Asked) {
      return this.listenerCount('upgrade') > 0;
    };
    return server;
  };

  it('lets Node go on parsing requests for other protocols, unless other listeners want them', () => {
    const server = make();
    attach(server, () => {}, { handshakeTimeout: 0 });
    assert.equal(server.shouldUpgradeCallback?.(requestFor('websocket')), true);
    assert.equal(server.shouldUpgradeCallback?.(requestFor('h2c')), false);
    server.on('upgrade', () => {});
    assert.equal(server.shouldUpgradeCallback?.(requestFor('h2c')), true);
  });

  it('is not made where Node has none', () => {
    const server = Object.assign(make(), { shouldUpgradeCallback: undefined });
    attach(server, () => {}, { handshakeTimeout: 0 });
    assert.equal(server.shouldUpgradeCallback, undefined);
  });

  it('respects what was there, and puts it back', () => {
    const server = make();
    const before = (): boolean => false;
    server.shouldUpgradeCallback = before;
    const detach = attach(server, () => {}, { handshakeTimeout: 0 });
    assert.equal(server.shouldUpgradeCallback?.(requestFor('websocket')), false);
    detach();
    assert.equal(server.shouldUpgradeCallback, before);
  });

  it('lets everything pass when it is detached beneath somebody else, and is not wrapped twice', () => {
    const server = make();
    const detach = attach(server, () => {}, { handshakeTimeout: 0 });
    const ours = server.shouldUpgradeCallback;
    const theirs = (req: IncomingMessage): boolean => ours?.(req) === true;
    server.shouldUpgradeCallback = theirs;
    detach();
    server.on('upgrade', () => {});
    assert.equal(server.shouldUpgradeCallback, theirs);
    assert.equal(server.shouldUpgradeCallback(requestFor('h2c')), true);
    server.removeAllListeners('upgrade');
    attach(server, () => {}, { handshakeTimeout: 0 });
    assert.equal(server.shouldUpgradeCallback, theirs);
    assert.equal(server.shouldUpgradeCallback(requestFor('h2c')), false);
    assert.equal(server.shouldUpgradeCallback(requestFor('websocket')), true);
  });
});
