import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { TestContext } from './servers.js';

// As `node --expose-gc` would give it, which tests are not run with.
setFlagsFromString('--expose-gc');
/** Collects everything that nobody holds. */
export const collectGarbage: () => void = runInNewContext('gc');

/** Bytes that are in use, on the heap and outside it, once everything that nobody holds has been collected. */
export const memoryInUse = (): number => {
  collectGarbage();
  // Buffers are freed on another thread, which the next collection waits for.
  collectGarbage();
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return heapUsed + arrayBuffers;
};

/**
 * Samples {@link memoryInUse} until it is told to stop, or the test is over, and then tells how much more than at the
 * beginning was in use.
 */
export const watchMemory = (t: TestContext, intervalMs = 100): (() => number) => {
  const before = memoryInUse();
  let most = before;
  let timer = setTimeout(sample, intervalMs).unref();

  function sample(): void {
    const began = performance.now();
    most = Math.max(most, memoryInUse());
    // On a busy machine it takes longer than the interval, and would leave no time for what is watched
    timer = setTimeout(sample, Math.max(intervalMs, 4 * (performance.now() - began))).unref();
  }

  function stop(): void {
    clearTimeout(timer);
  }

  t.after(stop);
  return () => {
    stop();
    return Math.max(most, memoryInUse()) - before;
  };
};

/**
 * Bytes, on the heap and outside it, that are left of each of `count` operations when they are over and the young
 * generation has been collected, but not the old one.
 */
export async function keptByOldGeneration(count: number, operate: (count: number) => Promise<void>): Promise<number> {
  const collectYoung: (options: { type: 'minor' }) => void = collectGarbage;
  // Compiled, and everything has been made that is made once.
  await operate(count);
  const before = memoryInUse();
  await operate(count);
  // What is young moves twice before it is old.
  for (let times = 0; times < 3; times++) collectYoung({ type: 'minor' });
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  return (heapUsed + arrayBuffers - before) / count;
}
