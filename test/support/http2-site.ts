import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ClientHttp2Session, ClientHttp2Stream, IncomingHttpHeaders } from 'node:http2';
import type { Server } from 'node:net';
import { type WebSocketContext, type WebSocketOptions, type WebSockets, webSockets } from '../../src/index.js';
import { anyFramework, type TestApp } from './apps.js';
import { connectRequest, http2Session } from './http2-tunnel.js';
import { listen, makeHttp2Server, type TestContext } from './servers.js';

export async function echo(socket: WebSocketContext): Promise<void> {
  for await (const message of socket) await socket.sendAsync(message);
}

interface Http2Site {
  readonly server: Server;
  readonly sockets: WebSockets;
  readonly session: ClientHttp2Session;
  readonly errors: unknown[];
}

/** An application on a server of HTTP/2, and a session with it. */
export async function site(
  t: TestContext,
  build: (app: TestApp, sockets: WebSockets) => void,
  options: WebSocketOptions & { secure?: boolean } = {},
): Promise<Http2Site> {
  const { secure = false, ...rest } = options;
  const errors: unknown[] = [];
  const sockets = webSockets({ onError: (error) => void errors.push(error), ...rest });
  const app = anyFramework();
  build(app, sockets);
  const server = await listen(
    t,
    makeHttp2Server((_req, res) => void res.end('ordinary'), { secure }),
  );
  sockets.attach(server, app);
  return { server, sockets, session: await http2Session(t, server), errors };
}

/** Asks for a WebSocket. */
export function ask(session: ClientHttp2Session, path = '/', headers: Record<string, string> = {}): ClientHttp2Stream {
  const stream = connectRequest(session, { ':path': path, 'sec-websocket-version': '13', ...headers });
  stream.on('error', () => {});
  return stream;
}

export interface Answer {
  readonly stream: ClientHttp2Stream;
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
}

export async function answerTo(stream: ClientHttp2Stream): Promise<Answer> {
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  return { stream, status: Number(headers[':status']), headers };
}

/** An open WebSocket. */
export async function openStream(session: ClientHttp2Session, path = '/'): Promise<ClientHttp2Stream> {
  const { stream, status } = await answerTo(ask(session, path));
  assert.equal(status, 200);
  return stream;
}

/** How a stream ended: what came in all, whether by END_STREAM, and the code of the reset. */
export async function endOf(
  stream: ClientHttp2Stream,
): Promise<{ body: Buffer; ended: boolean; code: number | undefined; trailers: IncomingHttpHeaders }> {
  const chunks: Buffer[] = [];
  let ended = false;
  let trailers: IncomingHttpHeaders = {};
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  stream.on('trailers', (fields) => {
    trailers = fields;
  });
  stream.on('end', () => {
    ended = true;
  });
  if (!stream.closed || !stream.destroyed) await once(stream, 'close');
  return { body: Buffer.concat(chunks), ended, code: stream.rstCode, trailers };
}
