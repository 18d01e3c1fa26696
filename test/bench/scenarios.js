import { setTimeout as sleep } from 'node:timers/promises';
import { plain } from './dialects.js';
import {
  BURST,
  COMPRESSED_TEXT,
  clientFrame,
  compressedTextFrame,
  noise,
  record,
  stream,
  TEXT,
  text,
} from './load/frames.js';
import { replyTo } from './load/reply.js';
import { runLoad } from './load-process.js';
import { BASELINE, EXPRESS_ALONE, NODE_ALONE, NODE_INFLATING, OURS } from './servers.js';

/**
 * @typedef {import('./servers.js').Contestant} Contestant
 * @typedef {import('./server-process.js').RunningServer} RunningServer
 *
 * One measurement: `value` in the scenario's unit, the rest for the proof that the server was the bottleneck.
 * @typedef {{ value: number, growth?: number, serverCpu?: number, loadCpu?: number, sleeps?: number }} Sample `growth`: of RSS, in MiB;
 *   `sleeps`: how often the load generator slept for each connection or message
 *
 * @typedef {{
 *   generator: import('./load-process.js').Generator,
 *   quick: boolean,
 *   busyPoll: boolean | undefined,
 * }} Setting `busyPoll`: whether the load generator stays awake; undefined: as the scenario has it
 *
 * @typedef {{
 *   id: string,
 *   title: string,
 *   unit: string,
 *   better: 'higher' | 'lower',
 *   goal?: Goal,
 *   fresh?: boolean,
 *   warmups?: number,
 *   processes?: number,
 *   measuresMemory?: boolean,
 *   untuned?: boolean,
 *   deflate?: (contestant: Contestant) => boolean,
 *   includes: (contestant: Contestant) => boolean,
 *   measure: (server: RunningServer, contestant: Contestant, setting: Setting) => Promise<Sample>,
 * }} Scenario `fresh`: every measurement needs a server process that has done nothing yet;
 *   `processes`: how many of each server are measured, one after the other, each in all rounds;
 *   `measuresMemory`: the figures include what the process takes from the system; `untuned`: neither a state of 24 MiB nor
 *   settings of malloc
 *
 * What the ratio to another server is to reach: of the figures, of those for the same processor time, or to this package in
 * another scenario.
 * @typedef {{ ratio: number, to: string, by?: 'processor', in?: string }} Goal `to`: a contestant, or the best peer
 */

/** The best of the other packages that are built on `ws`. */
export const BEST_PEER = 'best peer';

const MIB = 1 << 20;

/** How long connections are left alone after a compressed message before their memory is measured, in milliseconds. */
const SETTLING = 3000;

/** @param {Setting} setting */
const timing = ({ quick }) => (quick ? { warmup: 50, duration: 250 } : { warmup: 200, duration: 750 });

/**
 * Runs a job and notes how much of a core each side used while it was measured.
 *
 * @param {RunningServer} server
 * @param {Setting} setting
 * @param {import('./load-process.js').Job} job
 */
async function timed(server, setting, job) {
  /** @type {import('./server-process.js').Usage | undefined} */
  let before;
  /** @type {import('./server-process.js').Usage | undefined} */
  let after;
  const result = await runLoad(
    setting.generator,
    {
      port: server.port,
      ...timing(setting),
      ...job,
      ...(setting.busyPoll !== undefined && { busy_poll: Number(setting.busyPoll) }),
    },
    {
      start: async () => {
        before = await server.usage();
      },
      end: async () => {
        after = await server.usage();
      },
    },
  );
  await server.quiet();
  const serverCpu = before && after && (after.cpu - before.cpu) / (after.at - before.at);
  return { ...result, before, after, serverCpu, loadCpu: result.cpu / result.seconds };
}

/** @param {{ ops: number, seconds: number, serverCpu?: number | undefined, loadCpu: number, sleeps: number }} result */
const perSecond = ({ ops, seconds, serverCpu, loadCpu, sleeps }) => ({
  value: ops / seconds,
  ...(serverCpu === undefined ? {} : { serverCpu }),
  loadCpu,
  sleeps: sleeps / ops,
});

