import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ClientOptions } from 'ws';
import { SocketDuplex } from '../../src/socket-duplex.js';
import { isOverHttp2, portOf, type TestContext } from './servers.js';

// Tests may replace it
const realImmediate = setImmediate;

const HEAD_END = '\r\n\r\n';

/** Headers of HTTP/1.1 that have no place in HTTP/2. */
const dropped: ReadonlySet<string> = new Set(['connection', 'upgrade', 'host', 'sec-websocket-key', 'keep-alive']);

type Callback = (error?: Error | null) => void;

/**
 * A client's end of a socket of HTTP/1.1 that is a stream of HTTP/2 underneath: the upgrade request that is written to it
 * becomes an extended CONNECT, and 200 comes back as a 101. So whoever speaks HTTP/1.1 has his way into a server of HTTP/2.
 */
export class Http2Tunnel extends SocketDuplex {
  readonly session: ClientHttp2Session;
  stream: ClientHttp2Stream | undefined;
  bytesWritten = 0;
  bytesRead = 0;
  #head: Buffer = Buffer.alloc(0);

  /** @param session has no other streams, and goes with the socket */
  constructor(session: ClientHttp2Session) {
    super({ allowHalfOpen: true });
    this.session = session;
    session.once('close', () => this.stream === undefined && this.destroy());
  }

  setTimeout(): this {
    return this;
  }

  resetAndDestroy(): void {
    this.destroy();
  }

  override _read(): void {
    this.stream?.resume();
  }

  override _write(chunk: Buffer, _encoding: string, callback: Callback): void {
    this.bytesWritten += chunk.length;
    if (this.stream !== undefined) {
      this.stream.write(chunk, callback);
      return;
    }
    this.#head = Buffer.concat([this.#head, chunk]);
    const end = this.#head.indexOf(HEAD_END);
    if (end < 0) {
      callback();
      return;
    }
    const proceed = (): void => {
      const stream = this.#request(this.#head.toString('latin1', 0, end));
      const rest = this.#head.subarray(end + HEAD_END.length);
      if (rest.length > 0) stream.write(rest, callback);
      else callback();
    };
    // What the server can do is known then
    if (this.session.remoteSettings.enableConnectProtocol === undefined) this.session.once('remoteSettings', proceed);
    else proceed();
  }

  override _final(callback: Callback): void {
    if (this.stream === undefined) callback();
    else this.stream.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.stream?.on('error', () => {});
    // Not while Node hands over what has arrived; see Http2Socket
    realImmediate(() => {
      this.stream?.close(constants.NGHTTP2_CANCEL);
      this.session.close();
    });
    callback(error);
  }

  #request(head: string): ClientHttp2Stream {
    const [requestLine = '', ...lines] = head.split('\r\n');
    const fields = lines.map((line): [name: string, value: string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    });
    const headers: OutgoingHttpHeaders = {};
    for (const [name, value] of fields) {
      if (!dropped.has(name)) headers[name] = name in headers ? [headers[name] as string, value].flat() : value;
    }
    const fieldOf = (wanted: string): string | undefined => fields.find(([name]) => name === wanted)?.[1];
    const stream = connectRequest(this.session, {
      ...headers,
      ':path': requestLine.split(' ')[1] ?? '/',
      ':authority': fieldOf('host') ?? 'localhost',
    });
    this.stream = stream;
    stream.on('response', (response, _flags) => {
      const status = Number(response[':status']);
      const accepts = status === 200;
      let answer = accepts
        ? `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${acceptOf(fieldOf('sec-websocket-key'))}\r\n`
        : `HTTP/1.1 ${status} Refused\r\n`;
      for (const [name, value] of Object.entries(response)) {
        if (name.startsWith(':')) continue;
        for (const item of [value].flat()) answer += `${name}: ${item}\r\n`;
      }
      this.push(Buffer.from(`${answer}\r\n`, 'latin1'));
    });
    stream.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      if (!this.push(chunk)) stream.pause();
    });
    stream.on('end', () => {
      if (stream.rstCode === constants.NGHTTP2_NO_ERROR) this.push(null);
    });
    stream.on('error', (error) => this.destroy(error));
    stream.on('close', () => {
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) {
        this.destroy(Object.assign(new Error(`The stream was reset with ${stream.rstCode}`), { code: 'ECONNRESET' }));
      }
    });
    return stream;
  }
}

function acceptOf(key = ''): string {
  return createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
}

/** Asks for a WebSocket. The stream can be reset without having been ended before. */
export function connectRequest(session: ClientHttp2Session, headers: OutgoingHttpHeaders): ClientHttp2Stream {
  const stream = session.request(
    {
      ':method': 'CONNECT',
      ':protocol': 'websocket',
      ':scheme': session.encrypted === true ? 'https' : 'http',
      ':authority': 'localhost',
      ':path': '/',
      ...headers,
    },
    { waitForTrailers: true },
  );
  stream.on('wantTrailers', () => stream.sendTrailers({}));
  return stream;
}

/** A session with a server, on which WebSockets can be opened; destroyed at the end of the test. */
export async function http2Session(
  t: TestContext,
  server: Server,
  options: Parameters<typeof connect>[1] = {},
): Promise<ClientHttp2Session> {
  const scheme = 'setSecureContext' in server ? 'https' : 'http';
  const session = sessionWith(t, `${scheme}://127.0.0.1:${portOf(server)}`, options);
  await once(session, 'remoteSettings');
  return session;
}

/** A socket of HTTP/1.1 that is a stream of HTTP/2, on a session of its own. */
export async function http2Tunnel(t: TestContext, server: Server): Promise<Http2Tunnel> {
  return new Http2Tunnel(await http2Session(t, server));
}

/** Lets a client of `ws` come by HTTP/2 if the servers of the tests speak it. */
export function clientTransport(t: TestContext, url: string): ClientOptions {
  if (!isOverHttp2()) return {};
  return { createConnection: () => new Http2Tunnel(sessionWith(t, url.replace('ws', 'http'))) as Duplex as Socket };
}

function sessionWith(t: TestContext, origin: string, options: Parameters<typeof connect>[1] = {}): ClientHttp2Session {
  const session = connect(origin, { rejectUnauthorized: false, ...options });
  session.on('error', () => {});
  t.after(() => session.destroy());
  return session;
}
