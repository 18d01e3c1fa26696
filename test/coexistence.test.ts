import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { describe, it } from 'node:test';
import express from 'express';
import { Server as SocketIoServer } from 'socket.io';
import { io as connectSocketIo } from 'socket.io-client';
import { WebSocket, WebSocketServer } from 'ws';
import { type WebSockets, webSockets } from '../src/index.js';
import { connectWs, nextMessage } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import { listen, type TestContext, urlOf, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** Sets one library up on a server. */
type SetUp = (t: TestContext, server: Server) => void;

/** A hot-reload server as Vite has one: it answers upgrades with its subprotocol, and leaves the others alone. */
const hotReload: SetUp = (t, server) => {
  const wss = new WebSocketServer({ noServer: true });
  t.after(() => wss.close());
  server.on('upgrade', (req: IncomingMessage, socket, head) => {
    const protocol = req.headers['sec-websocket-protocol'];
    if (!['vite-hmr', 'vite-ping'].includes(protocol ?? '')) return;
    wss.handleUpgrade(req, socket, head, (client) => {
      client.on('message', (data) => client.send(`reloaded ${data}`));
      client.send(JSON.stringify({ type: 'connected' }));
    });
  });
};

/** socket.io as it comes: an upgrade that nobody has answered within a second it ends, whoever may be about to. */
const socketIo: SetUp = (t, server) => {
  const io = new SocketIoServer(server);
  // Its clients are gone by then, and its server is closed by the test.
  t.after(() => io.disconnectSockets(true));
  io.on('connection', (client) => {
    client.on('ask', (question: string, answer: (reply: string) => void) => answer(`${question}!`));
  });
};

interface Company {
  readonly server: Server;
  readonly sockets: WebSockets;
}

/** A server with the libraries in an order; ours has an echo at `/echo`, and a slow one, and refuses `/private`. */
async function serveAll(t: TestContext, order: ReadonlyArray<'ours' | SetUp>, filter: boolean): Promise<Company> {
  const app = express();
  const server = createServer(app);
  const sockets = webSockets({ handshakeTimeout: 1500, perMessageDeflate: true });
  const echo = sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  });
  app.get('/echo', echo);
  app.get('/slow', (_req, _res, next) => void setTimeout(next, 400), echo);
  app.get('/private', (_req, res) => void res.status(401).json({ error: 'Who are you?' }));
  app.get('/page', (_req, res) => void res.send('a page'));
  const isOurs = ({ url = '' }: IncomingMessage): boolean => /^\/(echo|slow|private)/.test(url);
  for (const one of order) {
    if (one === 'ours') sockets.attach(server, app, filter ? { filter: isOurs } : {});
    else one(t, server);
  }
  await listen(t, server);
  return { server, sockets };
}

async function assertOursWorks(t: TestContext, { server }: Company): Promise<void> {
  for (const path of ['/echo', '/slow']) {
    const client = await connectWs(t, webSocketUrlOf(server) + path, [], { perMessageDeflate: true });
    for (const message of ['short', 'long '.repeat(100_000)]) {
      client.send(message);
      assert.equal(await nextMessage(client), message);
    }
    client.close(1000);
    assert.equal((await once(client, 'close'))[0], 1000);
  }
  const refused = await rawUpgrade(t, server, { path: '/private' });
  const { status, body } = await refused.readResponse();
  assert.deepEqual([status, body], [401, '{"error":"Who are you?"}']);
}

async function assertHotReloadWorks(t: TestContext, { server }: Company): Promise<void> {
  const client = await connectWs(t, `${webSocketUrlOf(server)}/?token=abc`, ['vite-hmr']);
  assert.equal(await nextMessage(client), '{"type":"connected"}');
  client.send('module');
  assert.equal(await nextMessage(client), 'reloaded module');
  // It lives on when every time limit of the others has passed.
  await new Promise((resolve) => setTimeout(resolve, 1800));
  client.send('again');
  assert.equal(await nextMessage(client), 'reloaded again');
}

async function assertSocketIoWorks(t: TestContext, { server }: Company): Promise<void> {
  for (const transports of [['websocket'], ['polling', 'websocket']]) {
    const client = connectSocketIo(urlOf(server), { transports, reconnection: false, forceNew: true });
    t.after(() => void client.disconnect());
    await new Promise<void>((resolve, reject) => client.on('connect', resolve).on('connect_error', reject));
    const { engine } = client.io;
    if (engine.transport.name !== 'websocket') {
      await new Promise<void>((resolve) => void engine.once('upgrade', () => resolve()));
    }
    assert.equal(await client.timeout(60_000).emitWithAck('ask', 'well'), 'well!');
    client.disconnect();
  }
}

describe('beside a hot-reload server and socket.io on one server', { timeout: 120_000, concurrency: true }, () => {
  const orders: Readonly<Record<string, ReadonlyArray<'ours' | SetUp>>> = {
    'ours first': ['ours', hotReload, socketIo],
    'ours in between': [hotReload, 'ours', socketIo],
    'ours last': [socketIo, hotReload, 'ours'],
  };
  for (const [name, order] of Object.entries(orders)) {
    for (const filter of [true, false]) {
      it(`each gets what is its own (${name}, ${filter ? 'with' : 'without'} a filter)`, async (t) => {
        const company = await serveAll(t, order, filter);
        await Promise.all([
          assertOursWorks(t, company),
          assertHotReloadWorks(t, company),
          assertSocketIoWorks(t, company),
        ]);
      });
    }
  }

  it('an upgrade that is nobody’s is destroyed and not answered', async (t) => {
    const { server } = await serveAll(t, [hotReload, 'ours'], false);
    const client = await rawUpgrade(t, server, { path: '/nowhere' });
    assert.equal((await client.readToEnd()).length, 0);
  });

  it('a page is a page', async (t) => {
    const { server } = await serveAll(t, [socketIo, hotReload, 'ours'], true);
    const response = await fetch(`${urlOf(server)}/page`);
    assert.equal(await response.text(), 'a page');
  });

  it('both go when it is drained: ours by us, theirs by themselves', async (t) => {
    const { server, sockets } = await serveAll(t, [hotReload, 'ours'], true);
    const ours = await connectWs(t, `${webSocketUrlOf(server)}/echo`);
    const theirs = await connectWs(t, webSocketUrlOf(server), ['vite-hmr']);
    const closed = once(ours, 'close');
    assert.deepEqual(await sockets.close(), { closed: 1, aborted: 0 });
    assert.equal((await closed)[0], 1001);
    assert.equal(theirs.readyState, WebSocket.OPEN);
  });
});
