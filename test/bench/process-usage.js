import { readFileSync } from 'node:fs';

// Linux counts processor time in ticks of 1/100 s wherever Node runs.
const TICKS = 100;

/** @typedef {{ at: number, cpu: number, rss: number, peak: number }} Usage seconds and bytes */

/**
 * What a process has used so far, read from outside: asking the process itself would disturb it, and a server that is
 * busy answers late. `undefined` where there is no /proc.
 *
 * @param {number} pid
 * @returns {Usage | undefined}
 */
export function usageOf(pid) {
  if (process.platform !== 'linux') return undefined;
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const status = readFileSync(`/proc/${pid}/status`, 'latin1');
  // The name in parentheses may contain spaces; utime and stime are the 12th and 13th field after it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  /** @param {RegExp} field */
  const bytes = (field) => Number(status.match(field)?.[1]) * 1024;
  return {
    at: performance.now() / 1000,
    cpu: (Number(fields[11]) + Number(fields[12])) / TICKS,
    rss: bytes(/^VmRSS:\s+(\d+)/m),
    peak: bytes(/^VmHWM:\s+(\d+)/m),
  };
}
