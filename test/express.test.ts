import assert from 'node:assert/strict';
import type { Server } from 'node:http';
import { describe, it } from 'node:test';
import compression from 'compression';
import express, { type Express, type NextFunction, type Request, type Response } from 'express';
import session, { MemoryStore } from 'express-session';
import express4 from 'express4';
import helmet from 'helmet';
import createError from 'http-errors';
import morgan from 'morgan';
import { WebSocket } from 'ws';
import { type WebSocketOptions, type WebSockets, webSockets } from '../src/index.js';
import { eventually } from './support/apps.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import { serve, type TestContext, urlOf, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

for (const [name, framework] of [
  ['Express 5', express],
  ['Express 4', express4 as never as typeof express],
] as const) {
  /** Serves an application that `build` puts together. */
  const site = async (
    t: TestContext,
    build: (app: Express, sockets: WebSockets) => void,
    options: WebSocketOptions = {},
  ): Promise<{ url: string; server: Server; sockets: WebSockets; errors: unknown[] }> => {
    const errors: unknown[] = [];
    const sockets = webSockets({ onError: (error) => void errors.push(error), ...options });
    const app = framework();
    build(app, sockets);
    const server = await serve(t, app);
    sockets.attach(server, app);
    return { url: webSocketUrlOf(server), server, sockets, errors };
  };

  describe(name, { timeout: 120_000 }, () => {
    it('routes a WebSocket by path and parameters, with no annotation', async (t) => {
      const { url } = await site(t, (app, sockets) => {
        app.get(
          '/rooms/:id',
          sockets.handler((socket, req) => socket.sendAsync(`${req.params['id']} at ${req.originalUrl}`)),
        );
      });
      assert.equal(await nextMessage(await connectWs(t, `${url}/rooms/42?x=1`)), '42 at /rooms/42?x=1');
    });

    it('keeps what a router and a mounted application know about the request', async (t) => {
      const { url } = await site(t, (app, sockets) => {
        const router = framework.Router({ mergeParams: true });
        router.get(
          '/seat/:seat',
          sockets.handler(async (socket, req: Request) => {
            await new Promise((resolve) => setImmediate(resolve));
            await socket.sendAsync(JSON.stringify({ ...req.params, base: req.baseUrl, query: req.query }));
          }),
        );
        const sub = framework();
        sub.get(
          '/deep',
          sockets.handler((socket) => socket.sendAsync(socket.requestUri.pathname)),
        );
        app.use('/room/:room', router);
        app.use('/mounted', sub);
      });
      assert.deepEqual(JSON.parse(String(await nextMessage(await connectWs(t, `${url}/room/1/seat/2?q=3`)))), {
        room: '1',
        seat: '2',
        base: '/room/1',
        query: { q: '3' },
      });
      assert.equal(await nextMessage(await connectWs(t, `${url}/mounted/deep`)), '/mounted/deep');
    });

    it('answers 404 where no route matches, and 426 to plain HTTP where one does', async (t) => {
      const { server } = await site(
        t,
        (app, sockets) =>
          void app.get(
            '/ws',
            sockets.handler(() => {}),
          ),
      );
      assert.equal((await (await rawUpgrade(t, server, { path: '/other' })).readResponse()).status, 404);
      const response = await fetch(`${urlOf(server)}/ws`);
      assert.equal(response.status, 426);
      await response.text();
    });

    it('puts the headers and cookies of earlier middleware on the 101, stores the session and logs', async (t) => {
      const store = new MemoryStore();
      const log: string[] = [];
      const { server } = await site(t, (app, sockets) => {
        app.use(morgan(':method :url :status', { stream: { write: (line) => void log.push(line.trim()) } }));
        app.use(helmet(), compression());
        app.use(session({ secret: 's', resave: false, saveUninitialized: true, store }));
        app.get(
          '/ws',
          sockets.handler(async (socket) => {
            await socket.receiveAsync();
          }),
        );
      });
      const raw = await rawUpgrade(t, server, { path: '/ws' });
      const { status, headers } = await raw.readHead();
      assert.equal(status, 101);
      assert.match(headers['set-cookie'] ?? '', /^connect\.sid=/);
      assert(headers['content-security-policy']);
      assert.equal(headers['content-length'], undefined);
      await eventually(() => log.length === 1);
      assert.deepEqual(log, ['GET /ws 101']);
      const sessions = await new Promise<unknown>((resolve) => store.all((_error, all) => resolve(all)));
      assert.equal(Object.keys(sessions as object).length, 1);
    });

    it('lets nothing that is done to res later reach the client or throw', async (t) => {
      const { url, errors } = await site(t, (app, sockets) => {
        app.use(sockets);
        app.get('/late', async (req: Request, res: Response, next: NextFunction) => {
          const { webSocket } = req;
          assert(webSocket);
          await webSocket.sendAsync('before');
          res.status(200).set('X-Late', 'yes').cookie('late', '1').send('<html>');
          res.json({ late: true });
          res.redirect('/elsewhere');
          res.sendStatus(204);
          res.write('x');
          res.flushHeaders();
          res.end();
          next();
          next();
          await webSocket.sendAsync('after');
          await webSocket.closeAsync(4000);
        });
      });
      const client = await connectWs(t, `${url}/late`);
      assert.equal(await nextMessage(client), 'before');
      assert.equal(await nextMessage(client), 'after');
      assert.equal((await nextClose(client)).code, 4000);
      assert.deepEqual(errors, []);
    });

    it('lets an error middleware answer before the handshake, and speak JSON behind it', async (t) => {
      const { url, server } = await site(t, (app, sockets) => {
        app.get('/before', (_req, _res, next) => next(createError(402, 'Pay first')));
        app.use(sockets);
        app.get('/behind', (req, _res, next) => next(req.webSocket && createError(402, 'Pay first')));
        app.use((error: createError.HttpError, _req: Request, res: Response, _next: NextFunction) => {
          res.status(error.status).json({ message: error.message });
        });
      });
      const { status, body } = await (await rawUpgrade(t, server, { path: '/before' })).readResponse();
      assert.deepEqual([status, JSON.parse(body)], [402, { message: 'Pay first' }]);
      assert.equal((await nextClose(await connectWs(t, `${url}/behind`))).code, 4402);
    });

    it('leaves HTTP as it was', async (t) => {
      const { server } = await site(t, (app, sockets) => {
        app.use(sockets);
        app.use(framework.json());
        app.post('/json', (req, res) => void res.json(req.body));
        app.get('/page', (_req, res) => void res.send('page'));
      });
      const posted = await fetch(`${urlOf(server)}/json`, {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: '{"a":1}',
      });
      assert.deepEqual(await posted.json(), { a: 1 });
      assert.equal(await (await fetch(`${urlOf(server)}/page`)).text(), 'page');
    });

    it('hands a connection to a library that wants one of ws', async (t) => {
      const { url, sockets } = await site(
        t,
        (app, all) => {
          // As graphql-ws does it: a server that takes the socket and the request, and listens
          app.get(
            '/graphql',
            all.handler((socket, req) => {
              const { ws } = socket;
              assert.equal(ws.protocol, 'graphql-transport-ws');
              ws.on('message', (data) => {
                const { id, type } = JSON.parse(String(data));
                if (type === 'connection_init') ws.send(JSON.stringify({ type: 'connection_ack' }));
                else ws.send(JSON.stringify({ id, type: 'next', payload: { url: req.url } }), () => {});
              });
              ws.once('close', (code, reason) => closes.push([code, String(reason)]));
            }),
          );
        },
        { subProtocols: ['graphql-transport-ws'] },
      );
      const closes: unknown[] = [];
      const client = new WebSocket(`${url}/graphql`, 'graphql-transport-ws');
      t.after(() => client.terminate());
      const answers: unknown[] = [];
      client.on('message', (data) => answers.push(JSON.parse(String(data))));
      client.once('open', () => {
        client.send('{"type":"connection_init"}');
        client.send('{"id":"1","type":"subscribe"}');
      });
      await eventually(() => answers.length === 2);
      assert.deepEqual(answers, [{ type: 'connection_ack' }, { id: '1', type: 'next', payload: { url: '/graphql' } }]);
      assert.deepEqual(await sockets.close({ reason: 'deploy' }), { closed: 1, aborted: 0 });
      assert.deepEqual(closes, [[1001, 'deploy']]);
    });

    it('gives a hand-over that createWebSocketStream can use', async (t) => {
      const { createWebSocketStream } = await import('ws');
      const { url } = await site(t, (app, sockets) => {
        app.get(
          '/stream',
          sockets.handler((socket) => {
            const stream = createWebSocketStream(socket.ws);
            stream.pipe(stream);
          }),
        );
      });
      const client = await connectWs(t, `${url}/stream`);
      client.send(Buffer.alloc(200_000, 7));
      let received = 0;
      while (received < 200_000) received += (await nextMessage(client)).length;
      assert.equal(received, 200_000);
    });
  });
}
