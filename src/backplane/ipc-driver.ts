import { randomUUID } from 'node:crypto';
import { Deferred } from '../connection/deferred.js';
import { eventLoop } from '../event-loop.js';
import type { BackplaneDriver, BackplaneDriverEvents } from './driver.js';
import { isRelayReport, RELAY_MARK, type Relayed, type RelayReport, type RelayRequest } from './relay-protocol.js';

/** What is needed of `process`. */
export interface Ipc {
  send?(message: unknown, sendHandle: undefined, options: undefined, callback: (error: Error | null) => void): boolean;
  on(event: 'message' | 'disconnect', listener: (message: unknown) => void): unknown;
  removeListener(event: 'message' | 'disconnect', listener: (message: unknown) => void): unknown;
}

const MAX_MESSAGE_SIZE = 16 * 1024 * 1024;

/** What a tick publishes is sent at once when it has so many characters. */
const OUTBOX_LIMIT = 1024 * 1024;

/** The relay has so many ms to answer, and is asked again after as many. */
const RETRY = 2000;

/** The part of a {@link RelayRequest} that differs. */
type Request = RelayRequest extends infer R ? (R extends RelayRequest ? Omit<R, 'type' | 'from'> : never) : never;

/** What a tick publishes on all channels: to the relay and to the other workers each message of its own costs as much again. */
interface Outbox {
  readonly messages: Relayed[];
  characters: number;
  /** Whether the system has taken it. */
  readonly isSent: Deferred<boolean>;
}

/** A driver in a worker of `node:cluster`, which speaks to the relay in the primary. */
export class IpcDriver implements BackplaneDriver {
  readonly maxMessageSize: number = MAX_MESSAGE_SIZE;
  readonly #ipc: Ipc;
  readonly #prefix: string;
  readonly #id: string = randomUUID();
  /** Who waits for the relay to confirm a subscription. */
  readonly #subscribing: Map<string, (() => void)[]> = new Map();
  #events: BackplaneDriverEvents | undefined;
  #outbox: Outbox | undefined;
  #isReady = false;
  #timer: NodeJS.Timeout | undefined;
  readonly #onMessage = (message: unknown): void => {
    if (isRelayReport(message) && (!('to' in message) || message.to === this.#id)) this.#hear(message);
  };
  readonly #onDisconnect = (): void => {
    this.#lost('Cannot reach the other workers: the primary is gone, or has disconnected this worker');
  };

  constructor(ipc: Ipc, prefix: string) {
    this.#ipc = ipc;
    this.#prefix = prefix;
  }

  open(events: BackplaneDriverEvents): void {
    this.#events = events;
    this.#ipc.on('message', this.#onMessage);
    this.#ipc.on('disconnect', this.#onDisconnect);
    this.#ask();
  }

  async subscribe(channel: string): Promise<void> {
    await new Promise<void>((resolve) => {
      const waiting = this.#subscribing.get(channel) ?? [];
      waiting.push(resolve);
      this.#subscribing.set(channel, waiting);
      void this.#request({ does: 'subscribe', channel: this.#prefix + channel });
    });
  }

  unsubscribe(channel: string): void {
    void this.#request({ does: 'unsubscribe', channel: this.#prefix + channel });
  }

  async publish(channel: string, bytes: Uint8Array): Promise<boolean> {
    if (!this.#isReady) return false;
    const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
    if (this.#outbox === undefined) {
      this.#outbox = { messages: [], characters: 0, isSent: new Deferred() };
      eventLoop.nextTick(() => this.#empty());
    }
    const outbox = this.#outbox;
    outbox.messages.push({ channel: this.#prefix + channel, data });
    outbox.characters += data.length;
    if (outbox.characters >= OUTBOX_LIMIT) this.#empty();
    return outbox.isSent.promise;
  }

  async close(): Promise<void> {
    this.#events = undefined;
    this.#isReady = false;
    clearTimeout(this.#timer);
    this.#ipc.removeListener('message', this.#onMessage);
    this.#ipc.removeListener('disconnect', this.#onDisconnect);
    await this.#request({ does: 'close' });
  }

  /** Asks whether there is a relay, until there is one. */
  #ask(): void {
    clearTimeout(this.#timer);
    void this.#request({ does: 'open' });
    this.#timer = setTimeout(() => {
      this.#lost(
        `Cannot reach the other workers: the primary has not answered for ${RETRY} ms. It must call relay(); where you ` +
          'cannot write the primary, as under pm2, use a broker',
      );
      this.#ask();
    }, RETRY);
    this.#timer.unref();
  }

  #hear(report: RelayReport): void {
    switch (report.says) {
      case 'here':
        this.#ask();
        break;
      case 'opened':
        clearTimeout(this.#timer);
        this.#isReady = true;
        this.#events?.status('ready');
        break;
      case 'lost':
        this.#lost('This worker was too slow: messages for it have been thrown away');
        this.#ask();
        break;
      case 'ended':
        this.#lost('Cannot reach the other workers: the primary has ended its relay()');
        this.#ask();
        break;
      case 'subscribed':
        this.#subscribed(report.channel.slice(this.#prefix.length));
        break;
      case 'published':
        for (const { channel, data } of report.messages) {
          this.#events?.received(channel.slice(this.#prefix.length), Buffer.from(data, 'base64'));
        }
        break;
    }
  }

  #subscribed(channel: string): void {
    for (const resolve of this.#subscribing.get(channel) ?? []) resolve();
    this.#subscribing.delete(channel);
  }

  #lost(complaint: string): void {
    this.#isReady = false;
    this.#events?.status('interrupted', new Error(complaint));
  }

  #empty(): void {
    const outbox = this.#outbox;
    this.#outbox = undefined;
    if (outbox !== undefined)
      void this.#send({ does: 'publish', messages: outbox.messages }).then((isSent) => outbox.isSent.resolve(isSent));
  }

  #request(request: Request): Promise<boolean> {
    // The relay learns everything in its order.
    this.#empty();
    return this.#send(request);
  }

  /** @returns whether the system has taken the message */
  #send(request: Request): Promise<boolean> {
    return new Promise((resolve) => {
      const message: RelayRequest = { type: RELAY_MARK, from: this.#id, ...request };
      if (this.#ipc.send === undefined) resolve(false);
      else this.#ipc.send(message, undefined, undefined, (error) => resolve(error === null));
    });
  }
}
