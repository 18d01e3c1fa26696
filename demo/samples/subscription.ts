import { EventEmitter } from 'node:events';
import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

const prices = new EventEmitter<{ price: [string] }>().setMaxListeners(0);
setInterval(() => prices.emit('price', (100 + Math.random()).toFixed(2)), 1000).unref();

// The handler never reads. Awaiting `closed` leaves the answer to the client's close to the library.
app.get(
  '/prices',
  sockets.handler(async (socket) => {
    const forward = (price: string) => void socket.sendAsync(price);
    prices.on('price', forward);
    await socket.closed;
    prices.off('price', forward);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
