import { endianness } from 'node:os';

/** Shape of the one function of the optional package `bufferutil` that is used here. */
export type NativeUnmask = (buffer: Buffer, mask: Buffer) => void;

// Below this a call into native code costs more than the loop below saves.
const NATIVE_FROM = 48 * 1024;

const HOST_IS_LITTLE_ENDIAN = endianness() === 'LE';

// The package is looked for when the first piece arrives that it could help with, so that servers of small messages
// never load it. Until it has been found the loops below do the work.
let native: NativeUnmask | undefined;
const { WS_NO_BUFFER_UTIL } = process.env;
let wanted = !WS_NO_BUFFER_UTIL;

/**
 * Sets the native function that unmasks large pieces; `undefined` goes back to plain JavaScript. Either way the optional
 * package is not looked for any more.
 */
export function useNativeUnmask(unmask: NativeUnmask | undefined): void {
  wanted = false;
  native = unmask;
}

/**
 * Loads the optional package and uses its `unmask`. Resolves with whether it was found; never rejects, because a server
 * without it, or with one built for another ABI, works just as well.
 */
export async function loadNativeUnmask(specifier: string = 'bufferutil'): Promise<boolean> {
  wanted = false;
  try {
    // A specifier that is not a literal keeps bundlers and the compiler from demanding the package.
    const module: { default?: unknown } = await import(specifier);
    const { default: exported = module } = module;
    if (typeof exported !== 'object' || exported === null || !('unmask' in exported)) return false;
    if (typeof exported.unmask !== 'function') return false;
    native = exported.unmask as NativeUnmask;
    return true;
  } catch {
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

/** The key as a number that, stored as a 32-bit word by a host of the given byte order, has the bytes of the key in order. */
export function keyWord(key: number, littleEndian: boolean = HOST_IS_LITTLE_ENDIAN): number {
  if (littleEndian) return key;
  return (key >>> 24) | ((key >>> 8) & 0xff00) | ((key << 8) & 0xff0000) | (key << 24);
}

/** Whether what {@link unmaskBytes} ({@link unmaskView}, {@link unmaskWords}) returned says that every byte is below 0x80. */
export function isAscii(bits: number): boolean {
  return (bits & 0x80808080) === 0;
}

/** A view of `chunk` for {@link unmaskView}. */
export function viewOf(chunk: Uint8Array): DataView {
  return new DataView(chunk.buffer, chunk.byteOffset, chunk.length);
}

/** All 32-bit words of the memory that `chunk` is part of, for {@link unmaskWords}. */
export function wordsOf(chunk: Uint8Array): Int32Array {
  return new Int32Array(chunk.buffer, 0, chunk.buffer.byteLength >>> 2);
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
 * Unmasks `[start, end)` of a chunk in place, 32 bits at a time wherever they lie: the fastest way up to about 200 bytes,
 * because nothing has to be done about alignment.
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

/**
 * Unmasks `chunk[start, end)` in place, 32 bits at a time where the memory is aligned: the fastest way for long pieces.
 * Very long ones are left to native code when the optional package is there.
 *
 * @param words - {@link wordsOf} the same chunk, made once for all its pieces
 * @returns all bytes of the result, or-ed, see {@link isAscii}; -1 (not known to be ASCII) after native code
 */
export function unmaskWords(chunk: Buffer, words: Int32Array, start: number, end: number, key: number): number {
  if (end - start >= NATIVE_FROM) {
    if (wanted) void loadNativeUnmask();
    if (native !== undefined) {
      native(chunk.subarray(start, end), Buffer.of(key, key >>> 8, key >>> 16, key >>> 24));
      return -1;
    }
  }
  const shift = chunk.byteOffset;
  // The first and the last byte position that are aligned in memory, though not necessarily within the chunk.
  const from = ((shift + start + 3) & ~3) - shift;
  const to = ((shift + end) & ~3) - shift;
  if (from >= to) return unmaskBytes(chunk, start, end, key);
  let bits = unmaskBytes(chunk, start, from, key);
  const aligned = advanceKey(key, from - start);
  const word = keyWord(aligned);
  const last = (shift + to) >>> 2;
  let at = (shift + from) >>> 2;
  for (; at + 7 < last; at += 8) {
    const word0 = (words[at] as number) ^ word;
    words[at] = word0;
    bits |= word0;
    const word1 = (words[at + 1] as number) ^ word;
    words[at + 1] = word1;
    bits |= word1;
    const word2 = (words[at + 2] as number) ^ word;
    words[at + 2] = word2;
    bits |= word2;
    const word3 = (words[at + 3] as number) ^ word;
    words[at + 3] = word3;
    bits |= word3;
    const word4 = (words[at + 4] as number) ^ word;
    words[at + 4] = word4;
    bits |= word4;
    const word5 = (words[at + 5] as number) ^ word;
    words[at + 5] = word5;
    bits |= word5;
    const word6 = (words[at + 6] as number) ^ word;
    words[at + 6] = word6;
    bits |= word6;
    const word7 = (words[at + 7] as number) ^ word;
    words[at + 7] = word7;
    bits |= word7;
  }
  for (; at < last; at++) {
    const next = (words[at] as number) ^ word;
    words[at] = next;
    bits |= next;
  }
  return bits | unmaskBytes(chunk, to, end, aligned);
}
