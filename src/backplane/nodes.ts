/** Another process, as far as this one knows. */
interface Node {
  /** When it was last heard of, on the monotonic clock. */
  lastActivity: number;
  /** Its clock minus ours, in ms; `undefined` until measured. */
  offset: number | undefined;
}

/** A process is gone when nothing has been heard of it for so long, in ms. */
const GONE_AFTER = 15_000;

/** An answer that took longer, in ms, says too little about a clock. */
const MEASURABLE = 2000;

/** The other processes: who is there, and what their clocks say. */
export class Nodes {
  readonly #nodes: Map<string, Node> = new Map();

  /** How many others are there. */
  get size(): number {
    return this.#nodes.size;
  }

  /** Their ids. */
  get ids(): Iterable<string> {
    return this.#nodes.keys();
  }

  /**
   * Something has come from a process.
   *
   * @param now the monotonic clock
   * @returns true if it was not known
   */
  noteActivity(id: string, now: number): boolean {
    const node = this.#nodes.get(id);
    if (node !== undefined) {
      node.lastActivity = now;
      return false;
    }
    this.#nodes.set(id, { lastActivity: now, offset: undefined });
    return true;
  }

  /** A process has answered: it was asked at `asked` and the answer came at `now`, on our clock; it was `time` on its own. */
  measured(id: string, asked: number, time: number, now: number): void {
    const node = this.#nodes.get(id);
    const took = now - asked;
    if (node !== undefined && took >= 0 && took <= MEASURABLE) node.offset = time - (asked + took / 2);
  }

  /** How old something is that a process sent at `time` on its clock; `now` is ours. */
  age(id: string, time: number, now: number): number {
    return now - (time - (this.#nodes.get(id)?.offset ?? 0));
  }

  /** A process has said goodbye. */
  gone(id: string): void {
    this.#nodes.delete(id);
  }

  /** Forgets the processes that have been silent for 15 s. */
  forgetSilent(now: number): void {
    for (const [id, { lastActivity }] of this.#nodes) if (now - lastActivity > GONE_AFTER) this.#nodes.delete(id);
  }
}
