import { BroadcastChannel } from 'node:worker_threads';
import type { BackplaneDriver, BackplaneDriverEvents } from './driver.js';

const MAX_MESSAGE_SIZE = 16 * 1024 * 1024;

/** A driver between the threads of one process, which `BroadcastChannel` connects. */
export class ThreadDriver implements BackplaneDriver {
  readonly maxMessageSize: number = MAX_MESSAGE_SIZE;
  readonly #prefix: string;
  readonly #channels: Map<string, BroadcastChannel> = new Map();
  #events: BackplaneDriverEvents | undefined;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  open(events: BackplaneDriverEvents): void {
    this.#events = events;
    // Nothing has to be waited for, but nobody expects to be called back already.
    queueMicrotask(() => this.#events?.status('ready'));
  }

  async subscribe(channel: string): Promise<void> {
    if (this.#channels.has(channel)) return;
    const broadcast = this.#make(channel);
    broadcast.onmessage = (event: unknown) => {
      const { data } = event as { readonly data: unknown };
      if (data instanceof Uint8Array) this.#events?.received(channel, data);
    };
    this.#channels.set(channel, broadcast);
  }

  unsubscribe(channel: string): void {
    this.#channels.get(channel)?.close();
    this.#channels.delete(channel);
  }

  async publish(channel: string, bytes: Uint8Array): Promise<boolean> {
    const subscribed = this.#channels.get(channel);
    const broadcast = subscribed ?? this.#make(channel);
    broadcast.postMessage(bytes);
    if (subscribed === undefined) broadcast.close();
    return true;
  }

  close(): void {
    this.#events = undefined;
    for (const broadcast of this.#channels.values()) broadcast.close();
    this.#channels.clear();
  }

  /** One that does not keep its thread alive. */
  #make(channel: string): BroadcastChannel {
    const broadcast = new BroadcastChannel(this.#prefix + channel);
    broadcast.unref();
    return broadcast;
  }
}
