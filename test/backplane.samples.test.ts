import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { WebSocket } from 'ws';
import { type BrokerName, hasBroker, startBroker } from './support/brokers.js';
import { startSample } from './support/demo.js';
import { canConnect, freePort } from './support/free-port.js';

/** A member of a room, and all that it has heard. */
async function join(t: TestContext, url: string): Promise<{ socket: WebSocket; heard: string[] }> {
  const socket = new WebSocket(url);
  t.after(() => socket.terminate());
  const heard: string[] = [];
  socket.on('message', (data) => heard.push(String(data)));
  await once(socket, 'open');
  return { socket, heard };
}

interface Count {
  readonly count: number;
  readonly nodes: number;
  readonly missing: number;
}

/** Asks for a count until all have answered who are still there: a process that is busy, or has just left, does not in time. */
async function count(url: string): Promise<Count> {
  for (;;) {
    const counted = (await (await fetch(url)).json()) as Count;
    if (counted.missing === 0) return counted;
  }
}

const brokers: readonly { sample: string; broker: BrokerName; environment: (port: number) => NodeJS.ProcessEnv }[] = [
  { sample: 'redis', broker: 'redis-server', environment: (port) => ({ REDIS_URL: `redis://127.0.0.1:${port}` }) },
  { sample: 'nats', broker: 'nats-server', environment: (port) => ({ NATS_URL: `127.0.0.1:${port}` }) },
];

describe('the samples for more than one process', () => {
  for (const { sample, broker: name, environment } of brokers) {
    it(`${sample}.ts joins the rooms of two processes, and ends when it is told to`, {
      skip: !hasBroker(name) && `${name} is not installed`,
    }, async (t) => {
      const { port } = await startBroker(t, name);
      const one = await startSample(t, sample, environment(port));
      const other = await startSample(t, sample, environment(port));
      const a = await join(t, `${one.socketUrl}/rooms/42`);
      const b = await join(t, `${other.socketUrl}/rooms/42`);
      const stranger = await join(t, `${other.socketUrl}/rooms/43`);
      while ((await count(`${one.url}/rooms/42/count`)).count < 2) await sleep(20);

      a.socket.send('hello');
      await once(b.socket, 'message');

      assert.deepEqual([a.heard, b.heard, stranger.heard], [[], ['hello'], []]);
      assert.deepEqual(await count(`${other.url}/rooms/42/count`), { count: 2, nodes: 2, missing: 0 });
      const left = once(b.socket, 'close');
      const end = await other.stop('SIGTERM');
      const [code] = await left;
      assert.deepEqual([code, end.code], [1012, 0]);
      assert.deepEqual(await count(`${one.url}/rooms/42/count`), { count: 1, nodes: 1, missing: 0 });
    });
  }

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`cluster.ts joins the rooms of all workers, and ends at ${signal}`, async (t) => {
      const port = await freePort();
      const { NODE_V8_COVERAGE: _, ...inherited } = process.env;
      const primary = spawn(process.execPath, ['.demo-build/samples/cluster.js'], {
        stdio: 'inherit',
        env: { ...inherited, PORT: `${port}`, WORKERS: '2' },
        detached: true, // a group of processes, as the terminal makes one
      });
      const exited = once(primary, 'exit');
      t.after(() => void primary.kill('SIGKILL'));
      while (!(await canConnect(port))) await sleep(20);
      const heard = new Set<string>();

      // Connections go to the workers in turn, as soon as both are there.
      while (heard.size < 2) {
        const { socket } = await join(t, `ws://127.0.0.1:${port}/rooms/42`);
        socket.send('hello');
        const [data] = await once(socket, 'message');
        heard.add(String(data));
      }
      const a = await join(t, `ws://127.0.0.1:${port}/rooms/43`);
      const b = await join(t, `ws://127.0.0.1:${port}/rooms/43`);
      while (b.heard.length === 0) {
        a.socket.send('hello');
        await sleep(20);
      }

      const left = once(a.socket, 'close');
      // Ctrl+C reaches the workers as well.
      process.kill(signal === 'SIGINT' ? -(primary.pid ?? 0) : (primary.pid ?? 0), signal);
      const [code] = await left;
      assert.deepEqual([code, await exited], [1012, [0, null]]);
    });
  }
});
