import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { canConnect, freePort } from './free-port.js';
import type { TestContext } from './servers.js';

export type BrokerName = 'redis-server' | 'nats-server';

/** Whether the program is there; in CI it has to be. */
export function hasBroker(name: BrokerName): boolean {
  const found = spawnSync(name, ['--version'], { stdio: 'ignore' }).error === undefined;
  if (!found && process.env['CI']) throw new Error(`${name} is not installed, in CI it must be: see .ci/run`);
  return found;
}

const argumentsOf: Readonly<Record<BrokerName, (port: number, folder: string) => string[]>> = {
  'redis-server': (port, folder) =>
    ['--bind 127.0.0.1', `--port ${port}`, `--dir ${folder}`, '--save', '--appendonly no'].flatMap((argument) =>
      argument === '--save' ? ['--save', ''] : argument.split(' '),
    ),
  'nats-server': (port) => ['--addr', '127.0.0.1', '--port', `${port}`],
};

/** A real broker in a process of its own, on one port for as long as the test runs. */
export class Broker {
  readonly name: BrokerName;
  readonly port: number;
  readonly #args: string[];
  #process: ChildProcess | undefined;

  constructor(name: BrokerName, port: number, args: string[]) {
    this.name = name;
    this.port = port;
    this.#args = args;
  }

  async start(): Promise<void> {
    const child = spawn(this.name, this.#args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (output += chunk));
    this.#process = child;
    // It does not say that it listens.
    while (!(await canConnect(this.port))) {
      if (child.exitCode !== null) throw new Error(`${this.name} ended with ${child.exitCode}: ${output}`);
      await sleep(20);
    }
  }

  /** Kills it, without a chance to say so to anybody. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  }

  /** Lets it stand still: its connections stay, and nothing is answered. */
  stop(): void {
    this.#process?.kill('SIGSTOP');
  }

  /** Lets it go on. */
  go(): void {
    this.#process?.kill('SIGCONT');
  }
}

/** Makes a broker that is not started yet. It ends with the test. */
export async function makeBroker(t: TestContext, name: BrokerName, args: readonly string[] = []): Promise<Broker> {
  const folder = mkdtempSync(join(tmpdir(), `${name}-`));
  const port = await freePort();
  const broker = new Broker(name, port, [...argumentsOf[name](port, folder), ...args]);
  t.after(async () => {
    await broker.kill();
    rmSync(folder, { recursive: true, force: true });
  });
  return broker;
}

/** Starts a broker that runs until the end of the test. */
export async function startBroker(t: TestContext, name: BrokerName, args: readonly string[] = []): Promise<Broker> {
  const broker = await makeBroker(t, name, args);
  await broker.start();
  return broker;
}
