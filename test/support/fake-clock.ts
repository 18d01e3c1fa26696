import type { TestContext } from './servers.js';

interface Timer {
  due: number;
  readonly delay: number;
  readonly callback: () => void;
  refresh(): Timer;
  unref(): Timer;
}

/** A clock and `setTimeout` that move only when told to. The mock of node:test does not refresh timers. */
export class FakeClock {
  #now = 0;
  /** What is to come behind the timer that is called at the moment. */
  #turn: Array<() => void> | undefined;
  readonly #timers: Set<Timer> = new Set();
  /** Most timers that were pending at once. */
  mostPending = 0;

  readonly now = (): number => this.#now;

  /** How many timers are pending. */
  get pending(): number {
    return this.#timers.size;
  }

  /** Replaces the timers of the process until the end of the test. */
  install(t: TestContext): this {
    const { setTimeout: realSet, clearTimeout: realClear, setImmediate: realImmediate } = globalThis;
    Object.assign(globalThis, {
      setTimeout: (callback: () => void, delay: number) => this.#start(callback, delay),
      clearTimeout: (timer: Timer) => void this.#timers.delete(timer),
      // Nothing waits in the kernel of a clock: what a timer leaves to the end of its turn comes right behind it.
      // Whoever is loaded meanwhile, Express for instance, keeps it, and gives arguments for the callback.
      setImmediate: (callback: (...args: unknown[]) => void, ...args: unknown[]) =>
        this.#turn === undefined ? realImmediate(callback, ...args) : void this.#turn.push(() => callback(...args)),
    });
    t.after(() => {
      Object.assign(globalThis, { setTimeout: realSet, clearTimeout: realClear, setImmediate: realImmediate });
    });
    return this;
  }

  /** Lets time pass, and calls what comes due, in order. */
  advance(ms: number): void {
    const end = this.#now + ms;
    for (;;) {
      let next: Timer | undefined;
      for (const timer of this.#timers) if (timer.due <= end && timer.due < (next?.due ?? Infinity)) next = timer;
      if (next === undefined) break;
      this.#timers.delete(next);
      this.#now = Math.max(this.#now, next.due);
      this.#turn = [];
      next.callback();
      for (const callback of this.#turn) callback();
      this.#turn = undefined;
    }
    this.#now = end;
  }

  #start(callback: () => void, delay: number): Timer {
    const timer: Timer = {
      due: this.#now + delay,
      delay,
      callback,
      refresh: () => {
        // As a real timer, it also starts anew when it has expired.
        this.#timers.add(timer);
        timer.due = this.#now + delay;
        return timer;
      },
      unref: () => timer,
    };
    this.#timers.add(timer);
    this.mostPending = Math.max(this.mostPending, this.#timers.size);
    return timer;
  }
}
