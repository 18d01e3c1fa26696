import { once } from 'node:events';
import { cpus, loadavg } from 'node:os';
import { ask, start } from './children.js';
import { spread } from './statistics.js';

/**
 * What one message to many costs the process that sends it, beside other ways to do it and Node alone, which writes one
 * buffer to each socket, and what memberships take. `npm run bench` runs it behind the scenarios, `npm run bench -- --scenario groups` alone, and
 * `--scenario groups-10000` one case of it; with `--compare REF` groups of another commit take the place of the other ways.
 *
 * @typedef {{ id: string, title: string, size: number, members: number, compressed?: boolean, burst?: number }} Case `burst`: messages in a tick
 * @typedef {{ stall: number, peak: number }} Alone of a single message to all: longest time, in ms, that the event loop did not
 *   go round, and MiB that the process took
 * @typedef {{ cpu: number[], alone: Alone[] }} Samples `cpu`: µs per delivery, turn by turn
 */

/** @type {readonly Case[]} */
export const groupCases = [
  { id: 'groups-128', title: '128 B', size: 128, members: 1000 },
  { id: 'groups-burst', title: '128 B, ten in a tick', size: 128, members: 1000, burst: 10 },
  { id: 'groups-4k', title: '4 KiB', size: 4096, members: 1000 },
  { id: 'groups-64k', title: '64 KiB', size: 65_536, members: 1000 },
  { id: 'groups-4kz', title: '4 KiB, compressed', size: 4096, members: 1000, compressed: true },
  { id: 'groups-10000', title: '4 KiB to 10,000', size: 4096, members: 10_000 },
];

/**
 * Who sends: one of those that the server knows, and the build of this package that it uses.
 *
 * @typedef {{ id: string, way: string, build: string }} Sender
 */
const OURS = new URL('../../dist/esm/index.js', import.meta.url).href;

/** @type {readonly Sender[]} */
const SENDERS = ['node', 'group', 'loop', 'ws', 'ws-frame', 'socket.io'].map((id) => ({ id, way: id, build: OURS }));

/** How often everybody is measured in a round, one behind the other, while all of them are there. */
const TURNS = 6;

/**
 * A server and its members, ready to be measured.
 *
 * @param {Case} scenario
 * @param {Sender} sender
 */
async function open({ size, members, compressed = false, burst = 1 }, { way, build }) {
  const server = start('./groups/server.js', [way, String(size), String(compressed), String(burst), build]);
  const clients = start('./groups/clients.js', []);
  const [{ port }] = await once(server, 'message');
  await ask(clients, { port, members, contestant: way, compressed });

  // What the members get of one message is only counted when they are ready for it.
  /** @param {object} until @returns {Promise<number>} */
  async function send(until) {
    await ask(clients, until);
    const arrived = once(clients, 'message');
    await ask(server, { send: true });
    const [{ bytes }] = await arrived;
    return bytes;
  }

  // The first ones tell how many bytes arrive, when two in a row have said the same: a machine may stand still for a while.
  let bytes = await send({ quiet: 300 });
  for (let before = 0; before !== bytes; ) {
    before = bytes;
    bytes = await send({ quiet: 300 });
  }

  /** @param {number} count */
  async function sendMany(count) {
    for (let at = 0; at < count; at++) await send({ bytes });
  }

  return {
    warmUp: sendMany,
    /** @param {number} count @returns {Promise<number>} µs of CPU per delivery */
    async cpu(count) {
      await ask(server, { begin: true });
      await sendMany(count);
      const { cpu } = await ask(server, { end: true });
      return cpu / count / members / burst;
    },
    /** @returns {Promise<Alone>} */
    async alone() {
      await ask(server, { begin: true, watch: true });
      await sendMany(1);
      return ask(server, { end: true });
    },
    close() {
      server.kill();
      clients.kill();
    },
  };
}

/**
 * Everybody is there, and is measured in short turns: the speed of a machine that others use as well changes within
 * seconds, and meets all of them alike then.
 *
 * @param {Case} scenario
 * @param {ReadonlyMap<Sender, Samples>} samples filled by this
 * @param {boolean} quick
 */
async function runRound(scenario, samples, quick) {
  const { size, members, burst = 1 } = scenario;
  const deliveries = (quick ? 60_000 : 120_000) / (size > 10_000 ? 2 : 1);
  // A burst takes less than as many single messages, but not a tenth.
  const count = Math.max(2, Math.round(deliveries / members / Math.sqrt(burst) / TURNS));
  /** @type {Awaited<ReturnType<typeof open>>[]} */
  const opened = [];
  try {
    const all = [...samples];
    for (const [sender] of all) opened.push(await open(scenario, sender));
    // V8 goes on compiling for as long as this takes: with three to measure, that was a third of what ours cost.
    for (const one of opened) await one.warmUp(count * TURNS);
    for (let turn = 0; turn < TURNS; turn++) {
      for (let place = 0; place < all.length; place++) {
        const at = (turn + place) % all.length;
        all[at]?.[1].cpu.push((await opened[at]?.cpu(count)) ?? Number.NaN);
      }
    }
    for (const [at, [, { alone }]] of all.entries()) {
      for (let again = 0; again < 5; again++) alone.push(/** @type {Alone} */ (await opened[at]?.alone()));
    }
  } finally {
    for (const one of opened) one.close();
  }
}

/** @param {readonly number[]} values */
function median(values) {
  return spread(values).median;
}

/**
 * @param {{ quick: boolean, rounds: number, groups: readonly Case[], compared: readonly import('./servers.js').Contestant[] }} options
 *   `compared`: this package as of other commits, beside which nobody is measured but Node alone
 */
export async function runGroups({ quick, rounds, groups, compared }) {
  const others = compared.map(({ id, build = OURS }) => ({ id, way: 'group', build }));
  const senders = others.length === 0 ? SENDERS : [...SENDERS.slice(0, 2), ...others];
  const width = Math.max(...senders.map(({ id }) => id.length));
  console.log(
    `Groups: Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}, load ${loadavg()[0]?.toFixed(1)}, ${rounds} rounds`,
  );
  for (const scenario of groups) {
    // The clients here do not inflate, which they would have to for the handshake of socket.io.
    const all = senders.filter(({ id }) => !(scenario.compressed && id === 'socket.io'));
    /** @type {Map<Sender, Samples>} */
    const samples = new Map(all.map((sender) => [sender, { cpu: [], alone: [] }]));
    for (let round = 0; round < rounds; round++) await runRound(scenario, samples, quick);
    console.log(`\n${scenario.title}, ${scenario.members} members`);
    const nodeAlone = [...samples.values()][0]?.cpu ?? [];
    for (const [{ id }, taken] of samples) console.log(`  ${id.padEnd(width)} ${summary(taken, nodeAlone)}`);
  }
  if (groups.length === groupCases.length && others.length === 0)
    await once(start('./groups/memberships.js', []), 'exit');
}

/** @param {Samples} samples @param {readonly number[]} nodeAlone its CPU, turn by turn */
function summary({ cpu, alone }, nodeAlone) {
  const ratio = spread(cpu.map((value, turn) => value / (nodeAlone[turn] ?? Number.NaN)));
  const [low, middle, high] = [ratio.low, ratio.median, ratio.high].map((value) => value.toFixed(2));
  const stall = median(alone.map((sample) => sample.stall)).toFixed(0);
  const peak = median(alone.map((sample) => sample.peak)).toFixed(1);
  return `${median(cpu).toFixed(2).padStart(7)} µs/delivery  ${middle}× (${low}–${high})  stall ${stall.padStart(4)} ms  peak +${peak} MiB`;
}
