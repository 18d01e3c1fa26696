import assert from 'node:assert/strict';
import { once } from 'node:events';
import { cp, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import createError from 'http-errors';
import { attach, goAway, isAttached } from '../src/upgrade/attach.js';
import type { AppFunction } from '../src/upgrade/chain.js';
import { UpgradeRequest } from '../src/upgrade/upgrade-request.js';
import { rawConnect, rawUpgrade, requestBytes } from './support/raw-client.js';
import { listen, makeServer, serve, type TestContext } from './support/servers.js';
import { accept, assertClean, attached, Deferred, responseTo } from './support/upgrades.js';

const options = { handshakeTimeout: 5000 };

describe('attach()', () => {
  const applications: ReadonlyArray<readonly [name: string, make: () => connect.Server]> = [
    ['Express 5', express as () => unknown as () => connect.Server],
    ['Express 4', express4 as () => unknown as () => connect.Server],
    ['Connect', connect],
  ];

  for (const secure of [false, true]) {
    for (const [name, make] of applications) {
      describe(`with ${name} over ${secure ? 'https' : 'http'}`, () => {
        const serveApp = (t: TestContext): Promise<Server> => {
          const app = make();
          app.use('/accept', (req) => void accept(req));
          app.use('/json', (_req, res) => {
            res.statusCode = 401;
            res.setHeader('Content-Type', 'application/json');
            res.setHeader('Set-Cookie', ['a=1', 'b=2']);
            res.end('{"error":"who?"}');
          });
          app.use('/error', (_req, _res, next) => next(createError(418, 'teapot', { headers: { 'X-Tea': 'green' } })));
          app.use('/throw', () => {
            throw new Error('thrown');
          });
          return attached(t, app, { secure });
        };

        it('accepts where the handshake stands', async (t) => {
          const client = await rawUpgrade(t, await serveApp(t), { path: '/accept' });
          assert.equal((await client.readHead()).status, 101);
          await assertClean(client);
        });

        it('sends any other answer completely, and then closes', async (t) => {
          const client = await rawUpgrade(t, await serveApp(t), { path: '/json' });
          const response = await client.readResponse();
          assert.equal(response.status, 401);
          assert.equal(response.reason, 'Unauthorized');
          assert.equal(response.headers['connection'], 'close');
          assert.equal(response.body, '{"error":"who?"}');
          assert.deepEqual(
            response.lines.filter(([header]) => header === 'Set-Cookie').map(([, value]) => value),
            ['a=1', 'b=2'],
          );
          assert.equal((await client.readToEnd()).length, 0);
          assert.equal(client.error, undefined);
        });

        it('answers 404 at the end of the chain, and an error with its status and headers', async (t) => {
          const server = await serveApp(t);
          const unmatched = await responseTo(t, server, { path: '/nowhere' });
          assert.equal(unmatched.status, 404);
          assert.match(unmatched.body, /Cannot GET \/nowhere/);
          const failed = await responseTo(t, server, { path: '/error' });
          assert.equal(failed.status, 418);
          assert.equal(failed.headers['x-tea'], 'green');
          assert.match(failed.body, /teapot/);
          assert.equal((await responseTo(t, server, { path: '/throw' })).status, 500);
        });
      });
    }
  }

  describe('with a bare function', () => {
    it('answers what it throws and what it rejects with', async (t) => {
      const apps: AppFunction[] = [
        () => {
          throw createError(400, 'thrown');
        },
        async () => {
          throw createError(400, 'rejected');
        },
        () => Promise.reject(createError(400, 'rejected')),
        (_req, _res, next) => next(createError(400, 'passed on')),
      ];
      for (const app of apps) assert.equal((await responseTo(t, await attached(t, app))).status, 400);
    });

    it('answers 500 if it fails without saying why', async (t) => {
      const apps: AppFunction[] = [
        () => {
          throw undefined;
        },
        () => Promise.reject(),
        async () => {
          throw null;
        },
      ];
      for (const app of apps) {
        const response = await responseTo(t, await attached(t, app));
        assert.equal(response.status, 500);
        assert.match(response.body, /Rejected promise/);
      }
    });

    it('may return anything', async (t) => {
      for (const value of [null, 1, 'then', {}, Object.fromEntries([['then', 'soon']]), () => {}]) {
        const app: AppFunction = (_req, res) => {
          setImmediate(() => res.end('answer'));
          return value;
        };
        const response = await responseTo(t, await attached(t, app));
        assert.deepEqual([response.status, response.body], [200, 'answer']);
      }
    });

    it('may take its time', async (t) => {
      const app: AppFunction = async (_req, res) => {
        await new Promise(setImmediate);
        res.writeHead(403, { 'Content-Type': 'text/plain' }).end('later');
      };
      const response = await responseTo(t, await attached(t, app));
      assert.deepEqual([response.status, response.body], [403, 'later']);
    });
  });

  it('gives each request a ServerResponse on its socket', async (t) => {
    const app: AppFunction = (req, res) => {
      assert.equal(res.req, req);
      assert.equal(res.socket, req.socket);
      assert.equal(UpgradeRequest.of(req)?.res, res);
      res.end('ok');
    };
    assert.equal((await responseTo(t, await attached(t, app))).body, 'ok');
  });

  it('keeps what the request says: parameters, mounted routers, trust proxy', async (t) => {
    const app = express();
    app.set('trust proxy', true);
    const router = express.Router({ mergeParams: true });
    router.get('/:b', (req, res) =>
      res.json([req.params, req.query, req.baseUrl, req.protocol, req.ip, req.hostname, req.originalUrl]),
    );
    app.use('/mount/:a', router);
    const response = await responseTo(t, await attached(t, app), {
      path: '/mount/1/2?q=3',
      headers: { 'X-Forwarded-For': '1.2.3.4', 'X-Forwarded-Proto': 'https', 'X-Forwarded-Host': 'example.com' },
    });
    assert.deepEqual(JSON.parse(response.body), [
      { a: '1', b: '2' },
      { q: '3' },
      '/mount/1',
      'https',
      '1.2.3.4',
      'example.com',
      '/mount/1/2?q=3',
    ]);
  });

  describe('the end of the chain', () => {
    it('does not disturb a response that is complete', async (t) => {
      const body = 'x'.repeat(4 * 1024 * 1024);
      const app: AppFunction = (_req, res, next) => {
        res.end(body);
        next();
        next(new Error('late'));
      };
      assert.equal((await responseTo(t, await attached(t, app))).body.length, body.length);
    });

    it('breaks off a response that has begun if it is an error, as Express does', async (t) => {
      const app: AppFunction = (_req, res, next) => {
        res.writeHead(200, { 'Content-Length': 100 });
        res.write('beginning', () => next(new Error('late')));
      };
      const client = await rawUpgrade(t, await attached(t, app));
      await client.readHead();
      await assert.rejects(client.read(100), /ended before 100 bytes came/);
    });

    it('lets a response go on that has begun if it is none', async (t) => {
      const app: AppFunction = (_req, res, next) => {
        res.write('beginning');
        next();
        setImmediate(() => res.end(' and end'));
      };
      assert.equal((await responseTo(t, await attached(t, app))).body, 'beginning and end');
    });

    it('prints an error that nobody handled, except in tests', async (t) => {
      const printed = t.mock.method(console, 'error', () => {});
      t.after(() => {
        process.env['NODE_ENV'] = 'test';
      });
      const server = await attached(t, (_req, res, next) => {
        const reason = new Error('first');
        next(reason);
        next();
        next('second');
        Object.defineProperty(reason, 'stack', { value: undefined });
        next(reason);
        assert.ok(res.writableEnded);
      });
      process.env['NODE_ENV'] = 'production';
      assert.doesNotMatch((await responseTo(t, server)).body, /first/);
      process.env['NODE_ENV'] = 'test';
      await responseTo(t, server);
      const lines = printed.mock.calls.map(({ arguments: [line] }) => String(line).split('\n')[0]);
      assert.deepEqual(lines.toSorted(), ['Error: first', 'Error: first', 'second']);
    });

    it('prints an error behind a handshake whose connection was not opened', async (t) => {
      const printed = t.mock.method(console, 'error', () => {});
      const server = await attached(t, async (req, _res, next) => {
        const upgrade = UpgradeRequest.of(req);
        await accept(req);
        assert.ok(upgrade);
        upgrade.events = undefined;
        process.env['NODE_ENV'] = 'production';
        next();
        next(new Error('unopened'));
        process.env['NODE_ENV'] = 'test';
      });
      await (await rawUpgrade(t, server)).readHead();
      assert.deepEqual(
        printed.mock.calls.map(({ arguments: [line] }) => String(line).split('\n')[0]),
        ['Error: unopened'],
      );
    });
  });

  describe('a request with a body', () => {
    for (const [headers, tail] of [
      [{ 'Content-Length': '5' }, 'hello'],
      [{ 'Content-Length': '5' }, 'he'],
      [{ 'Transfer-Encoding': 'chunked' }, '5\r\nhello\r\n0\r\n\r\n'],
    ] as const) {
      it(`is refused with 400, and the body is never taken for frames (${JSON.stringify(headers)}, ${tail.length} bytes)`, async (t) => {
        const server = await attached(t, () => assert.fail('reached'));
        const client = await rawUpgrade(t, server, { headers, tail });
        const response = await client.readResponse();
        assert.equal(response.status, 400);
        assert.equal(response.headers['connection'], 'close');
        assert.match(response.body, /it has a body, must have none/);
        await client.closed();
      });
    }

    it('is none if its length is 0', async (t) => {
      const server = await attached(t, (req) => accept(req));
      const client = await rawUpgrade(t, server, { headers: { 'Content-Length': '0' } });
      assert.equal((await client.readHead()).status, 101);
    });
  });

  describe('behind an earlier request of the same connection', () => {
    const pipelined = (first: string): string => `GET ${first} HTTP/1.1\r\nHost: localhost\r\n\r\n`;

    it('waits for its response', async (t) => {
      const release = new Deferred<void>();
      const order: string[] = [];
      const server = makeServer(async (req, res) => {
        await release.promise;
        order.push(String(req.url));
        res.end(`answer to ${req.url}`);
      });
      attach(
        server,
        (req) => {
          // Node would take the connection for an idle one: keepAliveTimeout instead of none
          order.push(`upgrade, ${req.socket.listenerCount('drain')} listeners, idle for ${req.socket.timeout}`);
          return accept(req);
        },
        options,
      );
      await listen(t, server);
      const slow = await rawConnect(t, server);
      slow.write(Buffer.concat([Buffer.from(pipelined('/1') + pipelined('/2')), requestBytes({ tail: 'early' })]));
      await new Promise((resolve) => setTimeout(resolve, 20));
      assert.deepEqual(order, []);
      release.resolve();

      assert.equal((await slow.readResponse()).body, 'answer to /1');
      assert.equal((await slow.readResponse()).body, 'answer to /2');
      assert.equal((await slow.readHead()).status, 101);
      assert.equal((await slow.read(5)).toString(), 'early');
      assert.deepEqual(order, ['/1', '/2', 'upgrade, 0 listeners, idle for 0']);
    });

    it('does not keep a large response from being written', async (t) => {
      const size = 4 * 1024 * 1024;
      const server = createServer((_req, res) => {
        res.setHeader('Content-Length', size);
        Readable.from(Array.from({ length: size / 65536 }, () => Buffer.alloc(65536))).pipe(res);
      });
      attach(server, (req) => accept(req), options);
      await listen(t, server);
      const client = await rawConnect(t, server);
      client.write(Buffer.concat([Buffer.from(pipelined('/')), requestBytes({})]));
      assert.equal((await client.readResponse()).body.length, size);
      assert.equal((await client.readHead()).status, 101);
    });

    it('is given up if that one closes the connection, or the client leaves', async (t) => {
      for (const close of [true, false]) {
        const arrived = new Deferred<void>();
        const server = createServer((_req, res) => {
          if (close) res.writeHead(200, { Connection: 'close' }).end('bye');
          arrived.resolve();
        });
        let reached = false;
        const app = (): void => {
          reached = true;
        };
        attach(server, app, options);
        await listen(t, server);
        const client = await rawConnect(t, server);
        client.write(Buffer.concat([Buffer.from(pipelined('/')), requestBytes({})]));
        await arrived.promise;
        if (close) assert.equal((await client.readResponse()).body, 'bye');
        else client.reset();
        await client.closed();
        assert.equal(reached, false);
      }
    });
  });

  describe('a connection that breaks', () => {
    /** A server whose connections `broken` reports when they are closed. */
    async function breakable(t: TestContext, app: AppFunction, listener?: (req: IncomingMessage) => void) {
      const server = createServer(listener);
      const broken = new Deferred<Socket>();
      server.once('connection', (socket) => socket.once('close', () => broken.resolve(socket)));
      attach(server, app, options);
      return { server: await listen(t, server), broken };
    }
    const breakOff = ({ socket }: IncomingMessage): unknown => socket.destroy(new Error('broken'));

    async function assertSurvives(t: TestContext, { server, broken }: Awaited<ReturnType<typeof breakable>>) {
      const socket = await broken.promise;
      assert.match(String(socket.errored), /broken/);
      assert.equal((await responseTo(t, server, { headers: { 'Content-Length': '1' } })).status, 400);
    }

    const whenAsked: ReadonlyArray<readonly [when: string, app: AppFunction]> = [
      ['as it comes', breakOff],
      ['as it comes, and is answered then', (req, res) => res.end(String(breakOff(req)))],
      ['while the application takes its time', (req) => void setImmediate(breakOff, req)],
    ];
    for (const [when, app] of whenAsked) {
      it(`ends nothing else ${when}`, async (t) => {
        const site = await breakable(t, app);
        await rawUpgrade(t, site.server);
        await assertSurvives(t, site);
      });
    }

    it('ends nothing else while another listener is asked', async (t) => {
      const site = await breakable(t, () => assert.fail('reached'));
      site.server.once('upgrade', breakOff);
      await rawUpgrade(t, site.server);
      await assertSurvives(t, site);
    });

    it('ends nothing else while an earlier request is answered', async (t) => {
      const site = await breakable(
        t,
        () => assert.fail('reached'),
        (req) => void setImmediate(breakOff, req),
      );
      const client = await rawConnect(t, site.server);
      client.write(Buffer.concat([Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), requestBytes({})]));
      await assertSurvives(t, site);
    });

    it('ends nothing else behind the refusal of a request with a body', async (t) => {
      const site = await breakable(t, () => assert.fail('reached'));
      const connection = once(site.server, 'connection');
      const client = await rawUpgrade(t, site.server, { headers: { 'Content-Length': '1' } });
      assert.equal((await client.readResponse()).status, 400);
      const [socket] = await connection;
      socket.destroy(new Error('broken'));
      await assertSurvives(t, site);
    });
  });

  describe('several applications', () => {
    const answering =
      (answer: string): AppFunction =>
      (_req, res) =>
        res.end(answer);
    const under =
      (prefix: string) =>
      (req: IncomingMessage): boolean =>
        req.url?.startsWith(prefix) === true;

    it('share a server by their filters, the first that accepts has it', async (t) => {
      const server = await serve(t, (_req, res) => res.end('plain'));
      attach(server, answering('a'), { ...options, filter: under('/a') });
      attach(server, answering('b'), { ...options, filter: under('/b') });
      attach(server, answering('rest'), options);
      attach(server, answering('never'), options);
      assert.equal(server.listenerCount('upgrade'), 1);
      assert.equal((await responseTo(t, server, { path: '/a' })).body, 'a');
      assert.equal((await responseTo(t, server, { path: '/b' })).body, 'b');
      assert.equal((await responseTo(t, server, { path: '/c' })).body, 'rest');
    });

    it('may be one application with several filters', async (t) => {
      const server = await serve(t, (_req, res) => res.end('plain'));
      const app = answering('app');
      attach(server, app, { ...options, filter: under('/a') });
      const detach = attach(server, app, { ...options, filter: under('/b') });
      assert.equal((await responseTo(t, server, { path: '/a' })).body, 'app');
      assert.equal((await responseTo(t, server, { path: '/b' })).body, 'app');
      detach();
      assert.equal((await responseTo(t, server, { path: '/a' })).body, 'app');
      assert.equal((await responseTo(t, server, { path: '/b' })).body, 'plain');
    });

    it('may be one application on several servers', async (t) => {
      const app = answering('same');
      for (let i = 0; i < 2; i++) {
        const server = await serve(t, (_req, res) => res.end('plain'));
        attach(server, app, options);
        assert.equal((await responseTo(t, server)).body, 'same');
      }
    });

    it('count how often they are attached', async (t) => {
      const server = await serve(t, (_req, res) => res.end('plain'));
      const app = answering('attached');
      const [detach, detachAgain] = [attach(server, app, options), attach(server, app, options)];
      detach();
      detach();
      assert.equal((await responseTo(t, server)).body, 'attached');
      detachAgain();
      assert.equal(server.listenerCount('upgrade'), 0);
      detachAgain();
      assert.equal((await responseTo(t, server)).status, 200);
      attach(server, app, options);
      assert.equal((await responseTo(t, server)).body, 'attached');
    });

    it('do not mind when another is detached', async (t) => {
      const server = await serve(t, (_req, res) => res.end('plain'));
      const detach = attach(server, answering('first'), options);
      attach(server, answering('second'), options);
      assert.equal((await responseTo(t, server)).body, 'first');
      detach();
      assert.equal((await responseTo(t, server)).body, 'second');
    });

    it('are found whichever copy of the package attached them', async (t) => {
      const copy = new URL(`../src-copy-${process.pid}/`, import.meta.url);
      await cp(new URL('../src/', import.meta.url), copy, { recursive: true });
      t.after(() => rm(copy, { recursive: true }));
      const other: typeof import('../src/upgrade/attach.js') = await import(new URL('upgrade/attach.js', copy).href);
      assert.notEqual(other.attach, attach);

      const server = await serve(t, (_req, res) => res.end('plain'));
      other.attach(server, (req) => accept(req), { ...options, filter: under('/ws') });
      attach(server, answering('rest'), options);
      assert.equal(server.listenerCount('upgrade'), 1);
      const client = await rawUpgrade(t, server, { path: '/ws' });
      assert.equal((await client.readHead()).status, 101);
      await assertClean(client);
      assert.equal((await responseTo(t, server, { path: '/x' })).body, 'rest');
    });

    it('are said to be there until the last of them is detached', async (t) => {
      const server = await serve(t, (_req, res) => res.end('plain'));
      assert.equal(isAttached(server), false);
      const detach = [attach(server, answering('first'), options), attach(server, answering('second'), options)];
      for (const one of detach) {
        assert.equal(isAttached(server), true);
        one();
      }
      assert.equal(isAttached(server), false);
    });

    it('are not sent away by HTTP/1.1, which has no GOAWAY', async (t) => {
      const server = await serve(t, (_req, res) => res.end('plain'));
      goAway(server);
      attach(server, answering('first'), options);
      goAway(server);
      assert.equal((await responseTo(t, server)).body, 'first');
    });

    it('finish what has begun when they are detached', async (t) => {
      const arrived = new Deferred<void>();
      const release = new Deferred<void>();
      const server = await serve(t, (_req, res) => res.end('plain'));
      const detach = attach(
        server,
        async (req) => {
          arrived.resolve();
          await release.promise;
          await accept(req);
        },
        options,
      );
      const client = await rawUpgrade(t, server);
      await arrived.promise;
      detach();
      release.resolve();
      assert.equal((await client.readHead()).status, 101);
    });
  });

  it('throws a TypeError for what is no server and no application', () => {
    const server = createServer();
    const app = express();
    for (const bad of [undefined, null, {}, { on() {} }, { listenerCount() {} }, app, 8080]) {
      assert.throws(() => attach(bad as never, app, options), {
        name: 'TypeError',
        message: 'Cannot attach: the first argument is no server, must be one of node:http, node:https or node:http2',
      });
    }
    assert.throws(() => attach(server, {} as never, options), {
      name: 'TypeError',
      message: 'Cannot attach: app is of type object, must be the function that handles requests',
    });
  });
});
