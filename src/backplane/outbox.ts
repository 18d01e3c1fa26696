import { Deferred } from '../connection/deferred.js';
import { eventLoop } from '../event-loop.js';
import type { GroupMessage } from '../groups/group-backplane.js';
import { messageSize, packedSize } from './envelope.js';

/** Messages go out together as long as their envelope has no more bytes. */
const TOGETHER = 64 * 1024;

/** What takes the envelopes. */
export interface OutboxTarget {
  /** Most bytes of an envelope. */
  readonly maxMessageSize: number;
  /** @returns whether the driver has taken them; never rejects */
  send(channel: string, messages: readonly GroupMessage[]): Promise<boolean>;
}

/** Messages that go out together. */
interface Batch {
  readonly messages: GroupMessage[];
  /** Bytes of the envelope. */
  size: number;
  readonly isTaken: Deferred<boolean>;
}

/**
 * What a tick says on each channel. It goes out in one envelope: to the broker, and to every process that gets it, ten
 * messages are little more than one.
 */
export class Outbox {
  readonly #target: OutboxTarget;
  readonly #batches: Map<string, Batch> = new Map();
  readonly #flushAll = (): void => this.flushAll();

  constructor(target: OutboxTarget) {
    this.#target = target;
  }

  /**
   * Sends a message at the end of the tick, if not before.
   *
   * @returns whether the driver has taken it
   */
  put(channel: string, message: GroupMessage): Promise<boolean> {
    const last = this.#batches.get(channel);
    const size = packedSize(message);
    if (last === undefined || last.size + size > Math.min(TOGETHER, this.#target.maxMessageSize)) {
      return this.#begin(channel, message);
    }
    last.messages.push(message);
    last.size += size;
    return last.isTaken.promise;
  }

  /** Sends what there is for a channel. */
  flush(channel: string): void {
    const batch = this.#batches.get(channel);
    if (batch === undefined) return;
    this.#batches.delete(channel);
    void this.#target.send(channel, batch.messages).then((isTaken) => batch.isTaken.resolve(isTaken));
  }

  /** Sends all there is. */
  flushAll(): void {
    for (const channel of this.#batches.keys()) this.flush(channel);
  }

  #begin(channel: string, message: GroupMessage): Promise<boolean> {
    this.flush(channel);
    if (this.#batches.size === 0) eventLoop.nextTick(this.#flushAll);
    const batch = { messages: [message], size: messageSize(message), isTaken: new Deferred<boolean>() };
    this.#batches.set(channel, batch);
    return batch.isTaken.promise;
  }
}
