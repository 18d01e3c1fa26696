import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/orders',
  sockets.handler(async (socket) => {
    const orders: string[] = [];
    for await (const order of socket) orders.push(String(order)); // ends at the client's close
    for (const order of orders.sort()) await socket.sendAsync(`${order} is on its way`);
    await socket.closeAsync(1000); // the acknowledgement
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
