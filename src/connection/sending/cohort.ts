import type { DeflateSetting } from '../../framing/deflate-pool.js';
import type { FrameRun } from '../../framing/frame-run.js';
import type { SharedMessage } from './shared-message.js';

/**
 * Connections that had nothing to send when they were given a message: what they have not sent yet is one run, which all
 * of them hold. A further message to all of them is one more frame of that run, however many they are. That ends when one of
 * them is given anything else to send, or its frames are given to the system.
 */
export class Cohort {
  /** What goes to all of them. */
  readonly #frames: FrameRun;
  /** Those of the connections; `undefined` for those that do not compress. */
  readonly #settings: (DeflateSetting | undefined)[] = [];
  /** How many bytes may wait before one of them makes messages wait in its queue. */
  #highWaterMark: number = Number.POSITIVE_INFINITY;
  #size = 0;

  /** @param first the message that all of them get uncompressed */
  constructor(first: SharedMessage) {
    this.#frames = first.plainFrame.growing();
  }

  /** How many connections there are. */
  get size(): number {
    return this.#size;
  }

  /**
   * A connection that has nothing to send, and would give the first message to the system uncompressed, joins the others.
   *
   * @returns what it has not sent yet, from now on
   */
  join(highWaterMark: number, setting: DeflateSetting | undefined): FrameRun {
    this.#size++;
    this.#highWaterMark = Math.min(this.#highWaterMark, highWaterMark);
    if (!this.#settings.includes(setting)) this.#settings.push(setting);
    return this.#frames;
  }

  /**
   * Sends a message to all of them.
   *
   * @returns false if they have to be looked at one by one, and none of them has got anything
   */
  trySend(message: SharedMessage): boolean {
    // First: what would be compressed for nobody is not to be compressed.
    if (!this.#frames.isGrowing || this.#frames.byteLength > this.#highWaterMark) return false;
    const frame = message.plainFrame;
    if (!this.#settings.every((setting) => message.frameFor(setting) === frame)) return false;
    this.#frames.append(frame);
    return true;
  }
}
