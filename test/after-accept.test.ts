import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import compression from 'compression';
import express from 'express';
import session, { MemoryStore } from 'express-session';
import createError from 'http-errors';
import morgan from 'morgan';
import type { WebSocket } from 'ws';
import { type NextFunction, type WebSocketContext, type WebSockets, webSockets } from '../src/index.js';
import {
  anyFramework,
  type ErrorMiddleware,
  eventually,
  frameworks,
  type Middleware,
  type Site,
  serveApp,
  type TestApp,
} from './support/apps.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { serve, type TestContext, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

type Claimed = IncomingMessage & { webSocket?: WebSocketContext };

const boom = new Error('boom');

/** Makes sure that a connection is as alive as it was. */
async function assertAlive(client: WebSocket): Promise<void> {
  client.ping();
  await once(client, 'pong');
  assert.equal(client.readyState, client.OPEN);
}

/** What error handlers of frameworks do when they find the response sent. */
const givesUp: Readonly<Record<string, (res: ServerResponse) => unknown>> = {
  // Nest's BaseExceptionFilter with its adapter for Express, and most that are written by hand
  'res.headersSent, then res.end()': (res) => (res.headersSent ? res.end() : res.writeHead(500).end('{}')),
  // Nest's adapter for Fastify asks for reply.sent, which is this
  'res.writableEnded, then res.end(undefined)': (res) =>
    res.writableEnded ? Reflect.apply(res.end, res, [undefined]) : res.writeHead(500).end('{}'),
  'res.headersSent, a log, then res.end()': async (res) => {
    const { headersSent } = res;
    await new Promise(setImmediate);
    if (headersSent) res.end(() => {});
  },
};

for (const [name, create] of Object.entries(frameworks)) {
  describe(`an error after accept() in ${name}`, { timeout: 120_000 }, () => {
    /** A site whose route accepts and fails, which the framework or its own code takes care of. */
    const site = (
      t: TestContext,
      fail: (error: Error, req: Claimed, res: ServerResponse, next: NextFunction) => unknown,
      errorMiddleware?: ErrorMiddleware,
    ): Promise<Site> =>
      serveApp(t, create, (app, sockets) => {
        app.use(async (req, res, next) => {
          await sockets.accept(req);
          await new Promise(setImmediate);
          fail(boom, req, res, next);
        });
        if (errorMiddleware !== undefined) app.use(errorMiddleware);
      });

    for (const [way, giveUp] of Object.entries(givesUp)) {
      it(`closes with 1011 and reaches onError if its handler gives up (${way})`, async (t) => {
        for (const [fail, errorMiddleware] of [
          [(_error: Error, _req: Claimed, res: ServerResponse) => giveUp(res), undefined],
          [
            (error: Error, _req: Claimed, _res: ServerResponse, next: NextFunction) => next(error),
            (_error: Error, _req: IncomingMessage, res: ServerResponse, _next: NextFunction) => giveUp(res),
          ],
        ] as const) {
          const { url, errors } = await site(t, fail, errorMiddleware);
          assert.equal((await nextClose(await connectWs(t, url))).code, 1011);
          await eventually(() => errors.length > 0);
          assert.match(String(errors), /^Error: An error handler of the application found the response sent/);
        }
      });
    }

    it('closes and reaches onError as it is if it is passed on, late too', async (t) => {
      const errorMiddleware: ErrorMiddleware = (error, _req, res, next) => {
        if (res.headersSent) next(error);
      };
      for (const error of [boom, createError(403, 'no')]) {
        const { url, errors } = await site(t, (_boom, _req, _res, next) => next(error), errorMiddleware);
        assert.equal((await nextClose(await connectWs(t, url))).code, error === boom ? 1011 : 4403);
        assert.deepEqual(errors, [error]);
      }
    });

    it('closes with 4000 + status if its handler answers, and reaches onError once', async (t) => {
      const { url, errors } = await site(t, (_error, _req, res) => {
        res.statusCode = 409;
        res.end('conflict');
        res.statusCode = 500;
        res.end('once more');
      });
      assert.deepEqual(await nextClose(await connectWs(t, url)), { code: 4409, reason: '' });
      assert.equal(errors.length, 1);
    });

    it('is none if the response is ended by somebody who has not looked, or has something to say', async (t) => {
      const ends: ReadonlyArray<(res: ServerResponse) => unknown> = [
        (res) => res.end(),
        (res) => res.end('body'),
        (res) => res.headersSent && res.end('body'),
        (res) => {
          res.write('body');
          return res.headersSent && res.end();
        },
        (res) => {
          const { headersSent } = res;
          res.write('body');
          return headersSent && res.end();
        },
        (res) => {
          const { headersSent } = res;
          res.statusCode = 204;
          return headersSent && res.end();
        },
      ];
      for (const end of ends) {
        const { url, errors } = await serveApp(t, create, (app, sockets) => {
          app.use(morgan(':status', { stream: { write: () => {} } }));
          app.use(async (req, res) => {
            const socket = await sockets.accept(req);
            await new Promise(setImmediate);
            await new Promise(setImmediate);
            end(res);
            await socket.sendAsync('ended');
          });
        });
        const client = await connectWs(t, url);
        assert.equal(await nextMessage(client), 'ended');
        await assertAlive(client);
        assert.deepEqual(errors, []);
      }
    });

    it('reaches onError although nobody had claimed the connection, if its handler gives up', async (t) => {
      const { url, errors } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        app.use((_req, res) => res.headersSent && res.end());
      });
      assert.equal((await nextClose(await connectWs(t, url))).code, 4404);
      assert.equal(errors.length, 1);
    });
  });
}

