import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { describe, it } from 'node:test';

const root = process.cwd();
const samples = join(root, '.demo-build', 'samples');
const own = join(root, 'test', 'runners');

/** Runs Node with `args` and gives what it has printed; fails with that if it does. */
function run(args: readonly string[], cwd: string): Promise<string> {
  // Coverage is that of the sources, and reports are for people.
  const { NODE_V8_COVERAGE: _, NODE_TEST_CONTEXT: __, ...env } = process.env;
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd, env: { ...env, NODE_ENV: 'test' } }, (error, stdout, stderr) => {
      assert.ok(error === null, stdout + stderr);
      resolve(stdout + stderr);
    });
  });
}

/** Runs a file with jest, as its JSON report says. */
async function runJest(folder: string, file: string, options: object = {}): Promise<number> {
  const config = { rootDir: folder, testMatch: [`**/${file}`], transform: {}, testEnvironment: 'node', ...options };
  const jest = join(root, 'node_modules', 'jest', 'bin', 'jest.js');
  const args = [
    '--experimental-vm-modules',
    '--no-warnings',
    jest,
    '--detectOpenHandles',
    '--json',
    '--config',
    JSON.stringify(config),
  ];
  const report = JSON.parse((await run(args, root)).replace(/^[^{]*/, '').replace(/[^}]*$/, ''));
  assert.equal(report.openHandles.length, 0);
  return report.numPassedTests;
}

/** Runs a file with vitest. */
async function runVitest(folder: string, file: string): Promise<number> {
  const options = { watch: false, root: folder, config: false, include: [file], reporters: ['json'] };
  const program = `
    import { startVitest } from 'vitest/node';
    const vitest = await startVitest('test', [], ${JSON.stringify(options)});
    await vitest.close();`;
  const output = await run(['--input-type=module', '--eval', program], root);
  return JSON.parse(output.slice(output.indexOf('{"numTotal'))).numPassedTests;
}

describe('websocket-context/testing works', { timeout: 500_000 }, () => {
  it('in node:test with all its fake timers, as the sample shows', async () => {
    const output = await run(['--test', '--test-reporter=tap', join(samples, 'testing-node.js')], root);
    assert.match(output, /# pass 3\n# fail 0/);
  });

  it('in vitest, as the sample shows', async () => {
    assert.equal(await runVitest(samples, 'testing-vitest.js'), 3);
  });

  it('in vitest with everything replaced that can be', async () => {
    assert.equal(await runVitest(own, 'vitest-fakes.mjs'), 5);
  });

  it('in jest, as the sample shows', async () => {
    assert.equal(await runJest(samples, 'testing-jest.js'), 3);
  });

  it('in jest with its fake nextTick, queueMicrotask and setImmediate', async () => {
    assert.equal(await runJest(own, 'jest-fakes.cjs'), 5);
  });
});
