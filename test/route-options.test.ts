import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import connect from 'connect';
import express from 'express';
import createError from 'http-errors';
import type { HandlerErrorInfo, WebSocketContext, WebSocketOptions, WebSockets } from '../src/index.js';
import { anyFramework, eventually, frameworks, type Middleware, serveApp, type TestApp } from './support/apps.js';
import { connectWs, nextClose } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import type { TestContext } from './support/servers.js';
import { responseTo } from './support/upgrades.js';

process.env['NODE_ENV'] = 'test';

const wait = async (socket: WebSocketContext): Promise<void> => void (await socket.receiveMessageAsync());

/** How the handshakes to these paths go, one after the other. */
async function statuses(
  t: TestContext,
  build: (app: TestApp, sockets: WebSockets) => void,
  paths: readonly string[],
  options: WebSocketOptions = {},
): Promise<number[]> {
  const { server } = await serveApp(t, anyFramework, build, options);
  const seen: number[] = [];
  for (const path of paths) seen.push((await (await rawUpgrade(t, server, { path })).readHead()).status);
  return seen;
}

describe('options of a route that are none', { timeout: 150_000 }, () => {
  it('are told what they were taken for', async (t) => {
    const failures: unknown[] = [];
    await statuses(
      t,
      (app, sockets) => {
        app.use((req, res, next) => {
          sockets.accept(req, res as object).catch((error) => {
            failures.push(error);
            next(createError(418));
          });
        });
        const path = { path: '/live' } as object;
        const message = 'Cannot use the option path: the route is the path, app.get(path, handler)';
        for (const make of [() => sockets.wsServer(path).handler, () => sockets.handler(() => {}, path)])
          assert.throws(make, { name: 'TypeError', message });
      },
      ['/'],
    );
    assert.deepEqual(
      failures.map((error) => (error as Error).message),
      ['Cannot use the options: they are a ServerResponse, must be options, or nothing: accept(req)'],
    );
  });
});

describe('maxConnections of a route', { timeout: 150_000 }, () => {
  it('bounds the connections of that route, and no other', async (t) => {
    const seen = await statuses(
      t,
      (app, sockets) => {
        app.use('/a', sockets.handler(wait, { maxConnections: 1 }));
        app.use('/b', sockets.handler(wait, { maxConnections: 2 }));
        app.use('/c', sockets.handler(wait));
      },
      ['/a', '/a', '/b', '/b', '/b', '/c', '/c', '/c'],
    );
    assert.deepEqual(seen, [101, 503, 101, 101, 503, 101, 101, 101]);
  });

  it('answers 503 with Retry-After, and has room again when a connection has ended', async (t) => {
    const { server, sockets, url } = await serveApp(t, anyFramework, (app, all) =>
      app.use(all.handler(wait, { maxConnections: 1 })),
    );
    const client = await connectWs(t, url);
    const { status, headers } = await responseTo(t, server);
    assert.deepEqual([status, headers['retry-after']], [503, '10']);
    client.close();
    await nextClose(client);
    await eventually(() => sockets.connectionCount === 0);
    await connectWs(t, url);
  });

  it('does not lift the limit of the instance, and is not lifted by it', async (t) => {
    const build = (app: TestApp, sockets: WebSockets): void => {
      app.use('/a', sockets.handler(wait, { maxConnections: 2 }));
      app.use('/b', sockets.handler(wait, { maxConnections: Number.POSITIVE_INFINITY }));
    };
    assert.deepEqual(
      await statuses(t, build, ['/a', '/a', '/a', '/b', '/b'], { maxConnections: 3 }),
      [101, 101, 503, 101, 503],
    );
  });

  it('counts what a route of Express has accepted by itself', async (t) => {
    const seen = await statuses(
      t,
      (app, sockets) => {
        const router = express.Router();
        const route = (path: string): unknown =>
          router.get(path, async (req) => void (await sockets.accept(req, { maxConnections: 1 })));
        route('/room/:id');
        route('/other');
        app.use(router as unknown as Middleware);
      },
      ['/room/1', '/room/2', '/other', '/other'],
    );
    assert.deepEqual(seen, [101, 503, 101, 503]);
  });

  it('counts all that have the same limit together where accept() knows no route', async (t) => {
    const { server } = await serveApp(
      t,
      () => connect() as unknown as TestApp,
      (app, sockets) => {
        const accept =
          (maxConnections: number): Middleware =>
          (req, _res, next) =>
            void sockets.accept(req, { maxConnections }).catch(next);
        app.use('/a', accept(1));
        app.use('/b', accept(1));
        app.use('/c', accept(2));
      },
    );
    const seen: number[] = [];
    for (const path of ['/a', '/b', '/c', '/c', '/c']) {
      seen.push((await (await rawUpgrade(t, server, { path })).readHead()).status);
    }
    assert.deepEqual(seen, [101, 503, 101, 101, 503]);
  });

  it('is no concern of a connection that app.use() has accepted', async (t) => {
    const seen = await statuses(
      t,
      (app, sockets) => {
        app.use(sockets);
        app.use(sockets.handler(wait, { maxConnections: 1 }));
      },
      ['/', '/'],
    );
    assert.deepEqual(seen, [101, 101]);
  });
});

