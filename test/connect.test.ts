import assert from 'node:assert/strict';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import connect from 'connect';
import session, { MemoryStore } from 'express-session';
import createError from 'http-errors';
import { type NextFunction, type WebSocketRequest, type WebSockets, webSockets } from '../src/index.js';
import { eventually } from './support/apps.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import { serve, type TestContext, urlOf, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const site = async (
  t: TestContext,
  build: (app: connect.Server, sockets: WebSockets) => void,
): Promise<{ url: string; server: Server; sockets: WebSockets; errors: unknown[] }> => {
  const errors: unknown[] = [];
  const sockets = webSockets({ onError: (error) => void errors.push(error) });
  const app = connect();
  build(app, sockets);
  const server = await serve(t, app);
  sockets.attach(server, app);
  return { url: webSocketUrlOf(server), server, sockets, errors };
};

describe('Connect', { timeout: 120_000 }, () => {
  it('routes a WebSocket by its mount point', async (t) => {
    const { url, server } = await site(t, (app, sockets) => {
      app.use(
        '/echo',
        sockets.handler(async (socket, req) => {
          await socket.sendAsync(`${req.url} of ${req.originalUrl}`);
          for await (const message of socket) await socket.sendAsync(message);
        }),
      );
    });
    const client = await connectWs(t, `${url}/echo/deep`);
    assert.equal(await nextMessage(client), '/deep of /echo/deep');
    client.send('back');
    assert.equal(await nextMessage(client), 'back');
    assert.equal((await (await rawUpgrade(t, server, { path: '/other' })).readResponse()).status, 404);
  });

  it('knows the whole URL although it has cut the mount point off', async (t) => {
    const { url } = await site(t, (app, sockets) => {
      app.use(
        '/a',
        sockets.handler((socket) => socket.sendAsync(socket.requestUri.pathname)),
      );
    });
    assert.equal(await nextMessage(await connectWs(t, `${url}/a/b`)), '/a/b');
  });

  for (const [when, before] of Object.entries<connect.NextHandleFunction>({
    '': (_req, _res, next) => next(),
    ', though somebody has taken res.locals away': (_req, res, next) => {
      Object.assign(res, { locals: undefined });
      next();
    },
  })) {
    it(`has items that are empty, and keep what is put there${when}`, async (t) => {
      const { url } = await site(t, (app, sockets) => {
        app.use(before);
        app.use(sockets);
        app.use(
          sockets.handler((socket) => {
            assert.deepEqual({ ...socket.items }, {});
            socket.items['kept'] = 'yes';
            return socket.sendAsync(String(socket.items['kept']));
          }),
        );
      });
      assert.equal(await nextMessage(await connectWs(t, url)), 'yes');
    });
  }

  it('puts the session cookie on the 101 and stores the session', async (t) => {
    const store = new MemoryStore();
    const { server } = await site(t, (app, sockets) => {
      app.use(session({ secret: 's', resave: false, saveUninitialized: true, store }) as connect.NextHandleFunction);
      app.use(sockets.handler((socket) => socket.receiveAsync()));
    });
    const { status, headers } = await (await rawUpgrade(t, server)).readHead();
    assert.equal(status, 101);
    assert.match(headers['set-cookie'] ?? '', /^connect\.sid=/);
    let count = 0;
    await eventually(() => {
      store.length((_error, length) => {
        count = length ?? 0;
      });
      return count === 1;
    });
  });

  it('lets an error middleware answer before the handshake, and treats errors behind it', async (t) => {
    const { url, server, errors } = await site(t, (app, sockets) => {
      app.use('/before', (_req: IncomingMessage, _res: ServerResponse, next: NextFunction) => next(createError(402)));
      app.use(sockets);
      app.use('/behind', () => {
        throw createError(409, 'Conflict of interest');
      });
      app.use((error: createError.HttpError, req: IncomingMessage, res: ServerResponse, next: NextFunction) => {
        if ((req as WebSocketRequest).webSocket) return next(error);
        res.statusCode = error.status;
        res.end('page');
      });
    });
    assert.equal((await (await rawUpgrade(t, server, { path: '/before' })).readResponse()).status, 402);
    const client = await connectWs(t, `${url}/behind`);
    assert.deepEqual(await nextClose(client), { code: 4409, reason: 'Conflict of interest' });
    assert.equal(errors.length, 1);
  });

  it('leaves HTTP as it was', async (t) => {
    const { server } = await site(t, (app, sockets) => {
      app.use(sockets);
      app.use((_req: IncomingMessage, res: ServerResponse) => res.end('page'));
    });
    assert.equal(await (await fetch(urlOf(server))).text(), 'page');
  });
});
