import assert from 'node:assert/strict';
import type { Server } from 'node:http';
import { describe, type TestContext as FullTestContext, it } from 'node:test';
import connect from 'connect';
import express, { type Request } from 'express';
import express4 from 'express4';
import createError from 'http-errors';
import { type WebSocketContext, type WebSocketOptions, webSockets } from '../src/index.js';
import { attach } from '../src/upgrade/attach.js';
import type { AppFunction } from '../src/upgrade/chain.js';
import { farewell } from '../src/upgrade/farewell.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import { serve, type TestContext, webSocketUrlOf } from './support/servers.js';
import { accept, Deferred, responseTo } from './support/upgrades.js';

const options = { handshakeTimeout: 5000 };

/** A server with several applications attached, in this order. */
async function serveAll(
  t: TestContext,
  apps: readonly AppFunction[],
  { handshakeTimeout = 5000 } = {},
): Promise<Server> {
  const server = await serve(t, (_req, res) => res.end('plain'));
  for (const app of apps) attach(server, app, { handshakeTimeout });
  return server;
}

const echo = async (socket: WebSocketContext): Promise<void> => {
  for await (const message of socket) await socket.sendAsync(message);
};

const frameworks: Readonly<Record<string, () => connect.Server>> = {
  'Express 5': express as never,
  'Express 4': express4 as never,
  Connect: connect,
};

