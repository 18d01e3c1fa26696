import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

/** COMMAND, headers, an empty line, a body, and NUL: the frames of STOMP, one in each message. */
function parse(frame: string) {
  const [head = '', body = ''] = frame.replace(/\0$/, '').split('\n\n', 2);
  const [command, ...lines] = head.split('\n');
  const headers = Object.fromEntries(lines.map((line) => line.split(':', 2)));
  return { command, headers, body };
}

app.get(
  '/stomp',
  sockets.handler(
    async (socket) => {
      let id = 0;
      let subscription: string | undefined;
      for await (const frame of socket) {
        const { command, headers, body } = parse(String(frame));
        if (command === 'CONNECT') await socket.sendAsync('CONNECTED\nversion:1.2\n\n\0');
        if (command === 'SUBSCRIBE') subscription = headers.id;
        if (command === 'SEND' && subscription !== undefined) {
          const { destination } = headers;
          const lines = [`subscription:${subscription}`, `message-id:${++id}`, `destination:${destination}`];
          await socket.sendAsync(`MESSAGE\n${lines.join('\n')}\n\n${body}\0`);
        }
        if (command === 'DISCONNECT') await socket.sendAsync(`RECEIPT\nreceipt-id:${headers.receipt}\n\n\0`);
      }
    },
    { subProtocols: ['v12.stomp'] },
  ),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
