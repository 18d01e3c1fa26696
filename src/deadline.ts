/** As often as something has come, the rest of it is waited for; what the kernel holds of one connection takes a few turns. */
const MOST_TURNS = 64;

function nothing(): number {
  return 0;
}

/**
 * Calls back when what waits in the kernel has been read. Timers are due before input is looked at, so that after a stall
 * (a garbage collection, a debugger, SIGSTOP) they know nothing of what has come meanwhile.
 *
 * @param progress changes with what comes; as long as it does, there is more to be looked at
 * @returns a function that calls it off
 */
export function afterInput(callback: () => void, progress: () => number = nothing): () => void {
  let turns = 0;
  let before = progress();
  let immediate = setImmediate(look);

  function look(): void {
    const now = progress();
    if (now === before || ++turns >= MOST_TURNS) {
      callback();
      return;
    }
    before = now;
    immediate = setImmediate(look);
  }

  return () => clearImmediate(immediate);
}

/** A time limit that ends nothing before {@link afterInput}: what has come in time is not too late. */
export class Deadline {
  readonly #timer: NodeJS.Timeout;
  #callOff: (() => void) | undefined;

  /** @param progress as in {@link afterInput} */
  constructor(expired: () => void, timeout: number, progress?: () => number) {
    this.#timer = setTimeout(() => {
      this.#callOff = afterInput(expired, progress);
    }, timeout);
  }

  /** Lets the time begin anew. */
  refresh(): void {
    this.#callOff?.();
    this.#timer.refresh();
  }

  /** Never expires. */
  clear(): void {
    this.#callOff?.();
    clearTimeout(this.#timer);
  }

  /** Does not keep the process running. */
  unref(): this {
    this.#timer.unref();
    return this;
  }
}
