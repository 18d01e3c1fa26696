import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { createClient } from 'redis';
import type { BackplaneDriver } from 'websocket-context';
import { redis } from 'websocket-context/redis';

/** A Redis that carries the groups of this process to another one, and that can be stopped for a while. */
export interface Broker {
  readonly backplane: BackplaneDriver;
  /** Redis answers nobody for so many milliseconds. */
  readonly pause: (ms: number) => Promise<void>;
  readonly close: () => void;
}

export async function connectBroker(url: string): Promise<Broker> {
  const client = createClient({ url });
  // What goes wrong with the broker is the backplane's to report.
  client.on('error', () => {});
  await client.connect();
  return {
    backplane: redis({ client, prefix: 'demo' }),
    pause: async (ms) => {
      await client.sendCommand(['CLIENT', 'PAUSE', String(ms), 'ALL']);
    },
    close: () => client.destroy(),
  };
}

/** Starts the demo a second time, on a free port; resolves with the process and its port. */
export async function startSecondProcess(): Promise<{ process: ChildProcess; port: number }> {
  const second = fork(new URL('server.js', import.meta.url), {
    env: { ...process.env, PORT: '0', DEMO_IS_SECOND: 'true' },
    silent: true,
  });
  const [port] = await once(second, 'message');
  return { process: second, port };
}
