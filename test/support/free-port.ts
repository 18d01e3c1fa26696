import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * Below the ports that systems give out by themselves, from 32,768 on: nobody gets one of these between the moment in which
 * it is found free and the one in which a program listens on it. A redis-server of a cluster listens 10,000 above its own too.
 */
const FIRST = 12_000;
const COUNT = 10_000;
/** More than a test file asks for: so far apart begin processes that run at the same time, whose ids follow each other. */
const STRIDE = 97;

let next = process.pid * STRIDE;

/** A port that nobody listens on, and that no other test has been given. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = FIRST + (next++ % COUNT);
    const server = createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

/** Whether somebody listens on a port of this machine. */
export async function canConnect(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
