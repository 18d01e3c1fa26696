import express from 'express';
import Fastify from 'fastify';
import { webSockets } from 'websocket-context';

const fastify = Fastify();
fastify.get('/', async () => 'a page of Fastify');

const app = express(); // for the upgrade requests of the same server
const sockets = webSockets();

app.get(
  '/echo',
  sockets.handler(async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  }),
);

export const { server } = fastify;
sockets.attach(server, app);
await fastify.listen({ port: Number(process.env.PORT ?? 8080), host: process.env.HOST ?? 'localhost' });
