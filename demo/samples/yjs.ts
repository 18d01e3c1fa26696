import { setupWSConnection } from '@y/websocket-server/utils';
import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

const wss = sockets.wsServer();
wss.on('connection', (ws, req) => setupWSConnection(ws, req, { docName: req.params.room }));
app.get('/documents/:room', wss.handler); // new WebsocketProvider('ws://localhost:8080/documents', room, doc)

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
