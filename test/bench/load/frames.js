import { createHash } from 'node:crypto';
import { constants, deflateRawSync } from 'node:zlib';

const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

// One key for all frames: the bytes on the wire are then the same for every message and are masked only once.
const MASK = Buffer.from([0x37, 0xfa, 0x21, 0x3d]);

export const TEXT = 0x81;
export const BINARY = 0x82;
export const COMPRESSED_TEXT = 0xc1;
const COMPRESSED_BINARY = 0xc2;
const BINARY_FIRST = 0x02;
const CONTINUATION = 0x00;
const CONTINUATION_LAST = 0x80;

/** What the server must answer to {@link handshake} (RFC 6455 §4.2.2). */
export const ACCEPT = createHash('sha1')
  .update(KEY + GUID)
  .digest('base64');

/**
 * The opening handshake of a client (RFC 6455 §4.1), as a program that is not a browser sends it.
 *
 * @param {string} path
 * @param {{ deflate?: boolean, independent?: boolean }} [options] `independent`: with messages that do not refer to others
 * @returns {Buffer}
 */
export function handshake(path, { deflate = false, independent = false } = {}) {
  const lines = [
    `GET ${path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'User-Agent: websocket-context-bench',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${KEY}`,
  ];
  const parameters = independent ? 'server_no_context_takeover; client_no_context_takeover' : 'client_max_window_bits';
  if (deflate) lines.push(`Sec-WebSocket-Extensions: permessage-deflate; ${parameters}`);
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/**
 * @param {number} first first byte of the frame: FIN, RSV and opcode
 * @param {number} length of the payload
 * @param {boolean} masked
 */
function header(first, length, masked) {
  const bit = masked ? 0x80 : 0;
  let bytes;
  if (length < 126) {
    bytes = Buffer.from([first, bit | length]);
  } else if (length < 65536) {
    bytes = Buffer.from([first, bit | 126, length >> 8, length & 255]);
  } else {
    bytes = Buffer.alloc(10);
    bytes[0] = first;
    bytes[1] = bit | 127;
    bytes.writeBigUInt64BE(BigInt(length), 2);
  }
  return masked ? Buffer.concat([bytes, MASK]) : bytes;
}

/** @param {Buffer} data */
function mask(data) {
  const result = Buffer.from(data);
  for (let i = 0; i < result.length; i++) result[i] ^= MASK[i & 3];
  return result;
}

/**
 * @param {number} first
 * @param {Buffer} payload
 */
export function clientFrame(first, payload) {
  return Buffer.concat([header(first, payload.length, true), mask(payload)]);
}

/**
 * @param {number} first
 * @param {Buffer} payload
 */
export function serverFrame(first, payload) {
  return Buffer.concat([header(first, payload.length, false), payload]);
}

/**
 * Text that a human could have written, so that neither UTF-8 checks nor compression see a best case.
 *
 * @param {number} size in bytes
 */
export function text(size) {
  const words = 'the quick brown fox jumps over a lazy dog while seven wizards mix up five dozen jugs of ink ';
  return Buffer.from(words.repeat(Math.ceil(size / words.length)).slice(0, size), 'latin1');
}

/**
 * JSON as a server might send it: names that come back, and values that do not.
 *
 * @param {number} size in bytes
 */
export function record(size) {
  const random = noise(size);
  const users = Array.from({ length: size / 32 }, (_, at) => ({
    id: random.readUInt16LE(8 * at),
    name: `user ${random.toString('base64', 8 * at, 8 * at + 6)}`,
    price: random.readUInt16LE(8 * at + 6) / 100,
  }));
  return Buffer.from(JSON.stringify(users).slice(0, size), 'latin1');
}

/**
 * Bytes without a pattern, the same in every run.
 *
 * @param {number} size
 */
export function noise(size) {
  const result = Buffer.alloc(size);
  let state = 0x9e3779b9;
  for (let i = 0; i < size; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    result[i] = state;
  }
  return result;
}

/** What a server sends of its own accord when it pushes or broadcasts. */
export const PUSHED_TEXT = text(128);

/** Messages that a broadcast burst sends to every connection in one tick. */
export const BURST = 10;

/** @param {Buffer} payload */
export function compressedTextFrame(payload) {
  return clientFrame(COMPRESSED_TEXT, flushed(payload).subarray(0, -4));
}

/** @param {Buffer} payload */
function flushed(payload) {
  return deflateRawSync(payload, { finishFlush: constants.Z_SYNC_FLUSH });
}

/**
 * A message so large that nobody holds it: bytes to send once, bytes to send `blocks` times, bytes to send at the end.
 *
 * @typedef {{ prefix: Buffer, block: Buffer, blocks: number, suffix: Buffer, total: number, pattern: Buffer }} Stream
 */

const MIB = 1 << 20;

/**
 * @param {'one-frame' | 'fragments' | 'compressed'} shape
 * @param {number} mebibytes
 * @returns {Stream}
 */
export function stream(shape, mebibytes) {
  const total = mebibytes * MIB;
  if (shape === 'one-frame') {
    const pattern = noise(MIB);
    const nothing = Buffer.alloc(0);
    return {
      prefix: header(BINARY, total, true),
      block: mask(pattern),
      blocks: mebibytes,
      suffix: nothing,
      total,
      pattern,
    };
  }
  if (shape === 'fragments') {
    const pattern = noise(1 << 16);
    const payload = mask(pattern);
    /** @param {number} first */
    const frame = (first) => Buffer.concat([header(first, payload.length, true), payload]);
    return {
      prefix: frame(BINARY_FIRST),
      block: frame(CONTINUATION),
      blocks: total / payload.length - 2,
      suffix: frame(CONTINUATION_LAST),
      total,
      pattern,
    };
  }
  // A full flush forgets the history (RFC 1951 §3.2.3), so that the same compressed block may follow itself. Its
  // length is padded to a multiple of four with empty stored blocks, so that it can be masked once.
  const pattern = Buffer.concat([text(MIB / 2), noise(MIB / 2)]);
  const once = deflateRawSync(pattern, { finishFlush: constants.Z_FULL_FLUSH });
  const empty = Buffer.from([0, 0, 0, 0xff, 0xff]);
  const padding = (4 - (once.length % 4)) % 4;
  const block = Buffer.concat([once, ...Array.from({ length: padding }, () => empty)]);
  // The last four bytes of the final empty block are left out (RFC 7692 §7.2.1).
  const suffix = Buffer.from([0]);
  const length = block.length * mebibytes + suffix.length;
  return {
    prefix: header(COMPRESSED_BINARY, length, true),
    block: mask(block),
    blocks: mebibytes,
    suffix: mask(suffix),
    total,
    pattern,
  };
}
