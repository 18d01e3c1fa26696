import { BEST_PEER, scenarios } from './scenarios.js';
import {
  BASELINE,
  contestants,
  EXPRESS_ALONE,
  EXPRESS_HANDSHAKE,
  NODE_ALONE,
  NODE_INFLATING,
  NODE_READING,
  OURS,
} from './servers.js';
import { spread } from './statistics.js';

/**
 * @typedef {import('./scenarios.js').Scenario} Scenario
 * @typedef {import('./servers.js').Contestant} Contestant
 * @typedef {import('./run.js').Outcome} Outcome
 * @typedef {import('./run.js').Results} Results
 */

/** The version of Node that most tables are of; another one has a section of its own. */
const MAIN_VERSION = '20';

/**
 * Ratio to another contestant, round by round: both were measured within seconds of one another.
 *
 * @param {Record<string, Outcome>} outcomes of one scenario
 * @param {string} id of a contestant
 * @param {string} [divisorId] of the contestant that it is divided by
 * @returns {import('./statistics.js').Spread | undefined} undefined where there is nothing to compare
 */
export function ratioOf(outcomes, id, divisorId = BASELINE) {
  const outcome = outcomes[id];
  const base = outcomes[divisorId];
  if (!outcome || !base || outcome.error || base.error) return undefined;
  const ratios = outcome.samples.flatMap(({ value }, i) => {
    const divisor = base.samples[i]?.value;
    return divisor ? [value / divisor] : [];
  });
  return ratios.length === 0 ? undefined : spread(ratios);
}

/**
 * The same by the server's processor time for each message instead of the time on the clock. Other work on the machine
 * hardly changes it, so on a busy one it tells more.
 *
 * @param {Record<string, Outcome>} outcomes of one scenario
 * @param {string} id of a contestant
 * @param {string} [divisorId] of the contestant that it is divided by
 */
function processorRatioOf(outcomes, id, divisorId = BASELINE) {
  const [ours, base] = [id, divisorId].map((one) =>
    (outcomes[one]?.samples ?? []).flatMap(({ value, serverCpu }) => (serverCpu ? [value / serverCpu] : [])),
  );
  if (!ours?.length || !base?.length) return undefined;
  return spread(ours).median / spread(base).median;
}

/** @param {number} ratio */
export function formatRatio(ratio) {
  return ratio >= 9.95 ? ratio.toFixed(1) : ratio.toFixed(2);
}

/** @param {import('./statistics.js').Spread} ratio */
function formatSpread({ median, low, high }) {
  return `${formatRatio(median)} (${formatRatio(low)}–${formatRatio(high)})`;
}

/**
 * The best of the other packages: neither this one nor `ws` itself.
 *
 * @param {Scenario} scenario
 * @param {Record<string, Outcome>} outcomes
 * @returns {{ contestant: Contestant, ratio: import('./statistics.js').Spread } | undefined}
 */
export function bestPeer(scenario, outcomes) {
  const peers = contestants
    .filter(({ id, ours, file, variant }) => !ours && !variant && id !== NODE_ALONE && file !== 'ws.js')
    .flatMap((contestant) => {
      const ratio = ratioOf(outcomes, contestant.id);
      return ratio ? [{ contestant, ratio }] : [];
    });
  const sign = scenario.better === 'higher' ? -1 : 1;
  return peers.sort((a, b) => sign * (a.ratio.median - b.ratio.median))[0];
}

/**
 * @param {Outcome | undefined} outcome
 * @param {'value' | 'growth' | 'serverCpu' | 'loadCpu' | 'sleeps'} field
 */
function medianOf(outcome, field) {
  const samples = (outcome?.samples ?? []).flatMap((sample) => sample[field] ?? []);
  return samples.length === 0 ? undefined : spread(samples).median;
}

/** @param {number | undefined} share of one core */
const percent = (share) => (share === undefined ? '–' : `${Math.round(share * 100)} %`);

/**
 * @param {Scenario} scenario
 * @param {Record<string, Outcome>} outcomes
 * @returns {string[]} one line for each contestant, for people at a terminal
 */
export function summarize(scenario, outcomes) {
  return Object.entries(outcomes).map(([id, outcome]) => {
    if (outcome.error) return `${id.padEnd(30)} failed: ${outcome.error}`;
    const ratio = ratioOf(outcomes, id);
    const value = medianOf(outcome, 'value') ?? Number.NaN;
    const growth = medianOf(outcome, 'growth');
    const sleeps = medianOf(outcome, 'sleeps');
    const byProcessor = processorRatioOf(outcomes, id);
    return [
      id.padEnd(30),
      (ratio ? formatSpread(ratio) : '–').padEnd(22),
      (byProcessor ? `cpu ${formatRatio(byProcessor)}` : '').padEnd(10),
      `${value.toFixed(value < 100 ? 2 : 0)} ${scenario.unit}`.padEnd(24),
      `server ${percent(medianOf(outcome, 'serverCpu'))}, load ${percent(medianOf(outcome, 'loadCpu'))}`,
      sleeps === undefined ? '' : `, slept ${sleeps.toFixed(2)} times for each`,
      growth === undefined ? '' : `, grows by ${Math.round(growth)} MiB`,
    ].join(' ');
  });
}

