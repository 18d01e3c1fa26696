import { createDeflateRaw, createInflateRaw, type ZlibOptions } from 'node:zlib';
import type { PerMessageDeflateOptions } from 'ws';

/**
 * What `perMessageDeflate: true` stands for. Without context takeover a connection needs zlib's contexts, about 300 KiB
 * for both directions, only while a message is under way; they are pooled. Level 3 takes half the time of zlib's default
 * and makes about a tenth more bytes.
 */
export const DEFLATE_DEFAULTS: Readonly<PerMessageDeflateOptions> = Object.freeze({
  serverNoContextTakeover: true,
  clientNoContextTakeover: true,
  threshold: 1024,
  concurrencyLimit: 10,
  zlibDeflateOptions: Object.freeze({ level: 3, memLevel: 7 }),
});

/** The window where none was agreed upon (RFC 7692, section 7.1.2). */
export const DEFAULT_WINDOW_BITS = 15;

/** What a handshake has agreed upon (RFC 7692, section 7.1). Members that are absent were not agreed upon. */
export interface DeflateParameters {
  readonly server_no_context_takeover?: boolean;
  readonly client_no_context_takeover?: boolean;
  readonly server_max_window_bits?: number;
  readonly client_max_window_bits?: number | boolean;
}

/** What is used of `PerMessageDeflate` of `ws`, which its types do not describe. */
export interface NegotiatedDeflate {
  /** `null` before the negotiation. */
  params: DeflateParameters | null;
  compress(data: Buffer, fin: boolean, callback: (error: Error | null, out: Buffer) => void): void;
  cleanup(): void;
}

/**
 * Lets zlib check the options that will be given to it.
 *
 * @throws RangeError or TypeError that names the option
 */
export function checkDeflateOptions(options: PerMessageDeflateOptions): void {
  createDeflateRaw(options.zlibDeflateOptions as ZlibOptions | undefined).close();
  createInflateRaw(options.zlibInflateOptions).close();
}
