import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { type WebSocketContext, type WebSocketOptions, WebSocketState, webSockets } from '../src/index.js';
import { eventually } from './support/apps.js';
import { serve, type TestContext, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** The limits that pass during a stall, in ms: much longer than what else the tests do meanwhile. */
const LIMIT = 1000;

/** What another process says of itself, which can be heard while this one stands still. */
class Reports {
  readonly #file: string;

  constructor(t: TestContext) {
    const folder = mkdtempSync(join(tmpdir(), 'stall-'));
    t.after(() => rmSync(folder, { recursive: true }));
    this.#file = join(folder, 'reports');
    writeFileSync(this.#file, '');
  }

  /** For the program of the other process: declares `report(what)`, where `what` is a letter. */
  get declaration(): string {
    return `const report = (what) => require('fs').appendFileSync(${JSON.stringify(this.#file)}, what);`;
  }

  count(what: string): number {
    return readFileSync(this.#file, 'utf8').split(what).length - 1;
  }
}

/**
 * The event loop does nothing else meanwhile: a garbage collection, a debugger, a process that is stopped. It lasts for
 * longer than the limits, and until another process has done its part, which depends on the machine.
 */
function stall(isDone: () => boolean): void {
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  Atomics.wait(nobody, 0, 0, LIMIT + 200);
  for (let round = 0; round < 3000 && !isDone(); round++) Atomics.wait(nobody, 0, 0, 10);
}

/** A connection whose client is a process of its own, which goes on while this one stands still. */
async function open(
  t: TestContext,
  options: WebSocketOptions,
  script: string,
): Promise<{ socket: WebSocketContext; sockets: ReturnType<typeof webSockets>; reports: Reports }> {
  const sockets = webSockets({ onError: () => {}, ...options });
  const server = await serve(t, (_req, res) => void res.end());
  const accepted: WebSocketContext[] = [];
  sockets.attach(server, async (req) => void accepted.push(await sockets.accept(req)));
  const reports = new Reports(t);
  const program = `${reports.declaration}
    const client = new (require('ws'))(${JSON.stringify(webSocketUrlOf(server))}, { autoPong: false });
    ${script}`;
  const client = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'inherit', 'inherit'] });
  t.after(() => void client.kill());
  await eventually(() => accepted.length > 0);
  return { socket: accepted[0] as WebSocketContext, sockets, reports };
}

/** Reports `c` when the close frame of the client, and all before it, is with the system. */
const REPORT_CLOSE = `
  const timer = setInterval(() => {
    if (client.readyState < 2 || client.bufferedAmount > 0) return;
    report('c');
    clearInterval(timer);
  }, 5);
`;

/**
 * Data in front of a close frame: more than the 2 MiB that one turn of the event loop reads, less than the 4 MiB that the
 * system may take. What is still with the client when our stall is over has not come in time.
 */
const BEHIND_DATA = `
  client.on('message', () => { for (let i = 0; i < 5; i++) client.send(Buffer.alloc(1 << 19)); client.close(4000) });
`;

describe('after a stall of the event loop', { timeout: 150_000 }, () => {
  it('no peer is lost whose pong has come meanwhile', async (t) => {
    const { socket, reports } = await open(
      t,
      { keepAliveInterval: 100, keepAliveTimeout: LIMIT },
      `client.on('ping', (data) => {
         report('i');
         setTimeout(() => client.pong(data, undefined, () => report('o')), 200);
       });`,
    );
    const reading = socket.receiveMessageAsync();
    for (let i = 0; i < 3; i++) {
      while (reports.count('i') <= i) await sleep(5);
      stall(() => reports.count('o') === reports.count('i'));
      await new Promise(setImmediate);
      await new Promise(setImmediate);
      assert.equal(socket.state, WebSocketState.Open);
    }
    socket.abort();
    await assert.rejects(reading);
  });

  it('no closeAsync has timed out whose acknowledgement has come meanwhile, behind whatever data', async (t) => {
    for (const script of ['', BEHIND_DATA]) {
      const { socket, reports } = await open(t, { closeTimeout: LIMIT }, script + REPORT_CLOSE);
      void socket.sendAsync('go');
      const closed = socket.closeAsync(1000);
      await new Promise((resolve) => process.nextTick(resolve));
      stall(() => reports.count('c') > 0);
      await closed;
      assert.equal(socket.state, WebSocketState.Closed);
    }
  });

  it('a drain aborts nobody whose acknowledgement has come meanwhile', async (t) => {
    const { sockets, reports } = await open(t, {}, REPORT_CLOSE);
    const drained = sockets.close({ timeout: LIMIT });
    await new Promise((resolve) => process.nextTick(resolve));
    stall(() => reports.count('c') > 0);
    assert.deepEqual(await drained, { closed: 1, aborted: 0 });
  });

  it('no request has waited too long whose answer has come meanwhile', async (t) => {
    const sockets = webSockets({ handshakeTimeout: LIMIT });
    const server = await serve(t, (_req, res) => void res.end());
    const reports = new Reports(t);
    const program = `${reports.declaration} setTimeout(() => process.stdout.write('yes', () => report('y')), 100)`;
    const answers = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(answers, 'spawn');
    sockets.attach(server, async (req) => {
      // The answer of a database, say.
      const answer = once(answers.stdout as NonNullable<typeof answers.stdout>, 'data');
      setImmediate(() => stall(() => reports.count('y') > 0));
      await answer;
      await sockets.accept(req);
    });
    const { WebSocket } = await import('ws');
    const client = new WebSocket(webSocketUrlOf(server));
    t.after(() => client.terminate());
    await once(client, 'open');
  });
});
