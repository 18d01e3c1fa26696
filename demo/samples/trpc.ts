import { initTRPC } from '@trpc/server';
import { applyWSSHandler } from '@trpc/server/adapters/ws';
import express from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

const t = initTRPC.create();
const router = t.router({
  hello: t.procedure.query(() => 'world'),
  ticks: t.procedure.subscription(async function* () {
    for (let i = 1; i <= 3; i++) yield i;
  }),
});
export type Router = typeof router;

const wss = sockets.wsServer();
const trpc = applyWSSHandler({ wss, router });
app.get('/trpc', wss.handler);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);

process.once('SIGTERM', () => {
  trpc.broadcastReconnectNotification(); // clients come back, to the process that follows this one
  void sockets.close().then(() => server.close());
});
