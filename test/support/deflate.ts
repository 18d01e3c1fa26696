import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import type { PerMessageDeflateOptions } from 'ws';
import * as ws from 'ws';
import type { DeflateParameters, NegotiatedDeflate } from '../../src/framing/deflate-options.js';

// `ws` exports the class; its types do not know it.
export const { PerMessageDeflate } = ws as typeof ws & {
  readonly PerMessageDeflate: new (options: PerMessageDeflateOptions & { isServer: boolean }) => NegotiatedDeflate;
};

export const NO_TAKEOVER: DeflateParameters = { server_no_context_takeover: true, client_no_context_takeover: true };
export const TRAILER = Buffer.of(0, 0, 0xff, 0xff);

export function negotiated(params: DeflateParameters | null = NO_TAKEOVER): NegotiatedDeflate {
  const deflate = new PerMessageDeflate({ isServer: true });
  deflate.params = params;
  return deflate;
}

/** What a client without context takeover sends for a message. */
export function deflated(message: Buffer | string): Buffer {
  return deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
}

/** What a client without context takeover makes of the payload of a message. */
export function inflated(payload: Buffer): Buffer {
  return inflateRawSync(Buffer.concat([payload, TRAILER]), { finishFlush: constants.Z_SYNC_FLUSH });
}

/** Bytes that compress badly, always the same. */
export function noise(size: number, seed: number = 1): Buffer {
  const bytes = Buffer.alloc(size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1103515245) + 12345) | 0;
    bytes[i] = state >>> 16;
  }
  return bytes;
}
