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

/** How often everybody is measured in a round, one behind the other, while all of them are there. */
const TURNS = 5;

/** @typedef {{ quick: boolean, rounds: number, generator: import('./load-process.js').Generator }} Setting */

/**
 * A server in one process or in several, ready to be measured.
 *
 * @param {Case} scenario
 * @param {string} name of the server
 * @param {number} processes
 * @param {Setting} setting
 */
async function open({ job }, name, processes, { quick, generator }) {
  const server = fork(fileURLToPath(new URL('./cluster/server.js', import.meta.url)), [String(processes), name], {
    env: { ...process.env, NODE_ENV: 'production' },
  });
  const [{ port, pids }] = await once(server, 'message');
  const duration = quick ? 300 : 1000;
  /** CPU of all its processes, in seconds. */
  const used = () => /** @type {number[]} */ (pids).reduce((sum, pid) => sum + (usageOf(pid)?.cpu ?? Number.NaN), 0);
  return {
    async warmUp() {
      // Each process compiles for itself, and has but its part of connections and messages.
      for (let run = 0; run < processes; run++)
        await runLoad(generator, { port, ...job, warmup: 0, duration: 3 * duration });
    },
    /** @returns {Promise<number>} µs of CPU for each message */
    async measure() {
      let before = 0;
      let after = 0;
      const { ops } = await runLoad(
        generator,
        { port, ...job, warmup: duration, duration },
        {
          start: async () => {
            before = used();
          },
          end: async () => {
            after = used();
          },
        },
      );
      return ((after - before) / ops) * 1e6;
    },
    async close() {
      server.disconnect();
      await once(server, 'exit');
    },
  };
}

/**
 * @param {Case} scenario
 * @param {Record<string, [number, number][]>} costs in one process and in several, by server; filled by this
 * @param {Setting} setting
 */
async function runRound(scenario, costs, setting) {
  /** @type {[string, Awaited<ReturnType<typeof open>>, Awaited<ReturnType<typeof open>>][]} */
  const servers = [];
  try {
    for (const name of Object.keys(costs)) {
      servers.push([name, await open(scenario, name, 1, setting), await open(scenario, name, PROCESSES, setting)]);
    }
    for (const [, one, several] of servers) {
      await one.warmUp();
      await several.warmUp();
    }
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [name, one, several] of servers) costs[name]?.push([await one.measure(), await several.measure()]);
    }
  } finally {
    for (const [, one, several] of servers) await Promise.all([one.close(), several.close()]);
  }
}

/** @param {Setting} setting */
export async function runCluster(setting) {
  console.log(`Cluster: ${PROCESSES} processes, ${cpus().length} cores`);
  for (const scenario of CASES) {
    console.log(`  ${scenario.title}`);
    /** @type {Record<string, [number, number][]>} */
    const costs = Object.fromEntries(Object.keys(SERVERS).map((name) => [name, []]));
    for (let round = 0; round < setting.rounds; round++) await runRound(scenario, costs, setting);
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
