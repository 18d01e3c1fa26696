import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

// Programs of this folder in processes of their own, which do what messages tell them and answer each.

/**
 * Starts one.
 *
 * @param {string} file relative to this folder
 * @param {readonly string[]} args
 */
export function start(file, args) {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, { execArgv: ['--expose-gc'] });
  // Whoever waits for an answer rejects then.
  child.once('exit', (code) => code && child.emit('error', new Error(`${file} has ended with ${code}`)));
  return child;
}

/** @param {import('node:child_process').ChildProcess} child @param {object} message @returns {Promise<any>} */
export async function ask(child, message) {
  child.send(message);
  const [answer] = await once(child, 'message');
  return answer;
}
