import { Duplex } from 'node:stream';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  type ParsedFrame,
  PING_FRAME,
  PONG_FRAME,
  parseFrames,
  TEXT_FRAME,
} from './frames.js';

type WriteCallback = (error?: Error | null) => void;

/**
 * The server's end of a TCP connection without a network: the test is the peer and the system. It takes writes at once, as
 * a system does whose buffer has room, until it is told to stall.
 */
export class FakeSocket extends Duplex {
  #taken: Buffer = Buffer.alloc(0);
  #stalled = false;
  #pending: (() => void) | undefined;
  /** How often the system was called for data. */
  writes = 0;
  /** Our FIN is out. */
  finSent = false;
  tcpKeepAlive: number | undefined;

  constructor() {
    super({ allowHalfOpen: true });
  }

  // As net.Socket has them

  setTimeout(): void {}

  setNoDelay(): void {}

  setKeepAlive(_on: boolean, initialDelay: number): void {
    this.tcpKeepAlive = initialDelay;
  }

  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  // The peer

  /** The peer's bytes arrive, as a chunk of their own. */
  arrive(...bytes: Uint8Array[]): void {
    this.push(Buffer.concat(bytes));
  }

  /** The peer's bytes arrive at the beginning of a chunk of 64 KiB, as those of a real socket do. */
  arriveInLargeChunk(bytes: Uint8Array): void {
    const chunk = Buffer.allocUnsafeSlow(64 * 1024);
    chunk.set(bytes);
    this.push(chunk.subarray(0, bytes.length));
  }

  /** The peer's FIN arrives. */
  arriveEnd(): void {
    this.push(null);
  }

  /** The peer resets the connection. */
  reset(): void {
    this.destroy(Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET' }));
  }

  // The system

  /** From now on the system's buffer is full: the next write is not taken. */
  stall(): void {
    this.#stalled = true;
  }

  /** The system takes what waits, and everything from now on. */
  unstall(): void {
    this.#stalled = false;
    this.takeWaiting();
  }

  /** The system takes the write that waits, and no further one. */
  takeWaiting(): void {
    const pending = this.#pending;
    this.#pending = undefined;
    pending?.();
  }

  /** The write that waits fails. */
  failWrite(error: Error): void {
    this.#pending = undefined;
    this.#writeDone?.(error);
  }

  #writeDone: WriteCallback | undefined;

  /** The frames that the system has taken. */
  get sent(): ParsedFrame[] {
    return parseFrames(this.#taken).frames;
  }

  /** The frames that the system has taken, as the tests compare them: `text a`, `text+ a` if more fragments follow. */
  get sentText(): string[] {
    return this.sent.map(
      ({ opcode, fin, payload }) => `${OPCODES[opcode]}${fin ? '' : '+'} ${payload.toString('latin1')}`,
    );
  }

  /** Bytes at the end of what the system has taken that are no complete frame. */
  get sentRest(): number {
    return parseFrames(this.#taken).rest.length;
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: WriteCallback): void {
    this.#take([chunk], callback);
  }

  override _writev(chunks: Array<{ chunk: Buffer }>, callback: WriteCallback): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      callback,
    );
  }

  override _final(callback: WriteCallback): void {
    this.#whenTaken(() => {
      this.finSent = true;
      callback();
    }, callback);
  }

  override _destroy(error: Error | null, callback: WriteCallback): void {
    callback(error);
    // As net.Socket does: the write that waits is reported as done.
    this.takeNothing();
  }

  takeNothing(): void {
    this.#pending = undefined;
    this.#writeDone?.(null);
  }

  #take(chunks: Buffer[], callback: WriteCallback): void {
    this.writes++;
    this.#whenTaken(() => {
      this.#taken = Buffer.concat([this.#taken, ...chunks]);
      callback();
    }, callback);
  }

  #whenTaken(take: () => void, callback: WriteCallback): void {
    if (!this.#stalled) {
      take();
      return;
    }
    this.#writeDone = (error) => {
      this.#writeDone = undefined;
      callback(error);
    };
    this.#pending = () => {
      this.#writeDone = undefined;
      take();
    };
  }
}

const OPCODES: Readonly<Record<number, string>> = {
  [CONTINUATION]: 'continuation',
  [TEXT_FRAME]: 'text',
  [BINARY_FRAME]: 'binary',
  [CLOSE_FRAME]: 'close',
  [PING_FRAME]: 'ping',
  [PONG_FRAME]: 'pong',
};

/** Lets everything run that is due: microtasks, ticks and immediates of several generations. */
export async function passTurns(turns = 4): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise((resolve) => setImmediate(resolve));
}

/** Waits for what other threads have a part in, such as compression. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await passTurns(1);
}
