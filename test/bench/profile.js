import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const SHOWN = 15;

/**
 * Where the time of a server went: its functions by the time spent in themselves, idle time left out.
 *
 * @param {string} directory with the .cpuprofile files of one server, one for each process
 */
export function hotSpots(directory) {
  /** @type {Map<string, number>} */
  const times = new Map();
  let busy = 0;
  for (const file of readdirSync(directory)) {
    const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(directory, file), 'utf8'));
    /** @type {Map<number, string>} */
    const names = new Map();
    for (const { id, callFrame } of nodes) {
      const { functionName, url, lineNumber } = callFrame;
      const place = url ? ` ${url.split('/').slice(-2).join('/')}:${lineNumber + 1}` : '';
      names.set(id, `${functionName || '(anonymous)'}${place}`);
    }
    for (const [i, sample] of samples.entries()) {
      const name = names.get(sample) ?? '';
      if (name === '(idle)') continue;
      busy += timeDeltas[i];
      times.set(name, (times.get(name) ?? 0) + timeDeltas[i]);
    }
  }
  const top = [...times].sort((a, b) => b[1] - a[1]).slice(0, SHOWN);
  return top.map(([name, time]) => `    ${((100 * time) / busy).toFixed(1).padStart(5)} %  ${name}`).join('\n');
}
