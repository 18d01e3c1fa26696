import { WebSocket } from 'ws';

/**
 * 500 clients in a process of their own, because a browser opens no more than 200 to 255 connections. Some of them are
 * slow on purpose: they read what has arrived, and then nothing for a while.
 */
const CLIENTS = 500;
const SLOW_OF_EACH = 5;
const SLOW_READS_EVERY_MS = 2000;
const REPORT_MS = 250;
const policies = ['wait', 'volatile', 'latest'];

/** Of the one server process, or of both; the slow clients are all at the first. */
const ports = process.argv.slice(2);
const readAt: Record<string, number> = {};
/** Since the last report: how old the messages were when they were read, in milliseconds. */
const ages = new Map<string, number[]>();

for (let index = 0; index < CLIENTS; index += 1) {
  const policy = policies[index % policies.length] ?? '';
  const isSlow = index < SLOW_OF_EACH * policies.length;
  connect(isSlow ? 0 : Math.floor(index / policies.length) % ports.length, policy, isSlow);
}

setInterval(() => {
  const groups = policies.map((policy) => {
    return { policy, fast: summary(`${policy} fast`), slow: summary(`${policy} slow`) };
  });
  ages.clear();
  process.send?.({ interval: REPORT_MS, groups, readAt: ports.map((_port, place) => readAt[place] ?? 0) });
}, REPORT_MS);
process.once('disconnect', () => process.exit());

function connect(place: number, policy: string, isSlow: boolean): void {
  const pace = isSlow ? 'slow' : 'fast';
  const socket = new WebSocket(`ws://127.0.0.1:${ports[place]}/broadcast/member?policy=${policy}&pace=${pace}`);
  const key = `${policy} ${pace}`;
  const nap = isSlow ? setInterval(() => socket.isPaused && socket.resume(), SLOW_READS_EVERY_MS) : undefined;
  socket.on('message', (data: Buffer) => {
    const known = ages.get(key) ?? [];
    known.push(Date.now() - data.readDoubleBE());
    ages.set(key, known);
    readAt[place] = (readAt[place] ?? 0) + 1;
    if (isSlow) socket.pause();
  });
  socket.on('error', () => {});
  socket.on('close', () => {
    clearInterval(nap);
    setTimeout(connect, 1000, place, policy, isSlow);
  });
}

function summary(key: string): { count: number; median: number | null; oldest: number | null } {
  const sorted = (ages.get(key) ?? []).sort((a, b) => a - b);
  return { count: sorted.length, median: sorted[sorted.length >> 1] ?? null, oldest: sorted.at(-1) ?? null };
}
