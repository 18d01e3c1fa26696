import http = require('node:http');
import websockets = require('websocket-context');

const sockets: websockets.WebSockets = websockets.webSockets();
const handler = sockets.handler(async (socket, req) => {
  const path: string | undefined = req.url;
  if (path !== '/echo') return;
  for await (const message of socket) {
    const data: string | Buffer = message;
    await socket.sendAsync(data);
  }
});
const app = (req: http.IncomingMessage, res: http.ServerResponse, next?: (error?: unknown) => void): void => {
  handler(req, res, (error?: unknown) => next?.(error));
};
const server = http.createServer(app);
sockets.attach(server, app);
server.listen();