describe('onError of a route', { timeout: 150_000 }, () => {
  it('gets the errors of that route in the place of the other', async (t) => {
    const error = new Error('x');
    const own: unknown[] = [];
    const onError = (...args: unknown[]): void => void own.push(args);
    const fail = (): never => {
      throw error;
    };
    const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use('/own', sockets.handler(fail, { onError }));
      app.use('/accepted', async (req) => {
        await sockets.accept(req, { onError });
        fail();
      });
      app.use('/other', sockets.handler(fail));
      app.use('/late', sockets);
      app.use('/late', sockets.handler(fail, { onError }));
    });
    for (const path of ['/own', '/accepted', '/other', '/late']) await nextClose(await connectWs(t, url + path));
    assert.equal(own.length, 3);
    assert.deepEqual(errors, [error]);
  });
});

describe('onError', { timeout: 150_000 }, () => {
  const expectation = async (
    t: TestContext,
    fn: (socket: WebSocketContext) => unknown,
    act: (client: Awaited<ReturnType<typeof connectWs>>) => unknown = () => {},
  ): Promise<[error: unknown, info: HandlerErrorInfo]> => {
    const calls: [unknown, HandlerErrorInfo][] = [];
    const { url } = await serveApp(t, anyFramework, (app, sockets) => app.use(sockets.handler(fn)), {
      onError: (error, _socket, _req, info) => void calls.push([error, info]),
    });
    act(await connectWs(t, url));
    await eventually(() => calls.length > 0);
    return calls[0] as [unknown, HandlerErrorInfo];
  };
  const echo = async (socket: WebSocketContext): Promise<void> => {
    for await (const message of socket) await socket.sendAsync(message);
  };

  it('is told that clients leave and break the protocol at any time', async (t) => {
    assert.deepEqual((await expectation(t, echo, (client) => client.terminate()))[1], { expected: true });
    const breakProtocol = (client: Awaited<ReturnType<typeof connectWs>>): void => {
      Reflect.get(client, '_socket').write(Buffer.from([0xff, 0x80, 0, 0, 0, 0]));
    };
    assert.deepEqual((await expectation(t, echo, breakProtocol))[1], { expected: true });
  });

  it('is told that an http error below 500 is the answer to what a client asks for', async (t) => {
    const reject = (error: Error) => () => Promise.reject(error);
    assert.deepEqual((await expectation(t, reject(createError(404))))[1], { expected: true });
    assert.deepEqual((await expectation(t, reject(createError(503))))[1], { expected: false });
  });

  it('is told that anything else was not to be expected', async (t) => {
    for (const error of [new TypeError('typo'), undefined, 'text', new DOMException('stop', 'AbortError')]) {
      assert.deepEqual(await expectation(t, () => Promise.reject(error)), [error, { expected: false }]);
    }
    const twice = async (socket: WebSocketContext): Promise<unknown> =>
      Promise.all([socket.receiveAsync(), socket.receiveAsync()]);
    assert.deepEqual((await expectation(t, twice))[1], { expected: false });
  });
});

for (const [name, create] of Object.entries(frameworks)) {
  describe(`newcomers while draining (${name})`, { timeout: 150_000 }, () => {
    it('are answered with 503 past error middleware and logs, with the headers that the response has', async (t) => {
      const log = t.mock.method(console, 'error', () => {});
      process.env['NODE_ENV'] = 'development';
      t.after(() => {
        process.env['NODE_ENV'] = 'test';
      });
      const seen: unknown[] = [];
      const { server, sockets } = await serveApp(t, create, (app, all) => {
        app.use((_req, res, next) => {
          res.setHeader('X-Before', '1');
          next();
        });
        app.use('/handler', all.handler(wait));
        app.use('/accept', (req, _res, next) => void all.accept(req).catch(next));
        app.use('/use', all);
        app.use((error: Error, req: { url?: string | undefined }, _res: unknown, next: (error: unknown) => void) => {
          seen.push(req.url);
          next(error);
        });
      });
      await sockets.close();
      for (const path of ['/handler', '/use', '/accept']) {
        const { status, headers, body } = await responseTo(t, server, { path });
        assert.deepEqual([status, headers['connection'], headers['x-before']], [503, 'close', '1']);
        assert.match(body, /<pre>Service Unavailable<\/pre>/);
      }
      // Only a promise that the application asked for has to tell it
      assert.equal(seen.length, 1);
      assert.deepEqual(
        log.mock.calls.map((call) => call.arguments[0]),
        [],
      );
      assert.equal(sockets.totals.refused, 3);
    });

    it('learn of errors of the application as ever', async (t) => {
      const { server, sockets } = await serveApp(t, create, (app, all) => {
        app.use('/private', (_req, _res, next) => next(createError(401)));
        app.use(all.handler(wait, { origin: 'any' }));
      });
      await sockets.close();
      assert.equal((await responseTo(t, server, { path: '/private' })).status, 401);
      // Its error is printed, or not, in a later turn
      await new Promise(setImmediate);
    });
  });
}
