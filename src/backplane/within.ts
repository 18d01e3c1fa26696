import { Deadline } from '../deadline.js';

/** How long a broker may take for anything, in ms. */
export const LIMIT = 2000;

/**
 * Waits for `promise`, but no longer than `ms`; a process that stood still for a while has not been kept waiting.
 *
 * @returns what `promise` gives; `late` if it takes too long; rejects if `promise` does
 */
export function within<T, L>(promise: Promise<T>, ms: number, late: L): Promise<T | L> {
  return new Promise((resolve, reject) => {
    const deadline = new Deadline(() => resolve(late), ms);
    const settle = (): void => deadline.clear();
    promise.then(resolve, reject).then(settle, settle);
  });
}
