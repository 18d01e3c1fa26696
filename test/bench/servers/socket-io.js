// Socket.IO over WebSocket only. Its messages are events with a name and its binary ones come as two frames; the load
// generator sends and expects exactly what its client would (Engine.IO protocol 4, Socket.IO protocol 5).
import { createServer } from 'node:http';
import { Server } from 'socket.io';
import { BURST, deflate, PUSHED, serve } from './serve.js';

const HIGH_WATER_MARK = 1000;

const server = createServer();
const io = new Server(server, {
  transports: ['websocket'],
  serveClient: false,
  perMessageDeflate: deflate,
  maxHttpBufferSize: 1e9,
  // Longer than any measurement, so that no heartbeat stands between the messages that are counted.
  pingInterval: 1e8,
});

io.on('connection', (socket) => {
  socket.on('echo', (data) => socket.emit('echo', data));
  socket.on('push', () => {
    const { conn } = socket;
    const pump = () => {
      while (socket.connected && conn.writeBuffer.length < HIGH_WATER_MARK) socket.emit('m', PUSHED);
    };
    conn.on('drain', pump);
    pump();
  });
  socket.on('burst', () => {
    for (let i = 0; i < BURST; i++) io.emit('m', PUSHED);
  });
  socket.on('upload', (data) => socket.emit('size', data.length));
});

await serve(server);
