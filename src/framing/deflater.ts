import type { PerMessageDeflateOptions } from 'ws';
import { DEFAULT_WINDOW_BITS, DEFLATE_DEFAULTS, type NegotiatedDeflate } from './deflate-options.js';
import { type CompressedCallback, compressWith, DeflatePool, type DeflateSetting } from './deflate-pool.js';
import { lastingContexts } from './lasting-contexts.js';

/** Up to so many bytes, a message is compressed in about the time that it takes to give it to another thread and back. */
const AT_ONCE = 4 * 1024;

/**
 * Compresses the messages of one connection with the `PerMessageDeflate` of `ws`, which also limits how many
 * compressions run at once in the process.
 *
 * Without context takeover, a message in one piece is compressed by the next compressor that is free, and one in fragments
 * by one that is borrowed until its end. With it, the compressor stays with the connection as long as it is among those
 * used last; small messages of those who have none are compressed as without takeover where too many want one. A new one
 * does not refer to earlier messages, which it may but need not do, so that the peer does not notice.
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
  compress(data: Buffer, endOfMessage: boolean, callback: CompressedCallback): void {
    if (!this.#takeover && this.#codec === undefined && endOfMessage) {
      this.setting.compressWhole(data, (error, out) => {
        if (!this.#destroyed) callback(error, out);
      });
      return;
    }
    if (this.#takeover) lastingContexts.use(this);
    this.#codec ??= this.#takeover ? this.#ownCodec() : this.setting.takeDeflater();
    const codec = this.#codec;
    const done: CompressedCallback = (error, out) => {
      if (this.#destroyed || error !== null) {
        codec.cleanup();
        this.#codec = undefined;
        lastingContexts.forget(this);
      } else if (endOfMessage) {
        if (this.#takeover) lastingContexts.keep(this);
        else {
          this.#codec = undefined;
          this.setting.giveDeflater(codec);
        }
      }
      if (!this.#destroyed) callback(error, out);
    };
    compressWith(codec, data, endOfMessage, done);
  }

  /**
   * Whether a fragment, or message, is one that {@link compressAtOnce} takes: to give it to another thread and back would
   * take this one as long. Never within a message, and with context takeover only where too many want a context.
   */
  isForAtOnce(size: number, endOfMessage: boolean): boolean {
    if (size > AT_ONCE || !endOfMessage || this.#codec !== undefined) return false;
    return !this.#takeover || lastingContexts.areEnough;
  }

  /**
   * Compresses a whole message before the call returns.
   *
   * @returns `undefined` if it cannot: {@link compress} then says why
   */
  compressAtOnce(data: Uint8Array): Buffer | undefined {
    if (this.#takeover) lastingContexts.passOver();
    return this.setting.compressAtOnce(data);
  }

  /**
   * The peer is sent a message that was not compressed here, and refers to no other one: it stands in the peer's window
   * and not in ours, which therefore begins anew (RFC 7692, section 7.2.1 lets a compressor forget whenever it likes).
   */
  startAnew(): void {
    lastingContexts.forget(this);
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

  #ownCodec(): NegotiatedDeflate {
    lastingContexts.admit();
    return this.#negotiated;
  }
}

/**
 * Compresses a whole message for all connections with a setting: it refers to no other message, so that each of them can
 * inflate it, whatever it was sent before. A small one is compressed before the call returns, if it can be.
 */
export function compressForMany(setting: DeflateSetting, data: Buffer, callback: CompressedCallback): void {
  const out = data.length <= AT_ONCE ? setting.compressAtOnce(data) : undefined;
  if (out === undefined) setting.compressWhole(data, callback);
  else callback(null, out);
}
