import nodeCluster from 'node:cluster';
import { availableParallelism } from 'node:os';
import express from 'express';
import { webSockets } from 'websocket-context';
import { cluster, relay } from 'websocket-context/cluster';

if (nodeCluster.isPrimary) {
  relay();
  for (let count = Number(process.env.WORKERS ?? availableParallelism()); count > 0; count--) nodeCluster.fork();
  for (const signal of ['SIGTERM', 'SIGINT']) {
    process.once(signal, () => {
      for (const worker of Object.values(nodeCluster.workers ?? {})) worker?.process.kill('SIGTERM');
    });
  }
} else {
  serve();
}

function serve(): void {
  const app = express();
  const sockets = webSockets({ backplane: cluster() });

  app.get(
    '/rooms/:room',
    sockets.handler(async (socket, req) => {
      const room = sockets.group(`room:${req.params.room}`);
      await socket.addToGroupAsync(room.name);
      for await (const message of socket) await room.sendAsync(`${process.pid}: ${message}`);
    }),
  );

  const server = app.listen(process.env.PORT ?? 8080);
  sockets.attach(server, app);

  process.on('SIGINT', () => {}); // Ctrl+C reaches the workers too: wait for what the primary says
  process.once('SIGTERM', () => {
    void sockets.close({ code: 1012, reason: 'restarting' }).then(() => nodeCluster.worker?.disconnect());
  });
}
