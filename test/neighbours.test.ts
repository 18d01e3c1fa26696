import assert from 'node:assert/strict';
import { on, once } from 'node:events';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { io } from 'socket.io-client';
import { WebSocket, WebSocketServer } from 'ws';
import { startSample } from './support/demo.js';
import { listen, webSocketUrlOf } from './support/servers.js';

// Each with the real package on the same port, as the page about neighbours shows it.

async function open(t: TestContext, url: string, protocols: string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(url, protocols);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

/** What comes back for a message. */
async function answer(socket: WebSocket, message = 'hello'): Promise<string> {
  const answered = once(socket, 'message');
  socket.send(message);
  return String((await answered)[0]);
}

async function refusal(url: string): Promise<{ status: number | undefined; body: string }> {
  const socket = new WebSocket(url);
  const [, response] = await once(socket, 'unexpected-response');
  return { status: response.statusCode, body: await text(response) };
}

/** The smallest application of Next, in a folder of its own. */
async function makeNextApp(t: TestContext): Promise<NodeJS.ProcessEnv> {
  const dir = await mkdtemp(join(tmpdir(), 'next-'));
  t.after(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  await mkdir(join(dir, 'pages'));
  await writeFile(join(dir, 'pages/index.js'), "export default () => 'a page of Next';\n");
  await writeFile(join(dir, 'package-lock.json'), '{ "lockfileVersion": 3 }\n');
  await symlink(resolve('node_modules'), join(dir, 'node_modules'));
  // Its other compiler follows no link out of the folder
  return { NEXT_DIR: dir, NEXT_TELEMETRY_DISABLED: '1', IS_WEBPACK_TEST: '1', NODE_ENV: 'development' };
}

describe('beside us', () => {
  it('Nest decides with its guards, before the handshake', async (t) => {
    const { url, socketUrl } = await startSample(t, 'nest');
    const socket = await open(t, `${socketUrl}/rooms/42?key=secret`);

    assert.equal(await answer(socket), '42: hello');
    assert.equal((await refusal(`${socketUrl}/rooms/42`)).status, 403);
    assert.equal((await refusal(`${socketUrl}/nowhere`)).status, 404);
    assert.equal((await fetch(`${url}/rooms/42?key=secret`)).status, 426);
    socket.close(4001);
    assert.equal((await once(socket, 'close'))[0], 4001);
  });

  it('Koa answers by its own means, or lets us accept', async (t) => {
    const { url, socketUrl } = await startSample(t, 'koa');

    assert.equal(await answer(await open(t, `${socketUrl}/?key=secret`)), 'hello');
    assert.deepEqual(await refusal(socketUrl), { status: 401, body: 'Sign in first' });
    assert.equal((await fetch(url)).status, 404);
  });

  it('Fastify serves its pages', async (t) => {
    const { url, socketUrl } = await startSample(t, 'fastify');

    assert.equal(await answer(await open(t, `${socketUrl}/echo`)), 'hello');
    assert.equal(await (await fetch(url)).text(), 'a page of Fastify');
    assert.equal((await refusal(`${socketUrl}/nowhere`)).status, 404);
  });

  it('Vite reloads its pages', async (t) => {
    const { url, socketUrl } = await startSample(t, 'vite');
    const client = await (await fetch(`${url}/@vite/client`)).text();
    const token = /const wsToken = "([^"]+)"/.exec(client)?.[1];
    const reload = new WebSocket(`${socketUrl}/?token=${token}`, 'vite-hmr', { origin: url });
    t.after(() => reload.terminate());

    assert.deepEqual(JSON.parse(String((await once(reload, 'message'))[0])), { type: 'connected' });
    assert.equal(await answer(await open(t, `${socketUrl}/echo`)), 'hello');
  });

  it('Next serves its pages, and reloads them', async (t) => {
    const { url, socketUrl } = await startSample(t, 'next', await makeNextApp(t));

    assert.match(await (await fetch(url)).text(), /a page of Next/);
    // The page that is not there is compiled when it is asked for, which may take longer than a handshake
    assert.equal((await fetch(`${url}/nowhere`)).status, 404);
    const reload = new WebSocket(`${socketUrl}/_next/hmr?id=1`);
    t.after(() => reload.terminate());
    // It may tell what it compiles at the moment before
    for await (const [message] of on(reload, 'message', { close: ['close'] })) {
      if (JSON.parse(String(message)).type === 'sync') break;
    }
    assert.equal(reload.readyState, WebSocket.OPEN);
    assert.equal(await answer(await open(t, `${socketUrl}/live/echo`)), 'hello');
    assert.equal((await refusal(`${socketUrl}/live/nowhere`)).status, 404);
  });

  it('socket.io serves its clients, and leaves ours alone', async (t) => {
    const { url, socketUrl } = await startSample(t, 'socket-io');
    const client = io(url, { transports: ['websocket'] });
    t.after(() => client.disconnect());

    assert.equal(await client.emitWithAck('echo', 'theirs'), 'theirs');
    assert.equal(await answer(await open(t, `${socketUrl}/live/echo`)), 'hello');
    assert.equal((await refusal(`${socketUrl}/live/nowhere`)).status, 404);
  });

  it('a WebSocketServer with a path serves that path, and leaves ours alone', async (t) => {
    const { socketUrl } = await startSample(t, 'beside-ws');

    assert.equal(await answer(await open(t, `${socketUrl}/theirs`)), 'theirs: hello');
    assert.equal(await answer(await open(t, `${socketUrl}/ours/echo`)), 'hello');
    assert.equal((await refusal(`${socketUrl}/ours/nowhere`)).status, 404);
    assert.equal((await refusal(`${socketUrl}/nowhere`)).status, 400);
  });

  it('a proxy carries on behind our authentication', async (t) => {
    const upstream = await listen(
      t,
      createServer((_req, res) => res.end('a page from upstream')),
    );
    new WebSocketServer({ server: upstream }).on('connection', (ws) => {
      ws.on('message', (data) => ws.send(`upstream: ${data}`));
    });
    const target = webSocketUrlOf(upstream).replace('ws:', 'http:');
    const { url, socketUrl } = await startSample(t, 'proxy', { UPSTREAM: target });

    assert.equal(await answer(await open(t, `${socketUrl}/upstream?key=secret`)), 'upstream: hello');
    assert.equal((await refusal(`${socketUrl}/upstream`)).status, 401);
    assert.equal(await (await fetch(`${url}/upstream?key=secret`)).text(), 'a page from upstream');
    assert.equal(await answer(await open(t, `${socketUrl}/echo`)), 'hello');
  });
});
