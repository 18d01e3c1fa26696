import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import type { TestContext } from 'node:test';
import { pathToFileURL } from 'node:url';

/** A program of the demo in a process of its own. */
export interface DemoProcess {
  /** The address that it listens on: `http://localhost:<port>`. */
  readonly url: string;
  /** The same with `ws:`. */
  readonly socketUrl: string;
  /** What it has printed so far, both streams. */
  readonly output: () => string;
  /** Sends a signal and resolves with the exit code and the signal that ended it, if any. */
  readonly stop: (signal: NodeJS.Signals) => Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** The compiled demo; tests run from the root of the project. */
const build = resolve('.demo-build');

/** Starts the demo as `npm run demo` does, on a free port, with `env` beside what it inherits. */
export async function startDemo(t: Pick<TestContext, 'after'>, env: NodeJS.ProcessEnv = {}): Promise<DemoProcess> {
  const started = start(t, [`${build}/server.js`], undefined, { PORT: '0', ...env });
  const address = /running at (http:\/\/\S+)\//;
  while (!address.test(started.output())) await progress(started);
  return toDemoProcess(started, address.exec(started.output())?.[1] ?? '');
}

/** Starts `demo/samples/<name>.ts` on a free port, with `env` beside what it inherits. */
export async function startSample(t: TestContext, name: string, env: NodeJS.ProcessEnv = {}): Promise<DemoProcess> {
  const file = pathToFileURL(`${build}/samples/${name}.js`);
  // Samples are what a reader would write: they print nothing. Their port is reported from outside, and the channel
  // that reports it is closed again, because it would keep the process alive.
  const report = `
    const { server } = await import('${file}');
    if (!server.listening) await new Promise((resolve) => server.once('listening', resolve));
    process.send(server.address().port, () => process.disconnect());`;
  const started = start(t, ['--input-type=module', '--eval', report], ['ignore', 'pipe', 'pipe', 'ipc'], {
    PORT: '0',
    ...env,
  });
  const port = await Promise.race([once(started.child, 'message'), rejectOnExit(started)]);
  return toDemoProcess(started, `http://localhost:${port[0]}`);
}

/** Runs the demo with `env` until it exits by itself. */
export async function runDemo(t: TestContext, env: NodeJS.ProcessEnv): Promise<{ code: number; output: string }> {
  const { closed, output } = start(t, [`${build}/server.js`], undefined, env);
  const [code] = await closed;
  return { code: code as number, output: output() };
}

interface Started {
  readonly child: ChildProcess;
  /** The exit code and the signal of the end. */
  readonly closed: Promise<[code: number | null, signal: NodeJS.Signals | null]>;
  readonly output: () => string;
}

function start(
  t: Pick<TestContext, 'after'>,
  args: readonly string[],
  stdio: SpawnOptions['stdio'] = ['ignore', 'pipe', 'pipe'],
  env: NodeJS.ProcessEnv = { PORT: '0' },
): Started {
  if (!existsSync(build)) throw new Error('The demo is not built: run npm run build:demo');
  // The demo runs the built package; its coverage would be counted as that of the sources under test.
  const { NODE_V8_COVERAGE: _, NODE_TEST_CONTEXT: __, ...inherited } = process.env;
  const child = spawn(process.execPath, args, { stdio, env: { ...inherited, HOST: '127.0.0.1', ...env } });
  // From now on: it may end by itself at any time
  const closed = once(child, 'close') as Started['closed'];
  t.after(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
    });
  }
  return { child, closed, output: () => text };
}

function toDemoProcess({ child, closed, output }: Started, url: string): DemoProcess {
  return {
    url,
    socketUrl: url.replace('http', 'ws'),
    output,
    async stop(signal) {
      child.kill(signal);
      const [code, by] = await closed;
      return { code, signal: by };
    },
  };
}

async function progress(started: Started): Promise<void> {
  const { stdout } = started.child;
  if (!stdout) throw new Error('The process has no standard output');
  await Promise.race([once(stdout, 'data'), rejectOnExit(started)]);
}

async function rejectOnExit({ closed, output }: Started): Promise<never> {
  const [code] = await closed;
  throw new Error(`The process ended with ${code} before it listened: ${output()}`);
}
