import assert from 'node:assert/strict';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import type createError from 'http-errors';
import {
  type NextFunction,
  type WebSocketContext,
  WebSocketError,
  type WebSocketOptions,
  type WebSocketRequest,
  webSockets,
} from '../src/index.js';
import { anyFramework, frameworks, serveApp } from './support/apps.js';
import { collectGarbage } from './support/memory.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { rawConnect, rawUpgrade } from './support/raw-client.js';
import { serve, urlOf, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** The connection that stands on a request. */
const socketOf = (req: IncomingMessage): WebSocketContext | undefined => (req as WebSocketRequest).webSocket;

const echo = async (socket: WebSocketContext): Promise<void> => {
  for await (const message of socket) await socket.sendAsync(message);
};

const refuseAll = { origin: () => false } as const;
const fromElsewhere = { headers: { Origin: 'https://elsewhere.example' } } as const;

describe('webSockets', () => {
  it('is a middleware of three arguments with a name of its own', () => {
    const sockets = webSockets();
    assert.equal(sockets.length, 3);
    assert.equal(sockets.name, 'webSockets');
  });

  it('validates its options at once', () => {
    for (const options of [
      null,
      1,
      'x',
      [],
      { orgin: 'any' },
      { origin: 7 },
      { maxConnections: '5' },
      { onError: {} },
    ]) {
      assert.throws(() => webSockets(options as WebSocketOptions), TypeError);
    }
    for (const options of [{ maxConnections: 0 }, { closeTimeout: -1 }, { origin: 'nonsense' }, { maxPayload: 0.5 }]) {
      assert.throws(() => webSockets(options as WebSocketOptions), RangeError);
    }
  });
});

describe('a handler', () => {
  it('lets go of the rest of the chain, also behind the middleware, and leaves the URL readable', async (t) => {
    for (const isBehind of [false, true]) {
      const { url } = await serveApp(t, anyFramework, (app, sockets) => {
        if (isBehind) app.use(sockets);
        app.use(
          sockets.handler(async (socket, req) => {
            const isFree = [Reflect.get(req, 'next'), Reflect.get(req, '_parsedUrl')].every(
              (trace) => trace === undefined,
            );
            await socket.receiveMessageAsync();
            await socket.sendAsync(JSON.stringify([isFree, Reflect.get(req, 'path')]));
          }),
        );
      });
      const client = await connectWs(t, `${url}/room?x=1`);
      client.send('go');
      assert.equal(String(await nextMessage(client)), '[true,"/room"]');
    }
  });

  it('keeps no response alive that it does not use itself', { timeout: 150_000 }, async (t) => {
    let response: WeakRef<ServerResponse> | undefined;
    const { url } = await serveApp(t, anyFramework, (app, sockets) => {
      const handle = sockets.handler(async (socket) => echo(socket));
      app.use('/', (req, res, next) => {
        response = new WeakRef(res);
        handle(req, res, next);
      });
    });
    const client = await connectWs(t, url);
    do {
      // What a WeakRef has given out lives to the end of the turn.
      await new Promise((resolve) => setTimeout(resolve, 1));
      collectGarbage();
    } while (response?.deref() !== undefined);
    client.send('alive');
    assert.equal(String(await nextMessage(client)), 'alive');
  });
});

for (const [name, create] of Object.entries(frameworks)) {
  describe(`the middleware in ${name}`, { timeout: 150_000 }, () => {
    it('lets plain HTTP requests pass untouched', async (t) => {
      const { server } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        app.use((req, res) => res.end(`plain, ${String(socketOf(req))}`));
      });
      const response = await fetch(urlOf(server));
      assert.equal(await response.text(), 'plain, undefined');
      assert.equal(response.headers.get('upgrade'), null);
    });

    it('sets req.webSocket and goes on', async (t) => {
      const { url } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        app.use(async (req, _res, next) => {
          const socket = socketOf(req);
          if (socket === undefined) return next();
          await socket.sendAsync('from the route');
          await socket.closeAsync(4000, 'done');
        });
      });
      const client = await connectWs(t, url);
      assert.equal(await nextMessage(client), 'from the route');
      assert.deepEqual(await nextClose(client), { code: 4000, reason: 'done' });
    });

    it('gives a refusal to next as an http error, before anything is written', async (t) => {
      const { server } = await serveApp(
        t,
        create,
        (app, sockets) => {
          app.use(sockets);
          app.use((error: Error, req: IncomingMessage, res: ServerResponse, _next: NextFunction) => {
            assert.equal((error as createError.HttpError).status, 403);
            assert.equal(socketOf(req), undefined);
            res.statusCode = 403;
            res.end(`page: ${error.message}`);
          });
        },
        refuseAll,
      );
      const { status, body } = await (await rawUpgrade(t, server, fromElsewhere)).readResponse();
      assert.equal(status, 403);
      assert.match(body, /^page: .*allow it with webSockets\(\{ origin: \['https:\/\/elsewhere.example'\] \}\)$/);
    });

    it('answers a refusal that nobody takes', async (t) => {
      const { server } = await serveApp(t, create, (app, sockets) => void app.use(sockets), refuseAll);
      assert.equal((await (await rawUpgrade(t, server, fromElsewhere)).readResponse()).status, 403);
    });

    it('may stand in the chain twice', async (t) => {
      const { url, errors, sockets } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        app.use(sockets);
        app.use('/echo', sockets.handler(echo));
      });
      const client = await connectWs(t, `${url}/echo`);
      assert.equal(sockets.connections.size, 1);
      client.send('once');
      assert.equal(await nextMessage(client), 'once');
      client.close();
      await nextClose(client);
      assert.deepEqual(errors, []);
    });

    it('refuses to accept what another instance has accepted, and says so', async (t) => {
      const other = webSockets();
      const { url, errors } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        app.use('/use', other);
        app.use('/handler', other.handler(echo));
      });
      for (const path of ['/use', '/handler']) {
        assert.equal((await nextClose(await connectWs(t, url + path))).code, 1011);
        const error = errors.pop();
        assert(error instanceof WebSocketError);
        assert.equal(error.code, 'ERR_WEBSOCKET_INVALID_STATE');
        assert.match(error.message, /it has been accepted already/);
      }
      assert.equal(other.connections.size, 0);
    });

    it('fails loudly on a server to which nothing was attached', async (t) => {
      const sockets = webSockets();
      const app = create();
      app.use(sockets);
      app.use((error: Error, _req: IncomingMessage, res: ServerResponse, _next: NextFunction) => {
        assert(error instanceof WebSocketError);
        assert.equal(error.code, 'ERR_WEBSOCKET_NOT_ATTACHED');
        res.statusCode = 500;
        res.end(error.message);
      });
      const server = await serve(t, app);
      const { status, body } = await (await rawUpgrade(t, server)).readResponse();
      assert.equal(status, 500);
      assert.match(body, /attach\(server, app\)/);
    });

    it('gives what the rest of the chain throws behind an asynchronous handshake to onError', async (t) => {
      const failures: unknown[] = [];
      const sockets = webSockets({ origin: async () => true, onError: (error) => void failures.push(error) });
      const server = await serve(t, () => {});
      const boom = new Error('behind');
      sockets.attach(server, (req, res) =>
        sockets(req, res, () => {
          throw boom;
        }),
      );
      const client = await connectWs(t, webSocketUrlOf(server), [], { origin: 'http://a.example' });
      assert.deepEqual(await nextClose(client), { code: 1011, reason: '' });
      assert.deepEqual(failures, [boom]);
    });
  });

  describe(`handler in ${name}`, { timeout: 150_000 }, () => {
    it('performs the handshake and runs the function with socket, req and res', async (t) => {
      const { url } = await serveApp(t, create, (app, sockets) => {
        app.use(
          '/x',
          sockets.handler(async (socket, req, res) => {
            assert.equal(socket, socketOf(req));
            assert.equal(socket.request, req);
            assert.equal(res.req, req);
            await socket.sendAsync('ran');
          }),
        );
      });
      const client = await connectWs(t, `${url}/x`);
      assert.equal(await nextMessage(client), 'ran');
      assert.deepEqual(await nextClose(client), { code: 1000, reason: '' });
    });

    it('answers plain HTTP with 426 and Upgrade: websocket', async (t) => {
      const { server } = await serveApp(t, create, (app, sockets) => void app.use(sockets.handler(echo)));
      const response = await fetch(urlOf(server));
      assert.equal(response.status, 426);
      await response.text();
      const raw = await rawConnect(t, server);
      raw.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      assert.equal((await raw.readHead()).headers.upgrade, 'websocket');
    });

    it('gives the 426 to error middleware, which keeps the header', async (t) => {
      const { server } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets.handler(echo));
        app.use((error: Error, _req: IncomingMessage, res: ServerResponse, _next: NextFunction) => {
          res.statusCode = (error as createError.HttpError).status;
          res.end('page');
        });
      });
      const raw = await rawConnect(t, server);
      raw.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      const { status, headers } = await raw.readHead();
      assert.deepEqual([status, headers.upgrade], [426, 'websocket']);
    });

    it('reuses the connection of an earlier app.use', async (t) => {
      const { url, sockets } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        app.use('/echo', sockets.handler(echo));
      });
      const client = await connectWs(t, `${url}/echo`);
      client.send('again');
      assert.equal(await nextMessage(client), 'again');
      assert.equal(sockets.connections.size, 1);
      client.close(4000, 'bye');
      assert.deepEqual(await nextClose(client), { code: 4000, reason: 'bye' });
    });

    it('gives a refused handshake to next', async (t) => {
      const { server } = await serveApp(
        t,
        create,
        (app, sockets) => void app.use(sockets.handler(() => assert.fail('must not run'))),
        refuseAll,
      );
      assert.equal((await (await rawUpgrade(t, server, fromElsewhere)).readResponse()).status, 403);
    });

    it('follows the options of its route', async (t) => {
      const { url, server } = await serveApp(t, create, (app, sockets) => {
        app.use(
          '/v2',
          sockets.handler((socket) => socket.sendAsync(String(socket.subProtocol)), { subProtocols: ['v2'] }),
        );
        app.use('/closed', sockets.handler(echo, refuseAll));
      });
      assert.equal(await nextMessage(await connectWs(t, `${url}/v2`, ['v1', 'v2'])), 'v2');
      const refused = await rawUpgrade(t, server, { path: '/closed', ...fromElsewhere });
      assert.equal((await refused.readResponse()).status, 403);
    });

    it('waits for an asynchronous origin function', async (t) => {
      const { url } = await serveApp(t, create, (app, sockets) => void app.use(sockets.handler(echo)), {
        origin: async (origin) => origin === 'https://good.example',
      });
      const client = await connectWs(t, url, [], { origin: 'https://good.example' });
      client.send('in');
      assert.equal(await nextMessage(client), 'in');
    });
  });

  describe(`accept in ${name}`, { timeout: 150_000 }, () => {
    it('decides first and accepts later', async (t) => {
      const { url, server } = await serveApp(t, create, (app, sockets) => {
        app.use(async (req, res, next) => {
          if (!sockets.isWebSocketRequest(req)) return next();
          await new Promise((resolve) => setImmediate(resolve));
          if (req.headers.authorization === undefined) {
            res.statusCode = 401;
            return res.end('Who are you?');
          }
          const socket = await sockets.accept(req, { subProtocols: ['v2.chat'] });
          await socket.sendAsync(String(socket.subProtocol));
          await socket.closeAsync();
        });
      });
      const client = await connectWs(t, url, ['v1.chat', 'v2.chat'], { headers: { Authorization: 'yes' } });
      assert.equal(await nextMessage(client), 'v2.chat');
      const refused = await (await rawUpgrade(t, server)).readResponse();
      assert.deepEqual([refused.status, refused.body], [401, 'Who are you?']);
    });

    it('claims the connection: the end of the chain leaves it open', async (t) => {
      const { url } = await serveApp(t, create, (app, sockets) => {
        app.use((req, _res, next) => {
          void sockets.accept(req).then(async (socket) => {
            next();
            await new Promise((resolve) => setImmediate(resolve));
            await socket.closeAsync(4000);
          });
        });
      });
      assert.equal((await nextClose(await connectWs(t, url))).code, 4000);
    });
  });
}
