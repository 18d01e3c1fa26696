import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { runBuffers } from './buffers.js';
import { drawChart } from './chart.js';
import { runCluster } from './cluster.js';
import { runGroups } from './groups.js';
import { runHttp2 } from './http2.js';
import { findGenerator } from './load-process.js';
import { parseOptions } from './options.js';
import { hotSpots } from './profile.js';
import { fillMarkers, summarize, summarizeComparison, tables } from './report.js';
import { buildOfWorkingTree, startServer } from './server-process.js';

/**
 * @typedef {import('./scenarios.js').Scenario} Scenario
 * @typedef {import('./servers.js').Contestant} Contestant
 * @typedef {{ samples: import('./scenarios.js').Sample[], error?: string }} Outcome
 *
 * What is kept of a run, in .bench-build/results.json.
 * @typedef {{
 *   node: string,
 *   processor: string,
 *   cores: number,
 *   generator: string,
 *   load: number,
 *   quick: boolean,
 *   rounds: number,
 *   outcomes: Record<string, Record<string, Outcome>>,
 * }} Results `load`: processes that wanted to run before the run began; `outcomes`: by scenario, then by contestant
 */

/** @param {string} path */
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Measures all contestants of a scenario in turns (A B C, B C A, …), so that whatever else happens on the machine
 * meets all of them alike.
 *
 * @param {Scenario} scenario
 * @param {import('./options.js').Options} options
 * @param {import('./load-process.js').Generator} generator
 * @returns {Promise<Record<string, Outcome>>}
 */
async function runScenario(scenario, options, generator) {
  const members = options.contestants.filter(scenario.includes);
  /** @type {Record<string, Outcome>} */
  const outcomes = Object.fromEntries(members.map(({ id }) => [id, { samples: [] }]));
  /** @type {Map<string, import('./server-process.js').RunningServer>} */
  const running = new Map();

  /** @param {Contestant} contestant */
  const start = (contestant) =>
    startServer(contestant, {
      deflate: scenario.deflate?.(contestant),
      keepMemory: !scenario.measuresMemory && !scenario.untuned,
      hasState: !scenario.untuned,
      cpuProfile: options.cpuProf && contestant.ours ? profileDirectory(scenario, contestant) : undefined,
    });

  /**
   * @param {Contestant} contestant
   * @param {boolean} counts
   */
  async function measure(contestant, counts) {
    const outcome = /** @type {Outcome} */ (outcomes[contestant.id]);
    // What has failed once is reported as failed, and not waited for again.
    if (outcome.error) return;
    try {
      const server = running.get(contestant.id) ?? (await start(contestant));
      running.set(contestant.id, server);
      const sample = await scenario.measure(server, contestant, {
        generator,
        quick: options.quick,
        busyPoll: options.busyPoll,
      });
      if (counts) outcome.samples.push(sample);
    } catch (error) {
      outcome.error = error instanceof Error ? error.message : String(error);
    }
    if (scenario.fresh || outcome.error) {
      await running.get(contestant.id)?.stop();
      running.delete(contestant.id);
    }
  }

  async function measureAll() {
    const rounds = scenario.fresh ? options.freshRounds : options.rounds;
    // Rounds that do not count let every server load and compile its code.
    for (let round = 0; round < (scenario.fresh ? 0 : (scenario.warmups ?? 1)); round++)
      for (const contestant of members) await measure(contestant, false);
    for (let round = 0; round < rounds; round++) {
      const first = round % members.length;
      for (const contestant of [...members.slice(first), ...members.slice(0, first)]) await measure(contestant, true);
    }
    await Promise.all(Array.from(running.values(), (server) => server.stop()));
    running.clear();
  }

  for (let at = 0; at < (options.quick ? 1 : (scenario.processes ?? 1)); at++) await measureAll();
  return outcomes;
}

/**
 * @param {Scenario} scenario
 * @param {Contestant} contestant
 */
function profileDirectory(scenario, contestant) {
  return here(`.bench-build/profiles/${scenario.id}/${contestant.id}`);
}

/** @param {import('./options.js').Options} options */
async function run(options) {
  const generator = findGenerator(options.load);
  mkdirSync(here('.bench-build'), { recursive: true });
  if (options.cpuProf) rmSync(here('.bench-build/profiles'), { recursive: true, force: true });
  if (options.contestants.some(({ ours, build }) => ours && build === undefined)) buildOfWorkingTree();
  const [load = 0] = loadavg();
  /** @type {Results} */
  const results = {
    node: process.version,
    processor: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    generator: generator.name,
    load,
    quick: options.quick,
    rounds: options.rounds,
    outcomes: {},
  };
  if (load > 1)
    console.log(`The machine is busy (load ${load.toFixed(1)}, ${cpus().length} cores): ratios will scatter`);
  const began = performance.now();
  for (const scenario of options.scenarios) {
    const outcomes = await runScenario(scenario, options, generator);
    results.outcomes[scenario.id] = outcomes;
    writeFileSync(here('.bench-build/results.json'), `${JSON.stringify(results, undefined, 2)}\n`);
    console.log(`${scenario.title} (${scenario.better} is better)`);
    for (const line of [...summarize(scenario, outcomes), ...summarizeComparison(outcomes)]) console.log(`  ${line}`);
    if (!options.cpuProf) continue;
    for (const contestant of options.contestants.filter((one) => one.ours && scenario.includes(one))) {
      console.log(hotSpots(profileDirectory(scenario, contestant)));
    }
  }
  console.log(`${Math.round((performance.now() - began) / 1000)} s, load generator in ${generator.name}`);
  return results;
}

const options = parseOptions(process.argv.slice(2));
if (options) {
  const results = await run(options);
  // Before what prints its own: a complete run takes long, and may be ended behind it.
  if (options.write) {
    const pages = ['performance.md', 'performance-lab.md'].map((name) => here(`../../docs/${name}`));
    const texts = tables(results);
    const filled = fillMarkers(
      pages.map((page) => readFileSync(page, 'utf8')),
      texts,
    );
    for (const [i, page] of pages.entries()) writeFileSync(page, filled[i] ?? '');
    console.log(`Rewritten in docs: ${Object.keys(texts).join(', ')}`);
    if (texts.speed !== undefined) {
      mkdirSync(here('../../docs/assets'), { recursive: true });
      writeFileSync(here('../../docs/assets/benchmark.svg'), drawChart(results));
    }
  }
  if (options.groups.length > 0) await runGroups({ ...options, rounds: options.groupRounds });
  if (options.cluster) await runCluster({ ...options, generator: findGenerator(options.load) });
  if (options.http2) await runHttp2(options);
  if (options.versions.length > 0) runBuffers(options);
}
