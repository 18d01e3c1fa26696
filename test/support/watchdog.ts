// Preloaded into every test file: ends one that has come to a standstill, and names the test. The runner's own limit names none
// in Node 20, and leaves the process running in later ones; without a limit, a run that waits for ever says nothing at all.
import { isMainThread } from 'node:worker_threads';

/** Far more than any test takes. Turns and not time: a process that is stopped makes none. */
const MOST_TURNS = 180;
const TURN = 1000;

// The runner itself, and what tests start with the flags of their process, are no test files
if (isMainThread && /\.test\.js$/.test(process.argv[1] ?? '')) {
  const { afterEach, beforeEach } = await import('node:test');
  const underway = new Set<string>();
  let last = 'none';
  let turns = 0;

  // Taken before a test replaces the timers
  setInterval(() => {
    turns++;
    if (turns < MOST_TURNS) return;
    const names =
      underway.size > 0 ? [...underway].join('; ') : `none (the last one was: ${last}), but the process goes on`;
    console.error(`Nothing has begun or ended for ${MOST_TURNS} s. Underway: ${names}`);
    console.error(`What keeps the process: ${process.getActiveResourcesInfo().join(', ')}`);
    process.exit(1);
  }, TURN).unref();

  beforeEach((t) => {
    if (!('fullName' in t)) return;
    turns = 0;
    underway.add(t.fullName);
  });
  afterEach((t) => {
    if (!('fullName' in t)) return;
    turns = 0;
    last = t.fullName;
    underway.delete(last);
  });
}