/** @param {Contestant} contestant */
const plainOnes = ({ variant }) => !variant;

/** @param {Contestant} contestant */
const handshakingOnes = ({ variant }) => !variant || variant === 'express';

/** @param {Contestant} contestant */
const readingOnes = ({ variant }) => !variant || variant === 'reading';

/** @param {Contestant} contestant */
const uncompressedOnes = ({ variant }) => !variant || variant === 'bufferutil' || variant === 'reading';

const BUFFERUTIL = 'ws+bufferutil';
const BY_HAND = 'express-and-ws';

/**
 * @param {Pick<Scenario, 'id' | 'title' | 'goal' | 'fresh' | 'untuned' | 'includes' | 'processes'>} about
 * @param {'text' | 'binary'} type
 * @param {Buffer} payload
 * @param {{ window: number, connections: number, warmup?: number, busy_poll?: number }} load
 * @returns {Scenario}
 */
function echo(about, type, payload, load) {
  return {
    ...about,
    unit: 'messages/s',
    better: 'higher',
    async measure(server, { dialect }, setting) {
      const job = { mode: 'echo', ...load, ...dialect.open('/echo'), ...dialect.echo(type, payload) };
      return perSecond(await timed(server, setting, job));
    },
  };
}

/**
 * An echo of text that is compressed in both directions, by messages that do not refer to others, or the load generator
 * would have to inflate.
 *
 * @param {Pick<Scenario, 'id' | 'title' | 'goal'>} about
 * @param {Buffer} payload
 * @param {{ window: number, connections: number }} load
 * @returns {Scenario}
 */
function compressedEcho(about, payload, load) {
  return {
    ...about,
    unit: 'messages/s',
    better: 'higher',
    deflate: () => true,
    // What has a protocol of its own on top would need frames of its own; websocket-express compresses nothing.
    includes: ({ id, variant, dialect }) =>
      !variant && id !== NODE_ALONE && id !== 'websocket-express' && dialect === plain,
    async measure(server, { dialect }, setting) {
      const opening = dialect.open('/echo', { deflate: true, independent: true });
      const request = compressedTextFrame(payload);
      const reply = await replyTo(server.port, opening.handshake, request);
      return perSecond(await timed(server, setting, { mode: 'echo', ...load, ...opening, request, reply }));
    },
  };
}

/**
 * @param {Pick<Scenario, 'id' | 'title' | 'goal'>} about
 * @param {'one-frame' | 'fragments' | 'compressed'} shape
 * @param {'upload' | 'stream'} endpoint
 * @returns {Scenario}
 */
function streaming(about, shape, endpoint) {
  return {
    ...about,
    unit: 'MiB/s',
    better: 'higher',
    fresh: true,
    measuresMemory: true,
    deflate: () => shape === 'compressed',
    // All other packages hand over whole messages of `ws` too, and refuse those above 100 MiB.
    includes: ({ id, ours, variant }) =>
      id === BASELINE ||
      (ours === true && !variant) ||
      (id === NODE_INFLATING && shape === 'compressed' && endpoint === 'upload'),
    async measure(server, { dialect }, setting) {
      const mebibytes = setting.quick ? 128 : 1024;
      const { pattern, total, ...message } = stream(shape, mebibytes);
      const { reply } = dialect.echo('text', Buffer.from(String(total)));
      const { before, after, seconds, ...result } = await timed(server, setting, {
        mode: 'stream',
        timeout: 120_000,
        ...dialect.open(`/${endpoint}`, { deflate: shape === 'compressed' }),
        ...message,
        ...(endpoint === 'stream' ? { pattern, total } : { reply }),
      });
      const growth = ((after?.peak ?? Number.NaN) - (before?.rss ?? 0)) / MIB;
      return { ...perSecond({ ...result, seconds }), value: mebibytes / seconds, growth };
    },
  };
}

