import { createServer } from 'node:http';
import connect from 'connect';
import { webSockets } from 'websocket-context';

const app = connect();
const sockets = webSockets();

app.use(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = createServer(app).listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
