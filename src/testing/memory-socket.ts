import type { Server } from 'node:net';
import { eventLoop } from '../event-loop.js';
import { outsideRequests } from '../outside-requests.js';
import { SocketDuplex } from '../socket-duplex.js';

/** The most that passes at once, and that waits for a reader: what a socket of Node reads in one go. */
const CHUNK_SIZE = 64 * 1024;

const ADDRESS = '127.0.0.1';
/** What the system gives a client, more or less. */
const CLIENT_PORT = 50_000;

type Done = (error?: Error | null) => void;

/** A write, as far as the other end has not taken it yet. */
interface Outgoing {
  readonly length: number;
  rest: Buffer;
  readonly done: Done;
}

/**
 * One end of a connection in memory that behaves as a TCP connection within this machine does: what is written comes out
 * at the other end in later turns of the event loop, in chunks, and as fast as it is read there; an end that is destroyed
 * while something is unread resets the other.
 */
export class MemorySocket extends SocketDuplex {
  readonly remoteAddress: string = ADDRESS;
  readonly remoteFamily: string = 'IPv4';
  readonly remotePort: number;
  readonly localAddress: string = ADDRESS;
  readonly localFamily: string = 'IPv4';
  readonly localPort: number;
  /** True on a socket of TLS alone; Express looks at it for `req.secure`. */
  readonly encrypted: boolean | undefined;
  /** What TLS has agreed on, as of a `TLSSocket`: a server of HTTP/2 looks at it. */
  alpnProtocol: 'h2' | 'http/1.1' | undefined;
  /** Whose socket it is, as of any that a server has accepted. */
  server: Server | undefined;
  #peer: MemorySocket = this;
  #outgoing: Outgoing | undefined;
  /** The other end does not want more for now. */
  #stalled = false;
  #taken = 0;
  #received = 0;

  /** Makes a connection. */
  static pair(secure: boolean): { readonly client: MemorySocket; readonly server: MemorySocket } {
    const serverPort = secure ? 443 : 80;
    // As sockets of Node are, on each side.
    const client = new MemorySocket(CLIENT_PORT, serverPort, secure, false);
    const server = new MemorySocket(serverPort, CLIENT_PORT, secure, true);
    client.#peer = server;
    server.#peer = client;
    return { client, server };
  }

  private constructor(localPort: number, remotePort: number, secure: boolean, allowHalfOpen: boolean) {
    super({ allowHalfOpen, readableHighWaterMark: CHUNK_SIZE, writableHighWaterMark: CHUNK_SIZE });
    this.localPort = localPort;
    this.remotePort = remotePort;
    this.encrypted = secure || undefined;
  }

  /** Bytes that were written, whether or not they are out. */
  get bytesWritten(): number {
    return this.#taken + this.writableLength;
  }

  /** Bytes that have come. */
  get bytesRead(): number {
    return this.#received;
  }

  address(): { address: string; family: string; port: number } {
    return { address: this.localAddress, family: this.localFamily, port: this.localPort };
  }

  /** Nothing here is ever idle by itself. */
  setTimeout(): this {
    return this;
  }

  /** Ends this half, and destroys the socket when all is out. */
  destroySoon(): void {
    this.end(() => this.destroy());
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#outgoing = { length: chunk.length, rest: chunk, done };
    this.#deliverLater();
  }

  override _final(done: Done): void {
    later(() => {
      this.#peer.#end();
      done();
    });
  }

  override _read(): void {
    const peer = this.#peer;
    if (!peer.#stalled) return;
    peer.#stalled = false;
    peer.#deliverLater();
  }

  override _destroy(error: Error | null, done: Done): void {
    const peer = this.#peer;
    const hasUnread = this.readableLength > 0 || peer.#outgoing !== undefined;
    // What fits into the buffers of the system is on its way, whatever becomes of this end.
    const last = this.#stalled ? undefined : this.#outgoing?.rest.subarray(0, CHUNK_SIZE);
    const waiting = this.#outgoing?.done;
    this.#outgoing = undefined;
    later(() => {
      if (last !== undefined) peer.#take(last);
      if (hasUnread) peer.destroy(connectionReset());
      else peer.#end();
    });
    waiting?.(connectionReset());
    done(error);
  }

  #deliverLater(): void {
    later(() => this.#deliver());
  }

  /** Gives the other end one chunk, in a turn of its own. */
  #deliver(): void {
    const outgoing = this.#outgoing;
    if (outgoing === undefined || this.#stalled) return;
    const chunk = outgoing.rest.subarray(0, CHUNK_SIZE);
    outgoing.rest = outgoing.rest.subarray(chunk.length);
    // Before, for it may ask for more at once.
    this.#stalled = true;
    if (this.#peer.#take(chunk)) this.#stalled = false;
    if (this.#stalled) return;
    if (outgoing.rest.length > 0) {
      this.#deliverLater();
      return;
    }
    this.#outgoing = undefined;
    this.#taken += outgoing.length;
    outgoing.done();
  }

  /** A chunk has come; returns whether there is room for more. */
  #take(chunk: Buffer): boolean {
    if (this.destroyed || chunk.length === 0) return true;
    this.#received += chunk.length;
    // A copy, for it is unmasked in place, and its sender may use the buffer again.
    return this.push(Buffer.from(chunk));
  }

  /** The other end has said all. */
  #end(): void {
    if (this.destroyed) return;
    this.push(null);
    // As a socket does: whoever only waits for the end is told of it.
    this.read(0);
  }
}

/** Not in the asynchronous context of the test: a server has that of its connections. */
function later(callback: () => void): void {
  outsideRequests(() => eventLoop.setImmediate(callback));
}

function connectionReset(): Error {
  return Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', syscall: 'read' });
}
