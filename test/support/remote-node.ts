import { type ChildProcess, fork } from 'node:child_process';
import cluster, { type Worker as ClusterWorker } from 'node:cluster';
import { EventEmitter, once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { BackplaneInfo, BackplaneStatus } from '../../src/backplane/driver.js';
import type { GroupMessage } from '../../src/groups/group-backplane.js';
import { type Arrival, type BackplaneNode, until } from './backplane-node.js';
import type { DriverName } from './drivers.js';
import type { TestContext } from './servers.js';

export interface NodeSettings {
  readonly kind: DriverName;
  readonly port: number;
  readonly prefix?: string | undefined;
  readonly members?: number | undefined;
}

/** What the other side is asked for. */
export interface Call {
  readonly call: number;
  readonly method: string;
  readonly args: readonly unknown[];
}

/** What it says. */
export type Report =
  | { readonly started: true }
  | { readonly arrival: Arrival }
  | { readonly status: BackplaneStatus; readonly error: string }
  | { readonly call: number; readonly result?: unknown; readonly error?: string };

const file = fileURLToPath(new URL('./backplane-process.js', import.meta.url));

/** A node in a process, a worker of `node:cluster` or a thread of its own, as its driver needs. */
export class RemoteNode implements BackplaneNode {
  readonly arrivals: Arrival[] = [];
  readonly statuses: BackplaneStatus[] = [];
  readonly errors: string[] = [];
  readonly changes: EventEmitter = new EventEmitter();
  /** Resolves with the exit code, or the signal. */
  readonly exited: Promise<unknown>;
  readonly #other: ChildProcess | ClusterWorker | Worker;
  readonly #calls: Map<number, (report: { result?: unknown; error?: string }) => void> = new Map();
  #lastCall = 0;

  constructor(other: ChildProcess | ClusterWorker | Worker) {
    this.#other = other;
    const emitter: EventEmitter = other;
    this.exited = once(emitter, 'exit').then(([code, signal]) => {
      for (const settle of this.#calls.values()) settle({ error: `The node ended with ${signal ?? code}` });
      return signal ?? code;
    });
    emitter.on('message', (report: Report) => {
      if ('arrival' in report) this.arrivals.push(report.arrival);
      if ('status' in report) {
        this.statuses.push(report.status);
        this.errors.push(report.error);
      }
      if ('call' in report) {
        this.#calls.get(report.call)?.(report);
        this.#calls.delete(report.call);
      } else {
        this.changes.emit('change');
      }
    });
  }

  async #call<T>(method: string, ...args: unknown[]): Promise<T> {
    const call = ++this.#lastCall;
    const report = await new Promise<{ result?: unknown; error?: string }>((resolve) => {
      this.#calls.set(call, resolve);
      const message: Call = { call, method, args };
      if ('postMessage' in this.#other) this.#other.postMessage(message);
      else this.#other.send(message);
    });
    if (report.error !== undefined) throw new Error(report.error);
    return report.result as T;
  }

  join(group: string): Promise<void> {
    return this.#call('join', group);
  }
  leave(group: string): Promise<void> {
    return this.#call('leave', group);
  }
  publish(group: string, data: string | Uint8Array, options: Partial<GroupMessage> = {}): Promise<string> {
    const payload = typeof data === 'string' ? data : { hex: Buffer.from(data).toString('hex') };
    return this.#call('publish', group, payload, options);
  }
  publishClose(group: string, status: number, description: string): Promise<string> {
    return this.#call('publishClose', group, status, description);
  }
  count(group: string, timeout: number): Promise<{ count: number; nodes: number; missing: number }> {
    return this.#call('count', group, timeout);
  }
  info(): Promise<BackplaneInfo> {
    return this.#call('info');
  }
  close(): Promise<void> {
    return this.#call('close');
  }
  until(condition: (node: BackplaneNode) => boolean | Promise<boolean>): Promise<void> {
    return until(this, this.changes, condition);
  }

  /** Sends a signal to its process. */
  signal(name: NodeJS.Signals): void {
    if ('kill' in this.#other) this.#other.kill(name);
  }

  /** Ends it without a chance to say goodbye. */
  async kill(): Promise<void> {
    if ('terminate' in this.#other) await this.#other.terminate();
    else if ('process' in this.#other) this.#other.process.kill('SIGKILL');
    else this.#other.kill('SIGKILL');
    await this.exited;
  }
}

/** Starts a node that ends with the test. */
export async function remoteNode(t: TestContext, settings: NodeSettings): Promise<RemoteNode> {
  const other = start(settings);
  const node = new RemoteNode(other);
  t.after(() => node.kill());
  await once(other as EventEmitter, 'message');
  return node;
}

function start(settings: NodeSettings): ChildProcess | ClusterWorker | Worker {
  if (settings.kind === 'workers()') return new Worker(file, { workerData: settings });
  const args = [JSON.stringify(settings)];
  if (settings.kind !== 'cluster()') return fork(file, args, { stdio: 'inherit' });
  cluster.setupPrimary({ exec: file, args });
  return cluster.fork();
}
