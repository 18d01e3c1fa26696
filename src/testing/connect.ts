import { randomBytes } from 'node:crypto';
import { createServer, type IncomingMessage, type OutgoingHttpHeaders, request, type Server } from 'node:http';
import { Server as SecureServer } from 'node:https';
import { checkOptions, type OptionNames, typeOf } from '../arguments.js';
import { whileUncancelled } from '../connection/cancellation.js';
import { Deferred } from '../connection/deferred.js';
import { checkSignal } from '../context/data.js';
import type { CancelOptions } from '../context/web-socket-context.js';
import { WebSocketError } from '../errors.js';
import { webSockets } from '../middleware.js';
import { isAttached } from '../upgrade/attach.js';
import type { AppFunction } from '../upgrade/chain.js';
import { WebSocketClient } from './client.js';
import { HandshakeRefusedError } from './handshake-refused-error.js';
import { MemorySocket } from './memory-socket.js';

/** Options of `connect`. */
export interface ConnectOptions extends CancelOptions {
  /** Headers of the request, over those of a handshake; `Host` is `localhost` unless given here. */
  readonly headers?: OutgoingHttpHeaders | undefined;
  /** The subprotocols to offer, best first. Default: none. */
  readonly subProtocols?: readonly string[] | undefined;
  /** The `Origin` header, as a browser sends it. Default: none, as other clients do. */
  readonly origin?: string | undefined;
  /** Whether the request comes over TLS (`wss:`): `req.secure`, secure cookies. Default: as the server is. */
  readonly secure?: boolean | undefined;
}

const connectOptions: OptionNames<ConnectOptions> = {
  headers: true,
  subProtocols: true,
  origin: true,
  secure: true,
  signal: true,
};

/**
 * Opens a WebSocket connection to an application for a test: no port, no network, and otherwise the way of every request:
 * HTTP/1.1 through a server, `attach`, all middleware and the handshake.
 *
 * @param app an Express or Connect application or another function that handles requests, which is attached to a server
 *   of its own; or the server that it was attached to, which need not listen
 * @param path where to, such as `'/chat/42?as=guest'`
 * @returns the client, when the handshake has been performed
 * @throws HandshakeRefusedError if the application answers otherwise
 * @throws WebSocketError ERR_WEBSOCKET_NOT_ATTACHED if nothing was attached to the server,
 *   ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY if it drops the connection without an answer
 * @throws the reason of `signal`, which covers the handshake
 *
 * @example
 * ```ts
 * import assert from 'node:assert/strict';
 * import { connect } from 'websocket-context/testing';
 *
 * await using client = await connect(app, '/echo', { headers: { cookie: 'sid=42' } });
 * await client.sendAsync('hello');
 * assert.equal(await client.receiveAsync(), 'hello');
 * ```
 */
export async function connect(
  app: AppFunction | Server | SecureServer,
  path: string,
  options?: ConnectOptions,
): Promise<WebSocketClient> {
  checkOptions(options, connectOptions, 'connect');
  const signal = checkSignal(options?.signal, 'connect');
  signal?.throwIfAborted();
  const server = serverOf(app);
  const isSecureServer = server instanceof SecureServer;
  const { secure = isSecureServer } = options ?? {};
  const ends = MemorySocket.pair(secure);
  const outgoing = request({
    path: targetOf(path),
    headers: headersOf(options ?? {}),
    createConnection: () => ends.client,
  });
  const answer = new Deferred<WebSocketClient>();
  const reject = (error: unknown): void => answer.reject(error);
  // Nothing comes in one chunk with it: each write is one of its own.
  outgoing.on('upgrade', ({ headers }) => answer.resolve(new WebSocketClient(ends.client, headers)));
  outgoing.on('response', (response) => void refusal(response).then(reject, reject));
  outgoing.on('error', (error) => reject(noAnswer(error)));
  // TLS is what stands between the two events.
  server.emit(isSecureServer ? 'secureConnection' : 'connection', ends.server);
  outgoing.end();
  if (signal === undefined) return answer.promise;
  return whileUncancelled(answer.promise, signal, () => {
    reject(signal.reason);
    outgoing.destroy();
  });
}

function serverOf(app: AppFunction | Server | SecureServer): Server | SecureServer {
  if (typeof app === 'function') {
    const server = createServer();
    webSockets().attach(server, app);
    return server;
  }
  if (typeof app?.emit !== 'function') {
    throw new TypeError(
      `Cannot connect: app is ${typeOf(app)}, must be the function that handles requests, or an http.Server`,
    );
  }
  if (!isAttached(app)) {
    throw new WebSocketError(
      'ERR_WEBSOCKET_NOT_ATTACHED',
      'Cannot connect: no application has been attached to the server, call sockets.attach(server, app) before',
    );
  }
  return app;
}

/** The target of the request line, encoded as a browser would. */
function targetOf(path: string): string {
  if (typeof path !== 'string' || !path.startsWith('/')) {
    throw new TypeError(`Cannot connect: path is ${JSON.stringify(path)}, must begin with /, such as '/chat/42'`);
  }
  const { pathname, search } = new URL(`http://localhost${path}`);
  return pathname + search;
}

function headersOf({ headers = {}, subProtocols = [], origin }: ConnectOptions): OutgoingHttpHeaders {
  const all: OutgoingHttpHeaders = {
    host: 'localhost',
    connection: 'Upgrade',
    upgrade: 'websocket',
    'sec-websocket-version': '13',
    'sec-websocket-key': randomBytes(16).toString('base64'),
  };
  if (origin !== undefined) all['origin'] = origin;
  if (subProtocols.length > 0) all['sec-websocket-protocol'] = subProtocols.join(', ');
  for (const [name, value] of Object.entries(headers)) {
    const key = name.toLowerCase();
    if (value === undefined) delete all[key];
    else all[key] = value;
  }
  return all;
}

/** What the server has answered in place of a 101. */
async function refusal(response: IncomingMessage): Promise<HandshakeRefusedError> {
  response.setEncoding('utf8');
  let body = '';
  for await (const chunk of response) body += chunk;
  return new HandshakeRefusedError(response.statusCode as number, response.headers, body);
}

function noAnswer(cause: Error): WebSocketError {
  return new WebSocketError(
    'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY',
    'Cannot connect: the server dropped the connection without an answer',
    { cause },
  );
}