/**
 * @param {Pick<Scenario, 'id' | 'title' | 'goal' | 'includes'>} about
 * @param {string} path
 * @param {Buffer} [message] sent by every connection before it goes idle
 * @returns {Scenario}
 */
function idle(about, path, message) {
  return {
    ...about,
    unit: 'KiB/connection',
    better: 'lower',
    fresh: true,
    measuresMemory: true,
    // The baseline stays without compression: what compression costs is the question.
    deflate: ({ id }) => message !== undefined && id !== BASELINE,
    async measure(server, contestant, setting) {
      const compressed = this.deflate?.(contestant);
      const job = {
        port: server.port,
        mode: 'idle',
        ...contestant.dialect.open(path, { deflate: message !== undefined }),
        ...(message && {
          request: compressed ? compressedTextFrame(message) : clientFrame(TEXT, message),
          reply_head: compressed ? COMPRESSED_TEXT : TEXT,
        }),
      };
      const [first, more] = setting.quick ? [1500, 1500] : [2000, 5000];
      let growth = 0;

      /** @param {number} connections */
      const hold = (connections, then = async () => {}) =>
        runLoad(setting.generator, { ...job, connections }, { ready: then });

      async function memory() {
        await sleep(message ? SETTLING : 200);
        return (await server.collectGarbage()).rss;
      }

      // The heap grows in large steps at first, and code is compiled; what a connection costs is what further ones add.
      await hold(first, async () => {
        const before = await memory();
        await hold(more, async () => {
          growth = (await memory()) - before;
        });
      });
      return { value: growth / more / 1024 };
    },
  };
}

/**
 * @param {Pick<Scenario, 'id' | 'title' | 'goal'>} about
 * @param {string} path of this package; the others have one way to send to many
 * @returns {Scenario}
 */
function burst(about, path) {
  return {
    ...about,
    unit: 'messages/s',
    better: 'higher',
    // The bursts of one process came to 8.6 and 10.4 times those of raw ws in two runs of one build.
    processes: 3,
    includes: plainOnes,
    async measure(server, { dialect, ours }, setting) {
      const job = { mode: 'burst', connections: 1000, burst: BURST, ...dialect.trigger('burst') };
      return perSecond(await timed(server, setting, { ...job, ...dialect.open(ours ? path : '/burst') }));
    },
  };
}

// Where little happens for each message, a load generator that sleeps has the server wake it nearly each time, and the slower
// server more often; with larger messages the other core is wanted for collecting garbage. One process of a server is up to
// a fifth faster than another there, so that three of each are measured: see docs/performance-lab.md.
const AWAKE = { busy_poll: 1 };
// A new process of ours takes longer than 1.5 s to come to its rate: as it is, 0.89 times ws with bufferutil behind those and 0.93 behind five.
const MEGABYTES = { window: 2, connections: 1, warmup: 5000 };

