import express from 'express'; // 5 or 4; Connect: import express from 'connect'
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.use(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app); // upgrade requests now travel through app
