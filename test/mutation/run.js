/**
 * Mutation tests: changes the files of src one check at a time, and expects that a test notices. See docs/mutation.md.
 *
 *     npm run mutation                          both rooms
 *     npm run mutation -- upgrade utf8          a room, a file
 *     npm run mutation -- frame:40-50           some lines of a file
 */
import { mkdir, readFile } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { Stryker } from '@stryker-mutator/core';
import { explain, unneeded } from './explained.js';
import { modules } from './modules.js';

const FOLDER = '.mutation-build';

const watchdog = fileURLToPath(new URL('watchdog.cjs', import.meta.url));

// Whoever works on this machine comes first
setPriority(19);

// A mutant that random streams would notice, a thousand of them notice: beyond that, they only take time
process.env.FUZZ_CASES ??= '1000';

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { concurrency: { type: 'string', default: '2' }, log: { type: 'string', default: 'error' } },
});

const settings = {
  plugins: [import.meta.resolve('@stryker-mutator/tap-runner'), import.meta.resolve('./ignore-texts.js')],
  ignorers: ['texts'],
  testRunner: 'tap',
  coverageAnalysis: 'perTest',
  // TypeScript 7 has no API with which Stryker could rewrite the paths of a tsconfig.json; there are none to rewrite
  tsconfigFile: 'none',
  buildCommand: 'tsc -p test',
  tempDirName: `${FOLDER}/sandbox`,
  ignorePatterns: ['dist', '.test-build', '.demo-build', FOLDER, '.package', 'coverage'],
  // For endless loops; whoever waits is noticed by the watchdog
  timeoutMS: 30_000,
  concurrency: Number(values.concurrency),
  reporters: ['json'],
  logLevel: values.log,
  allowConsoleColors: false,
};

const wanted = positionals.map((given) => given.split(':'));
const chosen = modules
  .map((module) => ({ ...module, wish: wanted.find(([name]) => name === module.room || name === module.name) }))
  .filter(({ wish }) => wanted.length === 0 || wish !== undefined);
if (chosen.length === 0) throw new Error(`Nothing is called ${positionals.join(' or ')}, see test/mutation/modules.js`);

const scores = [];
for (const { room, name, tests, wish: [, range] = [] } of chosen) {
  const began = Date.now();
  const file = `src/${room}/${name}.ts`;
  const mutants = await mutate(file, range, tests).catch((error) => {
    // Mostly a test that fails by itself; the other files may still be worth their time
    console.error(`${file} was not mutated: ${error.message}`);
    process.exitCode = 1;
  });
  if (mutants === undefined) continue;
  const count = (...statuses) => mutants.filter(({ status }) => statuses.includes(status)).length;
  const survived = mutants.filter(({ status }) => ['Survived', 'NoCoverage'].includes(status));
  const unexplained = survived.filter((mutant) => explain(mutant) === undefined);
  for (const { line, status, original, replacement } of unexplained) {
    console.log(`${file}:${line} ${status}\n  - ${original}\n  + ${replacement}`);
  }
  for (const { line, original, replacement } of range === undefined ? unneeded(file, survived) : []) {
    console.log(`${file}: explained in vain, where it says ${line}\n  - ${original}\n  + ${replacement}`);
  }
  scores.push({
    file,
    // A test file that breaks down has noticed too
    killed: count('Killed', 'RuntimeError'),
    timeout: count('Timeout'),
    explained: survived.length - unexplained.length,
    unexplained: unexplained.length,
    total: mutants.length - count('Ignored'),
    seconds: Math.round((Date.now() - began) / 1000),
  });
}
console.table(scores);
if (scores.some(({ unexplained }) => unexplained > 0)) process.exitCode = 1;

/** Mutates one file, or a range of its lines, and runs `tests` for each mutant, as far as they reach it. */
async function mutate(file, range, tests) {
  const report = `${FOLDER}/${file.replaceAll('/', '-')}.json`;
  await mkdir(FOLDER, { recursive: true });
  const stryker = new Stryker({
    ...settings,
    mutate: [range === undefined ? file : `${file}:${range}`],
    tap: {
      testFiles: tests.map((test) => `.test-build/test/${test}.test.js`),
      nodeArgs: ['--test-reporter=tap', '-r', '{{hookFile}}', '-r', watchdog, '{{testFile}}'],
    },
    jsonReporter: { fileName: report },
  });
  await stryker.runMutationTest();

  const { source, mutants } = JSON.parse(await readFile(report, 'utf8')).files[file];
  const lines = source.split('\n');
  return mutants.map(({ location: { start, end }, replacement, status }) => ({
    file,
    line: start.line,
    text: lines[start.line - 1].trim(),
    original: cut(lines, start, end),
    replacement: replacement.replace(/\s+/g, ' '),
    status,
  }));
}

/** What stands between two positions, which count from 1; of a long block its beginning and its end. */
function cut(lines, start, end) {
  const part = lines.slice(start.line - 1, end.line);
  part[part.length - 1] = part[part.length - 1].slice(0, end.column - 1);
  part[0] = part[0].slice(start.column - 1);
  if (part.length > 4) part.splice(2, part.length - 3, '…');
  return part.map((line) => line.trim()).join(' ');
}
