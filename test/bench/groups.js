import { once } from 'node:events';
import { cpus, loadavg } from 'node:os';
import { ask, start } from './children.js';
import { spread } from './statistics.js';

/**
 * What one message to many costs the process that sends it, beside other ways to do it and Node alone, which writes one
 * buffer to each socket, and what memberships take. `npm run bench` runs it behind the scenarios, `npm run bench -- --scenario groups` alone, and
 * `--scenario groups-10000` one case of it.
 *
 * @typedef {{ id: string, title: string, size: number, members: number, compressed?: boolean }} Case
 * @typedef {{ cpu: number, stall: number, peak: number }} Sample µs of CPU per delivery; of a single message to all: longest
 *   time, in ms, that the event loop did not go round, and MiB that the process took
 */

/** @type {readonly Case[]} */
export const groupCases = [
  { id: 'groups-128', title: '128 B', size: 128, members: 1000 },
  { id: 'groups-4k', title: '4 KiB', size: 4096, members: 1000 },
  { id: 'groups-64k', title: '64 KiB', size: 65_536, members: 1000 },
  { id: 'groups-4kz', title: '4 KiB, compressed', size: 4096, members: 1000, compressed: true },
  { id: 'groups-10000', title: '4 KiB to 10,000', size: 4096, members: 10_000 },
];

const CONTESTANTS = ['node', 'group', 'loop', 'ws', 'ws-frame', 'socket.io'];

/** @param {Case} scenario @param {string} contestant @param {boolean} quick @returns {Promise<Sample>} */
async function measure(scenario, contestant, quick) {
  const { size, members, compressed = false } = scenario;
  const server = start('./groups/server.js', [contestant, String(size), String(compressed)]);
  const clients = start('./groups/clients.js', []);
  try {
    const [{ port }] = await once(server, 'message');
    await ask(clients, { port, members, contestant, compressed });
    // What the members get of one message is only counted when they are ready for it.
    /** @param {object} until @returns {Promise<number>} */
    async function send(until) {
      await ask(clients, until);
      const arrived = once(clients, 'message');
      await ask(server, { send: 1 });
      const [{ bytes }] = await arrived;
      return bytes;
    }
    // The first ones tell how many bytes arrive, when two in a row have said the same: a machine may stand still for a while.
    let bytes = await send({ quiet: 300 });
    for (let before = 0; before !== bytes; ) {
      before = bytes;
      bytes = await send({ quiet: 300 });
    }
    const count = Math.max(10, Math.round((quick ? 60_000 : 120_000) / members / (size > 10_000 ? 2 : 1)));
    // V8 goes on compiling for as long as this takes: with three to measure, that was a third of what ours cost.
    for (let warmUp = 0; warmUp < count; warmUp++) await send({ bytes });
    await ask(server, { begin: true });
    for (let at = 0; at < count; at++) await send({ bytes });
    const { cpu } = await ask(server, { end: true });
    /** @type {Sample[]} */
    const alone = [];
    for (let at = 0; at < 5; at++) {
      await ask(server, { begin: true });
      await send({ bytes });
      alone.push(await ask(server, { end: true }));
    }
    return {
      cpu: cpu / count / members,
      stall: median(alone.map(({ stall }) => stall)),
      peak: median(alone.map(({ peak }) => peak)),
    };
  } finally {
    server.kill();
    clients.kill();
  }
}

/** @param {readonly number[]} values */
function median(values) {
  return spread(values).median;
}

/** @param {{ quick: boolean, rounds: number, groups: readonly Case[] }} options */
export async function runGroups({ quick, rounds, groups }) {
  console.log(
    `Groups: Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}, ${rounds} rounds`,
  );
  for (const scenario of groups) {
    // The clients here do not inflate, which they would have to for the handshake of socket.io.
    const contestants = CONTESTANTS.filter((id) => !(scenario.compressed && id === 'socket.io'));
    /** @type {Map<string, Sample[]>} */
    const samples = new Map(contestants.map((id) => [id, []]));
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < contestants.length; turn++) {
        const id = /** @type {string} */ (contestants[(round + turn) % contestants.length]);
        samples.get(id)?.push(await measure(scenario, id, quick));
      }
    }
    console.log(`\n${scenario.title}, ${scenario.members} members`);
    for (const [id, all] of samples) console.log(`  ${id.padEnd(10)} ${summary(all, samples.get('node') ?? [])}`);
  }
  if (groups.length === groupCases.length) await once(start('./groups/memberships.js', []), 'exit');
}

/** @param {readonly Sample[]} samples @param {readonly Sample[]} alone those of Node alone, round by round */
function summary(samples, alone) {
  const cpu = median(samples.map((sample) => sample.cpu));
  const ratio = spread(samples.map((sample, round) => sample.cpu / (alone[round]?.cpu ?? Number.NaN)));
  const [low, middle, high] = [ratio.low, ratio.median, ratio.high].map((value) => value.toFixed(2));
  const stall = median(samples.map((sample) => sample.stall)).toFixed(0);
  const peak = median(samples.map((sample) => sample.peak)).toFixed(1);
  return `${cpu.toFixed(2).padStart(7)} µs/delivery  ${middle}× (${low}–${high})  stall ${stall.padStart(4)} ms  peak +${peak} MiB`;
}
