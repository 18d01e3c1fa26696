import { createServer } from 'node:http';
import { webSockets } from 'websocket-context';

const sockets = webSockets();
const echo = sockets.handler(async (socket) => {
  for await (const message of socket) await socket.sendAsync(message);
});
const app = (req, res, next) => (req.url === '/echo' ? echo(req, res, next) : next());

const server = createServer(app);
sockets.attach(server, app);
server.listen();
