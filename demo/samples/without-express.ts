import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { webSockets } from 'websocket-context';

const sockets = webSockets();

const echo = sockets.handler(async (socket) => {
  for await (const message of socket) await socket.sendAsync(message);
});

/** Answers requests and upgrade requests alike. */
function handle(req: IncomingMessage, res: ServerResponse): void {
  const { pathname, searchParams } = new URL(req.url ?? '/', 'http://localhost');
  if (pathname !== '/echo') answer(404);
  else if (searchParams.get('key') !== 'secret') answer(401);
  // `next` gets the refusal of a handshake: another origin, or no WebSocket request.
  else echo(req, res, (error) => answer(error instanceof Error && 'status' in error ? Number(error.status) : 500));

  function answer(status: number): void {
    res.writeHead(status).end();
  }
}

export const server = createServer(handle).listen(process.env.PORT ?? 8080);
sockets.attach(server, handle);