describe('several applications on one server', { timeout: 120_000 }, () => {
  for (const [first, makeFirst] of Object.entries(frameworks)) {
    for (const [second, makeSecond] of Object.entries(frameworks)) {
      it(`are asked in the order of their attachment (${first}, then ${second})`, async (t) => {
        const one = makeFirst();
        one.use((_req, res, next) => {
          res.setHeader('X-One', '1');
          next();
        });
        one.use('/one', (req) => void accept(req));
        const two = makeSecond();
        two.use('/two', (req) => void accept(req));
        const server = await serveAll(t, [one, two]);
        assert.equal((await (await rawUpgrade(t, server, { path: '/one' })).readHead()).status, 101);
        const head = await (await rawUpgrade(t, server, { path: '/two' })).readHead();
        assert.deepEqual([head.status, head.headers['x-one']], [101, '1']);
        const unmatched = await responseTo(t, server, { path: '/three' });
        assert.deepEqual([unmatched.status, unmatched.headers['x-one']], [404, '1']);
        assert.match(unmatched.body, /Cannot GET \/three/);
      });
    }
  }

  it('are asked late as well as at once', async (t) => {
    const later: AppFunction = (_req, _res, next) => void setImmediate(next);
    const server = await serveAll(t, [later, later, (req) => accept(req)]);
    assert.equal((await (await rawUpgrade(t, server)).readHead()).status, 101);
  });

  it('see the URL of the client, whatever the ones before have made of it', async (t) => {
    const seen: unknown[] = [];
    const one = express();
    one.use('/room/:id', (req, _res, next) => {
      req.url = '/elsewhere';
      req.originalUrl = '/lost';
      next();
    });
    const two: AppFunction = (req, _res, next) => {
      const { baseUrl, originalUrl, params } = req as Request;
      seen.push([req.url, baseUrl, originalUrl, params]);
      next();
    };
    const three = express();
    three.get('/room/:id', (req, res) => void res.json([req.url, req.originalUrl, req.params.id]));
    const server = await serveAll(t, [one, two, three]);
    const { body } = await responseTo(t, server, { path: '/room/7?x=1' });
    assert.deepEqual(seen, [['/room/7?x=1', undefined, undefined, undefined]]);
    assert.deepEqual(JSON.parse(body), ['/room/7?x=1', '/room/7?x=1', '7']);
  });

  it('share locals, and each has its own settings', async (t) => {
    const one = express().set('trust proxy', true);
    one.use((_req, res, next) => {
      res.locals['user'] = 'ann';
      next();
    });
    const two = express();
    two.get('/', (req, res) => void res.json([req.app === two, req.protocol, res.locals['user']]));
    const server = await serveAll(t, [one, two]);
    const { body } = await responseTo(t, server, { headers: { 'X-Forwarded-Proto': 'https' } });
    assert.deepEqual(JSON.parse(body), [true, 'http', 'ann']);
  });

  it('are asked no further behind an answer', async (t) => {
    const reached: string[] = [];
    const two: AppFunction = (_req, _res, next) => {
      reached.push('two');
      next();
    };
    const answers: AppFunction[] = [
      (_req, res, next) => {
        res.end('one');
        next();
      },
      (_req, res, next) => {
        res.write('one');
        next();
        setImmediate(() => res.end());
      },
      (req, res, next) => {
        req.socket.end('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\none');
        next();
        void res;
      },
    ];
    for (const one of answers) {
      const server = await serveAll(t, [one, two]);
      assert.equal((await responseTo(t, server)).body, 'one');
    }
    assert.deepEqual(reached, []);
  });

  it('are spared the stack and the log when an instance that is being closed turns a client away', async (t) => {
    const log = t.mock.method(console, 'error', () => {}).mock;
    const server = await serveAll(t, [(_req, _res, next) => next(farewell()), () => {}]);
    const before = process.env['NODE_ENV'];
    t.after(() => {
      process.env['NODE_ENV'] = before;
    });
    process.env['NODE_ENV'] = 'development';
    const { status, body } = await responseTo(t, server);
    assert.equal(status, 503);
    assert.doesNotMatch(body, /farewell/);
    assert.equal(log.callCount(), 0);
  });

  it('are not told the errors of each other', async (t) => {
    const errors: AppFunction[] = [
      (_req, _res, next) => next(createError(418)),
      () => {
        throw createError(418);
      },
      async () => {
        throw createError(418);
      },
    ];
    let asked = 0;
    for (const one of errors) {
      const server = await serveAll(t, [one, () => void asked++]);
      assert.equal((await responseTo(t, server)).status, 418);
    }
    assert.equal(asked, 0);
  });

  it('are asked once each, however often the ones before say that they are done', async (t) => {
    let asked = 0;
    const server = await serveAll(t, [
      (_req, _res, next) => {
        next();
        next();
        setImmediate(next);
      },
      (_req, res) => {
        asked++;
        setTimeout(() => res.end('two'), 20);
      },
    ]);
    assert.equal((await responseTo(t, server)).body, 'two');
    assert.equal(asked, 1);
  });

  it('fail together when one fails behind its end', async (t) => {
    const server = await serveAll(t, [
      async (_req, _res, next) => {
        next();
        throw createError(418);
      },
      () => {},
    ]);
    assert.equal((await responseTo(t, server)).status, 418);
  });

  it('each bound the time that the request may wait', async (t) => {
    const server = await serve(t, (_req, res) => res.end('plain'));
    attach(server, (_req, _res, next) => void setImmediate(next), { handshakeTimeout: 60_000 });
    attach(server, () => {}, { handshakeTimeout: 30 });
    assert.equal((await responseTo(t, server)).status, 503);

    const other = await serve(t, (_req, res) => res.end('plain'));
    attach(other, (_req, _res, next) => next(), { handshakeTimeout: 60_000 });
    attach(other, () => {}, { handshakeTimeout: 30 });
    assert.equal((await responseTo(t, other)).status, 503);
  });

  it('are asked only by whose filter the request is accepted, once for each', async (t) => {
    const asked: string[] = [];
    const server = await serve(t, (_req, res) => res.end('plain'));
    for (const name of ['a', 'b', 'c']) {
      attach(
        server,
        (_req, res, next) => {
          res.appendHeader('X-Asked', name);
          next();
        },
        {
          ...options,
          filter: (req) => {
            asked.push(name);
            return req.url?.includes(name) === true;
          },
        },
      );
    }
    const { status, headers } = await responseTo(t, server, { path: '/ac' });
    assert.deepEqual([status, headers['x-asked'], asked], [404, 'a, c', ['a', 'b', 'c']]);
  });

  describe('behind a handshake', () => {
    /** Two applications with one instance: the handshake is in the first. */
    async function site(
      t: FullTestContext,
      build: (apps: readonly [express.Express, express.Express]) => void,
      overrides: WebSocketOptions = {},
    ): Promise<{ url: string; errors: unknown[] }> {
      const errors: unknown[] = [];
      const sockets = webSockets({ onError: (error) => void errors.push(error), ...overrides });
      const apps = [express(), express()] as const;
      apps[0].use(sockets);
      build(apps);
      apps[1].get('/handler', sockets.handler(echo));
      const server = await serve(t, apps[0]);
      for (const app of apps) sockets.attach(server, app);
      return { url: webSocketUrlOf(server), errors };
    }

    it('the next ones are asked while nobody has a handler for it', async (t) => {
      const { url } = await site(t, ([one]) => one.use((req, _res, next) => next(req.webSocket && undefined)));
      const client = await connectWs(t, `${url}/handler`);
      client.send('through both');
      assert.equal(await nextMessage(client), 'through both');
    });

    it('it is closed with 4404 at the end of the last', async (t) => {
      const { url, errors } = await site(t, () => {});
      assert.equal((await nextClose(await connectWs(t, `${url}/nowhere`))).code, 4404);
      assert.deepEqual(errors, []);
    });

    it('no other is asked once a handler has it', async (t) => {
      const sockets = webSockets();
      const server = await serve(t, () => {});
      sockets.attach(server, (req, res, next) => {
        sockets.handler(echo)(req, res, next);
        next();
      });
      let asked = 0;
      sockets.attach(server, () => void asked++);
      const client = await connectWs(t, webSocketUrlOf(server));
      client.send('mine');
      assert.equal(await nextMessage(client), 'mine');
      assert.equal(asked, 0);
    });
  });

  it('go on to none when the client has left', async (t) => {
    const left = new Deferred<void>();
    let asked = 0;
    const server = await serveAll(t, [
      (_req, res, next) =>
        void res.once('close', () => {
          next();
          left.resolve();
        }),
      () => void asked++,
    ]);
    (await rawUpgrade(t, server)).reset();
    await left.promise;
    assert.equal(asked, 0);
  });

  it('leave to others what none of them has answered', async (t) => {
    const next: AppFunction = (_req, _res, done) => done();
    const server = await serveAll(t, [next, next]);
    server.on('upgrade', (_req, socket) => void setTimeout(() => socket.end('HTTP/1.1 101 Theirs\r\n\r\n'), 20));
    assert.equal((await (await rawUpgrade(t, server)).readHead()).reason, 'Theirs');
  });
});
