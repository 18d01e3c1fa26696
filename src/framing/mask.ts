// unmask.wat in binary form. With 128 bits at a time it takes a half to a third of what the loops below take, copying to
// its memory and back included, and as long as native code (bufferutil) does.
const SIMD_MODULE =
  'AGFzbQEAAAABBwFgAn9/AX8DAgEABQQBAQEBBxMCBm1lbW9yeQIABnVubWFzawAACpsBAZgBAgF/BHsgAf0RIQMDQCACIAL9AAQAIAP9USIE/QsE' +
  'ACAFIAT9UCEFIAIgAv0ABBAgA/1RIgT9CwQQIAYgBP1QIQYgAiAC/QAEICAD/VEiBP0LBCAgBSAE/VAhBSACIAL9AAQwIAP9USIE/QsEMCAGIAT9' +
  'UCEGIAJBwABqIQIgAiAASQ0ACyAFIAb9UEGAAf0P/U79U0EHdAs=';
/** Bytes of its memory. */
const SIMD_MEMORY = 64 * 1024;
/** It takes multiples of so many bytes. */
const SIMD_STEP = 64;

interface Simd {
  readonly memory: Uint8Array;
  readonly unmask: (end: number, key: number) => number;
}

// The types of Node leave WebAssembly to those of browsers.
declare const WebAssembly: {
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (
    module: object,
  ) => { readonly exports: { readonly memory: { readonly buffer: ArrayBuffer }; readonly unmask: Simd['unmask'] } };
};

/** `false`: there is none in this process; `undefined`: nothing large enough has come yet. */
let simd: Simd | false | undefined;

function loadSimd(): Simd | false {
  try {
    const { exports } = new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(SIMD_MODULE, 'base64')));
    return { memory: new Uint8Array(exports.memory.buffer), unmask: exports.unmask };
  } catch {
    // node --jitless, processors without such instructions, limits on address space
    return false;
  }
}

/** The masking key that starts at `offset`, its first byte in the lowest bits on every machine (RFC 6455 section 5.3). */
export function readKey(buffer: Uint8Array, offset: number): number {
  return (
    (buffer[offset] as number) |
    ((buffer[offset + 1] as number) << 8) |
    ((buffer[offset + 2] as number) << 16) |
    ((buffer[offset + 3] as number) << 24)
  );
}

/** The key as it stands after `count` bytes of payload. */
export function advanceKey(key: number, count: number): number {
  const bits = (count & 3) << 3;
  return (key >>> bits) | (key << (32 - bits));
}

/** Whether what {@link unmaskBytes}, {@link unmaskView} or {@link unmaskLong} returned says that every byte is below 0x80. */
export function isAscii(bits: number): boolean {
  return (bits & 0x80808080) === 0;
}

/** A view of `chunk` for {@link unmaskView}. */
export function viewOf(chunk: Uint8Array): DataView {
  return new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
}

/**
 * Unmasks `chunk[start, end)` in place byte by byte: the fastest way as long as no view of the chunk has been made.
 *
 * @returns all bytes of the result, or-ed; see {@link isAscii}
 */
export function unmaskBytes(chunk: Uint8Array, start: number, end: number, key: number): number {
  const key0 = key & 0xff;
  const key1 = (key >>> 8) & 0xff;
  const key2 = (key >>> 16) & 0xff;
  const key3 = key >>> 24;
  let bits = 0;
  let at = start;
  for (; at + 3 < end; at += 4) {
    const byte0 = (chunk[at] as number) ^ key0;
    chunk[at] = byte0;
    bits |= byte0;
    const byte1 = (chunk[at + 1] as number) ^ key1;
    chunk[at + 1] = byte1;
    bits |= byte1;
    const byte2 = (chunk[at + 2] as number) ^ key2;
    chunk[at + 2] = byte2;
    bits |= byte2;
    const byte3 = (chunk[at + 3] as number) ^ key3;
    chunk[at + 3] = byte3;
    bits |= byte3;
  }
  if (at < end) {
    const byte = (chunk[at] as number) ^ key0;
    chunk[at++] = byte;
    bits |= byte;
    if (at < end) {
      const next = (chunk[at] as number) ^ key1;
      chunk[at++] = next;
      bits |= next;
      if (at < end) {
        const last = (chunk[at] as number) ^ key2;
        chunk[at] = last;
        bits |= last;
      }
    }
  }
  return bits;
}

/**
 * Unmasks `[start, end)` of a chunk in place, 32 bits at a time wherever they lie: the fastest way in between.
 *
 * @param view - {@link viewOf} the chunk, made once for all its pieces
 * @returns all bytes of the result, or-ed; see {@link isAscii}
 */
export function unmaskView(view: DataView, start: number, end: number, key: number): number {
  let bits = 0;
  let at = start;
  for (; at + 15 < end; at += 16) {
    const word0 = view.getInt32(at, true) ^ key;
    view.setInt32(at, word0, true);
    bits |= word0;
    const word1 = view.getInt32(at + 4, true) ^ key;
    view.setInt32(at + 4, word1, true);
    bits |= word1;
    const word2 = view.getInt32(at + 8, true) ^ key;
    view.setInt32(at + 8, word2, true);
    bits |= word2;
    const word3 = view.getInt32(at + 12, true) ^ key;
    view.setInt32(at + 12, word3, true);
    bits |= word3;
  }
  for (; at + 3 < end; at += 4) {
    const word = view.getInt32(at, true) ^ key;
    view.setInt32(at, word, true);
    bits |= word;
  }
  for (let rest = key; at < end; at++) {
    const byte = view.getUint8(at) ^ (rest & 0xff);
    view.setUint8(at, byte);
    bits |= byte;
    rest >>>= 8;
  }
  return bits;
}

/** Where bytes may be put: into `chunk` from `end` on. */
export interface Place {
  readonly chunk: Buffer;
  readonly end: number;
}

/**
 * Unmasks `chunk[start, end)`, 128 bits at a time: the fastest way for long pieces. Into `place`, if there is one, for which
 * they would have to be copied once more otherwise; else in place.
 * Where that cannot be, it does what {@link unmaskView} does.
 *
 * @returns what {@link isAscii} needs to know
 */
export function unmaskLong(chunk: Buffer, start: number, end: number, key: number, place?: Place): number {
  simd ??= loadSimd();
  const target = place === undefined ? chunk : place.chunk;
  const at = place === undefined ? start : place.end;
  let from = start;
  let to = at;
  let bits = 0;
  if (simd !== false) {
    const { memory, unmask } = simd;
    for (let rest = end - from; rest >= SIMD_STEP; rest = end - from) {
      const size = Math.min(rest, SIMD_MEMORY) & -SIMD_STEP;
      memory.set(chunk.subarray(from, from + size));
      bits |= unmask(size, key);
      target.set(memory.subarray(0, size), to);
      from += size;
      to += size;
    }
  }
  const stop = at + end - start;
  if (place !== undefined) chunk.copy(target, to, from, end);
  return bits | (simd === false ? unmaskView(viewOf(target), to, stop, key) : unmaskBytes(target, to, stop, key));
}
