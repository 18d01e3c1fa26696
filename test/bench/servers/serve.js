import { once } from 'node:events';
import { PUSHED_TEXT } from '../load/frames.js';

export { BURST } from '../load/frames.js';

/** Whether the servers of this run negotiate permessage-deflate. */
export const deflate = process.env.BENCH_DEFLATE === '1';

/** What a server sends of its own accord: 128 bytes of text. */
export const PUSHED = PUSHED_TEXT.toString();

/**
 * What an application remembers: some 24 MiB of objects. V8 does not collect the old generation at all as long as it is
 * below 8 MiB, does so again and again for buffers alone when it is little more than that, and rarely above 11 MiB. Servers
 * that remember nothing lie on either side of the first threshold by chance; no application does.
 */
export const state = Array.from({ length: 200_000 }, (_, id) => ({ id, name: `user ${id}`, roles: [id] }));

/**
 * Listens on a free port of the loopback interface and answers the questions of the process that started this one.
 *
 * @param {import('node:http').Server} server
 */
export async function serve(server) {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  process.on('message', (question) => {
    if (question === 'collect garbage') for (let i = 0; i < 3; i++) globalThis.gc?.();
    const { user, system } = process.cpuUsage();
    process.send?.({
      at: performance.now() / 1000,
      cpu: (user + system) / 1e6,
      rss: process.memoryUsage.rss(),
      // libuv reports kilobytes on every platform
      peak: process.resourceUsage().maxRSS * 1024,
    });
  });
  // Leaving in an orderly way is what writes the file of --cpu-prof.
  process.on('disconnect', () => process.exit(0));
  process.send?.({ port: typeof address === 'object' ? address?.port : undefined });
}
