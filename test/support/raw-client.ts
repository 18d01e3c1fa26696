import { once } from 'node:events';
import { type AddressInfo, connect, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { http2Tunnel } from './http2-tunnel.js';
import { isHttp2, type TestContext } from './servers.js';

/** A valid `Sec-WebSocket-Key`, the example of RFC 6455 section 1.3. */
export const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
/** The `Sec-WebSocket-Accept` that belongs to {@link KEY}. */
export const ACCEPT = 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=';

/** The headers of a plain WebSocket upgrade request. */
export const upgradeHeaders: Readonly<Record<string, string>> = {
  Host: 'localhost',
  Connection: 'Upgrade',
  Upgrade: 'websocket',
  'Sec-WebSocket-Version': '13',
  'Sec-WebSocket-Key': KEY,
};

export interface RawRequest {
  /** Default `GET` */
  readonly method?: string;
  /** Default `/` */
  readonly path?: string;
  /** Default `1.1` */
  readonly version?: string;
  /** Merged over {@link upgradeHeaders}, in any case; `undefined` removes one, a list sends several lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[] | undefined>>;
  /** Sent right behind the head, in the same chunk: a body, early frames, a pipelined request. */
  readonly tail?: string | Uint8Array;
}

/** The bytes of an upgrade request. */
export const requestBytes = ({
  method = 'GET',
  path = '/',
  version = '1.1',
  headers = {},
  tail = '',
}: RawRequest): Buffer => {
  const overridden = new Set(Object.keys(headers).map((name) => name.toLowerCase()));
  let head = `${method} ${path} HTTP/${version}\r\n`;
  for (const [name, value] of Object.entries(upgradeHeaders)) {
    if (!overridden.has(name.toLowerCase())) head += `${name}: ${value}\r\n`;
  }
  for (const [name, value] of Object.entries(headers)) {
    for (const item of value === undefined ? [] : [value].flat()) head += `${name}: ${item}\r\n`;
  }
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), Buffer.from(tail)]);
};

/** The head of an HTTP response. */
export interface RawResponse {
  readonly status: number;
  readonly reason: string;
  /** By lower-case name; several lines of one name joined with `, `. */
  readonly headers: Readonly<Record<string, string>>;
  /** As received: name and value of each line, in order. */
  readonly lines: ReadonlyArray<readonly [name: string, value: string]>;
}

/** A TCP or TLS client that does nothing by itself: it sends what it is told to and keeps what comes in. */
export class RawClient {
  readonly socket: Socket;
  /** The TCP connection, which is {@link socket} itself without TLS. */
  readonly #tcp: Socket;
  /** What has come in and has not been read yet, put together only where it is looked at: large messages come in many pieces. */
  #chunks: Buffer[] = [];
  #length = 0;
  /** The server has sent FIN. */
  ended = false;
  /** Why the connection broke, such as ECONNRESET. */
  error: Error | undefined = undefined;

