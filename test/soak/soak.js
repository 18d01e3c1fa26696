// Holds 2,000 connections open that are used and ended in every way there is, and prints what that costs over time.
//
//   npm run soak -- [--minutes 10] [--connections 2000] [--every 30]
//
// Ends with 1 if memory grows, a handle stays, a connection cannot be accounted for, or something goes unhandled.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import express from 'express';
import { webSockets } from 'websocket-context';

const { values: args } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    connections: { type: 'string', default: '2000' },
    every: { type: 'string', default: '30' },
  },
});
const duration = Number(args.minutes) * 60_000;
const interval = Number(args.every) * 1000;
// Express and the library print what is refused, except in tests.
process.env.NODE_ENV = 'test';
const unhandled = [];
for (const event of ['uncaughtException', 'unhandledRejection']) {
  process.on(event, (error) => void unhandled.push(`${event}: ${error instanceof Error ? error.stack : error}`));
}

/** What the handlers themselves throw on purpose; anything else that reaches `onError` is counted by its code. */
const errors = new Map();
const sockets = webSockets({
  // Short times, so that each way to end is gone through many times.
  keepAliveInterval: 3000,
  keepAliveTimeout: 3000,
  closeTimeout: 3000,
  handshakeTimeout: 3000,
  sendBufferLimit: 256 * 1024,
  receiveBufferLimit: 64 * 1024,
  maxPayload: 1024 * 1024,
  perMessageDeflate: { threshold: 0 },
  onError(error) {
    const name = error?.code ?? error?.message ?? String(error);
    errors.set(name, (errors.get(name) ?? 0) + 1);
  },
});

const flood = Buffer.alloc(32 * 1024, 'flood');
const app = express();
app.get('/slow', async (_req, _res, next) => {
  // Time for the client to leave before the handshake.
  await new Promise((resolve) => setTimeout(resolve, 200));
  next();
});
app.get('/{*path}', (req, res, next) => sockets.handler(serve)(req, res, next));

async function serve(socket) {
  for await (const message of socket) {
    if (message === 'return') return;
    if (message === 'throw') throw new Error('On purpose');
    if (message === 'abort') socket.abort();
    else if (message === 'tcp') await socket.closeTcpConnection();
    else if (message === 'flood')
      while (socket.state === 2)
        await Promise.all([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11].map(() => socket.sendAsync(flood)));
    else await socket.sendAsync(message);
  }
}

const baseline = handles();
const server = createServer(app);
sockets.attach(server, app);
server.listen(0, '127.0.0.1', 4096);
await once(server, 'listening');
const { port } = server.address();
const load = fork(new URL('clients.js', import.meta.url), [String(port), args.connections], { execArgv: [] });
const onLoadExit = (code, signal) => {
  console.error(`The clients have ended before their time, with ${signal ?? code}`);
  process.exit(1);
};
load.once('exit', onLoadExit);

console.log(
  `${args.connections} connections for ${args.minutes} min, node ${process.version}, ${cpus().length} × ${cpus()[0]?.model}\n`,
);
const rows = [];
const began = Date.now();
print('min', 'open', 'ended', 'heap MiB', 'buffers MiB', 'rss MiB', 'fds', 'timers', 'CPU %');
print(...Array(9).fill('---:'));
let usage = process.cpuUsage();
await new Promise((resolve) => {
  const timer = setInterval(() => {
    sample();
    if (Date.now() - began < duration) return;
    clearInterval(timer);
    resolve();
  }, interval);
});

load.send('stop');
const [ways] = await once(load, 'message');
const live = sockets.connectionCount;
const result = await sockets.close({ timeout: 5000 });
server.close();
await once(server, 'close');
load.off('exit', onLoadExit);
load.disconnect();
await once(load, 'exit');
await new Promise((resolve) => setTimeout(resolve, 200));
sample();

const left = handles();
console.log(`\nClosed at the end: ${live} connections, ${JSON.stringify(result)}`);
console.log(`Totals: ${JSON.stringify(sockets.totals)}`);
console.log(`Ways to end: ${JSON.stringify(ways)}`);
console.log(`Errors of handlers: ${JSON.stringify(Object.fromEntries(errors))}`);
console.log(`Handles before: ${JSON.stringify(baseline)}, after: ${JSON.stringify(left)}`);

const { accepted, succeeded, failed } = sockets.totals;
const during = rows.slice(0, -1);
// Caches of the runtime and of zlib fill in the first fifth.
const warm = during.slice(Math.ceil(during.length / 5));
const half = Math.floor(warm.length / 2);
// Buffers hold what slow readers have not taken yet: they go up and down by tens of MiB, and only their peak says something.
// What a peak has needed stays in the pools of blocks, up to 4 MiB of each of the two sizes.
const measures = [
  { name: 'heap, median', slack: 1, of: (part) => median(part.map((row) => row.heap)) },
  { name: 'buffers, peak', slack: 1 + 2 * 4, of: (part) => Math.max(...part.map((row) => row.buffers)) },
  { name: 'rss, median', slack: 1, of: (part) => median(part.map((row) => row.rss)) },
].map(({ name, slack, of }) => ({ name, slack, early: of(warm.slice(0, half)), late: of(warm.slice(-half)) }));
const complaints = [
  ...unhandled,
  sockets.connectionCount === 0 ? '' : `${sockets.connectionCount} connections are left`,
  accepted === succeeded + failed ? '' : `${accepted} accepted, ${succeeded} + ${failed} ended`,
  left.sockets === 0 ? '' : `${left.sockets} sockets are left`,
  left.timers <= baseline.timers ? '' : `${left.timers} timers are left`,
  left.fds <= baseline.fds + 1 ? '' : `${left.fds} file descriptors, ${baseline.fds} before`,
  ...measures.map(({ name, slack, early, late }) =>
    half === 0 || late <= early * 1.1 + slack ? '' : `${name}: grew from ${early.toFixed(1)} to ${late.toFixed(1)} MiB`,
  ),
].filter(Boolean);
if (half > 0) {
  for (const { name, early, late } of measures) {
    console.log(`${name}: ${early.toFixed(1)} MiB in the first half, ${late.toFixed(1)} MiB in the second`);
  }
}
console.log(complaints.length === 0 ? '\nPassed' : `\nFailed:\n${complaints.join('\n')}`);
process.exitCode = complaints.length === 0 ? 0 : 1;

function sample() {
  globalThis.gc?.();
  const { heapUsed, arrayBuffers, rss } = process.memoryUsage();
  const spent = process.cpuUsage(usage);
  usage = process.cpuUsage();
  const { fds, timers } = handles();
  const { succeeded, failed } = sockets.totals;
  rows.push({ heap: mib(heapUsed), buffers: mib(arrayBuffers), rss: mib(rss) });
  print(
    ((Date.now() - began) / 60_000).toFixed(1),
    sockets.connectionCount,
    succeeded + failed,
    mib(heapUsed).toFixed(1),
    mib(arrayBuffers).toFixed(1),
    Math.round(mib(rss)),
    fds,
    timers,
    Math.round((spent.user + spent.system) / 10 / interval),
  );
}

function handles() {
  const names = process.getActiveResourcesInfo();
  const count = (name) => names.filter((one) => one === name).length;
  return { fds: readdirSync('/proc/self/fd').length, sockets: count('TCPSocketWrap'), timers: count('Timeout') };
}

function print(...cells) {
  console.log(`| ${cells.join(' | ')} |`);
}

function mib(bytes) {
  return bytes / 1024 / 1024;
}

function median(numbers) {
  return numbers.sort((a, b) => a - b)[numbers.length >> 1] ?? 0;
}
