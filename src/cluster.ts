/**
 * Groups in the processes of `node:cluster`, or in worker threads.
 *
 * @module websocket-context/cluster
 */

import nodeCluster from 'node:cluster';
import type { BackplaneDriver } from './backplane/driver.js';
import { channelPrefix, checkDriverOptions, checkPrefix } from './backplane/driver-options.js';
import { IpcDriver } from './backplane/ipc-driver.js';
import { ThreadDriver } from './backplane/thread-driver.js';

export { type RelayOptions, relay } from './backplane/relay.js';

/** Options of {@link cluster} and {@link workers}. */
export interface ClusterOptions {
  /**
   * Separates applications, and instances of `webSockets()`: only those with the same prefix hear of each other. At most
   * 128 bytes of UTF-8. Default `'websocket-context'`.
   */
  readonly prefix?: string | undefined;
}

/**
 * A backplane between the workers of `node:cluster`: `webSockets({ backplane: cluster() })`. The primary passes on what
 * they say, once it has called {@link relay}.
 *
 * @throws Error if this process is no worker; TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * import nodeCluster from 'node:cluster';
 * import { availableParallelism } from 'node:os';
 * import { webSockets } from 'websocket-context';
 * import { cluster, relay } from 'websocket-context/cluster';
 *
 * if (nodeCluster.isPrimary) {
 *   relay();
 *   for (let core = 0; core < availableParallelism(); core += 1) nodeCluster.fork();
 * } else {
 *   const sockets = webSockets({ backplane: cluster({ prefix: 'shop:' }) });
 *   sockets.attach(app.listen(8080), app);
 * }
 * ```
 */
export function cluster(options: ClusterOptions = {}): BackplaneDriver {
  const prefix = prefixOf('cluster', options);
  if (nodeCluster.isWorker) return new IpcDriver(process, prefix);
  throw new Error(
    'Cannot use cluster(): this process is no worker of node:cluster, must be one. Leave the backplane out elsewhere, as ' +
      'in `backplane: isWorker ? cluster() : undefined`',
  );
}

/**
 * A backplane between the threads of one process, the main thread and `node:worker_threads`:
 * `webSockets({ backplane: workers() })`.
 *
 * @throws TypeError or RangeError for a wrong option
 *
 * @example
 * ```ts
 * import { webSockets } from 'websocket-context';
 * import { workers } from 'websocket-context/cluster';
 *
 * const sockets = webSockets({ backplane: workers({ prefix: 'shop:' }) });
 * ```
 */
export function workers(options: ClusterOptions = {}): BackplaneDriver {
  return new ThreadDriver(prefixOf('workers', options));
}

function prefixOf(maker: string, options: ClusterOptions): string {
  checkDriverOptions(maker, options, ['prefix']);
  return channelPrefix(checkPrefix(options.prefix));
}
