// npm test: builds, runs everything with coverage, and ends with the verdict.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const began = performance.now();
const seconds = () => `${Math.round((performance.now() - began) / 1000)} s`;

/** A table of coverage follows what the runner says of failed tests, and a terminal, or a log, may only show the end. */
const MOST_LINES = 100;

/**
 * Runs a command, shows what it prints, and notes the counts of the test runner, and what it says of tests that failed.
 *
 * @param {string} command
 * @param {Record<string, number>} [counts]
 * @param {string[]} [failures]
 * @returns {Promise<boolean>} whether it has succeeded
 */
function run(command, counts = {}, failures = []) {
  const child = spawn(command, { shell: true, stdio: ['inherit', 'pipe', 'inherit'] });
  let isFailure = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    console.log(line);
    const [, name, count] = /^ℹ (tests|pass|fail|cancelled|skipped) (\d+)$/.exec(line) ?? [];
    if (name !== undefined) counts[name] = Number(count);
    if (line === '✖ failing tests:') isFailure = true;
    else if (line.startsWith('-----')) isFailure = false;
    else if (isFailure) failures.push(line);
  });
  return new Promise((resolve) => child.on('close', (code) => resolve(code === 0)));
}

/** @returns {Promise<number>} the exit code */
async function main() {
  console.log('This takes some ten minutes on two cores, the build included; npm run test:fast leaves coverage out.\n');
  if (!(await run('npm run --silent build:test'))) {
    console.log(`\nFAILED in the build, after ${seconds()}`);
    return 1;
  }
  /** @type {Record<string, number>} */
  const counts = {};
  /** @type {string[]} */
  const failures = [];
  const passed = await run('npm run --silent test:coverage', counts, failures);
  const { pass = 0, fail = 0, cancelled = 0, skipped = 0 } = counts;
  const failed = fail + cancelled;
  if (passed) console.log(`\nPASSED after ${seconds()}, with full coverage`);
  else if (failed > 0) console.log([...failures.slice(0, MOST_LINES), `\nFAILED after ${seconds()}`].join('\n'));
  else console.log(`\nFAILED after ${seconds()}: coverage is not complete, or a test file did not end well; see above`);
  console.log(`tests: ${pass} passed, ${failed} failed, ${skipped} skipped`);
  return passed ? 0 : 1;
}

process.exitCode = await main();
