import type { PerMessageDeflateOptions } from 'ws';
import { eventLoop } from '../event-loop.js';
import { outsideRequests } from '../outside-requests.js';
import { DEFAULT_WINDOW_BITS, DEFLATE_DEFAULTS, type NegotiatedDeflate } from './deflate-options.js';
import { DeflatePool, type DeflateSetting, idleContexts } from './deflate-pool.js';

/**
 * Compresses the messages of one connection with the `PerMessageDeflate` of `ws`, which also limits how many
 * compressions run at once in the process.
 *
 * Without context takeover it borrows a compressor for the time of a message. With it, the compressor stays with the
 * connection as long as it is among those used last. A new one does not refer to earlier messages, which it may but
 * need not do, so that the peer does not notice.
 */
export class MessageDeflater {
  /** What connections have in common that can be sent the same compressed frame. */
  readonly setting: DeflateSetting;
  readonly #negotiated: NegotiatedDeflate;
  readonly #takeover: boolean;
  #codec: NegotiatedDeflate | undefined;
  #destroyed = false;

  constructor(deflate: NegotiatedDeflate, options: PerMessageDeflateOptions = DEFLATE_DEFAULTS) {
    const { server_max_window_bits: windowBits, server_no_context_takeover: noTakeover = false } = deflate.params ?? {};
    this.#negotiated = deflate;
    this.setting = DeflatePool.of(options).setting(windowBits ?? DEFAULT_WINDOW_BITS);
    this.#takeover = !noTakeover;
  }

  /**
   * Compresses a fragment, or a whole message, into the payload of one frame; RSV1 goes with the first of a message.
   * The next call must wait for the callback. After an error the rest of the message cannot be compressed; the next
   * message can. The callback is not called after {@link destroy}.
   */
  compress(data: Buffer, endOfMessage: boolean, callback: (error: Error | null, out: Buffer) => void): void {
    if (this.#takeover) idleContexts.take(this);
    this.#codec ??= this.#takeover ? this.#negotiated : this.setting.takeDeflater();
    const codec = this.#codec;
    const done = (error: Error | null, out: Buffer): void => {
      if (this.#destroyed || error !== null) {
        codec.cleanup();
        this.#codec = undefined;
      } else if (endOfMessage) {
        if (this.#takeover) idleContexts.keep(this);
        else {
          this.#codec = undefined;
          this.setting.giveDeflater(codec);
        }
      }
      if (!this.#destroyed) callback(error, out);
    };
    try {
      // ws makes the stream of zlib, which outlives this message, when it is first used.
      outsideRequests(() => codec.compress(data, endOfMessage, done));
    } catch (error) {
      // zlib refuses its options, or there is no memory for a context.
      eventLoop.nextTick(done, error, EMPTY);
    }
  }

  /**
   * The peer is sent a message that was not compressed here, and refers to no other one: it stands in the peer's window
   * and not in ours, which therefore begins anew (RFC 7692, section 7.2.1 lets a compressor forget whenever it likes).
   */
  startAnew(): void {
    idleContexts.take(this);
    this.dropContext();
  }

  /** Frees what zlib holds, at the latest when a compression under way is done. */
  destroy(): void {
    this.#destroyed = true;
    this.startAnew();
  }

  /** The context has not been used for long: later messages begin with a new one. */
  dropContext(): void {
    this.#codec?.cleanup();
    this.#codec = undefined;
  }
}

/** Up to so many bytes, a message is compressed in about the time that it takes to give it to another thread and back. */
const AT_ONCE = 4 * 1024;

/**
 * Compresses a whole message for all connections with a setting: it refers to no other message, so that each of them can
 * inflate it, whatever it was sent before. A small one is compressed before the call returns.
 */
export function compressForMany(
  setting: DeflateSetting,
  data: Buffer,
  callback: (error: Error | null, out: Buffer) => void,
): void {
  if (data.length <= AT_ONCE) {
    compressAtOnce(setting, data, callback);
    return;
  }
  const codec = setting.takeDeflater();
  const done = (error: Error | null, out: Buffer): void => {
    if (error === null) setting.giveDeflater(codec);
    else codec.cleanup();
    callback(error, out);
  };
  try {
    // As above: the compressor outlives the request of whoever sends.
    outsideRequests(() => codec.compress(data, true, done));
  } catch (error) {
    eventLoop.nextTick(done, error, EMPTY);
  }
}

function compressAtOnce(
  setting: DeflateSetting,
  data: Buffer,
  callback: (error: Error | null, out: Buffer) => void,
): void {
  let out: Buffer;
  try {
    out = setting.compress(data);
  } catch (error) {
    callback(error as Error, EMPTY);
    return;
  }
  callback(null, out);
}

const EMPTY = Buffer.alloc(0);
