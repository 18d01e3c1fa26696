import { once } from 'node:events';
import { PUSHED_TEXT } from '../load/frames.js';

export { BURST } from '../load/frames.js';

/** Whether the servers of this run negotiate permessage-deflate. */
export const deflate = process.env.BENCH_DEFLATE === '1';

/** What a server sends of its own accord: 128 bytes of text. */
export const PUSHED = PUSHED_TEXT.toString();

/**
 * What an application remembers: some 24 MiB of objects. Servers with a heap of little more than 8 MiB were seen to collect
 * the old generation again and again for the sake of buffers, smaller ones not at all: which side of it a server without
 * any state is on says nothing about it. See docs/performance.md.
 */
export const state = Array.from({ length: process.env.BENCH_STATE === '0' ? 0 : 200_000 }, (_, id) => ({
  id,
  name: `user ${id}`,
  roles: [id],
}));

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
    // The last resort also gives back the pages that newer versions of V8 keep of the young generation for later, up to 100 MB.
    const resort = { type: 'major', execution: 'sync', flavor: 'last-resort' };
    if (question === 'collect garbage') for (let i = 0; i < 3; i++) globalThis.gc?.(resort);
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
