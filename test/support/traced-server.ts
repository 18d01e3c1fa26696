import { once } from 'node:events';
import type { Express } from 'express';
import { WebSocket } from 'ws';
import type { WebSockets } from '../../src/index.js';
import { portOf } from './servers.js';

/**
 * Lets two users at a time into rooms whose handlers fail when they say something, and refuses a third. Not one ordinary
 * request comes before them.
 */
export async function visitTracedServer(app: Express, sockets: WebSockets): Promise<void> {
  app.get(
    '/room/:id',
    sockets.handler(async (socket) => {
      await socket.receiveMessageAsync();
      throw new Error(`boom in room ${socket.requestUri.pathname}`);
    }),
  );
  app.get('/private/:id', (_req, res) => void res.status(401).send('Who are you?'));
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  sockets.attach(server, app);
  const url = `ws://127.0.0.1:${portOf(server)}`;

  const clients = ['ann', 'bob'].map((user, id) => new WebSocket(`${url}/room/${id}?user=${user}`));
  await Promise.all(clients.map((client) => once(client, 'open')));
  for (const client of clients) {
    client.send('fail');
    await once(client, 'close');
  }
  const refused = new WebSocket(`${url}/private/7?user=eve`);
  const [, response] = await once(refused, 'unexpected-response');
  response.resume();
  await once(response, 'close');
  server.close();
}
