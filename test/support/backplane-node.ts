import { EventEmitter } from 'node:events';
import { Backplane } from '../../src/backplane/backplane.js';
import type { BackplaneInfo, BackplaneStatus } from '../../src/backplane/driver.js';
import type { GroupMessage } from '../../src/groups/group-backplane.js';
import { type DriverName, driverKinds } from './drivers.js';
import type { TestContext } from './servers.js';

/** What has come to a node. Plain data, which travels between processes. */
export interface Arrival {
  readonly group: string;
  /** Of a message; in hexadecimal if it is binary. */
  readonly data?: string;
  readonly options?: Pick<GroupMessage, 'text' | 'compress' | 'volatile' | 'latest'>;
  /** Of a close. */
  readonly close?: { readonly status: number; readonly description: string };
}

/** One process of an application, in this process or in another one. */
export interface BackplaneNode {
  readonly arrivals: readonly Arrival[];
  readonly statuses: readonly BackplaneStatus[];
  readonly errors: readonly string[];
  join(group: string): Promise<void>;
  leave(group: string): Promise<void>;
  publish(group: string, data: string | Uint8Array, options?: Partial<GroupMessage>): Promise<string>;
  publishClose(group: string, status: number, description: string): Promise<string>;
  count(group: string, timeout: number): Promise<{ count: number; nodes: number; missing: number }>;
  info(): Promise<BackplaneInfo>;
  close(): Promise<void>;
  /** Waits until `condition` holds; it is asked whenever something has come. */
  until(condition: (node: BackplaneNode) => boolean | Promise<boolean>): Promise<void>;
}

/** How long a test waits for anything, in ms. Generous: the machine may be slow. */
export const PATIENCE = 20_000;

/** A node in this process. */
export class LocalNode implements BackplaneNode {
  readonly arrivals: Arrival[] = [];
  readonly statuses: BackplaneStatus[] = [];
  readonly errors: string[] = [];
  /** Says `'change'` for all that comes. */
  readonly changes: EventEmitter = new EventEmitter();
  readonly #backplane: Backplane;
  readonly #end: (() => void | Promise<void>) | undefined;

  constructor(kind: DriverName, port: number, prefix?: string, members = 1) {
    const { driver, end } = driverKinds[kind].make(port, prefix) as ReturnType<
      (typeof driverKinds)[DriverName]['make']
    > & {
      end?: () => void | Promise<void>;
    };
    this.#end = end;
    this.#backplane = new Backplane(driver, {
      onMessage: (group, { data, ...options }) => {
        this.#arrived({ group, data: Buffer.from(data).toString(options.text ? 'utf8' : 'hex'), options });
      },
      onClose: (group, status, description) => this.#arrived({ group, close: { status, description } }),
      onCount: () => members,
      onStatus: (status, error) => {
        this.statuses.push(status);
        this.errors.push(error?.message ?? '');
        this.changes.emit('change');
      },
    });
  }

  #arrived(arrival: Arrival): void {
    this.arrivals.push(arrival);
    this.changes.emit('change', arrival);
  }

  join(group: string): Promise<void> {
    return this.#backplane.join(group);
  }

  async leave(group: string): Promise<void> {
    this.#backplane.leave(group);
  }

  async publish(group: string, data: string | Uint8Array, options: Partial<GroupMessage> = {}): Promise<string> {
    const text = typeof data === 'string';
    const message = { text, data: text ? Buffer.from(data) : data, ...options };
    this.#backplane.assertFits(group, message);
    return this.#backplane.publish(group, message);
  }

  publishClose(group: string, status: number, description: string): Promise<string> {
    return this.#backplane.publishClose(group, status, description);
  }

  count(group: string, timeout: number): Promise<{ count: number; nodes: number; missing: number }> {
    return this.#backplane.countAsync(group, timeout);
  }

  async info(): Promise<BackplaneInfo> {
    return this.#backplane.info;
  }

  async close(): Promise<void> {
    await this.#backplane.close();
    await this.#end?.();
  }

  until(condition: (node: BackplaneNode) => boolean | Promise<boolean>): Promise<void> {
    return until(this, this.changes, condition);
  }
}

/** Asks now, when something has come, and now and then: not everything that is asked for comes as an event. */
export async function until(
  node: BackplaneNode,
  changes: EventEmitter,
  condition: (node: BackplaneNode) => boolean | Promise<boolean>,
): Promise<void> {
  const end = performance.now() + PATIENCE;
  while (!(await condition(node))) {
    if (performance.now() > end) {
      const { arrivals, statuses, errors } = node;
      const state = JSON.stringify({ arrivals: arrivals.slice(-20), statuses, errors, info: await node.info() });
      throw new Error(`Waited in vain for ${condition}: ${state}`);
    }
    await new Promise<void>((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        changes.removeListener('change', done);
        resolve();
      };
      const timer = setTimeout(done, 50);
      changes.once('change', done);
    });
  }
}

/** Makes a node that is closed at the end of the test. */
export function localNode(
  t: TestContext,
  kind: DriverName,
  port: number,
  { prefix, members }: { readonly prefix?: string | undefined; readonly members?: number | undefined } = {},
): LocalNode {
  const node = new LocalNode(kind, port, prefix, members);
  t.after(() => node.close());
  return node;
}
