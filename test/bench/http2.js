import { once } from 'node:events';
import { cpus, loadavg } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask, start } from './children.js';
import { spread } from './statistics.js';

/**
 * What WebSockets over HTTP/2 cost the server beside those over HTTP/1.1, both without TLS, so that the transport is
 * compared and nothing else: processor time of a message, memory of an idle connection. `npm run bench -- --scenario http2`.
 *
 * @typedef {'http1' | 'http2' | 'sessions'} Way HTTP/1.1; HTTP/2 with all connections on one session; with a session for each
 * @typedef {{ title: string, unit: string, ways: readonly Way[], measure: (way: Way, quick: boolean) => Promise<number> }} Case
 */

/** Connections of an echo. */
const CONNECTIONS = 8;

/** @type {Record<Way, string>} */
const TITLES = { http1: 'HTTP/1.1', http2: 'HTTP/2, one session', sessions: 'HTTP/2, a session each' };

/** @type {readonly Case[]} */
const CASES = [
  echo('echo 32 B, 64 in flight on each of 8 connections', { size: 32, inFlight: 64, messages: 40_000 }),
  echo('echo 16 KiB, 4 in flight on each of 8 connections', { size: 1 << 14, inFlight: 4, messages: 1_000 }),
  { title: 'memory of an idle connection', unit: 'KiB', ways: ['http1', 'http2', 'sessions'], measure: idle },
];

/**
 * @param {string} title
 * @param {{ size: number, inFlight: number, messages: number }} job of each connection
 * @returns {Case}
 */
function echo(title, job) {
  return {
    title,
    unit: 'µs/message',
    ways: ['http1', 'http2', 'sessions'],
    measure: (way, quick) =>
      between(way, async (server, clients, port) => {
        const messages = quick ? job.messages / 4 : job.messages;
        await ask(clients, { port, way, count: CONNECTIONS });
        // The first ones let the server compile its code
        await ask(clients, { ...job, messages });
        const before = await ask(server, {});
        await ask(clients, { ...job, messages });
        const after = await ask(server, {});
        return (after.cpu - before.cpu) / messages / CONNECTIONS;
      }),
  };
}

/** @param {Way} way @param {boolean} quick */
function idle(way, quick) {
  const [first, more] = quick ? [500, 1000] : [2000, 4000];
  return between(way, async (server, clients, port) => {
    const memory = async () => {
      await sleep(500);
      const { rss, connections } = await ask(server, {});
      return { rss, connections };
    };
    // The heap grows in large steps at first, and code is compiled; what a connection costs is what further ones add
    await ask(clients, { port, way, count: first });
    const before = await memory();
    await ask(clients, { port, way, count: more });
    const after = await memory();
    if (after.connections !== first + more) throw new Error(`Only ${after.connections} connections are open`);
    return (after.rss - before.rss) / more / 1024;
  });
}

/**
 * Runs a measurement between a server and clients that have done nothing yet.
 *
 * @param {Way} way
 * @param {(
 *   server: import('node:child_process').ChildProcess,
 *   clients: import('node:child_process').ChildProcess,
 *   port: number,
 * ) => Promise<number>} measure
 */
async function between(way, measure) {
  const server = start('./http2/server.js', [way === 'http1' ? '1.1' : '2']);
  const clients = start('./http2/clients.js', []);
  try {
    const [{ port }] = await once(server, 'message');
    return await measure(server, clients, port);
  } finally {
    server.kill();
    clients.kill();
  }
}

/** @param {{ quick: boolean, freshRounds: number }} options */
export async function runHttp2({ quick, freshRounds: rounds }) {
  console.log(
    `HTTP/2: Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}, ${rounds} rounds`,
  );
  for (const { title, unit, ways, measure } of CASES) {
    /** @type {Map<Way, number[]>} */
    const samples = new Map(ways.map((way) => [way, []]));
    for (let round = 0; round < rounds; round++) {
      // In turns, so that whatever else happens on the machine meets all of them alike
      const first = round % ways.length;
      for (const way of [...ways.slice(first), ...ways.slice(0, first)])
        samples.get(way)?.push(await measure(way, quick));
    }
    const base = samples.get('http1') ?? [];
    console.log(`\n${title}`);
    for (const [way, values] of samples) {
      const { median, low, high } = spread(values.map((value, round) => value / (base[round] ?? Number.NaN)));
      console.log(
        `  ${TITLES[way].padEnd(24)} ${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`.padEnd(48) +
          `${spread(values).median.toFixed(2)} ${unit}`,
      );
    }
  }
}
