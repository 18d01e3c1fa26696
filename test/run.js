// npm test: builds, runs everything with coverage, and ends with the verdict.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';

const began = performance.now();
const seconds = () => `${Math.round((performance.now() - began) / 1000)} s`;

/**
 * Runs a command, shows what it prints, and notes the counts of the test runner.
 *
 * @param {string} command
 * @param {Record<string, number>} [counts]
 * @returns {Promise<boolean>} whether it has succeeded
 */
function run(command, counts = {}) {
  const child = spawn(command, { shell: true, stdio: ['inherit', 'pipe', 'inherit'] });
  createInterface({ input: child.stdout }).on('line', (line) => {
    console.log(line);
    const [, name, count] = /^ℹ (tests|pass|fail|cancelled|skipped) (\d+)$/.exec(line) ?? [];
    if (name !== undefined) counts[name] = Number(count);
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
  const passed = await run('npm run --silent test:coverage', counts);
  const { pass = 0, fail = 0, cancelled = 0, skipped = 0 } = counts;
  const failed = fail + cancelled;
  if (passed) console.log(`\nPASSED after ${seconds()}, with full coverage`);
  else if (failed > 0) console.log(`\nFAILED after ${seconds()}: look for ✖ above`);
  else console.log(`\nFAILED after ${seconds()}: coverage is not complete, or a test file did not end well; see above`);
  console.log(`tests: ${pass} passed, ${failed} failed, ${skipped} skipped`);
  return passed ? 0 : 1;
}

process.exitCode = await main();
