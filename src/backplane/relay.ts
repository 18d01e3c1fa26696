import nodeCluster, { type Worker } from 'node:cluster';
import { typeOf } from '../arguments.js';
import { checkDriverOptions } from './driver-options.js';
import { isRelayRequest, RELAY_MARK, type Relayed, type RelayReport, type RelayRequest } from './relay-protocol.js';

/** Options of {@link relay}. */
export interface RelayOptions {
  /**
   * Most bytes that may wait for a worker that does not read. Beyond it, messages for that worker are thrown away until it
   * has caught up, and then it reports an interruption. Positive integer, default 67108864 (64 MiB).
   */
  readonly bufferLimit?: number | undefined;
}

/** A worker, which hosts one driver or several. */
interface Host {
  readonly worker: Worker;
  readonly members: Set<Member>;
  /** How much waits to be taken by the system, in characters of base64. */
  waiting: number;
  hasLost: boolean;
}

/** A driver in a worker. */
interface Member {
  readonly id: string;
  readonly host: Host;
  readonly channels: Set<string>;
}

const DEFAULT_BUFFER_LIMIT = 64 * 1024 * 1024;

/**
 * Passes on what the workers of `node:cluster` say to each other by their backplane `cluster()`. Call it once in the
 * primary, before or after the first `fork()`.
 *
 * @returns a function that ends it
 * @throws Error if this process is not the primary; TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * import nodeCluster from 'node:cluster';
 * import { availableParallelism } from 'node:os';
 * import { relay } from 'websocket-context/cluster';
 *
 * if (nodeCluster.isPrimary) {
 *   relay();
 *   for (let core = 0; core < availableParallelism(); core += 1) nodeCluster.fork();
 * }
 * ```
 */
export function relay(options: RelayOptions = {}): () => void {
  checkDriverOptions('relay', options, ['bufferLimit']);
  const { bufferLimit = DEFAULT_BUFFER_LIMIT } = options;
  if (!nodeCluster.isPrimary) {
    throw new Error('Cannot use relay(): this process is a worker of node:cluster, must be the primary');
  }
  const needed = 'must be a positive integer';
  if (typeof bufferLimit !== 'number') {
    throw new TypeError(`Cannot use the option bufferLimit of relay(): it is ${typeOf(bufferLimit)}, ${needed}`);
  }
  if (!Number.isInteger(bufferLimit) || bufferLimit < 1) {
    throw new RangeError(`Cannot use the option bufferLimit of relay(): it is ${bufferLimit}, ${needed}`);
  }
  const passing = new Relay(bufferLimit);
  return () => passing.end();
}

class Relay {
  readonly #bufferLimit: number;
  readonly #hosts: Map<Worker, Host> = new Map();
  readonly #members: Map<string, Member> = new Map();
  readonly #channels: Map<string, Set<Member>> = new Map();
  readonly #onMessage: (worker: Worker, message: unknown) => void;
  readonly #onDisconnect: (worker: Worker) => void;

  constructor(bufferLimit: number) {
    this.#bufferLimit = bufferLimit;
    this.#onMessage = (worker, message) => isRelayRequest(message) && this.#serve(worker, message);
    this.#onDisconnect = (worker) => this.#leave(worker);
    nodeCluster.on('message', this.#onMessage);
    nodeCluster.on('disconnect', this.#onDisconnect);
    // Those that run already may have asked in vain.
    this.#tellAll('here');
  }

  end(): void {
    nodeCluster.removeListener('message', this.#onMessage);
    nodeCluster.removeListener('disconnect', this.#onDisconnect);
    this.#tellAll('ended');
  }

  #tellAll(says: 'here' | 'ended'): void {
    for (const worker of Object.values(nodeCluster.workers ?? {})) {
      if (worker !== undefined) this.#send(this.#hostOf(worker), { type: RELAY_MARK, says });
    }
  }

  #serve(worker: Worker, request: RelayRequest): void {
    const { type, from } = request;
    if (request.does === 'open') {
      this.#open(this.#hostOf(worker), from);
      return;
    }
    // One that is not known has not heard yet that this relay is there.
    const member = this.#members.get(from);
    if (member === undefined) return;
    switch (request.does) {
      case 'close':
        this.#forget(member);
        break;
      case 'subscribe':
        this.#subscribe(member, request.channel);
        this.#send(member.host, { type, to: from, says: 'subscribed', channel: request.channel });
        break;
      case 'unsubscribe':
        this.#unsubscribe(member, request.channel);
        break;
      case 'publish':
        this.#pass(from, request.messages);
        break;
    }
  }

  #open(host: Host, id: string): void {
    const known = this.#members.get(id);
    if (known !== undefined) this.#forget(known);
    const member = { id, host, channels: new Set<string>() };
    this.#members.set(id, member);
    host.members.add(member);
    this.#send(host, { type: RELAY_MARK, to: id, says: 'opened' });
  }

  #subscribe(member: Member, channel: string): void {
    const members = this.#channels.get(channel) ?? new Set();
    this.#channels.set(channel, members.add(member));
    member.channels.add(channel);
  }

  #unsubscribe(member: Member, channel: string): void {
    member.channels.delete(channel);
    const members = this.#channels.get(channel);
    members?.delete(member);
    if (members?.size === 0) this.#channels.delete(channel);
  }

  #pass(from: string, messages: readonly Relayed[]): void {
    const inboxes = new Map<Member, Relayed[]>();
    for (const message of messages) {
      for (const member of this.#channels.get(message.channel) ?? []) {
        if (member.id === from) continue;
        const inbox = inboxes.get(member);
        if (inbox === undefined) inboxes.set(member, [message]);
        else inbox.push(message);
      }
    }
    for (const [{ id, host }, inbox] of inboxes) {
      const size = inbox.reduce((sum, { data }) => sum + data.length, 0);
      if (host.waiting > this.#bufferLimit) host.hasLost = true;
      else this.#send(host, { type: RELAY_MARK, to: id, says: 'published', messages: inbox }, size);
    }
  }

  #hostOf(worker: Worker): Host {
    let host = this.#hosts.get(worker);
    if (host === undefined) {
      host = { worker, members: new Set(), waiting: 0, hasLost: false };
      this.#hosts.set(worker, host);
    }
    return host;
  }

  /** A worker that ends fails to take what is sent to it; that is reported by its end. */
  #send(host: Host, report: RelayReport, size = 0): void {
    host.waiting += size;
    host.worker.send(report, () => {
      host.waiting -= size;
      if (!host.hasLost || host.waiting > this.#bufferLimit / 2) return;
      host.hasLost = false;
      this.#send(host, { type: RELAY_MARK, says: 'lost' });
    });
  }

  #leave(worker: Worker): void {
    for (const member of this.#hostOf(worker).members) this.#forget(member);
    this.#hosts.delete(worker);
  }

  #forget(member: Member): void {
    for (const channel of member.channels) this.#unsubscribe(member, channel);
    member.host.members.delete(member);
    this.#members.delete(member.id);
  }
}
