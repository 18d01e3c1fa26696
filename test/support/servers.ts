import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import {
  createServer as createHttp2Server,
  createSecureServer as createSecureHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Server as NetServer, Socket } from 'node:net';

/** What the helpers need of the context of a test: it cleans up behind them. */
export interface TestContext {
  after(cleanUp: () => void | Promise<void>): void;
}

// A self-signed certificate for localhost and 127.0.0.1, valid until 2126, and its key, which protects nothing.
const cert = `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUJvpS5jdVVWX7lyiPSGvs9ZbezacwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMTIyMDcwOFoYDzIxMjYxMDI4
MjIwNzA4WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARurCmjPzBBsLarrV76+wM96SLRjM1nrxaLpmy8VjutDSxBUjtKN6By
DoxOG2M29keio3IfTVXmy606F3UVY/kco28wbTAdBgNVHQ4EFgQU7TZTeQX13u6I
u0/HFaSlizdDrn4wHwYDVR0jBBgwFoAU7TZTeQX13u6Iu0/HFaSlizdDrn4wDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAICMtu8svbXOnjG4xTtdq35qCq3pfYoTHoD9oZ58veqXAiEA
m7KpkKcB0zxjhAx2EyjwOYyx+pAYZRzaXxJBw/EL8dM=
-----END CERTIFICATE-----
`;
const key = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgo4BtxoxrNiYvnYAk
05kJ614rpzeCr9donvqAxDEz7jGhRANCAARurCmjPzBBsLarrV76+wM96SLRjM1n
rxaLpmy8VjutDSxBUjtKN6ByDoxOG2M29keio3IfTVXmy606F3UVY/kc
-----END PRIVATE KEY-----
`;

/** For servers that {@link makeServer} does not make. */
export const certificate: { readonly cert: string; readonly key: string } = { cert, key };

/** Handles the ordinary requests of a server; may return a promise. */
export type Handler = (req: IncomingMessage, res: ServerResponse) => unknown;

let transport: 'HTTP/1.1' | 'HTTP/2' = 'HTTP/1.1';

/** Makes all servers of {@link makeServer} speak HTTP/2, and all clients of this folder talk to them by it. */
export function overHttp2(): void {
  transport = 'HTTP/2';
}

/** A server of HTTP/2 with extended CONNECT, not listening yet; with TLS it serves HTTP/1.1 too. */
export function makeHttp2Server(app: Handler, { secure = false }: { secure?: boolean } = {}): Server {
  const listener = (req: Http2ServerRequest, res: Http2ServerResponse): void =>
    void Reflect.apply(app, undefined, [req, res]);
  const settings = { enableConnectProtocol: true };
  const server = secure
    ? createSecureHttp2Server({ cert, key, settings, allowHTTP1: true }, listener)
    : sniffing(createHttp2Server({ settings }, listener), app);
  // What the helpers want of a server it has, but for the type
  return server as NetServer as Server;
}

/** Serves ordinary requests of HTTP/1.1 on the port of a server that knows only HTTP/2. */
function sniffing(server: Http2Server, app: Handler): Http2Server {
  const ordinary = createServer((req, res) => void app(req, res));
  const [connected] = server.listeners('connection');
  server.removeAllListeners('connection').on('connection', (socket: Socket) => {
    socket.once('readable', () => {
      const start: Buffer | null = socket.read();
      if (start === null) return;
      socket.unshift(start);
      // RFC 9113, section 3.4
      if (start.toString('latin1', 0, 3) === 'PRI') Reflect.apply(connected as () => void, server, [socket]);
      else ordinary.emit('connection', socket);
    });
  });
  server.once('close', () => ordinary.close());
  return server;
}

/** Whether {@link overHttp2} has been called. */
export function isOverHttp2(): boolean {
  return transport === 'HTTP/2';
}

/** Whether `server` speaks HTTP/2. */
export function isHttp2(server: NetServer): boolean {
  return 'updateSettings' in server;
}

/** A server for a test, not listening yet, with TLS if it is to be secure. */
export const makeServer = (app: Handler, { secure = false }: { secure?: boolean } = {}): Server => {
  if (transport === 'HTTP/2') return makeHttp2Server(app, { secure });
  const listener = (req: IncomingMessage, res: ServerResponse): void => void app(req, res);
  return secure ? createSecureServer({ cert, key }, listener) : createServer(listener);
};

/** Lets `server` listen on a free port until the end of the test, when it and all its sockets are closed. */
export const listen = async <S extends NetServer>(t: TestContext, server: S): Promise<S> => {
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  t.after(async () => {
    for (const socket of sockets) socket.destroy();
    if (!server.listening) return;
    server.close();
    await once(server, 'close');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
};

/** Makes a server that answers with `app` and lets it listen. */
export const serve = (t: TestContext, app: Handler, options: { secure?: boolean } = {}): Promise<Server> =>
  listen(t, makeServer(app, options));

/** The port that `server` listens on. */
export const portOf = (server: NetServer): number => (server.address() as AddressInfo).port;

/** The URL of `server` for HTTP clients, without a slash at its end. */
export const urlOf = (server: Server): string =>
  `${'setSecureContext' in server ? 'https' : 'http'}://127.0.0.1:${portOf(server)}`;

/** The URL of `server` for WebSocket clients. */
export const webSocketUrlOf = (server: Server): string => urlOf(server).replace('http', 'ws');
