import express from 'express';
import { Server } from 'rpc-websockets';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

const rpc = new Server({ noServer: true }); // its own WebSocketServer, which listens to nothing
rpc.register('sum', (numbers) => (numbers as number[]).reduce((a, b) => a + b), '/rpc'); // its namespace is the path

const wss = sockets.wsServer();
wss.on('connection', (ws, req) => rpc.wss.emit('connection', ws, req));
app.get('/rpc', wss.handler);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
