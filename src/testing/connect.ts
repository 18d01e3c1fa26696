import { randomBytes } from 'node:crypto';
import { createServer, type OutgoingHttpHeaders } from 'node:http';
import { Server as SecureServer } from 'node:tls';
import { checkOptions, type OptionNames, typeOf } from '../arguments.js';
import { whileUncancelled } from '../connection/cancellation.js';
import { Deferred } from '../connection/deferred.js';
import { checkSignal } from '../context/data.js';
import type { CancelOptions } from '../context/web-socket-context.js';
import { WebSocketError } from '../errors.js';
import { webSockets } from '../middleware.js';
import { type AttachableServer, isAttached } from '../upgrade/attach.js';
import type { AppFunction } from '../upgrade/chain.js';
import type { WebSocketClient } from './client.js';
import type { Handshake } from './handshake.js';
import { askOverHttp1 } from './http1-handshake.js';
import { askOverHttp2 } from './http2-handshake.js';

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
 * Opens a WebSocket connection to an application for a test: no port, no network, and otherwise the way of every request
 * through a server, `attach`, all middleware and the handshake. It is an upgrade request of HTTP/1.1; to a server of
 * `node:http2` that was created with `settings: { enableConnectProtocol: true }` it is the extended CONNECT of HTTP/2 (RFC 8441).
 *
 * @param app an Express or Connect application or another function that handles requests, which is attached to a server
 *   of its own; or the server that it was attached to, of `node:http`, `node:https` or `node:http2`, which need not listen
 * @param path where to, such as `'/chat/42?as=guest'`
 * @returns the client, when the handshake has been performed
 * @throws HandshakeRefusedError if the application answers otherwise
 * @throws WebSocketError ERR_WEBSOCKET_NOT_ATTACHED if nothing was attached to the server,
 *   ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY if it drops the connection without an answer
 * @throws TypeError for a wrong argument, such as a server that takes no WebSockets: one of `node:http2` with neither
 *   `settings: { enableConnectProtocol: true }` nor `allowHTTP1: true`
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
  app: AppFunction | AttachableServer,
  path: string,
  options?: ConnectOptions,
): Promise<WebSocketClient> {
  checkOptions(options, connectOptions, 'connect');
  const signal = checkSignal(options?.signal, 'connect');
  signal?.throwIfAborted();
  const server = serverOf(app);
  const { secure = server instanceof SecureServer } = options ?? {};
  const answer = new Deferred<WebSocketClient>();
  const abandon = begin(server, { path: targetOf(path), headers: headersOf(options ?? {}), secure, answer });
  if (signal === undefined) return answer.promise;
  return whileUncancelled(answer.promise, signal, () => {
    answer.reject(signal.reason);
    abandon();
  });
}

/** @returns gives the handshake up */
function begin(server: AttachableServer, handshake: Handshake): () => void {
  if (!('updateSettings' in server)) return askOverHttp1(server, handshake);
  let abandon = askOverHttp2(server, handshake, () => {
    // Only a server with `allowHTTP1` has it
    if ('requestTimeout' in server) abandon = askOverHttp1(server, handshake);
    else handshake.answer.reject(takesNoWebSockets());
  });
  return () => abandon();
}

function takesNoWebSockets(): TypeError {
  return new TypeError(
    'Cannot connect: the server of HTTP/2 takes no WebSockets, create it with settings: { enableConnectProtocol: true }',
  );
}

function serverOf(app: AppFunction | AttachableServer): AttachableServer {
  if (typeof app === 'function') {
    const server = createServer();
    webSockets().attach(server, app);
    return server;
  }
  if (typeof app?.emit !== 'function') {
    throw new TypeError(
      `Cannot connect: app is ${typeOf(app)}, must be the function that handles requests, or a server of node:http, node:https or node:http2`,
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
