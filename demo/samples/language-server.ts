import express from 'express';
import { createWebSocketConnection, type IWebSocket } from 'vscode-ws-jsonrpc';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/language-server',
  sockets.handler(({ ws }) => {
    const socket: IWebSocket = {
      send: (content) => ws.send(content),
      onMessage: (callback) => ws.on('message', (data) => callback(String(data))),
      onError: (callback) => ws.on('error', callback),
      onClose: (callback) => ws.on('close', (code, reason) => callback(code, String(reason))),
      dispose: () => ws.close(),
    };
    const connection = createWebSocketConnection(socket, console);
    connection.onRequest('textDocument/hover', () => ({ contents: 'a hint' }));
    connection.listen();
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
