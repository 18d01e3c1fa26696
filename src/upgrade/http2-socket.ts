import type { OutgoingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { CipherNameAndProtocol, PeerCertificate, TLSSocket } from 'node:tls';
import { eventLoop } from '../event-loop.js';
import { SocketDuplex } from '../socket-duplex.js';
import { ChunkedBody } from './chunked-body.js';

const HEAD_END = '\r\n\r\n';

/** A head of more bytes than this is none. */
const LONGEST_HEAD = 1 << 20;

/**
 * Most bytes that wait below the stream. Node counts them for the whole session, and refuses streams (ENHANCE_YOUR_CALM)
 * beyond its `maxSessionMemory` of 10 MB: a dozen slow clients behind one proxy with a megabyte each would keep out all others.
 */
const PORTION = 16 * 1024;

const SWITCHING_PROTOCOLS = 101;
const OK = 200;
const BAD_REQUEST = 400;

// Error codes of RFC 9113, section 7. Those of `node:http2` would load all of it for who only has HTTP/1.1.
const NO_ERROR = 0;
const CANCEL = 8;

/** How long a refusal that its sender has turned away from may wait for the client's window. */
const FAREWELL_TIMEOUT = 2_000;

/** What a head of HTTP/1.1 says of its connection: HTTP/2 has no place for it (RFC 9113, section 8.2.2; RFC 8441, section 5). */
const ofHttp1: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
  'te',
  'http2-settings',
  'sec-websocket-accept',
]);

type Callback = (error?: Error | null) => void;

/** What Node puts around a connection that is no socket of its own, and that alone knows its addresses. */
type WrappingSocket = Partial<TLSSocket> & { readonly stream?: Partial<TLSSocket> };

/**
 * One stream of HTTP/2 in the shape of the socket of an HTTP/1.1 connection, for all who expect one: the response, `ws`,
 * middleware, the connection. The head that is written to it becomes that of the stream, 101 becomes 200 (RFC 8441,
 * section 5); what follows is the stream's own data, and flow control of the stream is that of the socket in both directions.
 *
 * Ended, it ends the stream; destroyed before that, it resets the stream with CANCEL, which is what a client sees as 1006.
 */
export class Http2Socket extends SocketDuplex {
  readonly #stream: ServerHttp2Stream;
  // Asked once: a session forgets its socket when it ends, and addresses are wanted above all then.
  readonly remoteAddress: string | undefined;
  readonly remotePort: number | undefined;
  readonly remoteFamily: string | undefined;
  readonly localAddress: string | undefined;
  readonly localPort: number | undefined;
  readonly localFamily: string | undefined;
  /** Whether the session runs over TLS, as of a `TLSSocket`. */
  readonly encrypted: boolean;
  /** Whether the client's certificate is one that the server trusts, as of a `TLSSocket`. */
  readonly authorized: boolean;
  readonly authorizationError: Error | null | undefined;
  /** The name that the client asked for, over TLS. */
  readonly servername: string | false | null | undefined;
  /** Bytes read from the stream. */
  bytesRead = 0;
  #bytesWritten = 0;
  /** Bytes of the last write. */
  #lastWrite = 0;
  /** What has been written of the head that is not complete yet; `undefined` behind it. */
  #head: string | undefined = '';
  /** The answer was another than 101. */
  #isRefusal = false;
  #body: ChunkedBody | undefined;
  /** END_STREAM is on its way. */
  #isEnded = false;

  constructor(stream: ServerHttp2Stream) {
    // As the sockets of a server: who ends one half may go on with the other
    super({ allowHalfOpen: true });
    this.#stream = stream;
    const socket = this.#below();
    this.encrypted = socket?.encrypted === true;
    this.remoteAddress = socket?.remoteAddress;
    this.remotePort = socket?.remotePort;
    this.remoteFamily = socket?.remoteFamily;
    this.localAddress = socket?.localAddress;
    this.localPort = socket?.localPort;
    this.localFamily = socket?.localFamily;
    this.authorized = socket?.authorized === true;
    this.authorizationError = socket?.authorizationError;
    this.servername = socket?.servername;
  }

