import { isUtf8 } from 'node:buffer';
import { advanceKey, isAscii, type Place, readKey, unmaskBytes, unmaskLong, unmaskView, viewOf } from './mask.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  FIN,
  LENGTH_IN_16_BITS,
  LENGTH_IN_64_BITS,
  MASK,
  PING_FRAME,
  PONG_FRAME,
  RSV1,
  RSV2_AND_3,
  TEXT_FRAME,
} from './opcodes.js';

/** Bit of the `flags` of a piece: the message is text, otherwise binary. */
export const TEXT = 1;
/** Bit of the `flags` of a piece: it is the first piece of its message that is delivered. */
export const MESSAGE_START = 2;
/** Bit of the `flags` of a piece: the message ends with it. */
export const MESSAGE_END = 4;
/** Bit of the `flags` of a piece: the message is compressed (RSV1 of its first frame, RFC 7692 section 6). */
export const COMPRESSED = 8;
/** Bit of the `flags` of a piece: every byte of it is below 0x80. Its absence says nothing. */
export const ASCII = 16;

/** What a {@link FrameReader} reports to, always synchronously from within `read`. */
export interface FrameEvents {
  /**
   * Asked before a long piece is unmasked, behind which `rest` bytes of the same frame are to come: where its `size` bytes
   * are wanted. `undefined`: where they are. What is put there is reported at once by `onData`.
   */
  placeFor(size: number, rest: number): Place | undefined;
  /**
   * A piece of a data message: `chunk[start, end)`, already unmasked, in place or where `placeFor` said. It is one frame or
   * a part of one, never more. It is empty only if it is the end of a message and nothing precedes it in the same frame.
   * `rest` bytes of the same frame are still to come. Five arguments all the way to those who keep it: a record would be a
   * third more to allocate for each small frame, 85 bytes instead of 64.
   */
  onData(chunk: Buffer, start: number, end: number, flags: number, rest: number): void;
  /** A ping. `payload` may be a view of the chunk being pushed: copy what has to outlive the call. */
  onPing(payload: Buffer): void;
  /** A pong. `payload` may be a view of the chunk being pushed: copy what has to outlive the call. */
  onPong(payload: Buffer): void;
  /** The peer's close frame; an empty one is 1005 and `''`. Nothing is reported after it. */
  onClose(code: number, reason: string): void;
  /** The peer broke the protocol; close with `closeCode` (1002, 1007 or 1009). Nothing is reported after it. */
  onFault(closeCode: number, message: string): void;
}

/** What a {@link FrameReader} has to know about its connection. */
export interface FrameReaderOptions {
  /** Most payload bytes of one message, as they come over the wire; 1009 beyond. `Infinity` for no limit. */
  readonly maxPayload: number;
  /** Whether permessage-deflate was negotiated, so that RSV1 is allowed. */
  readonly compression: boolean;
}

const LONGEST_CONTROL_PAYLOAD = 125;
/** Beyond this a sum of lengths would lose bytes. */
const MOST = Number.MAX_SAFE_INTEGER;
const LONGEST_HEADER = 14;
const KEY_SIZE = 4;

// From here on SIMD is the fastest way to unmask a piece.
const LONG_FROM = 512;
// Making a view of a chunk takes as long as unmasking about so many bytes without one.
const VIEW_FROM = 192;

// Results of parse() beside the size of the header.
const INCOMPLETE = 0;
const FAULTY = -1;

