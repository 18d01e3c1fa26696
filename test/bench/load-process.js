import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ACCEPT } from './load/frames.js';

/** @param {string} path */
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * @typedef {Record<string, string | number | Buffer | undefined>} Job options of load/load.c and load/load.js
 * @typedef {{ ops: number, seconds: number, cpu: number, sleeps: number }} LoadResult `sleeps`: how often it waited for the system
 * @typedef {{ name: string, command: string, args: string[] }} Generator
 */

/**
 * The generator written in C where it can be built, the one in Node elsewhere.
 *
 * @param {string | undefined} wanted `c` or `node`; undefined: the best that there is
 * @returns {Generator}
 */
export function findGenerator(wanted) {
  const inNode = { name: 'Node', command: process.execPath, args: [here('load/load.js')] };
  if (wanted === 'node' || (!wanted && process.platform !== 'linux')) return inNode;
  const binary = here('.bench-build/load');
  const sources = ['load/load.c', 'load/wire.h'].map(here);
  const stale = !existsSync(binary) || sources.some((file) => statSync(file).mtimeMs > statSync(binary).mtimeMs);
  if (stale) {
    mkdirSync(here('.bench-build'), { recursive: true });
    const { status, error, stderr } = spawnSync(process.env.CC ?? 'cc', ['-O2', '-o', binary, here('load/load.c')]);
    if (status !== 0) {
      if (wanted === 'c') throw new Error(`Cannot build load/load.c: ${error?.message ?? stderr}`);
      return inNode;
    }
  }
  return { name: 'C', command: binary, args: [] };
}

/** Byte strings reach the generator as files, each written once. */
class Files {
  #directory = mkdtempSync(join(tmpdir(), 'websocket-context-bench-'));
  /** @type {WeakMap<Buffer, string>} */
  #paths = new WeakMap();
  #count = 0;

  constructor() {
    process.on('exit', () => rmSync(this.#directory, { recursive: true, force: true }));
  }

  /** @param {Buffer} bytes */
  pathOf(bytes) {
    let path = this.#paths.get(bytes);
    if (!path) {
      path = join(this.#directory, String(this.#count++));
      writeFileSync(path, bytes);
      this.#paths.set(bytes, path);
    }
    return path;
  }
}

/** @type {Files | undefined} */
let files;

/**
 * Starts the generator; `start` is called when its measured time begins, and `end` when it is over, `ready` when all idle
 * connections stand. Connections are closed when what `end` and `ready` return has settled.
 *
 * @param {Generator} generator
 * @param {Job} job
 * @param {{ start?: () => Promise<unknown>, ready?: () => Promise<unknown>, end?: () => Promise<unknown> }} [events]
 * @returns {Promise<LoadResult>}
 */
export async function runLoad(generator, job, events = {}) {
  files ??= new Files();
  const args = [...generator.args, `accept=${ACCEPT}`];
  for (const [name, value] of Object.entries(job)) {
    if (value === undefined || (Buffer.isBuffer(value) && value.length === 0)) continue;
    args.push(`${name}=${Buffer.isBuffer(value) ? files.pathOf(value) : value}`);
  }
  const child = spawn(generator.command, args, { stdio: ['pipe', 'pipe', 'inherit'] });
  /** @type {unknown} */
  let outcome;
  /** @type {Promise<unknown>[]} */
  const pending = [];
  /** @param {Promise<unknown> | undefined} done */
  const closeAfter = (done) => pending.push(Promise.resolve(done).finally(() => child.stdin.end()));
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === 'start') pending.push(Promise.resolve(events.start?.()));
    else if (line === 'ready') closeAfter(events.ready?.());
    else {
      outcome = JSON.parse(line);
      closeAfter(events.end?.());
    }
    // They are awaited once the generator has ended; until then a failure must not count as unhandled.
    pending.at(-1)?.catch(() => {});
  }
  await Promise.all(pending);
  const result = /** @type {LoadResult & { error?: string }} */ (outcome);
  if (!result) throw new Error('The load generator ended without a result');
  if (result.error) throw new Error(result.error);
  return result;
}
