import { afterInput } from '../deadline.js';
import { outsideRequests } from '../outside-requests.js';

/** A connection, as far as keep-alive is concerned. */
export interface KeepAlivePeer {
  /** The {@link KeepAlive.millisecond} in which something last came from the peer. */
  readonly lastActivity: number;
  /** Nothing can come because we do not read: silence proves nothing. */
  readonly inputPaused: boolean;
  /**
   * Sends a ping.
   *
   * @returns false if none can be sent, or none would be answered, so that silence proves nothing
   */
  probe(): boolean;
  /** Nothing has come for `silence` ms although a ping was sent `timeout` ms ago. */
  onSilence(silence: number, timeout: number): void;
}

/** One peer's place in the schedule. */
interface Entry {
  peer: KeepAlivePeer | undefined;
  readonly interval: number;
  readonly timeout: number;
  /** When the last ping was sent, `undefined` while none is awaited. */
  probedAt: number | undefined;
  due: number;
  /** Its time is up, but what has come meanwhile may not have been looked at. */
  suspected: boolean;
}

/** With a long interval and many short connections, no more entries than this and than are in use outlive their peers. */
const FORGOTTEN_KEPT = 1024;

/** Handle of a watched peer, for {@link KeepAlive.unwatch}. */
export type KeepAliveTicket = object;

/**
 * Pings idle peers and reports dead ones, all with one timer. Input costs nothing here: a peer's entry is looked at when
 * it comes due, and put back if something has arrived in the meantime.
 */
export class KeepAlive {
  /** The clock, in ms; monotonic. */
  readonly now: () => number;
  /** A binary heap by `due`. */
  readonly #heap: Entry[] = [];
  /** So many entries of the heap have no peer any more. */
  #forgotten = 0;
  #timer: NodeJS.Timeout | undefined;
  #timerDue = 0;
  /** Those that will have been lost when input has been looked at once more. */
  #suspects: Entry[] = [];

  constructor(now: () => number = () => performance.now()) {
    this.now = now;
  }

  /** The time in whole ms, which V8 keeps where it is, not in an object of its own for each connection. */
  millisecond(): number {
    return Math.floor(this.now());
  }

  /** Watches a peer: a ping after `interval` ms without input, `onSilence` after a further `timeout` ms (0: never). */
  watch(peer: KeepAlivePeer, interval: number, timeout: number): KeepAliveTicket {
    const due = peer.lastActivity + interval;
    const entry: Entry = { peer, interval, timeout, probedAt: undefined, due, suspected: false };
    this.#add(entry);
    this.#arm();
    return entry;
  }

  /** Forgets a peer. Its entry leaves the heap when it comes due, or when too many such entries have come together. */
  unwatch(ticket: KeepAliveTicket): void {
    const entry = ticket as Entry;
    if (entry.peer === undefined) return;
    entry.peer = undefined;
    // What is suspected is not in the heap.
    if (entry.suspected) return;
    if (++this.#forgotten > FORGOTTEN_KEPT && this.#forgotten > this.#heap.length >> 1) this.#sweep();
  }

  #run(): void {
    this.#timer = undefined;
    const now = this.millisecond();
    for (let entry = this.#heap[0]; entry !== undefined && entry.due <= now; entry = this.#heap[0]) {
      this.#removeFirst();
      this.#visit(entry, now);
    }
    this.#arm();
  }

  #visit(entry: Entry, now: number): void {
    const { peer, interval, timeout, probedAt } = entry;
    if (peer === undefined) {
      this.#forgotten--;
      return;
    }
    const idleSince = peer.lastActivity;
    if (probedAt !== undefined && idleSince < probedAt && !peer.inputPaused) {
      if (now < probedAt + timeout) {
        entry.due = probedAt + timeout;
        this.#add(entry);
        return;
      }
      if (!entry.suspected) {
        this.#suspect(entry);
        return;
      }
      entry.peer = undefined;
      peer.onSilence(now - idleSince, timeout);
      return;
    }
    entry.probedAt = undefined;
    entry.suspected = false;
    if (now - idleSince < interval) {
      entry.due = idleSince + interval;
    } else {
      const awaited = peer.probe() && timeout > 0;
      // With a long timeout the answer must not wait for its end to be seen, or the next ping would.
      entry.due = now + (awaited ? Math.min(timeout, interval) : interval);
      if (awaited) entry.probedAt = now;
    }
    this.#add(entry);
  }

  #suspect(entry: Entry): void {
    entry.suspected = true;
    if (this.#suspects.push(entry) > 1) return;
    afterInput(() => {
      const suspects = this.#suspects;
      this.#suspects = [];
      const now = this.millisecond();
      for (const one of suspects) if (one.peer !== undefined) this.#visit(one, now);
      this.#arm();
    });
  }

  #sweep(): void {
    const watched = this.#heap.splice(0).filter((entry) => entry.peer !== undefined);
    this.#forgotten = 0;
    for (const entry of watched) this.#add(entry);
  }

  #arm(): void {
    const first = this.#heap[0];
    if (first === undefined) return;
    if (this.#timer !== undefined) {
      if (this.#timerDue <= first.due) return;
      clearTimeout(this.#timer);
    }
    this.#timerDue = first.due;
    const delay = Math.max(1, Math.ceil(first.due - this.now()));
    this.#timer = outsideRequests(() => setTimeout(() => this.#run(), delay));
    this.#timer.unref();
  }

  #add(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      const above = heap[parent] as Entry;
      if (above.due <= entry.due) break;
      heap[at] = above;
      at = parent;
    }
    heap[at] = entry;
  }

  #removeFirst(): void {
    const heap = this.#heap;
    const last = heap.pop() as Entry;
    const size = heap.length;
    if (size === 0) return;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && (heap[child + 1] as Entry).due < (heap[child] as Entry).due) child++;
      const below = heap[child] as Entry;
      if (below.due >= last.due) break;
      heap[at] = below;
      at = child;
    }
    heap[at] = last;
  }
}
