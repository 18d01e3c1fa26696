import assert from 'node:assert/strict';
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { hasBroker, startBroker } from './support/brokers.js';
import { freePort } from './support/free-port.js';
import type { TestContext } from './support/servers.js';

const file = fileURLToPath(new URL('./support/rolling-server.js', import.meta.url));
const PROCESSES = 4;
const MEMBERS = 12;

/** A client that connects again, to any of the processes, whenever it is told to go. */
class Client {
  /** What it has heard, by connection. */
  readonly heard: number[][] = [];
  readonly closes: number[] = [];
  socket: WebSocket | undefined;
  /** The last that it has heard. */
  lastHeard = 0;
  /** Resolves when it has come to its end. */
  readonly over: Promise<void>;
  #isOver = false;
  readonly #ports: readonly number[];

  constructor(ports: readonly number[]) {
    this.#ports = ports;
    this.over = this.#connect();
  }

  get isWelcome(): boolean {
    return this.socket !== undefined;
  }

  end(): void {
    this.#isOver = true;
    this.socket?.terminate();
  }

  async #connect(): Promise<void> {
    while (!this.#isOver) {
      const port = this.#ports[Math.floor(Math.random() * this.#ports.length)];
      const socket = new WebSocket(`ws://127.0.0.1:${port}`);
      const heard: number[] = [];
      socket.on('error', () => {});
      socket.on('message', (data) => {
        if (String(data) === 'welcome') {
          this.socket = socket;
          return;
        }
        this.lastHeard = Number(data);
        heard.push(this.lastHeard);
      });
      const code = await new Promise<number>((resolve) => socket.once('close', resolve));
      this.socket = undefined;
      if (heard.length > 0) this.heard.push(heard);
      if (code !== 1006) this.closes.push(code);
      await sleep(10);
    }
  }
}

describe('A rolling restart of four processes with Redis', {
  skip: !hasBroker('redis-server') && 'redis-server is not installed',
}, () => {
  it('loses for each client what is said while it has no connection, and nothing else', async (t) => {
    const broker = await startBroker(t, 'redis-server');
    const ports = await Promise.all(Array.from({ length: PROCESSES }, freePort));
    const processes = await Promise.all(ports.map((port) => start(t, port, broker.port)));
    const members = Array.from({ length: MEMBERS }, () => new Client(ports));
    const speaker = new Client(ports);
    t.after(() => {
      for (const client of [...members, speaker]) client.end();
    });
    const all = [...members, speaker];
    const everybodyIsThere = async (): Promise<void> => {
      while (!all.every(({ isWelcome }) => isWelcome)) await sleep(10);
    };
    await everybodyIsThere();

    let said = 0;
    let saidBefore = 0;
    let connection: WebSocket | undefined;
    const say = (): void => {
      const { socket } = speaker;
      if (socket?.readyState !== WebSocket.OPEN) return;
      if (socket !== connection) {
        connection = socket;
        saidBefore = said;
      }
      // No faster than it is heard: what is under way for 10 s is dropped.
      if (said - Math.max(saidBefore, speaker.lastHeard) < 100) socket.send(`${++said}`);
    };
    const speaking = setInterval(say, 2);
    t.after(() => clearInterval(speaking));
    for (const [index, port] of ports.entries()) {
      const leaving = processes[index] as ChildProcess;
      leaving.kill('SIGTERM');
      const [code] = await once(leaving, 'exit');
      assert.equal(code, 0);
      processes[index] = await start(t, port, broker.port);
      await everybodyIsThere();
      await sleep(100);
    }
    clearInterval(speaking);
    // A last word reaches everybody, and with it all that was said before.
    const end = said;
    while (!all.every(({ lastHeard }) => lastHeard > end)) {
      say();
      await sleep(100);
    }
    for (const client of all) client.end();
    await Promise.all(all.map((client) => client.over));

    // What the speaker has not heard itself was said into a connection that was being closed.
    const known = new Set(speaker.heard.flat());
    let lost = 0;
    for (const { heard, closes } of members) {
      assert.deepEqual(new Set(closes), closes.length > 0 ? new Set([1012]) : new Set());
      const everything = heard.flat();
      assert.equal(new Set(everything).size, everything.length, 'something came twice');
      for (const connection of heard) {
        const [first = 0, end = 0] = [Math.min(...connection), Math.max(...connection)];
        const numbers = new Set(connection);
        for (let number = first; number <= end; number++) {
          assert.ok(numbers.has(number) || !known.has(number), `${number} is missing between ${first} and ${end}`);
        }
      }
      lost += [...known].filter((number) => number >= (everything[0] ?? 0) && !everything.includes(number)).length;
    }
    assert.ok(members.some(({ closes }) => closes.length > 0));
    t.diagnostic(`said: ${known.size}, members: ${MEMBERS}, lost while without a connection: ${lost}`);
  });
});

async function start(t: TestContext, port: number, redisPort: number): Promise<ChildProcess> {
  const child = fork(file, [`${port}`, `${redisPort}`]);
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  await once(child, 'message');
  return child;
}
