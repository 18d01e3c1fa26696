import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { plain } from './dialects.js';
import { install } from './installed.js';

/** @param {string} path */
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Builds another commit of this package beside the one in the working tree, with the dependencies that are installed, so
 * that both can be measured in one run.
 *
 * @param {string} ref anything that git understands
 * @returns {import('./servers.js').Contestant}
 */
export function contestantOf(ref) {
  const root = here('../..');
  /** @param {string[]} args */
  const git = (...args) => execFileSync('git', args, { cwd: root, encoding: 'utf8' }).trim();
  const commit = git('rev-parse', '--short', `${ref}^{commit}`);
  const directory = here(`.bench-build/compare/${commit}`);
  if (!existsSync(`${directory}/dist/esm/index.js`)) {
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { recursive: true });
    execFileSync('tar', ['-x', '-C', directory], {
      input: execFileSync('git', ['archive', commit], { cwd: root, maxBuffer: 1 << 28 }),
    });
    symlinkSync(`${root}/node_modules`, `${directory}/node_modules`);
    execFileSync('npm', ['run', '--silent', 'build'], { cwd: directory, stdio: 'inherit' });
  }
  const build = install(directory, `websocket-context-${commit}`);
  const title = `websocket-context at ${commit}`;
  return { id: `websocket-context@${commit}`, title, file: 'websocket-context.js', dialect: plain, ours: true, build };
}
