import { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { Deadline } from '../deadline.js';
import type { Batch } from '../framing/batch.js';
import { COPY_LIMIT } from '../framing/frame-writer.js';
import { release } from './detached.js';

/** What a transport reports to its connection. */
export interface TransportEvents {
  /**
   * A chunk has come from the socket.
   *
   * @returns whether the chunk is still needed when the call is over
   */
  onChunk(chunk: Buffer): boolean;
  /** The peer has ended its half of TCP. */
  onEnd(): void;
  /** The system has taken all that was written, and had not at once. */
  onFlushed(): void;
  /** TCP is gone. */
  onClose(): void;
}

/** Whom a socket reports to that only waits for its end. */
const NOBODY: TransportEvents = Object.freeze({
  onChunk: () => false,
  onEnd: nothing,
  onFlushed: nothing,
  onClose: nothing,
});

const kTransport: unique symbol = Symbol('transport');

/** A socket and the transport that owns it; one symbol instead of a closure per listener. */
interface OwnedSocket extends Duplex {
  [kTransport]: Transport | undefined;
}

const NO_BYTES = Buffer.alloc(0);

/** Chunks below it are left to the garbage collector, which costs little more for them. */
const RELEASED_FROM = 1024;

/** Chunks that somebody else on the socket has got, too, who may not listen any more when they are spent. */
const shared = new WeakSet<Buffer>();

/** The parts of `net.Socket` that a `Duplex` need not have. */
interface NetSocketExtras {
  setTimeout?(ms: number): void;
  setNoDelay?(on: boolean): void;
  setKeepAlive?(on: boolean, initialDelay: number): void;
  destroySoon?(): void;
}

/** The socket of a connection, from the end of the handshake until TCP is gone or `ws` takes over. */
export class Transport {
  readonly #socket: OwnedSocket & NetSocketExtras;
  /** Writes go straight to the system, which mostly takes them at once. */
  readonly #isPlain: boolean;
  #events: TransportEvents;
  /** Ms without traffic after which TCP itself is to look for the peer; 0: never, or it does so already. */
  #keepAliveDelay = 0;
  #writesOutstanding = 0;
  /** The system has not taken all at once. */
  #isBehind = false;
  #writeDone: ((error?: Error | null) => void) | undefined;
  /** Runs while the socket waits for the peer's FIN. */
  #lingering: Deadline | undefined;
  /** Why TCP has failed, if it has. */
  error: Error | undefined;

  constructor(socket: Duplex, events: TransportEvents) {
    this.#socket = socket as OwnedSocket;
    this.#socket[kTransport] = this;
    this.#isPlain = socket instanceof Socket && !('encrypted' in socket);
    this.#events = events;
  }

  /** Whether the TCP connection still stands in both directions. */
  get isPeerConnected(): boolean {
    return this.#socket.readable;
  }

  get isPaused(): boolean {
    return this.#socket.isPaused();
  }

  /**
   * Begins to report what comes.
   *
   * @param head bytes that have been read from the socket already
   * @param keepAliveInterval ms without traffic after which {@link enableTcpKeepAlive} makes TCP look for the peer; 0: never
   * @returns false if the peer has left already, so that nothing will come
   */
  open(head: Buffer, keepAliveInterval: number): boolean {
    const socket = this.#socket;
    socket.on('error', onError).on('close', onClose).on('end', onEnd);
    if (socket.destroyed || !socket.readable) return false;
    socket.setTimeout?.(0);
    socket.setNoDelay?.(true);
    this.#keepAliveDelay = keepAliveInterval;
    if (head.length > 0) socket.unshift(head);
    socket.on('data', onData);
    return true;
  }

  /** Lets go of the socket, which is somebody else's from now on; it is paused. */
  leave(): Duplex {
    const socket = this.#socket;
    socket[kTransport] = undefined;
    socket.off('data', onData).off('error', onError).off('close', onClose).off('end', onEnd);
    this.pause();
    return socket;
  }

  /** Lets TCP itself look for the peer, from when on pings cannot: four system calls, which a handshake can do without. */
  enableTcpKeepAlive(): void {
    if (this.#keepAliveDelay > 0) this.#socket.setKeepAlive?.(true, this.#keepAliveDelay);
    this.#keepAliveDelay = 0;
  }

  pause(): void {
    // Pongs are not read.
    this.enableTcpKeepAlive();
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /**
   * Gives a batch to the system.
   *
   * @returns true if the system took all of it at once; otherwise `onFlushed` is called when it has
   */
  write(batch: Batch): boolean {
    const socket = this.#socket;
    const { chunks } = batch;
    // Nothing will be taken any more; 'close' follows, and settles what waits.
    if (!socket.writable) return false;
    const last = chunks.length - 1;
    if (last > 0) socket.cork();
    for (let at = 0; at < last; at++) socket.write(this.#toWrite(chunks[at] as Buffer));
    // Node spends a tick on each callback, which nobody needs where the system takes all at once.
    if (this.#isPlain) socket.write(chunks[last]);
    else socket.write(this.#toWrite(chunks[last] as Buffer), this.#expectWritten());
    if (last > 0) socket.uncork();
    // What the system refuses in this very call is gone from the stream as well; 'close' follows.
    if (!socket.writable) return false;
    if (socket.writableLength === 0) return true;
    this.#isBehind = true;
    if (this.#isPlain) socket.write(NO_BYTES, this.#expectWritten());
    return false;
  }

  /** What is to be called when a write is done. */
  #expectWritten(): (error?: Error | null) => void {
    this.#writesOutstanding++;
    // Made, then assigned: see WaitingRequest#start.
    const writeDone = this.#writeDone ?? ((error) => this.#written(error));
    this.#writeDone = writeDone;
    return writeDone;
  }

  /**
   * The system is given the address of the bytes; a stream above it may look at them later, when the application has
   * given its buffer away in spite of all, so that it would send less than the header of the frame says.
   */
  #toWrite(chunk: Buffer): Buffer {
    return chunk.length <= COPY_LIMIT || this.#socket instanceof Socket ? chunk : Buffer.from(chunk);
  }

  /**
   * Ends our half of TCP and reports nothing any more. What the peer still sends is read and thrown away until it has
   * ended its half too, at most for `timeout` ms; then the socket goes. A socket that is closed before all that came has
   * been read answers with a reset, which takes from the peer what it has not read yet.
   */
  linger(timeout: number): void {
    const socket = this.#socket;
    // Whoever had the connection is not kept for as long as a peer takes its time.
    this.#events = NOBODY;
    if (socket.destroyed || this.#lingering !== undefined) return;
    this.#lingering = new Deadline(() => socket.destroy(), timeout).unref();
    if (socket.readableEnded) {
      this.#destroySoon();
    } else {
      socket.end();
      socket.resume();
    }
  }

  /** Drops TCP now. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** Takes a chunk of the socket. */
  received(chunk: Buffer): void {
    if (!this.#events.onChunk(chunk)) this.spent(chunk);
    else if (chunk.length >= RELEASED_FROM && this.#socket.listenerCount('data') > 1) shared.add(chunk);
  }

  /** Nobody of ours refers to a chunk any more. */
  spent(chunk: Buffer): void {
    if (chunk.length >= RELEASED_FROM && !shared.has(chunk)) this.#release(chunk);
  }

  /** The peer has ended its half. */
  ended(): void {
    if (this.#lingering === undefined) this.#events.onEnd();
    else this.#destroySoon();
  }

  /** TCP is gone. */
  closed(): void {
    this.#lingering?.clear();
    this.#events.onClose();
    // V8 keeps sockets that are over until the old generation is collected: Node has assigned functions to them.
    this.#socket[kTransport] = undefined;
  }

  /** Destroys the socket when what was written to it is out. */
  #destroySoon(): void {
    const socket = this.#socket;
    if (socket.destroySoon !== undefined) socket.destroySoon();
    else socket.end(() => socket.destroy());
  }

  /**
   * Gives the memory of a chunk back now. V8 counts it, and in newer versions of Node collects all of the heap for its
   * sake: with some 30 MiB of objects, that makes of 2 us for a chunk of 64 KiB some 40.
   */
  #release(chunk: Buffer): void {
    const socket = this.#socket;
    // A socket of Node makes each chunk anew, for who listens to it: nobody else may be among those.
    const isOurs = socket instanceof Socket && socket.listenerCount('data') === 1;
    if (isOurs && chunk.length === chunk.buffer.byteLength) release(chunk.buffer as ArrayBuffer);
  }

  #written(error: Error | null | undefined): void {
    this.#writesOutstanding--;
    if (this.#writesOutstanding > 0) return;
    // Node reports writes that a destroyed socket has dropped as done; 'close' follows, and settles what waits.
    if (error || this.#socket.destroyed || !this.#isBehind) return;
    this.#isBehind = false;
    this.#events.onFlushed();
  }
}

function onData(this: Duplex, chunk: Buffer): void {
  (this as OwnedSocket)[kTransport]?.received(chunk);
}

function onEnd(this: Duplex): void {
  (this as OwnedSocket)[kTransport]?.ended();
}

function onClose(this: Duplex): void {
  (this as OwnedSocket)[kTransport]?.closed();
}

function onError(this: Duplex, error: Error): void {
  const transport = (this as OwnedSocket)[kTransport];
  if (transport !== undefined) transport.error = error;
}

function nothing(): void {}
