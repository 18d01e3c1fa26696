import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// One message of many rows, none of which has to wait for the others
app.get(
  '/report',
  sockets.handler(async (socket) => {
    await socket.sendAsync('day,visitors\n', { endOfMessage: false });
    for await (const row of rows()) await socket.sendAsync(row, { endOfMessage: false });
    await socket.sendAsync('end\n');
  }),
);

async function* rows(): AsyncGenerator<string> {
  for (let day = 1; day <= 7; day += 1) yield `${day},${day * 100}\n`;
}

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
