import { createBirpc } from 'birpc';
import express from 'express';
import { webSockets } from 'websocket-context';

/** What the client answers. */
export interface ClientFunctions {
  confirm(question: string): Promise<boolean>;
}

/** What the server answers. */
export interface ServerFunctions {
  remove(name: string): Promise<string>;
}

const app = express();
const sockets = webSockets();

app.get(
  '/files',
  sockets.handler(async (socket) => {
    let receive: (message: unknown) => void = () => {};
    const functions: ServerFunctions = {
      remove: async (name) => ((await client.confirm(`Remove ${name}?`)) ? 'removed' : 'kept'),
    };
    const client = createBirpc<ClientFunctions, ServerFunctions>(functions, {
      post: (message) => socket.sendAsync(message),
      on: (listener) => {
        receive = listener;
      },
      serialize: JSON.stringify,
      deserialize: JSON.parse,
    });
    for await (const message of socket) receive(message);
    client.$close(); // whoever still waits for an answer is told
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
