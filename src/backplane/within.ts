import { eventLoop } from '../event-loop.js';

/** How long a broker may take for anything, in ms. */
export const LIMIT = 2000;

/**
 * Waits for `promise`, but no longer than `ms`. It is given up only when what waits in the kernel has been looked at: a
 * process that stood still for a while has not been kept waiting.
 *
 * @returns what `promise` gives; `late` if it takes too long; rejects if `promise` does
 */
export function within<T, L>(promise: Promise<T>, ms: number, late: L): Promise<T | L> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => eventLoop.setImmediate(resolve, late), ms);
    const settle = (): void => clearTimeout(timer);
    promise.then(resolve, reject).then(settle, settle);
  });
}