/** @type {readonly Scenario[]} */
export const scenarios = [
  {
    id: 'handshakes',
    title: 'handshakes',
    unit: 'connections/s',
    better: 'higher',
    goal: { ratio: 1.15, to: BY_HAND },
    includes: handshakingOnes,
    // Every server took 20,000 to 30,000 handshakes to come to twice the rate of its first 4,000.
    warmups: 6,
    processes: 3,
    async measure(server, { dialect }, setting) {
      const job = {
        mode: 'handshake',
        ...AWAKE,
        inflight: 16,
        connections: setting.quick ? 1000 : 4000,
        ...dialect.open('/echo'),
      };
      return perSecond(await timed(server, setting, job));
    },
  },
  echo(
    {
      id: 'echo-32',
      title: 'echo 32 B, 1 in flight',
      goal: { ratio: 1.05, to: BEST_PEER },
      includes: readingOnes,
      processes: 3,
    },
    'text',
    text(32),
    { ...AWAKE, window: 1, connections: 1 },
  ),
  echo(
    {
      id: 'echo-32-64',
      title: 'echo 32 B, 64 in flight',
      goal: { ratio: 10, to: BASELINE, by: 'processor' },
      includes: readingOnes,
      processes: 3,
    },
    'text',
    text(32),
    { ...AWAKE, window: 64, connections: 1 },
  ),
  echo(
    { id: 'echo-16k', title: 'echo 16 KiB', goal: { ratio: 1.7, to: BUFFERUTIL }, includes: uncompressedOnes },
    'binary',
    noise(1 << 14),
    {
      window: 8,
      connections: 1,
    },
  ),
  compressedEcho(
    { id: 'echo-compressed', title: 'echo 1.5 KiB, compressed', goal: { ratio: 1.3, to: BASELINE, by: 'processor' } },
    record(1536),
    { window: 1, connections: 50 },
  ),
  // In processes that had waited for their turn some servers, not always the same, had a fraction of their speed at more
  // than a whole core; see docs/performance-lab.md.
  echo(
    {
      id: 'echo-1m',
      title: 'echo 1 MiB',
      goal: { ratio: 1.15, to: BUFFERUTIL },
      fresh: true,
      includes: uncompressedOnes,
    },
    'binary',
    noise(1 << 20),
    MEGABYTES,
  ),
  echo(
    {
      id: 'echo-1m-untuned',
      title: 'echo 1 MiB, process as it is',
      goal: { ratio: 1, to: BUFFERUTIL },
      fresh: true,
      processes: 3,
      untuned: true,
      includes: ({ id, variant, ours }) =>
        id === BASELINE || variant === 'bufferutil' || variant === 'reading' || ours === true,
    },
    'binary',
    noise(1 << 20),
    MEGABYTES,
  ),
  {
    id: 'push',
    title: 'server push 128 B',
    unit: 'messages/s',
    better: 'higher',
    goal: { ratio: 8, to: BASELINE },
    includes: plainOnes,
    async measure(server, { dialect }, setting) {
      const job = { mode: 'push', ...dialect.open('/push'), ...dialect.trigger('push') };
      return perSecond(await timed(server, setting, job));
    },
  },
  burst({ id: 'burst', title: `burst of ${BURST} to 1,000`, goal: { ratio: 9, to: BASELINE } }, '/burst'),
  burst(
    { id: 'burst-group', title: `burst of ${BURST} to 1,000, ours by a group`, goal: { ratio: 11, to: BASELINE } },
    '/burst-group',
  ),
  streaming(
    { id: 'upload-frame', title: 'upload, one frame', goal: { ratio: 5, to: BASELINE } },
    'one-frame',
    'upload',
  ),
  streaming(
    { id: 'upload-fragments', title: 'upload, 64 KiB frames', goal: { ratio: 5, to: BASELINE } },
    'fragments',
    'upload',
  ),
  streaming(
    { id: 'upload-compressed', title: 'upload, compressed', goal: { ratio: 3, to: BASELINE } },
    'compressed',
    'upload',
  ),
  streaming({ id: 'echo-frame', title: 'echo, one frame', goal: { ratio: 5, to: BASELINE } }, 'one-frame', 'stream'),
  streaming(
    { id: 'echo-fragments', title: 'echo, 64 KiB frames', goal: { ratio: 5, to: BASELINE } },
    'fragments',
    'stream',
  ),
  idle({ id: 'memory', title: 'memory per idle connection', includes: plainOnes }, '/echo'),
  idle(
    {
      id: 'memory-request',
      title: 'the same, where the handler uses the request',
      goal: { ratio: 0.75, to: BY_HAND },
      includes: ({ id, ours }) => [BASELINE, BY_HAND, EXPRESS_ALONE].includes(id) || ours === true,
    },
    '/named-echo',
  ),
  idle(
    {
      id: 'memory-compressed',
      title: 'memory after one compressed message',
      goal: { ratio: 1.5, to: OURS, in: 'memory' },
      includes: ({ file, ours, variant }) => variant !== 'bufferutil' && (file === 'ws.js' || ours === true),
    },
    '/echo',
    text(2048),
  ),
];