/**
 * How this package does against itself at another commit, see `--compare`.
 *
 * @param {Record<string, Outcome>} outcomes of one scenario
 * @returns {string[]} one line for each of the other commits
 */
export function summarizeComparison(outcomes) {
  return Object.keys(outcomes).flatMap((id) => {
    const ratio = id.startsWith(`${OURS}@`) ? ratioOf(outcomes, OURS, id) : undefined;
    if (!ratio) return [];
    const byProcessor = processorRatioOf(outcomes, OURS, id);
    return [`${OURS} / ${id}: ${formatSpread(ratio)}${byProcessor ? `, cpu ${formatRatio(byProcessor)}` : ''}`];
  });
}

/**
 * @param {readonly string[]} head
 * @param {readonly (readonly string[])[]} rows
 */
function markdown(head, rows) {
  const rule = head.map((_, i) => (i === 0 ? '---' : '--:'));
  return [head, rule, ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

/**
 * @param {Results} results
 * @param {readonly Scenario[]} columns
 */
function ratioTable(results, columns) {
  const rows = contestants.flatMap(({ id, title }) => {
    if (!columns.some((scenario) => results.outcomes[scenario.id]?.[id])) return [];
    const cells = columns.map((scenario) => {
      const outcomes = results.outcomes[scenario.id] ?? {};
      if (!outcomes[id]) return '';
      if (outcomes[id].error) return 'failed';
      if (id === BASELINE) return '1';
      const ratio = ratioOf(outcomes, id);
      return ratio ? formatSpread(ratio) : '–';
    });
    return [[title, ...cells]];
  });
  return markdown(['', ...columns.map(({ title }) => title)], rows);
}

/**
 * What a goal asks for, as it was measured.
 *
 * @param {Scenario} scenario
 * @param {Results} results
 * @returns {{ ratio: import('./statistics.js').Spread, to: string } | undefined} undefined where it was not
 */
function measuredGoal({ id, goal }, results) {
  const outcomes = results.outcomes[id] ?? {};
  if (goal === undefined) return undefined;
  if (goal.in !== undefined) {
    const there = { ...outcomes, [goal.in]: results.outcomes[goal.in]?.[goal.to] ?? { samples: [] } };
    const ratio = ratioOf(there, OURS, goal.in);
    return ratio && { ratio, to: 'itself before it' };
  }
  const peer = goal.to === BEST_PEER ? bestPeer(scenarioOf(id), outcomes)?.contestant.id : goal.to;
  if (peer === undefined) return undefined;
  const title = contestants.find((one) => one.id === peer)?.title ?? peer;
  if (goal.by !== 'processor') {
    const ratio = ratioOf(outcomes, OURS, peer);
    return ratio && { ratio, to: title };
  }
  const median = processorRatioOf(outcomes, OURS, peer);
  return median === undefined ? undefined : { ratio: { median, low: median, high: median }, to: `${title}, by CPU` };
}

/** @param {string} id @returns {Scenario} */
function scenarioOf(id) {
  return /** @type {Scenario} */ (scenarios.find((scenario) => scenario.id === id));
}

/** @param {Results} results */
function goalTable(results) {
  const rows = scenarios.flatMap((scenario) => {
    const { goal, better, title } = scenario;
    const measured = measuredGoal(scenario, results);
    if (goal === undefined || measured === undefined) return [];
    const { median } = measured.ratio;
    const isReached = better === 'higher' ? median >= goal.ratio : median <= goal.ratio;
    const outcomes = results.outcomes[scenario.id] ?? {};
    const limits = [EXPRESS_HANDSHAKE, EXPRESS_ALONE, NODE_INFLATING, NODE_READING, NODE_ALONE].flatMap((id) => {
      const ratio = ratioOf(outcomes, id, OURS);
      if (!ratio) return [];
      const byProcessor = processorRatioOf(outcomes, id, OURS);
      const name = contestants.find((one) => one.id === id)?.title;
      return `${name} ${formatRatio(ratio.median)}${byProcessor ? ` (by CPU ${formatRatio(byProcessor)})` : ''}`;
    });
    return [
      [
        title,
        measured.to,
        `${better === 'higher' ? '≥' : '≤'} ${goal.ratio}`,
        goal.by === 'processor' ? formatRatio(median) : formatSpread(measured.ratio),
        isReached ? 'yes' : '**no**',
        limits.join(', '),
      ],
    ];
  });
  const head = ['', 'in relation to', 'goal', 'websocket-context', 'reached', 'limits, in relation to it'];
  return markdown(head, rows);
}

/** @param {Results} results */
function growthTable(results) {
  const rows = scenarios.flatMap(({ id, title }) => {
    const outcomes = results.outcomes[id] ?? {};
    const ours = medianOf(outcomes[OURS], 'growth');
    const base = medianOf(outcomes[BASELINE], 'growth');
    if (ours === undefined && base === undefined) return [];
    /** @param {number | undefined} growth */
    const cell = (growth) => (growth === undefined ? 'failed' : `${Math.round(growth)} MiB`);
    return [[title, cell(ours), cell(base)]];
  });
  return markdown(['peak memory above the idle process', 'websocket-context', 'raw `ws`'], rows);
}

/** @param {Results} results */
function loadTable(results) {
  const rows = scenarios.flatMap(({ id, title }) => {
    const outcomes = results.outcomes[id] ?? {};
    const [ours, base] = [outcomes[OURS], outcomes[BASELINE]];
    if (medianOf(ours, 'loadCpu') === undefined) return [];
    return [
      [
        title,
        percent(medianOf(ours, 'serverCpu')),
        percent(medianOf(ours, 'loadCpu')),
        percent(medianOf(base, 'serverCpu')),
        percent(medianOf(base, 'loadCpu')),
      ],
    ];
  });
  return markdown(['', 'websocket-context', 'its load', 'raw `ws`', 'its load'], rows);
}

/** @param {Results} results */
function describeRun({ node, cores, generator, rounds, quick, load }) {
  const kind = quick ? 'A quick run: smaller messages, fewer connections, short rounds. ' : '';
  const busy = load > 1 ? ` Other programs were running (load ${load.toFixed(1)}): the spread is wide.` : '';
  return `${kind}Node ${node}, ${cores} cores, load generator in ${generator}, ${rounds} rounds.${busy}`;
}

/**
 * What this package does with each version of Node, and raw `ws`, in relation to itself with the version of the run.
 *
 * @param {Results} results
 * @param {readonly string[]} versions as in the names of contestants
 */
function versionTable(results, versions) {
  const rows = scenarios.flatMap(({ id, title }) => {
    const outcomes = results.outcomes[id] ?? {};
    return [OURS, BASELINE].flatMap((one) => {
      const cells = versions.map((version) => {
        const ratio = ratioOf(outcomes, `${one}@${version}`, one);
        const byProcessor = processorRatioOf(outcomes, `${one}@${version}`, one);
        return ratio
          ? [formatSpread(ratio), byProcessor && `by CPU ${formatRatio(byProcessor)}`].filter(Boolean).join(', ')
          : '';
      });
      if (cells.every((cell) => cell === '')) return [];
      return [[title, contestants.find((contestant) => contestant.id === one)?.title ?? one, '1', ...cells]];
    });
  });
  const own = `Node ${results.node.slice(1).split('.')[0]}`;
  return markdown(['', '', own, ...versions.map((version) => version.replace('node-', 'Node '))], rows);
}

/**
 * @param {Results} results
 * @returns {Record<string, string>} Markdown by the name of the marker that it belongs between
 */
export function tables(results) {
  const ids = new Set(Object.values(results.outcomes).flatMap((outcomes) => Object.keys(outcomes)));
  const versions = [...ids].flatMap((id) => (id.startsWith(`${OURS}@node-`) ? [id.slice(OURS.length + 1)] : []));
  if (versions.length > 0) {
    return { versions: `${describeRun(results)}\n\n${versionTable(results, versions)}` };
  }
  const streams = scenarios.filter(({ unit }) => unit === 'MiB/s');
  const memory = scenarios.filter(({ unit }) => unit === 'KiB/connection');
  const speed = scenarios.filter((scenario) => !streams.includes(scenario) && !memory.includes(scenario));
  const [major] = results.node.slice(1).split('.');
  if (major !== MAIN_VERSION) {
    return { [`node-${major}`]: [describeRun(results), goalTable(results), ratioTable(results, speed)].join('\n\n') };
  }
  return {
    machine: describeRun(results),
    goals: goalTable(results),
    speed: ratioTable(results, speed),
    streams: ratioTable(results, streams),
    growth: growthTable(results),
    memory: ratioTable(results, memory),
    load: loadTable(results),
  };
}

/**
 * Replaces what stands between `<!-- bench:NAME -->` and `<!-- /bench:NAME -->`, on whichever of the pages it does.
 *
 * @param {readonly string[]} pages
 * @param {Record<string, string>} texts by name
 * @returns {string[]} the pages with the texts
 */
export function fillMarkers(pages, texts) {
  const results = [...pages];
  for (const [name, text] of Object.entries(texts)) {
    const [begin, end] = [`<!-- bench:${name} -->`, `<!-- /bench:${name} -->`];
    const at = results.findIndex((page) => page.includes(begin));
    const page = results[at] ?? '';
    const from = page.indexOf(begin);
    const to = page.indexOf(end);
    if (from < 0 || to < from)
      throw new Error(`Cannot write the results: no page has a place marked ${begin} … ${end}`);
    results[at] = `${page.slice(0, from + begin.length)}\n\n${text}\n\n${page.slice(to)}`;
  }
  return results;
}
