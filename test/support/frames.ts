import { randomBytes } from 'node:crypto';
import { CLOSE_FRAME, TEXT_FRAME } from '../../src/framing/opcodes.js';

export {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  PING_FRAME,
  PONG_FRAME,
  TEXT_FRAME,
} from '../../src/framing/opcodes.js';

/** A frame to build, well-formed unless told otherwise. */
export interface FrameInit {
  /** Default `true`. */
  readonly fin?: boolean;
  /** Reserved bits: 4 for RSV1, 2 for RSV2, 1 for RSV3. Default 0. */
  readonly rsv?: number;
  /** Default text. */
  readonly opcode?: number;
  /** Strings are sent as UTF-8. Default empty. */
  readonly payload?: string | Uint8Array;
  /** The four bytes of the masking key, `true` for random ones, or `false` for an unmasked frame. */
  readonly mask?: Uint8Array | boolean;
  /** Announced payload length if it is to differ from the real one. */
  readonly length?: number | bigint;
  /** How many bytes the extended length takes: 0, 2 or 8. Default: as few as possible. */
  readonly lengthBytes?: 0 | 2 | 8;
}

/** A frame with which a peer breaks the protocol: 1002, for an opcode that is reserved. */
export const FAULTY_FRAME: FrameInit = { opcode: 3 };

function frame(init: FrameInit, maskByDefault: boolean): Buffer {
  const { fin = true, rsv = 0, opcode = TEXT_FRAME, mask = maskByDefault } = init;
  const payload = Buffer.from(init.payload ?? '');
  const length = BigInt(init.length ?? payload.length);
  const lengthBytes = init.lengthBytes ?? (length < 126n ? 0 : length < 65536n ? 2 : 8);
  const header = Buffer.alloc(2 + lengthBytes);
  header[0] = (fin ? 0x80 : 0) | (rsv << 4) | opcode;
  if (lengthBytes === 0) {
    header[1] = Number(length);
  } else if (lengthBytes === 2) {
    header[1] = 126;
    header.writeUInt16BE(Number(length), 2);
  } else {
    header[1] = 127;
    header.writeBigUInt64BE(length, 2);
  }
  if (mask === false) return Buffer.concat([header, payload]);
  header[1] |= 0x80;
  const key = mask === true ? randomBytes(4) : Buffer.from(mask);
  for (let i = 0; i < payload.length; i++) payload[i] = (payload[i] as number) ^ (key[i & 3] as number);
  return Buffer.concat([header, key, payload]);
}

/** A frame as a client sends it: masked, with a random key unless told otherwise. */
export function clientFrame(init: FrameInit = {}): Buffer {
  return frame(init, true);
}

/** A frame as a server sends it: not masked. */
export function serverFrame(init: FrameInit = {}): Buffer {
  return frame(init, false);
}

/** The payload of a close frame; no code makes it empty. */
export function closePayload(code?: number, reason: string | Uint8Array = ''): Buffer {
  if (code === undefined) return Buffer.alloc(0);
  return Buffer.concat([Buffer.of(code >>> 8, code), Buffer.from(reason)]);
}

/** A client's close frame; no code makes it empty. */
export function clientClose(code?: number, reason: string | Uint8Array = ''): Buffer {
  return clientFrame({ opcode: CLOSE_FRAME, payload: closePayload(code, reason) });
}

/** A frame that {@link parseFrames} has found. */
export interface ParsedFrame {
  readonly fin: boolean;
  readonly rsv: number;
  readonly opcode: number;
  readonly masked: boolean;
  /** Unmasked. */
  readonly payload: Buffer;
}

/** The complete frames at the beginning of `bytes`, and what follows them. For what a server under test has sent. */
export function parseFrames(bytes: Buffer): { frames: ParsedFrame[]; rest: Buffer } {
  const frames: ParsedFrame[] = [];
  let pos = 0;
  for (;;) {
    const rest = bytes.subarray(pos);
    if (rest.length < 2) return { frames, rest };
    const first = rest.readUInt8(0);
    const second = rest.readUInt8(1);
    const masked = second >= 0x80;
    let length = second & 0x7f;
    let size = 2;
    if (length === 126) {
      size = 4;
      if (rest.length < size) return { frames, rest };
      length = rest.readUInt16BE(2);
    } else if (length === 127) {
      size = 10;
      if (rest.length < size) return { frames, rest };
      length = Number(rest.readBigUInt64BE(2));
    }
    const start = size + (masked ? 4 : 0);
    if (rest.length < start + length) return { frames, rest };
    const payload = Buffer.from(rest.subarray(start, start + length));
    if (masked) for (let i = 0; i < length; i++) payload[i] = payload.readUInt8(i) ^ rest.readUInt8(size + (i & 3));
    frames.push({ fin: first >= 0x80, rsv: (first >>> 4) & 7, opcode: first & 15, masked, payload });
    pos += start + length;
  }
}