/** How the store of a session fails: at once, in the next tick, in the next turn, late; or it throws. */
const failures: Readonly<Record<string, (fail: () => void) => unknown>> = {
  'at once': (fail) => fail(),
  'in the next tick': (fail) => process.nextTick(fail),
  'in a microtask': (fail) => Promise.resolve().then(fail),
  'in the next turn': (fail) => setImmediate(fail),
  late: (fail) => setTimeout(fail, 20),
};

const outage = new Error('The store is down');

class BrokenStore extends MemoryStore {
  readonly #fail: (fail: () => void) => unknown;

  constructor(fail: (fail: () => void) => unknown) {
    super();
    this.#fail = fail;
  }

  override set(_id: string, _data: session.SessionData, callback?: (error?: unknown) => void): void {
    this.#fail(() => callback?.(outage));
  }
}

describe('an error of the end of the response', { timeout: 120_000 }, () => {
  const echo = async (socket: WebSocketContext): Promise<void> => {
    for await (const message of socket) await socket.sendAsync(message);
  };
  /** Ways to serve a connection. */
  const routes: Readonly<Record<string, (app: TestApp, sockets: WebSockets) => unknown>> = {
    'handler()': (app, sockets) => app.use(sockets.handler(echo)),
    'app.use(sockets)': (app, sockets) => {
      app.use(sockets);
      app.use((req) => void echo((req as Claimed).webSocket as WebSocketContext).catch(() => {}));
    },
    'accept()': (app, sockets) => app.use(async (req) => void echo(await sockets.accept(req)).catch(() => {})),
  };

  for (const [name, create] of Object.entries(frameworks)) {
    for (const [route, build] of Object.entries(routes)) {
      for (const [when, fail] of Object.entries(failures)) {
        it(`reaches onError and closes nothing: a store that fails ${when} (${name}, ${route})`, async (t) => {
          const { url, errors } = await serveApp(t, create, (app, sockets) => {
            const store = new BrokenStore(fail);
            app.use(session({ secret: 's', resave: true, saveUninitialized: true, store }) as unknown as Middleware);
            build(app, sockets);
          });
          const client = await connectWs(t, url);
          await eventually(() => errors.length > 0);
          await assertAlive(client);
          client.send('still here');
          assert.equal(await nextMessage(client), 'still here');
          assert.deepEqual(errors, [outage]);
        });
      }
    }
  }

  it('is known in however many routers it is nested', async (t) => {
    for (const fail of Object.values(failures)) {
      const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
        const routers = Array.from({ length: 4 }, () => express.Router());
        const store = new BrokenStore(fail);
        routers[3]?.use(session({ secret: 's', resave: true, saveUninitialized: true, store }));
        routers[3]?.use(async (req) => void echo(await sockets.accept(req)).catch(() => {}));
        app.use(routers[0] as unknown as Middleware);
        for (let i = 0; i < 3; i++) routers[i]?.use(routers[i + 1] as express.Router);
      });
      const client = await connectWs(t, url);
      await eventually(() => errors.length > 0);
      await assertAlive(client);
      assert.deepEqual(errors, [outage]);
    }
  });

  it('closes nothing either if an error handler of the application answers it', async (t) => {
    const answers: ReadonlyArray<(res: ServerResponse) => unknown> = [
      (res) => {
        res.statusCode = 500;
        return res.end('Internal Server Error');
      },
      (res) => res.headersSent && res.end(),
    ];
    for (const fail of Object.values(failures)) {
      for (const answer of answers) {
        const handled: unknown[] = [];
        const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
          const store = new BrokenStore(fail);
          app.use(session({ secret: 's', resave: true, saveUninitialized: true, store }) as unknown as Middleware);
          app.use(async (req) => void echo(await sockets.accept(req)).catch(() => {}));
          app.use((error: Error, _req: IncomingMessage, res: ServerResponse, _next: NextFunction) => {
            handled.push(error);
            answer(res);
          });
        });
        const client = await connectWs(t, url);
        await eventually(() => handled.length > 0);
        await assertAlive(client);
        assert.deepEqual([handled, errors], [[outage], []]);
      }
    }
  });

  it('is told from one of the application behind it', async (t) => {
    for (const fail of Object.values(failures)) {
      const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
        const store = new BrokenStore(fail);
        app.use(session({ secret: 's', resave: true, saveUninitialized: true, store }) as unknown as Middleware);
        app.use(async (req, _res, next) => {
          const socket = await sockets.accept(req);
          await socket.receiveMessageAsync();
          next(boom);
        });
      });
      const client = await connectWs(t, url);
      await eventually(() => errors.length > 0);
      client.send('now');
      assert.equal((await nextClose(client)).code, 1011);
      assert.deepEqual(errors, [outage, boom]);
    }
  });

  it('is told from one of the application right behind the handshake', async (t) => {
    const moments: ReadonlyArray<(next: () => void) => unknown> = [
      (next) => next(),
      (next) => queueMicrotask(next),
      (next) => process.nextTick(next),
      (next) => setImmediate(next),
    ];
    for (const fail of Object.values(failures)) {
      for (const moment of moments) {
        const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
          const store = new BrokenStore(fail);
          app.use(session({ secret: 's', resave: true, saveUninitialized: true, store }) as unknown as Middleware);
          app.use(sockets);
          app.use((_req, _res, next) => void moment(() => next(boom)));
        });
        assert.equal((await nextClose(await connectWs(t, url))).code, 1011);
        await eventually(() => errors.length === 2);
        assert.deepEqual(new Set(errors), new Set([boom, outage]));
      }
    }
  });

  it('is told from one of the application that comes together with it', async (t) => {
    for (const put of [setImmediate, (fail: () => void) => void fail()]) {
      const together: (() => void)[] = [];
      const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
        // It answers at last, and without an error
        const store = new MemoryStore();
        store.set = (_id, _data, callback) => void together.unshift(() => callback?.());
        app.use(session({ secret: 's', resave: true, saveUninitialized: true, store }) as unknown as Middleware);
        app.use(async (req, _res, next) => {
          await sockets.accept(req);
          together.push(() => next(boom));
          setTimeout(() => put(() => together.forEach((act) => void act())), 5);
        });
      });
      assert.equal((await nextClose(await connectWs(t, url))).code, 1011);
      assert.deepEqual(errors, [boom]);
    }
  });

  it('is known by what puts the former end of the response back instead of letting it end', async (t) => {
    // As express-openid-connect does
    const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use((_req, res, next) => {
        const { end } = res;
        res.end = function resEnd(): ServerResponse {
          setTimeout(() => {
            res.end = end;
            process.nextTick(next, outage);
          }, 10);
          return res;
        };
        next();
      });
      app.use(async (req, _res, next) => {
        const socket = await sockets.accept(req);
        await socket.receiveMessageAsync();
        next(boom);
      });
    });
    const client = await connectWs(t, url);
    await eventually(() => errors.length > 0);
    await assertAlive(client);
    client.send('now');
    assert.equal((await nextClose(client)).code, 1011);
    assert.deepEqual(errors, [outage, boom]);
  });

  it('is one that the end throws, too', async (t) => {
    const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use((_req, res, next) => {
        res.end = () => {
          throw outage;
        };
        next();
      });
      app.use(async (req) => void echo(await sockets.accept(req)).catch(() => {}));
    });
    const client = await connectWs(t, url);
    await assertAlive(client);
    assert.deepEqual(errors, [outage]);
  });

  it('does not make middleware that wraps the end lose anything', async (t) => {
    const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use(compression() as unknown as Middleware);
      app.use(async (req, _res, next) => {
        await sockets.accept(req);
        setTimeout(next, 5, boom);
      });
    });
    assert.equal((await nextClose(await connectWs(t, url))).code, 1011);
    assert.deepEqual(errors, [boom]);
  });
});

