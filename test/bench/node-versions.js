import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { BASELINE, contestants, OURS } from './servers.js';

/** @param {string} path */
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * @param {string} version one of those in test/node-versions/package.json, or that of this process, with flags if any:
 *   `24 --some-flag`
 * @returns {{ node: string, flags: readonly string[] }} where its program is, which is installed if need be
 */
function installed(version) {
  const [major, ...flags] = version.split(' ');
  if (process.version.startsWith(`v${major}.`)) return { node: process.execPath, flags };
  const directory = here('../node-versions');
  const node = `${directory}/node_modules/node-${major}/bin/node`;
  if (!existsSync(node)) {
    execFileSync('npm', ['--prefix', directory, '--engine-strict=false', '--no-audit', '--no-fund', 'ci']);
  }
  if (!existsSync(node))
    throw new RangeError(`Unknown version of Node "${major}": see test/node-versions/package.json`);
  return { node, flags };
}

/**
 * The version that runs the benchmark, and others.
 *
 * @param {readonly string[]} others as in {@link installed}
 * @returns {import('./buffers.js').Version[]}
 */
export function versionsOf(others) {
  return [
    { title: `Node ${process.versions.node}`, node: process.execPath, flags: [] },
    ...others.map((version) => ({ title: `Node ${version}`, ...installed(version) })),
  ];
}

/**
 * This package and raw `ws` with another version of Node, so that all can be measured in one run: what gets slower for both
 * is V8's or Node's.
 *
 * @param {string} version as in {@link installed}
 * @returns {import('./servers.js').Contestant[]}
 */
export function contestantsOn(version) {
  return contestants
    .filter(({ id }) => id === BASELINE || id === OURS)
    .map((contestant) => ({
      ...contestant,
      id: `${contestant.id}@node-${version}`,
      title: `${contestant.title}, Node ${version}`,
      ...installed(version),
    }));
}
