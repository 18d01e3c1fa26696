import { fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { install } from './installed.js';
import { usageOf } from './process-usage.js';

/**
 * One server in a process of its own.
 *
 * @typedef {import('./process-usage.js').Usage} Usage
 * @typedef {{
 *   port: number,
 *   usage(): Promise<Usage>,
 *   collectGarbage(): Promise<Usage>,
 *   quiet(): Promise<void>,
 *   stop(): Promise<void>,
 * }} RunningServer
 */

/** How long a server may take to answer or to end, in milliseconds. */
const PATIENCE = 10_000;

/**
 * glibc gives memory at the end of the heap back at once, and takes it again for the next message. Where that happens is
 * chance, and on virtual machines each page can cost as much as ten system calls; see docs/performance-lab.md.
 */
const KEEP_MEMORY = { MALLOC_TRIM_THRESHOLD_: String(256 << 20), MALLOC_MMAP_THRESHOLD_: String(32 << 20) };

/** @param {string} path */
const here = (path) => new URL(path, import.meta.url);

/** @type {string | undefined} The build in the working tree, when it has been asked for. */
let build;

/** Puts the build in the working tree where servers find it: before a run, which would only find out as it goes. */
export function buildOfWorkingTree() {
  build ??= install(fileURLToPath(here('../..')), 'websocket-context');
  return build;
}

/**
 * @param {import('./servers.js').Contestant} contestant
 * @param {{
 *   deflate?: boolean | undefined,
 *   keepMemory?: boolean | undefined,
 *   hasState?: boolean | undefined,
 *   cpuProfile?: string | undefined,
 * }} [options] `keepMemory`: whether what is freed stays with the process; `hasState`: whether it remembers something; `cpuProfile`: directory that a profile is written to
 * @returns {Promise<RunningServer>}
 */
export async function startServer(contestant, options = {}) {
  const { deflate = false, keepMemory = false, hasState = true, cpuProfile } = options;
  const execArgv = [...(contestant.flags ?? []), '--expose-gc', '--import', here('servers/bufferutil.js').href];
  if (cpuProfile) execArgv.push('--cpu-prof', `--cpu-prof-dir=${cpuProfile}`);
  const child = fork(fileURLToPath(here(`servers/${contestant.file}`)), {
    execArgv,
    ...(contestant.node && { execPath: contestant.node }),
    env: {
      ...process.env,
      NODE_ENV: 'production',
      ...(keepMemory && KEEP_MEMORY),
      BENCH_STATE: hasState ? '1' : '0',
      BENCH_DEFLATE: deflate ? '1' : '0',
      ...(contestant.ours && { BENCH_BUILD: contestant.build ?? buildOfWorkingTree() }),
      BENCH_BUFFERUTIL: ['bufferutil', 'reading', 'inflating'].includes(contestant.variant ?? '') ? '1' : '0',
    },
  });
  const exited = once(child, 'exit');

  async function answer() {
    const patience = AbortSignal.timeout(PATIENCE);
    const died = exited.then(([code, signal]) => {
      throw new Error(`The server ${contestant.id} exited: ${signal ?? code}`);
    });
    died.catch(() => {});
    return (await Promise.race([once(child, 'message', { signal: patience }), died]))[0];
  }

  /** @param {string} question */
  function ask(question) {
    const answered = answer();
    child.send(question);
    return answered;
  }

  const { port } = await answer();
  return {
    port,
    usage: async () => usageOf(/** @type {number} */ (child.pid)) ?? ask('usage'),
    collectGarbage: () => ask('collect garbage'),
    // Connections that the load generator has dropped keep a server busy for a while, which is not to disturb the next.
    async quiet() {
      for (const end = performance.now() + PATIENCE; performance.now() < end; ) {
        const before = usageOf(/** @type {number} */ (child.pid));
        await sleep(before ? 50 : 250);
        if (!before || usageOf(/** @type {number} */ (child.pid))?.cpu === before.cpu) return;
      }
    },
    async stop() {
      if (child.connected) child.disconnect();
      const impatient = setTimeout(() => child.kill('SIGKILL'), PATIENCE);
      await exited;
      clearTimeout(impatient);
    },
  };
}