  constructor(socket: Socket, tcp: Socket = socket) {
    this.socket = socket;
    this.#tcp = tcp;
    tcp.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#length += chunk.length;
    });
    socket.on('end', () => {
      this.ended = true;
    });
    socket.on('error', (error: Error) => {
      this.error = error;
    });
  }

  /** What has come in and has not been read yet. */
  get received(): Buffer {
    const [first] = this.#chunks;
    if (first !== undefined && this.#chunks.length === 1) return first;
    const whole = Buffer.concat(this.#chunks);
    this.#chunks = [whole];
    return whole;
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data);
  }

  /** Sends an upgrade request. */
  request(request: RawRequest = {}): void {
    this.write(requestBytes(request));
  }

  /** Takes the next `count` bytes, waiting for them. */
  async read(count: number): Promise<Buffer> {
    await this.#until(() => this.#length >= count, `${count} bytes`);
    return this.#take(count);
  }

  /** Takes everything up to and with `mark`, waiting for it. */
  async readUntil(mark: string): Promise<string> {
    await this.#until(() => this.received.includes(mark), JSON.stringify(mark));
    return this.#take(this.received.indexOf(mark) + mark.length).toString('latin1');
  }

  /** Takes the head of the next response. */
  async readHead(): Promise<RawResponse> {
    const [statusLine = '', ...rest] = (await this.readUntil('\r\n\r\n')).trimEnd().split('\r\n');
    const [, status = '0', reason = ''] = /^HTTP\/1\.1 (\d+) (.*)$/.exec(statusLine) ?? [];
    const headers: Record<string, string> = {};
    const lines = rest.map((line): [string, string] => {
      const colon = line.indexOf(':');
      const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()];
      const key = name.toLowerCase();
      headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
      return [name, value];
    });
    return { status: Number(status), reason, headers, lines };
  }

  /** Takes the next response with its body, as long as the head says or else up to the server's FIN. */
  async readResponse(): Promise<RawResponse & { readonly body: string }> {
    const head = await this.readHead();
    if (head.headers['transfer-encoding'] === 'chunked') return { ...head, body: await this.#readChunks() };
    const length = head.headers['content-length'];
    const body = length === undefined ? await this.readToEnd() : await this.read(Number(length));
    return { ...head, body: body.toString() };
  }

  /** Takes everything that comes until the server's FIN; rejects if the connection breaks. */
  async readToEnd(): Promise<Buffer> {
    await this.#until(() => this.ended, 'the end');
    return this.#take(this.#length);
  }

  /** Resolves when the server has closed or broken the connection. */
  async closed(): Promise<void> {
    if (!this.ended && !this.socket.destroyed) {
      await new Promise<void>((resolve) => {
        this.socket.once('end', resolve);
        this.socket.once('close', () => resolve());
      });
    }
  }

  /** Sends FIN; the other direction stays open. */
  end(): void {
    this.socket.end();
  }

  /** Breaks the connection with a reset. */
  reset(): void {
    this.#tcp.resetAndDestroy();
    this.socket.destroy();
  }

  #take(count: number): Buffer {
    const { received } = this;
    this.#chunks = [received.subarray(count)];
    this.#length -= count;
    return received.subarray(0, count);
  }

  async #readChunks(): Promise<string> {
    let body = '';
    for (;;) {
      const size = Number.parseInt(await this.readUntil('\r\n'), 16);
      body += (await this.read(size)).toString();
      await this.readUntil('\r\n');
      if (size === 0) return body;
    }
  }

  async #until(condition: () => boolean, what: string): Promise<void> {
    while (!condition()) {
      if (this.ended || this.socket.destroyed) {
        throw new Error(
          `The connection ended before ${what} came, after ${JSON.stringify(this.received.toString('latin1'))}`,
          { cause: this.error },
        );
      }
      await new Promise<void>((resolve) => {
        const done = (): void => {
          for (const event of ['data', 'end', 'close']) this.socket.removeListener(event, done);
          resolve();
        };
        for (const event of ['data', 'end', 'close']) this.socket.on(event, done);
      });
    }
  }
}

/** Connects to a server that listens on this machine; a TLS server gets a TLS client. Destroyed at the end of the test. */
export const rawConnect = async (t: TestContext, server: Server): Promise<RawClient> => {
  if (isHttp2(server)) {
    const tunnel = await http2Tunnel(t, server);
    return new RawClient(tunnel as Duplex as Socket);
  }
  const { port } = server.address() as AddressInfo;
  const tcp = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  const secure = 'setSecureContext' in server;
  const socket = secure ? connectTls({ socket: tcp, rejectUnauthorized: false }) : tcp;
  t.after(() => {
    socket.destroy();
    tcp.destroy();
  });
  const client = new RawClient(socket, tcp);
  await once(socket, secure ? 'secureConnect' : 'connect');
  return client;
};

/** Connects and sends an upgrade request. */
export const rawUpgrade = async (t: TestContext, server: Server, request: RawRequest = {}): Promise<RawClient> => {
  const client = await rawConnect(t, server);
  client.request(request);
  return client;
};
