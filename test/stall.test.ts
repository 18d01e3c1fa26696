import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { type WebSocketContext, type WebSocketOptions, WebSocketState, webSockets } from '../src/index.js';
import { eventually } from './support/apps.js';
import { serve, type TestContext, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** The event loop does nothing else meanwhile: a garbage collection, a debugger, a process that is stopped. */
function stall(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

/** A connection whose client is a process of its own, which goes on while this one stands still. */
async function open(
  t: TestContext,
  options: WebSocketOptions,
  script: string,
): Promise<{ socket: WebSocketContext; client: ChildProcess; sockets: ReturnType<typeof webSockets> }> {
  const sockets = webSockets({ onError: () => {}, ...options });
  const server = await serve(t, (_req, res) => void res.end());
  const accepted: WebSocketContext[] = [];
  sockets.attach(server, async (req) => void accepted.push(await sockets.accept(req)));
  const program = `const client = new (require('ws'))(${JSON.stringify(webSocketUrlOf(server))}, { autoPong: false }); ${script}`;
  const client = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'inherit', 'inherit'] });
  t.after(() => void client.kill());
  await eventually(() => accepted.length > 0);
  return { socket: accepted[0] as WebSocketContext, client, sockets };
}

/**
 * Data in front of a close frame: more than the 2 MiB that one turn of the event loop reads, less than the 4 MiB that the
 * system may take. What is still with the client when our stall is over has not come in time.
 */
const BEHIND_DATA = `
  client.on('message', () => { for (let i = 0; i < 5; i++) client.send(Buffer.alloc(1 << 19)); client.close(4000) });
`;

describe('after a stall of the event loop', { timeout: 30_000 }, () => {
  it('no peer is lost whose pong has come meanwhile', async (t) => {
    const { socket } = await open(
      t,
      { keepAliveInterval: 100, keepAliveTimeout: 100 },
      `client.on('ping', (data) => setTimeout(() => client.pong(data), 20));`,
    );
    const reading = socket.receiveMessageAsync();
    for (let i = 0; i < 3; i++) {
      await new Promise((resolve) => setTimeout(resolve, 110));
      stall(300);
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      assert.equal(socket.state, WebSocketState.Open);
    }
    socket.abort();
    await assert.rejects(reading);
  });

  it('no closeAsync has timed out whose acknowledgement has come meanwhile, behind whatever data', async (t) => {
    for (const script of ['', BEHIND_DATA]) {
      const { socket } = await open(t, { closeTimeout: 200 }, script);
      await socket.sendAsync('go');
      if (script !== '') stall(300);
      const closed = socket.closeAsync(1000);
      await new Promise((resolve) => process.nextTick(resolve));
      stall(400);
      await closed;
      assert.equal(socket.state, WebSocketState.Closed);
    }
  });

  it('a drain aborts nobody whose acknowledgement has come meanwhile', async (t) => {
    const { sockets } = await open(t, {}, '');
    const drained = sockets.close({ timeout: 200 });
    await new Promise((resolve) => process.nextTick(resolve));
    stall(400);
    assert.deepEqual(await drained, { closed: 1, aborted: 0 });
  });

  it('no request has waited too long whose answer has come meanwhile', async (t) => {
    const sockets = webSockets({ handshakeTimeout: 200 });
    const server = await serve(t, (_req, res) => void res.end());
    const answers = spawn(process.execPath, ['-e', 'setTimeout(() => process.stdout.write("yes"), 100)'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(answers, 'spawn');
    sockets.attach(server, async (req) => {
      // The answer of a database, say.
      const answer = once(answers.stdout as NonNullable<typeof answers.stdout>, 'data');
      setImmediate(() => stall(1500));
      await answer;
      await sockets.accept(req);
    });
    const { WebSocket } = await import('ws');
    const client = new WebSocket(webSocketUrlOf(server));
    t.after(() => client.terminate());
    await once(client, 'open');
  });
});