/** Whether a close frame may carry the code on the wire: RFC 6455 section 7.4 and the IANA registry up to 1014. */
export function isCloseCode(code: number): boolean {
  if (code >= 3000) return code <= 4999;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

/**
 * Incremental parser of the frames of a client (RFC 6455 section 5). It is given what the socket delivers, cut anywhere,
 * and passes payload on at once; it keeps nothing but a cut-off header (at most 13 bytes) and a cut-off control payload
 * (at most 125 bytes).
 *
 * Lengths that are not encoded in the fewest possible bytes are accepted, as `ws` and all browsers do: RFC 6455 section
 * 5.2 forbids to send them, but nothing depends on it. A 64-bit length with its top bit set is 1002 (the same section
 * forbids it); one that a number cannot hold exactly, or that exceeds `maxPayload`, is 1009 as soon as the length is
 * known.
 */
export class FrameReader {
  // Not #fields: with those a chunk of one small frame takes 40 ns longer (Node 20), which is more than half as much again.
  private readonly events: FrameEvents;
  /** `undefined` for {@link MOST}, which would be an object for each connection. */
  private readonly limit: number | undefined;
  private readonly compression: boolean;

  /** Nothing is reported any more: stopped from outside, closed or at fault. */
  private stopped = false;

  // The header that the last chunk cut off.
  private head: Buffer | undefined;
  private headLength = 0;

  // The frame whose payload is being received; `remaining` is 0 between frames.
  private remaining = 0;
  private key = 0;
  private opcode = 0;
  private final = false;

  // The message being received, if `open`: control frames may come between its frames.
  private open = false;
  private delivered = false;
  private flags = 0;
  private total = 0;

  // The control payload that the last chunk cut off.
  private control: Buffer | undefined;
  private controlLength = 0;

  constructor(events: FrameEvents, options: FrameReaderOptions) {
    this.events = events;
    this.limit = options.maxPayload < MOST ? options.maxPayload : undefined;
    this.compression = options.compression;
  }

  /** Whether the bytes so far are whole frames and leave no message open. */
  get isBetweenMessages(): boolean {
    return this.remaining === 0 && this.headLength === 0 && this.controlLength === 0 && !this.open;
  }

  /**
   * Reads the next bytes, telling `events` of everything that they complete. The payload within `chunk` is unmasked in
   * place. Must not be called from within one of them.
   */
  read(chunk: Buffer): void {
    const end = chunk.length;
    const { events, compression, limit = MOST } = this;
    let view: DataView | undefined;
    let pos = 0;
    if (this.headLength > 0 && !this.stopped) pos = this.resumeHeader(chunk, end);
    while (!this.stopped) {
      if (this.remaining > 0) {
        if (pos === end) return;
        pos = this.readPayload(chunk, pos, end);
        continue;
      }
      // A whole message in one frame, by far the commonest: the state of the reader is not touched.
      if (!this.open && end - pos >= 8) {
        const first = chunk[pos] as number;
        const second = chunk[pos + 1] as number;
        const opcode = (first & (compression ? ~RSV1 : -1)) ^ FIN;
        if (
          (opcode === TEXT_FRAME || opcode === BINARY_FRAME) &&
          second >= MASK &&
          second !== (MASK | LENGTH_IN_64_BITS)
        ) {
          let length = second & ~MASK;
          let start = pos + 6;
          if (length === LENGTH_IN_16_BITS) {
            length = ((chunk[pos + 2] as number) << 8) | (chunk[pos + 3] as number);
            start = pos + 8;
          }
          const stop = start + length;
          if (stop <= end && length <= limit) {
            const key = readKey(chunk, start - KEY_SIZE);
            let bits: number;
            if (length >= LONG_FROM) {
              bits = unmaskLong(chunk, start, stop, key);
            } else if (end >= VIEW_FROM) {
              view ??= viewOf(chunk);
              bits = unmaskView(view, start, stop, key);
            } else {
              bits = unmaskBytes(chunk, start, stop, key);
            }
            const flags =
              (opcode & TEXT) |
              ((first & RSV1) >>> 3) |
              (isAscii(bits) ? MESSAGE_START | MESSAGE_END | ASCII : MESSAGE_START | MESSAGE_END);
            events.onData(chunk, start, stop, flags, 0);
            pos = stop;
            continue;
          }
        }
      }
      if (pos === end) return;
      pos = this.readHeader(chunk, pos, end);
    }
  }

  /** Ends the reading: from now on nothing is reported, not even of the chunk being read. */
  stop(): void {
    this.stopped = true;
    this.head = undefined;
    this.control = undefined;
  }

  private fault(closeCode: number, message: string): typeof FAULTY {
    this.stop();
    this.events.onFault(closeCode, message);
    return FAULTY;
  }

  /** Reads a header that begins at `pos`; returns where to go on. */
  private readHeader(chunk: Buffer, pos: number, end: number): number {
    const size = this.parse(chunk, pos, end - pos);
    if (size > 0) return this.begin(chunk, pos + size);
    if (size === INCOMPLETE) {
      this.head ??= Buffer.alloc(LONGEST_HEADER);
      this.headLength = chunk.copy(this.head, 0, pos, end);
    }
    return end;
  }

  /** Completes the header that the last chunk cut off; returns where to go on. */
  private resumeHeader(chunk: Buffer, end: number): number {
    const had = this.headLength;
    const head = this.head as Buffer;
    const have = had + chunk.copy(head, had);
    const size = this.parse(head, 0, have);
    if (size > 0) {
      this.headLength = 0;
      return this.begin(chunk, size - had);
    }
    this.headLength = have;
    return end;
  }

  /**
   * Checks what is there of a header, as early as it is there. When it is complete, it becomes the current frame.
   *
   * @returns size of the complete header, INCOMPLETE or FAULTY
   */
  private parse(buffer: Buffer, pos: number, available: number): number {
    const first = buffer[pos] as number;
    const opcode = first & 0x0f;
    const final = first >= FIN;
    const rsv1 = (first & RSV1) !== 0;
    if ((first & RSV2_AND_3) !== 0) return this.fault(1002, 'Reserved bits RSV2 and RSV3 of a frame must be clear');
    if (rsv1) {
      if (!this.compression) return this.fault(1002, 'RSV1 is set but no extension was negotiated that uses it');
      if (opcode !== TEXT_FRAME && opcode !== BINARY_FRAME) {
        return this.fault(1002, 'RSV1 may only be set on the first frame of a message');
      }
    }
    const isControl = opcode >= CLOSE_FRAME;
    if (isControl) {
      if (opcode > PONG_FRAME) return this.fault(1002, `Opcode ${opcode} is reserved`);
      if (!final) return this.fault(1002, 'A control frame must not be fragmented');
    } else if (opcode === CONTINUATION) {
      if (!this.open) return this.fault(1002, 'A continuation frame arrived but no message was begun');
    } else {
      if (opcode > BINARY_FRAME) return this.fault(1002, `Opcode ${opcode} is reserved`);
      if (this.open) return this.fault(1002, 'A new message was begun before the last one ended');
    }
    if (available < 2) return INCOMPLETE;

    const second = buffer[pos + 1] as number;
    if (second < MASK) return this.fault(1002, 'A frame of a client must be masked');
    let length = second & ~MASK;
    let size = 2;
    if (isControl) {
      if (length > LONGEST_CONTROL_PAYLOAD) {
        return this.fault(1002, 'A control frame announced a payload of more than 125 bytes');
      }
      if (opcode === CLOSE_FRAME && length === 1)
        return this.fault(1002, 'A close frame must carry no or two bytes of code');
    } else {
      if (length === LENGTH_IN_16_BITS) {
        size = 4;
        if (available < size) return INCOMPLETE;
        length = buffer.readUInt16BE(pos + 2);
      } else if (length === LENGTH_IN_64_BITS) {
        size = 10;
        if (available < size) return INCOMPLETE;
        const high = buffer.readUInt32BE(pos + 2);
        if (high > 0x7fffffff) return this.fault(1002, 'The top bit of a 64-bit payload length must be clear');
        // Inexact above 2^53, but never so far off that it could pass the limit below.
        length = high * 0x100000000 + buffer.readUInt32BE(pos + 6);
      }
      const { limit = MOST } = this;
      if (length > limit - this.messageLength(opcode)) {
        return this.fault(1009, `A message is longer than the limit of ${limit} bytes`);
      }
    }
    if (available < size + KEY_SIZE) return INCOMPLETE;

    this.key = readKey(buffer, pos + size);
    this.remaining = length;
    this.opcode = opcode;
    this.final = final;
    if (!isControl) {
      if (opcode !== CONTINUATION) {
        this.open = true;
        this.delivered = false;
        this.total = 0;
        this.flags = (opcode & TEXT) | (rsv1 ? COMPRESSED : 0);
      }
      this.total += length;
    }
    return size + KEY_SIZE;
  }

  /** Bytes that earlier frames of the message announced which a frame with this opcode belongs to. */
  private messageLength(opcode: number): number {
    return opcode === CONTINUATION ? this.total : 0;
  }

  /** Reports a frame without payload, which no payload will follow. Returns `pos`. */
  private begin(chunk: Buffer, pos: number): number {
    if (this.remaining > 0) return pos;
    if (this.opcode >= CLOSE_FRAME) this.deliverControl(chunk.subarray(pos, pos));
    else if (this.final) this.deliverData(chunk, pos, pos, 0);
    return pos;
  }

  /** Unmasks and reports what the chunk holds of the current frame; returns where to go on. */
  private readPayload(chunk: Buffer, pos: number, end: number): number {
    const size = Math.min(this.remaining, end - pos);
    const stop = pos + size;
    const { key } = this;
    this.remaining -= size;
    if (this.remaining > 0) this.key = advanceKey(key, size);
    if (size >= LONG_FROM) {
      // Longer than any control frame.
      const place = this.events.placeFor(size, this.remaining);
      const bits = unmaskLong(chunk, pos, stop, key, place);
      if (place === undefined) this.deliverData(chunk, pos, stop, bits);
      else this.deliverData(place.chunk, place.end, place.end + size, bits);
      return stop;
    }
    const bits = unmaskBytes(chunk, pos, stop, key);
    if (this.opcode < CLOSE_FRAME) this.deliverData(chunk, pos, stop, bits);
    else this.collectControl(chunk, pos, stop);
    return stop;
  }

  private deliverData(chunk: Buffer, start: number, end: number, bits: number): void {
    let { flags } = this;
    if (isAscii(bits)) flags |= ASCII;
    if (!this.delivered) {
      this.delivered = true;
      flags |= MESSAGE_START;
    }
    if (this.final && this.remaining === 0) {
      this.open = false;
      flags |= MESSAGE_END;
    }
    this.events.onData(chunk, start, end, flags, this.remaining);
  }

  /** Collects the payload of a control frame that chunks cut; it is only reported as a whole. */
  private collectControl(chunk: Buffer, start: number, end: number): void {
    if (this.control === undefined) {
      if (this.remaining === 0) {
        this.deliverControl(chunk.subarray(start, end));
        return;
      }
      this.control = Buffer.allocUnsafeSlow(end - start + this.remaining);
    }
    this.controlLength += chunk.copy(this.control, this.controlLength, start, end);
    if (this.remaining > 0) return;
    const payload = this.control;
    this.control = undefined;
    this.controlLength = 0;
    this.deliverControl(payload);
  }

  private deliverControl(payload: Buffer): void {
    if (this.opcode === PING_FRAME) this.events.onPing(payload);
    else if (this.opcode === PONG_FRAME) this.events.onPong(payload);
    else this.deliverClose(payload);
  }

  private deliverClose(payload: Buffer): void {
    if (payload.length === 0) {
      this.stop();
      this.events.onClose(1005, '');
      return;
    }
    const code = payload.readUInt16BE(0);
    if (!isCloseCode(code)) {
      this.fault(1002, `A close frame must not carry the code ${code}`);
    } else if (!isUtf8(payload.subarray(2))) {
      this.fault(1007, 'The reason of a close frame is not valid UTF-8');
    } else {
      const reason = payload.toString('utf8', 2);
      this.stop();
      this.events.onClose(code, reason);
    }
  }
}
