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
/** Of the clients of one policy and pace. */
interface Reading {
  /** How many of them are connected. */
  open: number;
  /** How many messages they have read. */
  count: number;
  /** How old those since the last report were when they were read, in milliseconds. */
  ages: number[];
}

const readings = new Map<string, Reading>();

for (let index = 0; index < CLIENTS; index += 1) {
  const policy = policies[index % policies.length] ?? '';
  const isSlow = index < SLOW_OF_EACH * policies.length;
  connect(isSlow ? 0 : Math.floor(index / policies.length) % ports.length, policy, isSlow);
}

setInterval(() => {
  const groups = policies.map((policy) => {
    return { policy, fast: summary(`${policy} fast`), slow: summary(`${policy} slow`) };
  });
  process.send?.({ at: Date.now(), groups, readAt: ports.map((_port, place) => readAt[place] ?? 0) });
}, REPORT_MS);
process.once('disconnect', () => process.exit());

function connect(place: number, policy: string, isSlow: boolean): void {
  const pace = isSlow ? 'slow' : 'fast';
  const socket = new WebSocket(`ws://127.0.0.1:${ports[place]}/broadcast/member?policy=${policy}&pace=${pace}`);
  const reading = readingOf(`${policy} ${pace}`);
  const nap = isSlow ? setInterval(() => socket.isPaused && socket.resume(), SLOW_READS_EVERY_MS) : undefined;
  socket.on('message', (data: Buffer) => {
    reading.count += 1;
    reading.ages.push(Date.now() - data.readDoubleBE());
    readAt[place] = (readAt[place] ?? 0) + 1;
    if (isSlow) socket.pause();
  });
  socket.on('error', () => {});
  socket.on('open', () => {
    reading.open += 1;
    socket.on('close', () => {
      reading.open -= 1;
    });
  });
  socket.on('close', () => {
    clearInterval(nap);
    setTimeout(connect, 1000, place, policy, isSlow);
  });
}

function readingOf(key: string): Reading {
  const reading = readings.get(key) ?? { open: 0, count: 0, ages: [] };
  readings.set(key, reading);
  return reading;
}

function summary(key: string): { open: number; count: number; median: number | null; oldest: number | null } {
  const reading = readingOf(key);
  const sorted = reading.ages.sort((a, b) => a - b);
  reading.ages = [];
  const { open, count } = reading;
  return { open, count, median: sorted[sorted.length >> 1] ?? null, oldest: sorted.at(-1) ?? null };
}
