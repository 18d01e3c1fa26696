import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createDemo } from './app.js';
import { connectBroker, startSecondProcess } from './broker.js';

const { REDIS_URL, DEMO_IS_SECOND } = process.env;
const broker = REDIS_URL ? await connectBroker(REDIS_URL) : undefined;
// With a broker there are two processes, so that there is something to carry messages between.
const second = broker && !DEMO_IS_SECOND ? await startSecondProcess() : undefined;
const { app, sockets, close } = createDemo({ broker, secondPort: second?.port });
const server = createServer(app);
sockets.attach(server, app);

const address = await listen(server, process.env.PORT, process.env.HOST ?? '127.0.0.1');
console.log(`The demo is running at ${address}`);
if (second) console.log(`A second process is running at http://localhost:${second.port}/`);
console.log('Press Ctrl+C to see it close its connections before it exits.');

for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, shutDown);
if (DEMO_IS_SECOND) {
  process.send?.((server.address() as AddressInfo).port);
  process.once('disconnect', () => process.exit());
}

function shutDown(signal: NodeJS.Signals): void {
  second?.process.kill(signal);
  console.log(`${signal}: closing ${sockets.connections.size} connections`);
  // Nothing but an empty event loop ends this process, which proves that nothing was left behind. The timer is for the
  // day when something was: unreferenced, it fires only in a process that refuses to end.
  setTimeout(() => process.exit(1), 10_000).unref();
  close({ code: 1001, reason: 'restarting', timeout: 5000 }).then(
    (report) => {
      console.log(report);
      broker?.close();
      if (DEMO_IS_SECOND) process.disconnect();
      server.close();
      server.closeIdleConnections();
      // Browsers open connections in advance. Until they carry a request, they do not count as idle.
      setTimeout(() => server.closeAllConnections(), 1000).unref();
    },
    (error: unknown) => {
      console.error(error);
      process.exit(1);
    },
  );
}

/** Listens on `port`; without one on 8080 or, where that is taken, on the next free port. Resolves with the address. */
async function listen(server: Server, port: string | undefined, host: string): Promise<string> {
  for (let candidate = Number(port ?? 8080); ; candidate += 1) {
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject);
        server.listen(candidate, host, () => {
          server.off('error', reject);
          resolve();
        });
      });
      return `http://${host === '127.0.0.1' ? 'localhost' : host}:${(server.address() as AddressInfo).port}/`;
    } catch (error) {
      const taken = (error as NodeJS.ErrnoException).code === 'EADDRINUSE';
      if (!taken || port !== undefined || candidate === 8099) {
        console.error(taken ? `Port ${candidate} is taken; set PORT to a free one` : error);
        process.exit(1);
      }
      console.log(`Port ${candidate} is taken, trying ${candidate + 1}`);
    }
  }
}
