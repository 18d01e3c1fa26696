import express, { type Request, type Response } from 'express';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
app.use((req, _res, next) => next(void Object.assign(req, { user: { name: 'Ada' } })));

type Feed = Request<{ room: string }, unknown, unknown, { since?: string }>;

app.get(
  '/feed/:room',
  sockets.handler<Feed, Response>(async (socket, req) => {
    const { name } = socket.user as { name: string }; // of your middleware, so its type is yours to say
    await socket.sendAsync(`${name} in ${req.params.room} since ${req.query.since ?? 'now'}`);
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
