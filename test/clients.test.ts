import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { promisify } from 'node:util';
import { type CloseEvent, type MessageEvent, WebSocket as UndiciWebSocket } from 'undici';
import type { CloseInfo, WebSocketContext } from '../src/index.js';
import { anyFramework, serveApp, type TestApp } from './support/apps.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

const python = '/usr/bin/python3';
const script = resolve('test/support/python-client.py');

/** What a client has seen of a connection. */
interface Seen {
  readonly subprotocol: string;
  readonly text?: string;
  readonly binary?: number;
  readonly code: number;
  readonly reason: string;
}

/** A client that echoes a text and a megabyte's tenth of binary and closes with 4000, or waits for the server's close. */
type Client = (t: TestContext, url: string, what: 'echo' | 'server-close') => Promise<Seen>;

const wsClient: Client = async (t, url, what) => {
  const client = await connectWs(t, url, ['v1.test']);
  const seen: { text?: string; binary?: number } = {};
  if (what === 'echo') {
    client.send('grüezi');
    seen.text = String(await nextMessage(client));
    client.send(Buffer.alloc(100_000));
    seen.binary = (await nextMessage(client)).length;
    client.ping();
    await once(client, 'pong');
    client.close(4000, 'from ws');
  }
  return { subprotocol: client.protocol, ...seen, ...(await nextClose(client)) };
};

const undiciClient: Client = async (_t, url, what) => {
  const client = new UndiciWebSocket(url, ['v1.test']);
  client.binaryType = 'arraybuffer';
  const closed = new Promise<CloseEvent>((done) => client.addEventListener('close', done, { once: true }));
  const message = (): Promise<MessageEvent> =>
    new Promise((done) => client.addEventListener('message', done, { once: true }));
  await new Promise((done) => client.addEventListener('open', done, { once: true }));
  const seen: { text?: string; binary?: number } = {};
  if (what === 'echo') {
    const text = message();
    client.send('grüezi');
    seen.text = (await text).data;
    const binary = message();
    client.send(Buffer.alloc(100_000));
    seen.binary = (await binary).data.byteLength;
    client.close(4000, 'from undici');
  }
  const { code, reason } = await closed;
  return { subprotocol: client.protocol, ...seen, code, reason };
};

const pythonClient: Client = async (_t, url, what) => {
  const { stdout } = await promisify(execFile)(python, [script, what, url], { timeout: 60_000 });
  return JSON.parse(stdout);
};

/** Why python-websockets cannot be tried; in CI it has to be there. */
function withoutPython(): string | false {
  if (spawnSync(python, ['-c', 'import websockets']).status === 0) return false;
  const message = `NOT TESTED: ${python} has no websockets: apt-get install --no-install-recommends python3-websockets`;
  if (process.env['CI']) throw new Error(message);
  return message;
}

/** Serves `handler` and tells how its first connection ended. */
const site = async (
  t: TestContext,
  create: () => TestApp,
  handler: (socket: WebSocketContext) => unknown,
): Promise<{ url: string; ended: Promise<CloseInfo> }> => {
  let tell: (info: Promise<CloseInfo>) => void;
  const ended = new Promise<CloseInfo>((done) => {
    tell = done;
  });
  const { url } = await serveApp(
    t,
    create,
    (app, sockets) => {
      app.use(
        sockets.handler((socket) => {
          tell(socket.closed);
          return handler(socket);
        }),
      );
    },
    { subProtocols: ['v2.test', 'v1.test'] },
  );
  return { url, ended };
};

for (const [name, client, skip] of [
  ['ws', wsClient, false],
  ["undici's WebSocket", undiciClient, false],
  ['python-websockets', pythonClient, withoutPython()],
] as const) {
  describe(name, { timeout: 120_000, skip }, () => {
    it('gets its echo and its subprotocol, and closes', async (t) => {
      const { url, ended } = await site(t, anyFramework, async (socket) => {
        for await (const message of socket) await socket.sendAsync(message);
      });
      const { subprotocol, text, binary, code } = await client(t, url, 'echo');
      assert.deepEqual([subprotocol, text, binary, code], ['v1.test', 'grüezi', 100_000, 4000]);
      const info = await ended;
      assert.deepEqual([info.code, info.wasClean], [4000, true]);
      assert.match(info.reason, /^from /);
    });

    it('acknowledges the close of the server', async (t) => {
      let acknowledged = false;
      const { url, ended } = await site(t, anyFramework, async (socket) => {
        await socket.closeAsync(4001, 'from the server');
        acknowledged = true;
      });
      const { code, reason } = await client(t, url, 'server-close');
      assert.deepEqual([code, reason], [4001, 'from the server']);
      assert.equal((await ended).wasClean, true);
      assert(acknowledged);
    });
  });
}
