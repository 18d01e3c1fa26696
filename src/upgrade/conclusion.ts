import { eventLoop } from '../event-loop.js';

/**
 * Tells the errors of middleware that the end of the response gives something to do (express-session stores the session
 * then) from those of the application. Both reach the end of the chain through `next(error)`; the former say nothing
 * about the connection, whose handshake was as good as any. What tells them apart is when they come: such middleware
 * puts its error off for a tick or a turn, before it lets the response end. Or it takes itself out of the response.
 */
export class Conclusion {
  #beginning = false;
  #reached = false;
  /** How many of the times are running that errors are put off to. */
  #running = 0;
  #isReopened: (() => boolean) | undefined;

  /** @param isReopened whether somebody has put back what the response had been ended with before */
  constructor(isReopened: () => boolean) {
    this.#isReopened = isReopened;
  }

  /** Ends the response, which may take as long as middleware likes. */
  begin(end: () => void): void {
    const start = (): void => void this.#running++;
    const stop = (): void => void this.#running--;
    // What is put off meanwhile comes between the two, and nothing else does
    eventLoop.nextTick(start);
    eventLoop.setImmediate(start);
    this.#beginning = true;
    try {
      end();
    } finally {
      this.#beginning = false;
      eventLoop.nextTick(stop);
      eventLoop.setImmediate(stop);
    }
  }

  /** The response has come to its end. */
  reach(): void {
    if (this.#reached) return;
    this.#reached = true;
    this.#isReopened = undefined;
    if (this.#beginning) return;
    this.#running++;
    eventLoop.setImmediate(() => this.#running--);
  }

  /** Whether an error that comes now is one of the end of the response. */
  explains(): boolean {
    if (this.#running > 0) return true;
    if (this.#isReopened?.() !== true) return false;
    // It has told us all that it has to tell
    this.#isReopened = undefined;
    return true;
  }
}
