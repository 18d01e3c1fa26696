import assert from 'node:assert/strict';
import { ASCII, type FrameEvents, FrameReader, MESSAGE_END, MESSAGE_START } from '../../src/framing/frame-reader.js';
import { clientFrame, type FrameInit } from './frames.js';

export type Call =
  | readonly ['data', string, number]
  | readonly ['ping' | 'pong', string]
  | readonly ['close' | 'fault', number, string];

export interface RecordOptions {
  maxPayload?: number;
  compression?: boolean;
  /** Called after every call that the reader has made. */
  onCall?(call: Call, reader: FrameReader): void;
}

/** A reader whose calls are recorded; payloads as latin1, the flags of data without ASCII. */
export function record(options: RecordOptions = {}): { reader: FrameReader; calls: Call[] } {
  const { maxPayload = Number.POSITIVE_INFINITY, compression = false } = options;
  const calls: Call[] = [];
  const add = (call: Call): void => {
    calls.push(call);
    options.onCall?.(call, reader);
  };
  const events: FrameEvents = {
    placeFor: () => undefined,
    onData: (chunk, start, end, flags) => {
      const piece = chunk.subarray(start, end);
      if ((flags & ASCII) !== 0) assert.ok(piece.every((byte) => byte < 0x80));
      add(['data', piece.toString('latin1'), flags & ~ASCII]);
    },
    onPing: (payload) => add(['ping', payload.toString('latin1')]),
    onPong: (payload) => add(['pong', payload.toString('latin1')]),
    onClose: (code, reason) => add(['close', code, reason]),
    onFault: (code, message) => add(['fault', code, message]),
  };
  const reader = new FrameReader(events, { maxPayload, compression });
  return { reader, calls };
}

/** What the reader makes of `bytes` in chunks of `size`. */
export function read(bytes: Buffer, size: number = bytes.length, options: RecordOptions = {}): Call[] {
  const { reader, calls } = record(options);
  for (let at = 0; at < bytes.length; at += size) reader.read(Buffer.from(bytes.subarray(at, at + size)));
  return calls;
}

export function frames(...inits: FrameInit[]): Buffer {
  return Buffer.concat(inits.map((init) => clientFrame(init)));
}

/** Joins the pieces of each message, so that calls compare wherever chunks were cut. */
export function joined(calls: readonly Call[]): Call[] {
  const result: Call[] = [];
  let open = -1;
  for (const call of calls) {
    if (call[0] !== 'data') {
      result.push(call);
      continue;
    }
    const [, piece, flags] = call;
    if ((flags & MESSAGE_START) !== 0) {
      assert.equal(open, -1, 'MESSAGE_START comes only after MESSAGE_END');
      open = result.push(['data', '', 0]) - 1;
    }
    const before = result[open];
    assert.ok(before?.[0] === 'data', 'a message begins with MESSAGE_START');
    result[open] = ['data', before[1] + piece, before[2] | flags];
    if ((flags & MESSAGE_END) !== 0) open = -1;
  }
  return result;
}

/** Flags of a message in one piece. */
export const WHOLE = MESSAGE_START | MESSAGE_END;
