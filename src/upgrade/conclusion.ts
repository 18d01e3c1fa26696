import { AsyncResource, executionAsyncId, executionAsyncResource, triggerAsyncId } from 'node:async_hooks';
import { performance } from 'node:perf_hooks';
import { eventLoop } from '../event-loop.js';

/**
 * How many turns of the event loop an error may take to the end of the chain: the routers of Express and Connect put off
 * what leaves them, each of those that it is nested in.
 */
const TURNS = 8;

/**
 * Tells the errors of middleware that the end of the response gives something to do (express-session stores the session
 * then) from those of the application. Both reach the end of the chain through `next(error)`; the former say nothing
 * about the connection, whose handshake was sound. What tells them apart is when they come: such middleware
 * puts its error off for a tick or a turn, before it lets the response end. Or it takes itself out of the response.
 */
export class Conclusion {
  #beginning = false;
  #reached = false;
  /** How many of the times are running that errors are put off to. */
  #running = 0;
  /** Which callbacks of `setImmediate` carry errors that were put off before a held end was let go. */
  #late: Immediates | undefined;
  #isReopened: (() => boolean) | undefined;

  /** @param isReopened whether somebody has put back what the response had been ended with before */
  constructor(isReopened: () => boolean) {
    this.#isReopened = isReopened;
  }

  /** Ends the response, which may take as long as middleware likes. */
  begin(end: () => void): void {
    // In either queue, what is put off meanwhile comes between the two, and nothing else does
    eventLoop.nextTick(() => this.#start(TURNS));
    eventLoop.setImmediate(() => this.#start(TURNS));
    this.#beginning = true;
    try {
      end();
    } finally {
      this.#beginning = false;
      eventLoop.nextTick(() => this.#stop(TURNS));
      eventLoop.setImmediate(() => this.#stop(TURNS));
    }
  }

  /** The response has come to its end. */
  reach(): void {
    if (this.#reached) return;
    this.#reached = true;
    this.#isReopened = undefined;
    // What is put off now has been put off between a start and a stop
    if (this.#beginning || this.#running > 0) return;
    const origin = executionAsyncId();
    this.#stay(TURNS, () => triggerAsyncId() === origin);
  }

  /** Whether what comes now is an error of the end of the response. */
  explains(): boolean {
    if (this.#running > 0) return true;
    if (this.#late?.includeCurrent() === true) {
      this.#late = undefined;
      return true;
    }
    if (this.#isReopened?.() !== true) return false;
    // It has told us all that it has to tell
    this.#isReopened = undefined;
    return true;
  }

  // What is put off between a start and a stop is again between a start and a stop in the next turn.

  #start(turns: number): void {
    this.#running++;
    if (turns > 0) eventLoop.setImmediate(() => this.#start(turns - 1));
  }

  #stop(turns: number): void {
    this.#running--;
    if (turns > 0) eventLoop.setImmediate(() => this.#stop(turns - 1));
  }

  /**
   * The end has been held: what was put off before it was let go is ahead of us in the queue, and so on turn after turn.
   *
   * @param isOfThem tells what was put off from all else that was there before
   */
  #stay(turns: number, isOfThem: () => boolean): void {
    const late = new Immediates(isOfThem);
    this.#late = late;
    eventLoop.setImmediate(() => {
      if (this.#late !== late) return;
      this.#late = undefined;
      if (turns === 0) return;
      const turn = currentTurn() + 1;
      this.#stay(turns - 1, () => currentTurn() === turn);
    });
  }
}

/** The callbacks of `setImmediate` that were there when this was made, as far as they are of a kind. */
class Immediates {
  readonly #isOfThem: () => boolean;
  /** Everything asynchronous has a number, in the order in which it was begun. */
  readonly #mark: number = new AsyncResource('WebSocketConclusion').asyncId();

  constructor(isOfThem: () => boolean) {
    this.#isOfThem = isOfThem;
  }

  /** Whether one of them is running. */
  includeCurrent(): boolean {
    const isImmediate = executionAsyncResource().constructor.name === 'Immediate';
    return isImmediate && executionAsyncId() < this.#mark && this.#isOfThem();
  }
}

/** The number of the turn of the event loop; where nobody counts them (Deno), none is like another. */
function currentTurn(): number {
  const { uvMetricsInfo } = Object(performance.nodeTiming);
  return Number(Object(uvMetricsInfo).loopCount);
}
