import express from 'express';
import { JSONRPCServer } from 'json-rpc-2.0';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

const rpc = new JSONRPCServer();
rpc.addMethod('add', ([a, b]: [number, number]) => a + b);

app.get(
  '/rpc',
  sockets.handler(async (socket) => {
    for await (const request of socket) {
      const response = await rpc.receiveJSON(String(request)); // null for a notification
      if (response) await socket.sendAsync(JSON.stringify(response));
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
