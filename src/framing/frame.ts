import { LENGTH_IN_16_BITS, LENGTH_IN_64_BITS } from './opcodes.js';

/** Longest header of an unmasked frame. */
export const LONGEST_HEADER = 10;

const LONGEST_SHORT_LENGTH = 125;
const LONGEST_16_BIT_LENGTH = 0xffff;

/** Makes an unmasked frame in a buffer of its own: the header, and a copy of the payload, or the UTF-8 form of a text. */
export function makeFrame(firstByte: number, payload: string | Uint8Array): Buffer {
  const length = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length;
  const frame = Buffer.allocUnsafeSlow(headerLength(length) + length);
  const start = putHeader(frame, 0, firstByte, length);
  if (typeof payload === 'string') frame.write(payload, start);
  else frame.set(payload, start);
  return frame;
}

/** The payload of a frame that {@link makeFrame} has made. */
export function payloadOf(frame: Buffer): Buffer {
  const length = frame[1];
  return frame.subarray(length === LENGTH_IN_64_BITS ? LONGEST_HEADER : length === LENGTH_IN_16_BITS ? 4 : 2);
}

/** Puts an unmasked frame at `at` into a buffer that has room for it; returns where it ends. */
export function putFrame(buffer: Buffer, at: number, firstByte: number, payload: Uint8Array): number {
  const start = putHeader(buffer, at, firstByte, payload.length);
  buffer.set(payload, start);
  return start + payload.length;
}

/** How long the header of an unmasked frame with so much payload is (RFC 6455, section 5.2). */
export function headerLength(length: number): number {
  if (length <= LONGEST_SHORT_LENGTH) return 2;
  return length <= LONGEST_16_BIT_LENGTH ? 4 : LONGEST_HEADER;
}

/** Puts the header of an unmasked frame at `at`; returns where it ends. */
export function putHeader(buffer: Buffer, at: number, firstByte: number, length: number): number {
  buffer[at] = firstByte;
  if (length <= LONGEST_SHORT_LENGTH) {
    buffer[at + 1] = length;
    return at + 2;
  }
  if (length <= LONGEST_16_BIT_LENGTH) {
    buffer[at + 1] = LENGTH_IN_16_BITS;
    buffer[at + 2] = length >> 8;
    buffer[at + 3] = length;
    return at + 4;
  }
  buffer[at + 1] = LENGTH_IN_64_BITS;
  buffer.writeUInt32BE(Math.floor(length / 0x1_0000_0000), at + 2);
  buffer.writeUInt32BE(length >>> 0, at + 6);
  return at + LONGEST_HEADER;
}
