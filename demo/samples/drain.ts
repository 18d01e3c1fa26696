import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

app.get(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);

for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => void drain());

async function drain(): Promise<void> {
  console.log(await sockets.close({ code: 1001, reason: 'restarting', timeout: 5000 }));
  // pm2, as any cluster, keeps a process running for as long as it is connected
  server.close(() => process.connected && process.disconnect());
}
