import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
let price = 100;

/** Work before a send, which may fail. */
async function refresh(): Promise<void> {
  if (Math.random() < 0.1) throw new Error('no price today');
  price += Math.random() - 0.5;
}

app.get(
  '/prices',
  sockets.handler(async (socket) => {
    const tick = setInterval(() => void socket.sendAsync('tick'), 100); // not async, no await
    const prices = setInterval(() => {
      refresh()
        .then(() => void socket.sendAsync(price.toFixed(2))) // void: its failure is not that of the chain
        .catch((error) => console.error(error.message));
    }, 100);
    socket.closing.addEventListener('abort', () => {
      clearInterval(tick);
      clearInterval(prices);
    });
    await socket.closed;
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
