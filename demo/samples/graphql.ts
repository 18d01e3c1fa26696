import express from 'express';
import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

const schema = buildSchema('type Query { hello: String } type Subscription { countdown(from: Int!): Int }');

async function* countdown({ from }: { from: number }) {
  for (let i = from; i >= 0; i--) yield { countdown: i };
}

const wss = sockets.wsServer();
useServer({ schema, roots: { query: { hello: () => 'world' }, subscription: { countdown } } }, wss);
app.get('/graphql', wss.handler); // behind your own authentication, if you like

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
