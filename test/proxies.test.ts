import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { type ClientOptions, WebSocket } from 'ws';
import { type WebSocketOptions, type WebSockets, webSockets } from '../src/index.js';
import { eventually } from './support/apps.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { hasProxy, type ProxyName, startProxy } from './support/proxies.js';
import { listen, makeServer, portOf, type TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

interface Site {
  readonly server: Server;
  readonly sockets: WebSockets;
  /** The address behind the proxy, `ws:` or `wss:`. */
  readonly url: string;
}

type BehindOptions = WebSocketOptions & { secure?: boolean; trust?: boolean; idleTimeout?: number };

const TLS: ClientOptions = { rejectUnauthorized: false };

async function serveBehind(
  t: TestContext,
  name: ProxyName,
  { secure = false, trust = true, idleTimeout = 60, ...options }: BehindOptions = {},
): Promise<Site> {
  const app = express();
  if (trust) app.set('trust proxy', 'loopback');
  const sockets = webSockets(options);
  app.get(
    '/echo',
    sockets.handler(async (socket) => {
      for await (const message of socket) await socket.sendAsync(message);
    }),
  );
  app.get(
    '/goodbye',
    sockets.handler(async (socket) => {
      await socket.receiveMessageAsync();
      await socket.closeAsync(4000, 'goodbye');
    }),
  );
  app.get(
    '/address',
    sockets.handler(async (socket, req: express.Request) => {
      await socket.sendAsync(
        `${req.protocol} ${req.headers['x-forwarded-host']} ${req.ip} ${socket.isSecureConnection}`,
      );
      await socket.closed;
    }),
  );
  app.get(
    '/idle',
    sockets.handler(async (socket) => void (await socket.receiveMessageAsync())),
  );
  app.get('/slow-echo', async (req, _res, next) => {
    await sleep(600);
    const socket = await sockets.accept(req).catch(next);
    if (socket) for await (const message of socket) await socket.sendAsync(message);
  });
  app.get('/undecided', () => {});
  app.get('/private', (_req, res) => void res.status(401).set('WWW-Authenticate', 'Bearer').json({ error: 'private' }));
  const server = await listen(t, makeServer(app));
  sockets.attach(server, app);
  const { plainPort, securePort } = await startProxy(t, name, { upstream: portOf(server), idleTimeout });
  return { server, sockets, url: secure ? `wss://127.0.0.1:${securePort}` : `ws://127.0.0.1:${plainPort}` };
}

/** The answer of whoever refuses the handshake, the server or the proxy. */
async function refusal(url: string, options: ClientOptions = {}): Promise<{ response: IncomingMessage; body: string }> {
  const client = new WebSocket(url, { ...TLS, ...options });
  const [, response] = (await once(client, 'unexpected-response')) as [unknown, IncomingMessage];
  return { response, body: await text(response) };
}

for (const name of ['nginx', 'haproxy'] as const) {
  const skip = hasProxy(name) ? false : `NOT TESTED: ${name} is not installed`;
  describe(`behind ${name}, configured as the documentation says`, {
    timeout: 150_000,
    concurrency: true,
    skip,
  }, () => {
    for (const secure of [false, true]) {
      const scheme = secure ? 'wss' : 'ws';

      it(`carries messages of any size in both directions, and closes from both sides (${scheme})`, async (t) => {
        const { url, sockets } = await serveBehind(t, name, { secure });
        const client = await connectWs(t, `${url}/echo`, [], TLS);
        for (const message of ['short', 'ü'.repeat(40_000), randomBytes(3 * 1024 * 1024)]) {
          client.send(message);
          assert.deepEqual(await nextMessage(client), message);
        }
        client.close(4321, 'done');
        assert.deepEqual(await nextClose(client), { code: 4321, reason: 'done' });

        const other = await connectWs(t, `${url}/goodbye`, [], TLS);
        other.send('close now');
        assert.deepEqual(await nextClose(other), { code: 4000, reason: 'goodbye' });
        await eventually(() => sockets.connectionCount === 0);
        assert.equal(sockets.totals.succeeded, 2);
      });

      it(`tells the application the address that its client sees, and allows its origin only (${scheme})`, async (t) => {
        const { url } = await serveBehind(t, name, { secure });
        const { host } = new URL(url);
        const http = secure ? 'https' : 'http';
        const client = await connectWs(t, `${url}/address`, [], { ...TLS, origin: `${http}://${host}` });
        assert.equal(await nextMessage(client), `${http} ${host} 127.0.0.1 ${secure}`);

        for (const origin of [
          `${secure ? 'http' : 'https'}://${host}`,
          'https://elsewhere.example',
          `${http}://127.0.0.1`,
        ]) {
          const { response } = await refusal(`${url}/address`, { origin });
          assert.equal(response.statusCode, 403, origin);
        }
        // Nobody gets in by claiming to be a proxy: the last one in the chain is believed, not the first.
        const forged = { 'X-Forwarded-Host': 'elsewhere.example', 'X-Forwarded-Proto': 'https' };
        const { response } = await refusal(`${url}/address`, { origin: 'https://elsewhere.example', headers: forged });
        assert.equal(response.statusCode, 403);
      });
    }

    it('refuses a page on https without trust proxy, and says which origin that was', async (t) => {
      const { url } = await serveBehind(t, name, { secure: true, trust: false });
      const origin = url.replace('wss', 'https');
      const { response, body } = await refusal(`${url}/echo`, { origin });
      assert.equal(response.statusCode, 403);
      assert.ok(body.includes(origin), body);
    });

    it('passes refusals on with status, headers and body', async (t) => {
      const { url } = await serveBehind(t, name, { secure: true });
      const { response, body } = await refusal(`${url}/private`);
      assert.deepEqual(
        [response.statusCode, response.headers['www-authenticate'], body],
        [401, 'Bearer', '{"error":"private"}'],
      );
      assert.equal((await refusal(`${url}/nowhere`)).response.statusCode, 404);
    });

    it('waits for a slow decision, and passes on what handshakeTimeout answers', async (t) => {
      const patient = await serveBehind(t, name);
      const client = await connectWs(t, `${patient.url}/slow-echo`);
      client.send('worth the wait');
      assert.equal(await nextMessage(client), 'worth the wait');

      const hasty = await serveBehind(t, name, { handshakeTimeout: 200 });
      assert.equal((await refusal(`${hasty.url}/undecided`)).response.statusCode, 503);
    });

    it('keeps an idle connection by our pings, longer than the proxy would', async (t) => {
      const kept = await serveBehind(t, name, { idleTimeout: 8, keepAliveInterval: 400 });
      const lost = await serveBehind(t, name, { idleTimeout: 8, keepAliveInterval: 0 });
      const [keptClient, lostClient] = [await connectWs(t, `${kept.url}/idle`), await connectWs(t, `${lost.url}/idle`)];
      const [context] = lost.sockets.connections;

      assert.equal((await nextClose(lostClient)).code, 1006);
      assert.equal((await context?.closed)?.code, 1006);
      // Idle for longer than the other one, which came later
      await sleep(1000);
      assert.equal(keptClient.readyState, WebSocket.OPEN);
      assert.equal(kept.sockets.connectionCount, 1);
    });

    it('hears of a client that goes, in either way', async (t) => {
      const { url, sockets } = await serveBehind(t, name);
      const clients = [await connectWs(t, `${url}/idle`), await connectWs(t, `${url}/idle`)];
      const ends = [...sockets.connections].map((context) => context.closed);
      clients[0]?.terminate();
      clients[1]?.close(4000);

      assert.deepEqual((await Promise.all(ends)).map(({ code }) => code).sort(), [1006, 4000].sort());
    });

    it('gives clients 1006 when the server dies, and a 5xx as long as there is none', async (t) => {
      const { url, server, sockets } = await serveBehind(t, name);
      const client = await connectWs(t, `${url}/idle`);
      const closed = nextClose(client);
      const gone = once(server, 'close');
      server.close();
      for (const socket of sockets.connections) socket.abort();
      server.closeIdleConnections();
      await gone;

      assert.equal((await closed).code, 1006);
      const { response } = await refusal(`${url}/idle`);
      assert.ok([502, 503, 504].includes(response.statusCode ?? 0));
    });

    it('drains: 1001 for everybody, 503 for newcomers', async (t) => {
      const { url, sockets } = await serveBehind(t, name, { secure: true });
      const clients = await Promise.all(Array.from({ length: 10 }, () => connectWs(t, `${url}/echo`, [], TLS)));
      const closes = clients.map(nextClose);

      assert.deepEqual(await sockets.close({ reason: 'restarting' }), { closed: 10, aborted: 0 });
      for (const close of await Promise.all(closes)) assert.deepEqual(close, { code: 1001, reason: 'restarting' });
      assert.equal((await refusal(`${url}/echo`)).response.statusCode, 503);
    });
  });
}