  /** Takes the stream, of which nobody else may read or write anything from now on. */
  open(): void {
    const stream = this.#stream;
    stream.on('data', (chunk: Buffer) => {
      this.bytesRead += chunk.length;
      // Behind its end, nobody would ever let it go on, and it would stay
      if (!this.destroyed && !this.push(chunk)) stream.pause();
    });
    stream.pause();
    // Node reports the end of what it has, too, when the client resets the stream
    stream.on('end', () => stream.rstCode === NO_ERROR && this.push(null));
    stream.on('error', (error) => this.destroy(error));
    stream.on('close', () => this.#closed());
    stream.on('timeout', () => this.emit('timeout'));
    // Ends the stream by a frame of its own, so that a reset can still come before it
    stream.on('wantTrailers', () => {
      stream.sendTrailers(parseFields(this.#body?.trailers ?? []));
      this.#isEnded = true;
    });
  }

  /** Bytes written, those that wait included; as of a socket. */
  get bytesWritten(): number {
    return Math.max(this.#bytesWritten, this.#bytesWritten - this.#lastWrite + this.writableLength);
  }

  /** The server's end. */
  address(): Record<'address' | 'family', string | undefined> & { port: number | undefined } {
    return { address: this.localAddress, family: this.localFamily, port: this.localPort };
  }

  /** The certificate of the client, over TLS. */
  getPeerCertificate(detailed?: boolean): PeerCertificate | object | null | undefined {
    return this.#below()?.getPeerCertificate?.(detailed === true);
  }

  /** The version of TLS. */
  getProtocol(): string | null | undefined {
    return this.#below()?.getProtocol?.();
  }

  /** The cipher of TLS. */
  getCipher(): CipherNameAndProtocol | undefined {
    return this.#below()?.getCipher?.();
  }

  /** The socket of the session; of TLS, if it is encrypted. */
  #below(): Partial<TLSSocket> | undefined {
    const socket = this.#stream.session?.socket as WrappingSocket | undefined;
    return socket?.stream ?? socket;
  }

  /** Emits `timeout` after `ms` without traffic on the stream; 0: never. */
  setTimeout(ms: number, callback?: () => void): this {
    if (callback !== undefined) this.once('timeout', callback);
    this.#stream.setTimeout(ms);
    return this;
  }

  /** Destroys the socket when what was written to it is out. */
  destroySoon(): void {
    if (this.writableFinished) {
      this.destroy();
      return;
    }
    this.once('finish', () => this.destroy());
    this.end();
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: string, callback: Callback): void {
    this.#lastWrite = chunk.length;
    this.#bytesWritten += chunk.length;
    if (this.#head !== undefined) this.#writeHead(chunk, callback);
    else if (this.#body !== undefined) this.#writeBody(chunk, callback);
    else this.#send([chunk], callback);
  }

  override _writev(writes: Array<{ readonly chunk: Buffer }>, callback: Callback): void {
    const chunks = writes.map(({ chunk }) => chunk);
    if (this.#head !== undefined || this.#body !== undefined) {
      this._write(Buffer.concat(chunks), '', callback);
      return;
    }
    this.#lastWrite = chunks.reduce((sum, { length }) => sum + length, 0);
    this.#bytesWritten += this.#lastWrite;
    this.#send(chunks, callback);
  }

  override _final(callback: Callback): void {
    const stream = this.#stream;
    if (this.#head !== undefined) {
      // Nobody has answered: that is no end of a stream that HTTP/2 knows
      callback();
      this.destroy();
      return;
    }
    // The client has nothing more to say to it, and would leave its half open (RFC 9113, section 8.1)
    if (this.#isRefusal) this.once('finish', () => this.destroy());
    // A status that has no body ends it with the head
    if (this.#isEnded) callback();
    else stream.end(callback);
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    const stream = this.#stream;
    // What is not read would keep the stream, and its session, open for ever
    stream.resume();
    if (!stream.closed) this.#close(error);
    callback(error);
  }

  /**
   * Closes the stream, with a reset in a later turn: while Node hands over what has arrived, it keeps the reset for afterwards,
   * asks a stream that is destroyed by then for its trailers, and ends the process (22.23 and 26.10, `OnTrailers`).
   */
  #close(error: Error | null): void {
    const stream = this.#stream;
    if (this.#head === undefined && this.writableFinished) {
      this.#closeInOrder();
    } else if (this.#isRefusal && error === null) {
      // TCP delivers what was written to a socket before it was destroyed, as many do with a refusal
      stream.end(() => this.#closeInOrder());
      const timer = setTimeout(() => stream.close(CANCEL), FAREWELL_TIMEOUT).unref();
      stream.once('close', () => clearTimeout(timer));
    } else {
      eventLoop.setImmediate(() => stream.close(CANCEL));
    }
  }

  /** Closes a stream that has been ended. In the same turn, the reset would overtake the end. */
  #closeInOrder(): void {
    const stream = this.#stream;
    const close = (): void => void eventLoop.setImmediate(() => stream.close(NO_ERROR));
    if (this.#isEnded) close();
    else stream.once('wantTrailers', close);
  }

  /** The stream is over. What has come in good order is there to be read, as of a socket. */
  #closed(): void {
    const { readableEnded, rstCode } = this.#stream;
    if (rstCode !== NO_ERROR || !readableEnded || !this.writableFinished) this.destroy();
  }

  #writeHead(chunk: Buffer, callback: Callback): void {
    let head = this.#head + chunk.toString('latin1');
    for (;;) {
      this.#head = head;
      const end = head.indexOf(HEAD_END);
      if (end < 0) {
        callback(head.length > LONGEST_HEAD ? new RangeError('The head of the response is too long') : null);
        return;
      }
      const [statusLine = '', ...lines] = head.slice(0, end).split('\r\n');
      const rest = head.slice(end + HEAD_END.length);
      // `HTTP/1.1 101 Switching Protocols`
      const status = Number(statusLine.split(' ', 2)[1]);
      try {
        if (status >= 200 || status === SWITCHING_PROTOCOLS) {
          this.#respond(status, lines);
          if (rest === '' || this.#isEnded) callback();
          else if (this.#body === undefined) this.#send([Buffer.from(rest, 'latin1')], callback);
          else this.#writeBody(Buffer.from(rest, 'latin1'), callback);
          return;
        }
        head = rest;
        this.#stream.additionalHeaders({ ...parseFields(lines), ':status': status });
      } catch (error) {
        callback(error as Error);
        return;
      }
    }
  }

  #respond(status: number, lines: readonly string[]): void {
    this.#head = undefined;
    this.#isRefusal = status !== SWITCHING_PROTOCOLS;
    if (lines.some((line) => CHUNKED.test(line))) this.#body = new ChunkedBody();
    this.#stream.respond({ ...parseFields(lines), ':status': statusOfStream(status) }, { waitForTrailers: true });
    this.#isEnded = this.#stream.writableEnded;
  }

  /** Gives the stream one portion after the other. */
  #send(chunks: readonly Buffer[], callback: Callback): void {
    const stream = this.#stream;
    let at = 0;
    let offset = 0;

    function proceed(error?: Error | null): void {
      if (error) {
        // The stream tells the socket by itself why it is over, which `write after end` (Node 26) would hide
        eventLoop.setImmediate(() => callback(error));
        return;
      }
      if (at === chunks.length) {
        callback();
        return;
      }
      stream.cork();
      for (let room = PORTION; room > 0 && at < chunks.length; ) {
        const chunk = chunks[at] as Buffer;
        const part = chunk.subarray(offset, offset + room);
        room -= part.length;
        offset += part.length;
        if (offset === chunk.length) {
          at++;
          offset = 0;
        }
        stream.write(part, room === 0 || at === chunks.length ? proceed : undefined);
      }
      stream.uncork();
    }

    proceed();
  }

  #writeBody(chunk: Buffer, callback: Callback): void {
    let data: Buffer[];
    try {
      data = (this.#body as ChunkedBody).decode(chunk);
    } catch (error) {
      callback(error as Error);
      return;
    }
    this.#send(data, callback);
  }
}

/**
 * What the client has to be told. Any 2xx accepts the WebSocket (RFC 8441, section 5; RFC 9110, section 9.3.6): an application
 * that answers with a page refuses it, as everybody sees over HTTP/1.1.
 */
function statusOfStream(status: number): number {
  if (status === SWITCHING_PROTOCOLS) return OK;
  return status < 300 ? BAD_REQUEST : status;
}

const CHUNKED = /^transfer-encoding:.*\bchunked\s*$/i;

/** The fields of a head or of trailers as Node and `ws` write them, but for those that only HTTP/1.1 has. */
function parseFields(lines: readonly string[]): OutgoingHttpHeaders {
  const fields: OutgoingHttpHeaders = {};
  for (const line of lines) {
    const colon = line.indexOf(':');
    const name = line.slice(0, colon).toLowerCase();
    const value = line.slice(colon + 1).trim();
    if (ofHttp1.has(name)) continue;
    const before = fields[name];
    if (before === undefined) fields[name] = value;
    else if (Array.isArray(before)) before.push(value);
    else fields[name] = [String(before), value];
  }
  return fields;
}
