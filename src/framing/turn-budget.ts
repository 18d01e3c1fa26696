import { eventLoop } from '../event-loop.js';

/**
 * How much may be done at once in a turn of the event loop, by all connections together; what is beyond it goes where it
 * leaves the process free for other work.
 */
export class TurnBudget {
  readonly #whole: number;
  #rest: number;
  readonly #renew = (): void => {
    this.#rest = this.#whole;
  };

  /** @param whole in whatever unit {@link take} is told */
  constructor(whole: number) {
    this.#whole = whole;
    this.#rest = whole;
  }

  /** Whether anything may be done in this turn. */
  get hasRest(): boolean {
    return this.#rest > 0;
  }

  /** So much more has been done. */
  take(amount: number): void {
    if (this.#rest === this.#whole) eventLoop.setImmediate(this.#renew);
    this.#rest -= amount;
  }
}
