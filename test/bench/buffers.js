import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { spread } from './statistics.js';

/**
 * What V8 takes for a buffer that is made and forgotten, beside objects that are not: with each version of Node, as it is and
 * where the memory is given back at once, as this package does with what it has read.
 * `npm run bench -- --scenario buffers --node 24`.
 *
 * @typedef {{ title: string, node: string, flags: readonly string[] }} Version
 */

/** In bytes. */
const SIZES = [512, 4096, 1 << 16];

const LOOP = fileURLToPath(new URL('./buffers/loop.js', import.meta.url));

/**
 * @param {Version} version
 * @param {number} size
 * @param {boolean} givesBack
 * @returns {number} µs of CPU for each, those of V8's threads included
 */
function measure({ node, flags }, size, givesBack) {
  const { stdout, status } = spawnSync(node, [...flags, LOOP, String(size), String(givesBack)], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`${node} failed`);
  return Number(stdout);
}

/** @param {{ rounds: number, versions: readonly Version[] }} setting */
export function runBuffers({ rounds, versions }) {
  console.log('Buffers: µs of CPU to make one and forget it, beside 400,000 objects; in parentheses, to give it back');
  for (const size of SIZES) {
    console.log(`  ${size} B`);
    for (const version of versions) {
      const [left, given] = [false, true].map((givesBack) =>
        spread(Array.from({ length: rounds }, () => measure(version, size, givesBack))).median.toFixed(2),
      );
      console.log(`    ${version.title}: ${left} (${given})`);
    }
  }
}
