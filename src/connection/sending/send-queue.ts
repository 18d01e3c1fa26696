import type { PendingSend } from './pending-send.js';
import type { SharedMessage } from './shared-message.js';

/** Of so many that have gone, at the head of an array, the array is rid at once. */
const CUT_FROM = 1024;

/** What waits for its turn: a send of one connection, or a message to many. */
export type Waiting = PendingSend | SharedMessage | WaitingInSlot;

/** A message to many whose place another one may take. */
export class WaitingInSlot {
  shared: SharedMessage;

  constructor(message: SharedMessage) {
    this.shared = message;
  }

  get size(): number {
    return this.shared.size;
  }
}

/**
 * What waits at a sender, in order; and aside, what may not begin before the message of somebody else has ended.
 */
export class SendQueue {
  #waiting: Waiting[] = [];
  /** Index of the first that waits; the array is cut now and then. */
  #first = 0;
  /** Whole messages that wait for the end of a message begun by somebody else, if there are any. */
  #aside: Waiting[] | undefined;
  #bytes = 0;
  /** What waits and may be replaced, by its slot. */
  #slots: Map<string, WaitingInSlot> | undefined;

  /** Bytes of all that waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** How many wait, aside or not. */
  get count(): number {
    return this.#waiting.length - this.#first + (this.#aside === undefined ? 0 : this.#aside.length);
  }

  /** Whose turn it is; `undefined` if nobody waits, or only aside. */
  get head(): Waiting | undefined {
    return this.#waiting[this.#first];
  }

  /** All sends of this connection alone that wait, those aside last. */
  get sends(): readonly PendingSend[] {
    const all = this.#waiting.slice(this.#first);
    return (this.#aside === undefined ? all : all.concat(this.#aside)).filter(isSend);
  }

  /**
   * Has somebody wait behind all others, and a message to many with a slot in the place of the one there was.
   *
   * @param aside until {@link rejoin}
   */
  add(waiting: PendingSend | SharedMessage, aside: boolean): void {
    const slot = waiting.shared?.slot;
    if (slot === undefined) this.#append(waiting, aside);
    else this.#addToSlot(slot, waiting as SharedMessage, aside);
  }

  /** The one whose turn it is has had it. */
  shift(): void {
    const head = this.#take();
    this.#bytes -= head.size;
    const slot = head.shared?.slot;
    if (slot !== undefined) this.#slots?.delete(slot);
  }

  /** The one whose turn it is has to wait aside. */
  postpone(): void {
    this.#waitAside(this.#take());
  }

  /**
   * Those aside are next.
   *
   * @returns whether there are any
   */
  rejoin(): boolean {
    if (this.#aside === undefined) return false;
    this.#waiting = this.#aside.concat(this.#waiting.slice(this.#first));
    this.#first = 0;
    this.#aside = undefined;
    return true;
  }

  /** Forgets those aside; returns the sends of this connection alone among them. */
  dropAside(): readonly PendingSend[] {
    const dropped = this.#aside ?? [];
    this.#aside = this.#slots = undefined;
    for (const { size } of dropped) this.#bytes -= size;
    return dropped.filter(isSend);
  }

  /** A send is taken back. */
  remove(send: PendingSend): void {
    this.#bytes -= send.size;
    const list = this.#aside?.includes(send) ? this.#aside : this.#waiting;
    list.splice(list.indexOf(send), 1);
  }

  #append(waiting: Waiting, aside: boolean): void {
    this.#bytes += waiting.size;
    if (aside) this.#waitAside(waiting);
    else this.#waiting.push(waiting);
  }

  #addToSlot(slot: string, message: SharedMessage, aside: boolean): void {
    const known = this.#slots?.get(slot);
    if (known !== undefined) {
      this.#bytes += message.size - known.size;
      known.shared = message;
      return;
    }
    const waiting = new WaitingInSlot(message);
    this.#slots ??= new Map();
    this.#slots.set(slot, waiting);
    this.#append(waiting, aside);
  }

  #waitAside(waiting: Waiting): void {
    this.#aside ??= [];
    this.#aside.push(waiting);
  }

  #take(): Waiting {
    const head = this.#waiting[this.#first++] as Waiting;
    if (this.#first === this.#waiting.length || this.#first === CUT_FROM) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return head;
  }
}

/** Nobody waits, as is the rule: one for all senders, so that a message to many looks at no queue of each. */
export const NOBODY: SendQueue = new SendQueue();

function isSend(waiting: Waiting): waiting is PendingSend {
  return waiting.shared === undefined;
}