describe('what is stray while a handler runs', { timeout: 120_000 }, () => {
  for (const [name, create] of Object.entries(frameworks)) {
    /** A late `next` in front of a handler, and what the rest of the application makes of it. */
    const site = (t: TestContext, late: (res: ServerResponse, next: NextFunction) => unknown): Promise<Site> =>
      serveApp(t, create, (app, sockets) => {
        app.use((_req, res, next) => {
          next();
          setTimeout(() => {
            late(res, next);
            stray.push(late);
          }, 5);
        });
        app.use(sockets.handler(async (socket) => void (await socket.receiveMessageAsync())));
        app.use((_req, res) => {
          res.statusCode = 404;
          res.end('not found');
        });
        app.use((_error: Error, _req: IncomingMessage, res: ServerResponse, _next: NextFunction) => {
          if (res.headersSent) res.end();
          else res.writeHead(500).end();
        });
      });
    const stray: unknown[] = [];

    it(`has no effect on its connection (${name})`, async (t) => {
      const strays: ReadonlyArray<(res: ServerResponse, next: NextFunction) => unknown> = [
        (_res, next) => next(),
        (_res, next) => next(boom),
        (res) => res.headersSent && res.end(),
        (res) => {
          res.statusCode = 500;
          res.end('late');
        },
      ];
      for (const late of strays) {
        const { url, errors } = await site(t, late);
        const client = await connectWs(t, url);
        await eventually(() => stray.includes(late));
        await assertAlive(client);
        client.send('done');
        assert.equal((await nextClose(client)).code, 1000);
        assert.deepEqual(errors, []);
      }
    });
  }

  it('but an error that nobody takes reaches onError', async (t) => {
    const { url, errors } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use((_req, _res, next) => {
        next();
        setTimeout(next, 5, boom);
      });
      app.use(sockets.handler(async (socket) => void (await socket.receiveMessageAsync())));
    });
    const client = await connectWs(t, url);
    await eventually(() => errors.length === 1);
    await assertAlive(client);
    assert.deepEqual(errors, [boom]);
  });

  it('nor later, when the connection has been handed over to ws', async (t) => {
    const sockets = webSockets();
    const app = express();
    app.use((_req, res, next) => {
      next();
      setTimeout(() => res.status(500).send('late'), 5);
    });
    app.use(sockets.handler((socket) => void socket.ws.on('message', (data) => socket.ws.send(data))));
    const server = await serve(t, app);
    sockets.attach(server, app);
    const client = await connectWs(t, webSocketUrlOf(server));
    await new Promise((resolve) => setTimeout(resolve, 20));
    client.send('here');
    assert.equal(String(await nextMessage(client)), 'here');
  });
});
