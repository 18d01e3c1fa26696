import { setTimeout as sleep } from 'node:timers/promises';
import express from 'express';
import { webSockets } from 'websocket-context';

/** `burst` messages at once, one every `interval` ms in the long run. `take` says how many ms one comes too early. */
function bucket(burst: number, interval: number) {
  let next = Number.NEGATIVE_INFINITY;
  return function take(): number {
    const now = performance.now();
    next = Math.max(next, now - interval * burst) + interval;
    return Math.max(0, next - now);
  };
}

const app = express();
const sockets = webSockets();

// Whoever is too fast is sent away.
const strict = sockets.handler(async (socket) => {
  const take = bucket(10, 100);
  for await (const message of socket) {
    if (take() > 0) return socket.closeAsync(1008, 'At most 10 messages a second');
    await socket.sendAsync(message);
  }
});

// Whoever is too fast is read more slowly, and waits: unread input stops the sender.
const gentle = sockets.handler(async (socket) => {
  const take = bucket(10, 100);
  for await (const message of socket) {
    await socket.sendAsync(message);
    await sleep(take(), undefined, { signal: socket.signal });
  }
});

export const server = app
  .get('/strict', strict)
  .get('/gentle', gentle)
  .listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
