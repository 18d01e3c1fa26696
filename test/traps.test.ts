import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect as connectHttp2, createSecureServer } from 'node:http2';
import { describe, it } from 'node:test';
import { gunzipSync } from 'node:zlib';
import compression from 'compression';
import express from 'express';
import { WebSocket } from 'ws';
import { type WebSockets, webSockets } from '../src/index.js';
import { anyFramework, frameworks, type Middleware, serveApp, type TestApp } from './support/apps.js';
import { connectWs, nextMessage } from './support/open-pair.js';
import { rawConnect, rawUpgrade } from './support/raw-client.js';
import { certificate, listen, webSocketUrlOf } from './support/servers.js';
import { Deferred } from './support/upgrades.js';

// Errors that reach the end of the chain on purpose are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

/** Sends everything back. */
const echo = (sockets: WebSockets): Middleware =>
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  });

/** The number of each trap stands in docs/reliability.md, with the tests of the other files. */
describe('the table of the traps', () => {
  const page = readFileSync('docs/reliability.md', 'utf8');
  const rows = [...page.matchAll(/^\| (\d+) \| .+? \| (.+) \|$/gm)];

  it('has a row for each of the 44', () => {
    assert.deepEqual(
      rows.map(([, number]) => Number(number)),
      Array.from({ length: 44 }, (_, at) => at + 1),
    );
  });

  it('names tests that exist', () => {
    for (const [, number, answer = ''] of rows) {
      const named = [...answer.matchAll(/`([\w.-]+)`: (\*[^*]+\*(?:, \*[^*]+\*)*)/g)];
      assert.ok(named.length > 0, `row ${number} names no test`);
      for (const [, file = '', titles = ''] of named) {
        assert.ok(existsSync(`test/${file}`), `row ${number}: ${file}`);
        const source = readFileSync(`test/${file}`, 'utf8');
        for (const [, title = ''] of titles.matchAll(/\*([^*]+)\*/g)) {
          assert.ok(source.includes(title), `row ${number}: ${title} is not in ${file}`);
        }
      }
    }
  });
});

