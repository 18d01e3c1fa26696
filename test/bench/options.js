import { parseArgs } from 'node:util';
import { contestantOf } from './compare.js';
import { groupCases } from './groups.js';
import { contestantsOn, versionsOf } from './node-versions.js';
import { scenarios } from './scenarios.js';
import { BASELINE, contestants, OURS } from './servers.js';

const USAGE = `Measures websocket-context against other WebSocket packages.

  npm run bench                     everything, three quarters of an hour; rewrites the tables in docs and the chart
  npm run bench -- --quick          a first impression in two minutes; prints, writes nothing

  --quick              shorter and fewer rounds, smaller messages, fewer connections, and not all servers
  --scenario ID        only this scenario; may be repeated (${scenarios.map(({ id }) => id).join(', ')}, groups, ${groupCases.map(({ id }) => id).join(', ')}, cluster, http2, buffers)
  --server ID          only this server and the baseline; may be repeated (${contestants.map(({ id }) => id).join(', ')})
  --rounds N           rounds per scenario; 7 unless given, quick: 3, and 1 where every round starts a new server;
                       of groups 3, quick: 1
  --load c|node        which load generator; C where it can be built unless given
  --busy-poll, --no-busy-poll  whether the load generator (in C) stays awake when it has nothing to do;
                       default: with handshakes and 32 B
  --write, --no-write  whether to rewrite the tables in docs; default: only after a full run of everything as it is
  --compare REF        also this package as of another commit, built beside this one; may be repeated; of groups, those
                       of both beside Node alone, and nobody else
  --node MAJOR         also this package and raw ws with another version of Node (22, 24, 26), or with this one
                       and flags ('24 --some-flag'); may be repeated
  --cpu-prof           also profile our servers, and print where their time went
`;

/** Scenarios by themselves: one message to many, several processes, and HTTP/2 beside HTTP/1.1. */
const GROUPS = 'groups';
const CLUSTER = 'cluster';
const HTTP2 = 'http2';
/** What V8 takes for a buffer: for comparisons of versions, not a part of everything. */
const BUFFERS = 'buffers';

/** Servers of a quick run: the ones that show most. */
const QUICK = ['websocket-context', 'ws+deflate', 'express-and-ws', 'express-ws', 'socket-io'];

/**
 * @typedef {{
 *   quick: boolean,
 *   rounds: number,
 *   freshRounds: number,
 *   groupRounds: number,
 *   load: string | undefined,
 *   busyPoll: boolean | undefined,
 *   write: boolean,
 *   cpuProf: boolean,
 *   compared: readonly import('./servers.js').Contestant[],
 *   groups: typeof groupCases,
 *   cluster: boolean,
 *   http2: boolean,
 *   versions: readonly import('./buffers.js').Version[],
 *   scenarios: readonly import('./scenarios.js').Scenario[],
 *   contestants: readonly import('./servers.js').Contestant[],
 * }} Options `freshRounds`: for scenarios that start a new server for every measurement; `compared`: this package as of other commits; `versions`: of Node, for `buffers`
 */

/**
 * @template {{ id: string }} T
 * @param {readonly T[]} all
 * @param {readonly string[]} ids
 * @param {string} what
 */
function select(all, ids, what) {
  for (const id of ids) {
    if (!all.some((one) => one.id === id)) throw new RangeError(`Unknown ${what} "${id}": see --help`);
  }
  return ids.length === 0 ? all : all.filter(({ id }) => ids.includes(id));
}

/**
 * @param {string[]} args
 * @returns {Options | undefined} undefined: only help was wanted, and given
 */
export function parseOptions(args) {
  const { values } = parseArgs({
    args,
    allowNegative: true,
    options: {
      quick: { type: 'boolean', default: false },
      scenario: { type: 'string', multiple: true, default: [] },
      server: { type: 'string', multiple: true, default: [] },
      rounds: { type: 'string' },
      load: { type: 'string' },
      'busy-poll': { type: 'boolean' },
      compare: { type: 'string', multiple: true, default: [] },
      node: { type: 'string', multiple: true, default: [] },
      write: { type: 'boolean' },
      'cpu-prof': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return undefined;
  }
  const rounds = values.rounds === undefined ? (values.quick ? 3 : 7) : Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1)
    throw new RangeError(`Invalid --rounds "${values.rounds}": a positive integer`);
  const isComparison = values.compare.length > 0 || values.node.length > 0;
  const servers = values.server.length === 0 && values.quick && !isComparison ? QUICK : values.server;
  const apart = [GROUPS, CLUSTER, HTTP2, BUFFERS, ...groupCases.map(({ id }) => id)];
  const others = values.scenario.filter((id) => !apart.includes(id));
  const everything = values.scenario.length === 0 && values.server.length === 0 && !isComparison;
  const allGroups = everything || values.scenario.includes(GROUPS);
  const compared = values.compare.map(contestantOf);
  // Two builds, or versions, are mostly all that is wanted then.
  const wanted = servers.length === 0 && isComparison ? [OURS] : servers;
  return {
    quick: values.quick,
    rounds,
    freshRounds: values.quick && values.rounds === undefined ? 1 : rounds,
    groupRounds: values.rounds === undefined ? (values.quick ? 1 : 3) : rounds,
    load: values.load,
    busyPoll: values['busy-poll'],
    write: values.write ?? (everything && !values.quick && values['busy-poll'] === undefined),
    cpuProf: values['cpu-prof'],
    compared,
    groups: groupCases.filter(({ id }) => allGroups || values.scenario.includes(id)),
    cluster: everything || values.scenario.includes(CLUSTER),
    http2: everything || values.scenario.includes(HTTP2),
    versions: values.scenario.includes(BUFFERS) ? versionsOf(values.node) : [],
    scenarios: values.scenario.length > 0 && others.length === 0 ? [] : select(scenarios, others, 'scenario'),
    contestants: [
      ...select(contestants, wanted.length === 0 ? [] : [BASELINE, ...wanted], 'server'),
      ...compared,
      ...values.node.flatMap(contestantsOn),
    ],
  };
}
