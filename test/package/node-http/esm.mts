import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  type WebSocketContext,
  WebSocketError,
  WebSocketMessageType,
  type WebSocketOptions,
  WebSocketState,
  webSockets,
} from 'websocket-context';
import { connect, HandshakeRefusedError } from 'websocket-context/testing';

const options: WebSocketOptions = {
  origin: ['https://example.com'],
  subProtocols: ['v2.chat', 'v1.chat'],
  keepAliveInterval: 10_000,
  onError: (error: unknown, socket: WebSocketContext, req: IncomingMessage): void => {
    if (error instanceof WebSocketError) console.error(error.code, error.hresult, socket.state, req.url);
  },
};
const sockets = webSockets(options);

async function echo(socket: WebSocketContext): Promise<void> {
  while (socket.state === WebSocketState.Open) {
    const { data, messageType, endOfMessage } = await socket.receiveAsync();
    if (messageType !== WebSocketMessageType.Close) await socket.sendAsync(data, { messageType, endOfMessage });
  }
}

const handler = sockets.handler(async (socket, req) => {
  const path: string | undefined = req.url;
  // @ts-expect-error nothing of Express
  req.query;
  if (path === '/echo') await echo(socket);
});

const app = (req: IncomingMessage, res: ServerResponse, next?: (error?: unknown) => void): void => {
  handler(req, res, (error?: unknown) => next?.(error));
};
const server = createServer(app);
const detach: () => void = sockets.attach(server, app);
server.on('close', detach);
server.listen();

export async function test(): Promise<void> {
  await using client = await connect(app, '/echo', { subProtocols: ['v1.chat'] });
  const message: string | Buffer | undefined = await client.receiveAsync();
  if (message === undefined) throw new HandshakeRefusedError(500, client.headers, '');
}
