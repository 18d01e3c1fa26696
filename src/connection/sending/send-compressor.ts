import type { DeflateSetting } from '../../framing/deflate-pool.js';
import { MessageDeflater } from '../../framing/deflater.js';
import type { Compression } from '../receiving/receiver.js';
import type { PendingSend } from './pending-send.js';

/** Messages of a connection that are compressed before others have their turn: about a third of a millisecond. */
const COMPRESSED_PER_TURN = 16;

/** The sender that a {@link SendCompressor} works for. */
export interface CompressingSender {
  /** A send goes on that was being compressed. */
  flush(): void;
  /** Asks for a slice of the time of the process, which {@link SendCompressor.beginSlice} tells of. */
  scheduleSlice(): void;
  /** A message that was begun in compressed form cannot be continued. */
  onCompressionFailed(error: Error): void;
}

/**
 * What of one connection's sends is compressed, and when: small messages at once, in slices of the time of the process,
 * and all others in another thread.
 */
export class SendCompressor {
  readonly #sender: CompressingSender;
  readonly #deflater: MessageDeflater;
  /** How many more messages may be compressed at once in this slice; none outside of slices. */
  #left = 0;
  /** Within a message that is compressed. */
  #isInside = false;

  constructor(sender: CompressingSender, { negotiated, options }: Compression) {
    this.#sender = sender;
    this.#deflater = new MessageDeflater(negotiated, options);
  }

  /** What connections have in common that can be sent the same compressed frame. */
  get setting(): DeflateSetting {
    return this.#deflater.setting;
  }

  /**
   * Whether a message that begins with a fragment, or is one, should be compressed.
   *
   * @param compress `undefined` leaves it to size
   */
  isWorth(data: string | Uint8Array, endOfMessage: boolean, compress: boolean | undefined): boolean {
    if (compress !== undefined) return compress;
    return !endOfMessage || Buffer.byteLength(data) >= this.setting.threshold;
  }

  /**
   * Whether a fragment is to be compressed: the first one decides for its whole message (RFC 7692, section 6.1).
   *
   * @param isWorth of the first one
   * @param insideMessage whether this is another one
   */
  mustCompress(isWorth: boolean, insideMessage: boolean): boolean {
    return insideMessage ? this.#isInside : isWorth;
  }

  /**
   * Compresses the send whose turn it is, if it is to be.
   *
   * @returns false if it, and what waits behind it, has to wait longer
   */
  prepare(pending: PendingSend, insideMessage: boolean): boolean {
    if (pending.phase !== 'queued' || pending.close) return true;
    if (!this.mustCompress(pending.compress, insideMessage)) return true;
    if (this.#deflater.isForAtOnce(pending.size, pending.endOfMessage)) {
      // A loop that sends to thousands is not to keep the process from all other work.
      if (this.#left === 0) {
        this.#sender.scheduleSlice();
        return false;
      }
      this.#left--;
      if (this.#compressAtOnce(pending)) return true;
    }
    this.#compress(pending);
    return false;
  }

  /** Messages may be compressed at once until {@link endSlice}. */
  beginSlice(): void {
    this.#left = COMPRESSED_PER_TURN;
  }

  endSlice(): void {
    this.#left = 0;
  }

  /** The first fragment, compressed, of a message that has others has been put on its way. */
  beginMessage(): void {
    this.#isInside = true;
  }

  endMessage(): void {
    this.#isInside = false;
  }

  /** The peer is sent a message that was compressed for many. */
  startAnew(): void {
    this.#deflater.startAnew();
  }

  /** Frees what compression holds; nothing more will be sent. */
  destroy(): void {
    this.#deflater.destroy();
  }

  #compressAtOnce(pending: PendingSend): boolean {
    const { data } = pending;
    const out = this.#deflater.compressAtOnce(typeof data === 'string' ? Buffer.from(data) : data);
    if (out === undefined) return false;
    pending.data = out;
    pending.phase = 'compressed';
    return true;
  }

  #compress(pending: PendingSend): void {
    pending.phase = 'compressing';
    // A copy: zlib reads in another thread, and must not find that the application has given the memory away.
    const bytes = Buffer.from(pending.data);
    this.#deflater.compress(bytes, pending.endOfMessage, (error, out) => {
      if (error === null) {
        pending.data = out;
        pending.phase = 'compressed';
      } else if (this.#isInside) {
        this.#sender.onCompressionFailed(error);
        return;
      } else {
        // The bytes are sent as they are.
        pending.compress = false;
        pending.phase = 'queued';
      }
      this.#sender.flush();
    });
  }
}
