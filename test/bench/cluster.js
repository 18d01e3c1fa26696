import { fork } from 'node:child_process';
import { once } from 'node:events';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { plain } from './dialects.js';
import { BURST, text } from './load/frames.js';
import { runLoad } from './load-process.js';
import { usageOf } from './process-usage.js';
import { spread } from './statistics.js';

/**
 * What a message costs in four processes of node:cluster, their primary included, beside what it costs in one. The load
 * generator takes a core as well, so that four processes cannot show here how much faster they are; but as much CPU for
 * each message is as many times the messages on as many cores.
 *
 * @typedef {{ id: string, title: string, job: import('./load-process.js').Job }} Case
 */

/** @type {readonly Case[]} */
const CASES = [
  {
    id: 'echo',
    title: 'echo 32 B, 64 connections with 8 in flight',
    job: { mode: 'echo', connections: 64, window: 8, ...plain.open('/echo'), ...plain.echo('text', text(32)) },
  },
  {
    id: 'group',
    title: `burst of ${BURST} to a group of 1,000`,
    job: { mode: 'burst', connections: 1000, burst: BURST, ...plain.open('/burst'), ...plain.trigger('burst') },
  },
];

const PROCESSES = 4;

/** @type {Record<string, string>} */
const SERVERS = { 'websocket-context': 'websocket-context', 'node-only': 'Node alone' };

/**
 * @param {Case} scenario
 * @param {string} name of the server
 * @param {number} processes
 * @param {{ quick: boolean, generator: import('./load-process.js').Generator }} setting
 * @returns {Promise<number>} µs of CPU for each message
 */
async function measure({ job }, name, processes, { quick, generator }) {
  const server = fork(fileURLToPath(new URL('./cluster/server.js', import.meta.url)), [String(processes), name], {
    env: { ...process.env, NODE_ENV: 'production' },
  });
  const [{ port, pids }] = await once(server, 'message');
  /** CPU of all its processes, in seconds. */
  const used = () => /** @type {number[]} */ (pids).reduce((sum, pid) => sum + (usageOf(pid)?.cpu ?? Number.NaN), 0);
  try {
    const duration = quick ? 1000 : 3000;
    await runLoad(generator, { port, ...job, warmup: 0, duration });
    let before = 0;
    const { ops } = await runLoad(
      generator,
      { port, ...job, warmup: 300, duration },
      {
        start: async () => {
          before = used();
        },
      },
    );
    return ((used() - before) / ops) * 1e6;
  } finally {
    server.disconnect();
    await once(server, 'exit');
  }
}

/** @param {{ quick: boolean, rounds: number, generator: import('./load-process.js').Generator }} setting */
export async function runCluster(setting) {
  console.log(`Cluster: ${PROCESSES} processes, ${cpus().length} cores`);
  for (const scenario of CASES) {
    console.log(`  ${scenario.title}`);
    const names = Object.keys(SERVERS);
    /** @type {Record<string, [number, number][]>} */
    const costs = Object.fromEntries(names.map((name) => [name, []]));
    for (let round = 0; round < setting.rounds; round++) {
      for (const name of names) {
        const one = await measure(scenario, name, 1, setting);
        costs[name]?.push([one, await measure(scenario, name, PROCESSES, setting)]);
      }
    }
    for (const [name, pairs] of Object.entries(costs)) {
      const { median, low, high } = spread(pairs.map(([one, several]) => one / several));
      const [one, several] = [0, 1].map((at) => spread(pairs.map((pair) => pair[at] ?? Number.NaN)).median.toFixed(2));
      console.log(
        `    ${SERVERS[name]}: ${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)}) of the number of cores; ` +
          `${one} µs for a message in one process, ${several} µs in ${PROCESSES}`,
      );
    }
  }
}
