import { setImmediate as turn } from 'node:timers/promises';

/** Reasons of the promises that nobody has handled, of those that reject while `run` does and shortly after. */
export async function unhandledIn(run: () => unknown): Promise<unknown[]> {
  const reasons: unknown[] = [];
  const listener = (reason: unknown): void => void reasons.push(reason);
  // The runner of the tests has one of its own, which would fail the test that runs.
  const others = process.rawListeners('unhandledRejection');
  process.removeAllListeners('unhandledRejection').on('unhandledRejection', listener);
  try {
    await run();
    for (let i = 0; i < 3; i++) await turn();
  } finally {
    process.removeListener('unhandledRejection', listener);
    for (const other of others) process.on('unhandledRejection', other as typeof listener);
  }
  return reasons;
}
