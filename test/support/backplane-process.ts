import { parentPort, workerData } from 'node:worker_threads';
import { LocalNode } from './backplane-node.js';
import type { Call, NodeSettings, Report } from './remote-node.js';

// A node of its own, in a process, a worker of node:cluster or a thread; see remote-node.ts.
const settings: NodeSettings = workerData ?? JSON.parse(process.argv[2] ?? '');
const node = new LocalNode(settings.kind, settings.port, settings.prefix, settings.members);

function report(message: Report): void {
  if (parentPort) parentPort.postMessage(message);
  else process.send?.(message);
}

node.changes.on('change', (arrival) => {
  if (arrival) report({ arrival });
  else report({ status: node.statuses.at(-1) ?? 'none', error: node.errors.at(-1) ?? '' });
});

function onCall(call: Call): void {
  if (typeof call.call !== 'number') return;
  const args = call.args.map((arg) =>
    arg instanceof Object && 'hex' in arg ? Buffer.from(String(arg.hex), 'hex') : arg,
  );
  const method: (...args: unknown[]) => Promise<unknown> = Reflect.get(node, call.method);
  method.apply(node, args).then(
    (result) => {
      report({ call: call.call, result });
      // Nothing else may keep it alive.
      if (call.method === 'close') (parentPort ?? process).removeListener('message', onCall);
    },
    (error) => report({ call: call.call, error: String(error) }),
  );
}

(parentPort ?? process).on('message', onCall);
report({ started: true });
