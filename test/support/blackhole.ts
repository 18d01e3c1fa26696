import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import type { TestContext } from './servers.js';

/** A TCP proxy that can stop passing anything on, in both directions, without closing a connection. */
export interface Blackhole {
  /** The URL of the server behind it, through the proxy. */
  readonly url: string;
  /** From now on everything vanishes. */
  swallow(): void;
}

/** Puts a {@link Blackhole} in front of a server, until the end of the test. */
export async function openBlackhole(t: TestContext, target: Server): Promise<Blackhole> {
  const sockets = new Set<Socket>();
  const proxy = createServer((inner) => {
    const outer = connect((target.address() as AddressInfo).port, '127.0.0.1');
    for (const socket of [inner, outer]) {
      sockets.add(socket);
      socket.on('error', () => {});
    }
    inner.pipe(outer).pipe(inner);
  });
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    proxy.close();
    await once(proxy, 'close');
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  return {
    url: `ws://127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    swallow() {
      for (const socket of sockets) {
        socket.unpipe();
        socket.removeAllListeners('end');
        socket.on('data', () => {});
      }
    },
  };
}
