import express from 'express';
import { type CompletionCallback, type WebSocketContext, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.use('/echo', sockets);
app.get('/echo', (req, _res, next) => {
  if (!req.webSocket) return next();
  echo(req.webSocket);
});

/** One read or one write is outstanding, never both: the reader's pace is the sender's pace. */
function echo(socket: WebSocketContext): void {
  const buffer = new Uint8Array(4096);

  const onRead: CompletionCallback = (error, _context, bytes, utf8Encoded, finalFragment, close) => {
    if (error) return; // the connection is gone
    if (close) {
      const { statusCode, reason } = socket.getCloseStatus() ?? {};
      socket.sendConnectionClose(statusCode, reason, () => {}, undefined);
    } else {
      socket.writeFragment(buffer.subarray(0, bytes), { utf8Encoded, finalFragment }, onWritten, undefined);
    }
  };
  const onWritten: CompletionCallback = (error) => {
    if (!error) socket.readFragment(buffer, onRead, undefined);
  };

  socket.readFragment(buffer, onRead, undefined);
}

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