describe('getting the socket', { timeout: 150_000 }, () => {
  it('outlives the timeouts of the HTTP server, during a slow decision and after it', async (t) => {
    const decided = new Deferred<void>();
    const sockets = webSockets({ origin: () => decided.promise.then(() => true) });
    const app = express();
    app.use('/echo', echo(sockets));
    const server = createServer({ connectionsCheckingInterval: 20 }, app);
    // Enough for a slow machine between a connection and its request
    Object.assign(server, { requestTimeout: 1000, headersTimeout: 800, timeout: 800, keepAliveTimeout: 800 });
    await listen(t, server);
    sockets.attach(server, app);
    // A connection that sends no head falls to the timeouts: by then they have all run out for the other one too.
    const outdated = async (): Promise<void> => {
      const silent = await rawConnect(t, server);
      silent.write('GET / HTTP/1.1\r\n');
      await silent.closed();
    };
    const waiting = connectWs(t, `${webSocketUrlOf(server)}/echo`, [], { origin: 'https://example.com' });
    await outdated();
    decided.resolve();
    const client = await waiting;
    await outdated();
    client.send('alive');

    assert.equal(await nextMessage(client), 'alive');
    assert.equal(sockets.connectionCount, 1);
  });

  it('settles every accept, whatever is wrong with the request', async (t) => {
    const settled: string[] = [];
    const build = (app: TestApp, sockets: WebSockets): void => {
      app.use(async (req, _res, next) => {
        await sockets.accept(req).then(
          () => settled.push('accepted'),
          (error) => {
            settled.push('refused');
            next(error);
          },
        );
      });
    };
    const { server } = await serveApp(t, anyFramework, build, { perMessageDeflate: true });
    const wrong: ReadonlyArray<Parameters<typeof rawUpgrade>[2]> = [
      { headers: { 'Sec-WebSocket-Key': undefined } },
      { headers: { 'Sec-WebSocket-Key': 'c2hvcnQ=' } },
      { headers: { 'Sec-WebSocket-Version': '12' } },
      { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate; ;' } },
      { headers: { Origin: 'https://elsewhere.example' } },
      { method: 'POST' },
      {},
    ];
    for (const request of wrong) {
      const client = await rawUpgrade(t, server, request);
      assert.equal((await client.readHead()).status === 101, request === wrong.at(-1));
    }

    assert.deepEqual(settled, [...Array(wrong.length - 1).fill('refused'), 'accepted']);
  });

  it('serves WebSockets of HTTP/1.1 clients on an HTTP/2 server, and leaves HTTP/2 alone', async (t) => {
    const sockets = webSockets();
    const app = (req: IncomingMessage, res: ServerResponse): void => {
      if (sockets.isWebSocketRequest(req)) echo(sockets)(req, res, () => {});
      else res.end('plain');
    };
    const server = createSecureServer({ ...certificate, allowHTTP1: true }, (_req, res) => void res.end('plain'));
    const clients = new Set<{ destroy(): void }>();
    server.on('session', (session) => clients.add(session)).on('secureConnection', (socket) => clients.add(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(async () => {
      for (const client of clients) client.destroy();
      server.close();
      await once(server, 'close');
    });
    sockets.attach(server, app);
    const { port } = server.address() as { port: number };

    const client = new WebSocket(`wss://127.0.0.1:${port}`, { rejectUnauthorized: false });
    t.after(() => client.terminate());
    await once(client, 'open');
    client.send('by HTTP/1.1');
    assert.equal(String((await once(client, 'message'))[0]), 'by HTTP/1.1');

    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    t.after(() => session.destroy());
    const stream = session.request({ ':path': '/' });
    stream.setEncoding('utf8');
    assert.equal((await once(stream, 'data'))[0], 'plain');
    session.close();
  });
});

for (const [name, create] of Object.entries(frameworks)) {
  describe(`${name} on the socket of an upgrade`, { timeout: 150_000 }, () => {
    it('sends a large refusal completely, through compression too', async (t) => {
      const page = 'A page that explains at length why not. '.repeat(25_000);
      const { server } = await serveApp(t, create, (app) => {
        app.use(compression() as Middleware);
        app.use((_req, res) => {
          res.writeHead(403, { 'Content-Type': 'text/plain' });
          res.end(page);
        });
      });
      for (const encoding of [undefined, 'gzip']) {
        const client = await rawUpgrade(t, server, { headers: { 'Accept-Encoding': encoding } });
        const head = await client.readHead();
        assert.equal(head.status, 403);
        assert.equal(head.headers['content-encoding'], encoding);
        assert.equal(head.headers['connection'], 'close');
        const body = unchunked(await client.readToEnd());
        assert.equal((encoding === undefined ? body : gunzipSync(body)).toString(), page);
      }
    });

    it('passes middleware that parses bodies', async (t) => {
      const { url } = await serveApp(t, create, (app, sockets) => {
        app.use(express.json() as Middleware);
        app.use(express.urlencoded({ extended: true }) as Middleware);
        app.use('/echo', echo(sockets));
      });
      const client = await connectWs(t, `${url}/echo`, [], { headers: { 'Content-Type': 'application/json' } });
      client.send('{}');
      assert.equal(await nextMessage(client), '{}');
    });

    it('answers an upgrade that a page for everything answers, and closes', async (t) => {
      const { server } = await serveApp(t, create, (app, sockets) => {
        app.use('/echo', echo(sockets));
        app.use((_req, res) => void res.end('<!doctype html>'));
      });
      const client = await rawUpgrade(t, server, { path: '/nowhere' });
      const { status, headers, body } = await client.readResponse();
      assert.deepEqual([status, headers['connection'], body], [200, 'close', '<!doctype html>']);
      await client.closed();
    });

    it('gives each 101 the headers of its own response when handshakes overlap', async (t) => {
      const decisions = new Map<string, Deferred<void>>();
      const { server } = await serveApp(
        t,
        create,
        (app, sockets) => {
          app.use((req, res, next) => {
            res.setHeader('X-Path', req.url ?? '');
            next();
          });
          app.use(sockets);
          app.use((req, _res, next) => next(sockets.isWebSocketRequest(req) ? undefined : new Error('Lost')));
        },
        {
          origin: async (_origin, req) => {
            const decided = new Deferred<void>();
            decisions.set(req.url ?? '', decided);
            await decided.promise;
            return true;
          },
        },
      );
      const paths = ['/one', '/two', '/three'];
      const clients = [];
      for (const path of paths) {
        clients.push(await rawUpgrade(t, server, { path, headers: { Origin: 'https://example.com' } }));
      }
      while (decisions.size < paths.length) await new Promise((resolve) => setImmediate(resolve));
      for (const path of ['/two', '/three', '/one']) decisions.get(path)?.resolve();

      const heads = await Promise.all(clients.map((client) => client.readHead()));
      assert.deepEqual(
        heads.map(({ status, headers }) => [status, headers['x-path']]),
        paths.map((path) => [101, path]),
      );
    });
  });
}

/** The body of a response in chunked coding (RFC 9112, section 7.1), or as it is if it is not in that. */
function unchunked(body: Buffer): Buffer {
  const pieces: Buffer[] = [];
  for (let at = 0; ; ) {
    const lineEnd = body.indexOf('\r\n', at);
    const size = Number.parseInt(body.toString('latin1', at, lineEnd), 16);
    if (Number.isNaN(size)) return body;
    if (size === 0) return Buffer.concat(pieces);
    pieces.push(body.subarray(lineEnd + 2, lineEnd + 2 + size));
    at = lineEnd + 2 + size + 2;
  }
}
