import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
const rates = new Map([
  ['EURUSD', 1.1],
  ['GBPUSD', 1.3],
]);

app.get(
  '/ticker',
  sockets.handler(async (socket) => {
    await socket.addToGroupAsync('ticker');
    await socket.closed;
  }),
);

// Who is slow gets each pair's latest rate as soon as he has taken what is under way, and never an old one: at most one
// message for each pair waits for him, whatever the pace.
const timer = setInterval(() => {
  for (const [pair, rate] of rates) {
    const next = rate * (1 + (Math.random() - 0.5) / 1000);
    rates.set(pair, next);
    void sockets.group('ticker').sendAsync(JSON.stringify({ pair, rate: next }), { latest: pair });
  }
  // Worth nothing a moment later: who is slow does without.
  void sockets.group('ticker').sendAsync(JSON.stringify({ time: Date.now() }), { volatile: true });
}, 100);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
server.once('close', () => clearInterval(timer));
