// Compares our frame reader, with UTF-8 validation and inflating behind it, with the Receiver of `ws` on the same
// streams: sequences of messages, mutated ones and noise, cut at random places. Both must report the same messages,
// pings, pongs and closes in the same order and fail with the same close code. Wanted differences, all of them stricter
// or earlier:
//
// 1. Invalid UTF-8 in a text message fails (1007) at the first impossible byte; `ws` fails at the end of the message.
// 2. Corrupt compressed data (1007) and output beyond maxPayload (1009) fail as the bytes arrive; `ws` inflates a frame
//    when it is complete.
// 3. The first byte of a frame is checked when it is there; `ws` waits for the second.
// 4. A 64-bit length with its top bit set is 1002, which RFC 6455 section 5.2 forbids; `ws` says 1009.
// 5. What follows a final block (BFINAL) in a compressed message is ignored, and the next message goes on with the same
//    window; `ws` ignores it up to the end of the frame, or even the next frame as a whole, and then begins a new DEFLATE
//    stream. RFC 7692 section 7.2.3.4 has nothing but padding there.
// 6. A message whose frames announce more than 2^53 - 1 bytes together is 1009, as a single such frame is; `ws` waits for
//    the bytes.
//
// FUZZ_CASES sets how many streams are tried, FUZZ_SEED the first of them (each stream is made from its own seed).

import assert from 'node:assert/strict';
import type { Writable } from 'node:stream';
import { describe, it } from 'node:test';
import { constants, deflateRawSync, inflateRawSync } from 'node:zlib';
import * as ws from 'ws';
import type { NegotiatedDeflate } from '../src/framing/deflate-options.js';
import { ASCII, COMPRESSED, FrameReader, MESSAGE_END, MESSAGE_START, TEXT } from '../src/framing/frame-reader.js';
import { MessageInflater } from '../src/framing/inflater.js';
import { Utf8Validator } from '../src/framing/utf8.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  clientFrame,
  closePayload,
  PING_FRAME,
  PONG_FRAME,
  TEXT_FRAME,
} from './support/frames.js';
import { Random } from './support/random.js';

interface ExtensionOptions {
  readonly isServer: boolean;
  readonly maxPayload: number;
}

const { PerMessageDeflate, Receiver } = ws as typeof ws & {
  readonly PerMessageDeflate: new (
    options: ExtensionOptions,
  ) => NegotiatedDeflate & { accept(offers: Record<string, true[]>[]): void };
  readonly Receiver: new (
    options: ExtensionOptions & { readonly extensions: Record<string, NegotiatedDeflate> },
  ) => Writable;
};

const CASES = Number(process.env.FUZZ_CASES ?? 12_000);
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1);
const BATCH = 250;

/** A stream and how it is received. */
interface Case {
  readonly chunks: readonly Buffer[];
  readonly maxPayload: number;
  readonly compression: boolean;
  readonly takeover: boolean;
}

type Event = readonly [kind: string, ...details: (string | number | boolean)[]];

interface Outcome {
  readonly events: Event[];
  /** Payloads of the compressed messages, as far as they came. */
  readonly compressed: Buffer[];
  /** We failed while the frame or message was still arriving. */
  early: boolean;
}

const WORDS = ['a', 'text', 'é', '世界', '😀', '\u0000', '\u07ff', '\ufeff', '\uffff', 'x'.repeat(40)];
const BAD_UTF8 = ['80', 'c0af', 'e080', 'eda080', 'f08080', 'f490', 'ff', 'e4b8', 'f09f98'];
const CLOSE_CODES = [999, 1000, 1001, 1003, 1004, 1005, 1006, 1007, 1014, 1015, 1016, 2999, 3000, 4999, 5000, 65535];

function makePayload(random: Random, text: boolean): Buffer {
  let size = random.below(20);
  if (random.chance(10)) size = 120 + random.below(1000);
  else if (random.below(3000) === 0) size = 65530 + random.below(10);
  if (!text) return size > 1000 ? Buffer.alloc(size, random.below(256)) : random.bytes(size);
  let result = '';
  while (result.length < size) result += random.pick(WORDS);
  const bytes = Buffer.from(result);
  if (!random.chance(4)) return bytes;
  const at = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), Buffer.from(random.pick(BAD_UTF8), 'hex'), bytes.subarray(at)]);
}

function makeControl(random: Random): Buffer {
  const opcode = random.pick([PING_FRAME, PING_FRAME, PONG_FRAME]);
  return clientFrame({
    opcode,
    payload: random.bytes(random.chance(5) ? 125 : random.below(6)),
    mask: random.bytes(4),
  });
}

function makeMessage(random: Random, compression: boolean): Buffer[] {
  const opcode = random.pick([TEXT_FRAME, BINARY_FRAME]);
  let payload = makePayload(random, opcode === TEXT_FRAME);
  let rsv = 0;
  if (compression && random.chance(80)) {
    rsv = 4;
    const finishFlush = random.chance(4) ? constants.Z_FINISH : constants.Z_SYNC_FLUSH;
    const deflated = deflateRawSync(payload, { finishFlush, level: random.pick([0, 6]) });
    payload = finishFlush === constants.Z_FINISH ? deflated : deflated.subarray(0, -4);
  }
  const frames: Buffer[] = [];
  const count = random.chance(60) ? 1 : 1 + random.below(4);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const end = i === count - 1 ? payload.length : at + random.below(payload.length - at + 1);
    const part = payload.subarray(at, end);
    at = end;
    const fits =
      part.length < 126 ? ([0, 0, 0, 0, 2, 8] as const) : part.length < 65536 ? ([2, 2, 8] as const) : ([8] as const);
    frames.push(
      clientFrame({
        fin: i === count - 1,
        rsv: i === 0 ? rsv : 0,
        opcode: i === 0 ? opcode : CONTINUATION,
        payload: part,
        mask: random.chance(3) ? Buffer.alloc(4) : random.bytes(4),
        lengthBytes: random.pick(fits),
      }),
    );
    if (random.chance(10)) frames.push(makeControl(random));
  }
  return frames;
}

function makeClose(random: Random): Buffer {
  const reason = random.chance(15) ? Buffer.from(random.pick(BAD_UTF8), 'hex') : random.pick(['', 'bye', 'é世😀']);
  const payload = random.chance(25) ? closePayload() : closePayload(random.pick(CLOSE_CODES), reason);
  return clientFrame({ opcode: CLOSE_FRAME, payload, mask: random.bytes(4) });
}

/** A frame that RFC 6455 forbids in one way or another. */
function makeBroken(random: Random): Buffer {
  const payload = random.bytes(random.below(8));
  const mask = random.bytes(4);
  switch (random.below(7)) {
    case 0:
      return clientFrame({ rsv: 1 + random.below(7), opcode: random.below(16), payload, mask });
    case 1:
      return clientFrame({ opcode: random.below(16), fin: random.chance(50), payload, mask });
    case 2:
      return clientFrame({ payload, mask: false });
    case 3:
      return clientFrame({ opcode: random.pick([CLOSE_FRAME, PING_FRAME]), payload: random.bytes(126), mask });
    case 4:
      return clientFrame({ opcode: CLOSE_FRAME, payload: random.bytes(1), mask });
    case 5:
      return clientFrame({
        payload,
        mask,
        lengthBytes: 8,
        length: random.pick([2n ** 63n, 2n ** 53n, 2n ** 53n - 1n]),
      });
    default:
      return clientFrame({ payload, mask, length: random.below(126), lengthBytes: random.pick([0, 2, 8]) });
  }
}

function mutate(random: Random, stream: Buffer): Buffer {
  let bytes = stream;
  for (let times = 1 + random.below(3); times > 0 && bytes.length > 1; times--) {
    const at = random.below(bytes.length);
    const kind = random.below(5);
    if (kind === 0) bytes[at] = random.below(256);
    else if (kind === 1) bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
    else if (kind === 2) bytes = bytes.subarray(0, at + 1);
    else if (kind === 3) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(4))]);
    else bytes = Buffer.concat([bytes.subarray(0, at), random.bytes(1 + random.below(4)), bytes.subarray(at)]);
  }
  return bytes.length > 0 ? bytes : Buffer.of(0x81);
}

function makeCase(seed: number): Case {
  const random = new Random(seed);
  const compression = random.chance(3);
  const frames: Buffer[] = [];
  for (let count = 1 + random.below(4); count > 0; count--) frames.push(...makeMessage(random, compression));
  if (random.chance(20)) frames.splice(random.below(frames.length + 1), 0, makeBroken(random));
  if (random.chance(30)) frames.push(makeClose(random));
  let stream: Buffer = Buffer.concat(frames);
  if (random.chance(40)) stream = mutate(random, stream);
  else if (random.chance(3)) stream = random.bytes(1 + random.below(60));

  const chunks: Buffer[] = [];
  const longest = random.chance(30) ? stream.length : 1 + random.below(Math.min(stream.length, 200));
  for (let at = 0; at < stream.length; ) {
    const size = random.chance(60) ? longest : 1 + random.below(longest);
    chunks.push(stream.subarray(at, at + size));
    at += size;
  }
  return {
    chunks,
    maxPayload: random.chance(75) ? 0 : 10 + random.below(300),
    compression,
    takeover: random.chance(50),
  };
}

function negotiate(input: Case): NegotiatedDeflate {
  const deflate = new PerMessageDeflate({ isServer: true, maxPayload: input.maxPayload });
  deflate.accept([input.takeover ? {} : { client_no_context_takeover: [true] }]);
  return deflate;
}

function receiveWithWs(input: Case): Promise<Event[]> {
  const events: Event[] = [];
  const extensions: Record<string, NegotiatedDeflate> = input.compression
    ? { 'permessage-deflate': negotiate(input) }
    : {};
  const receiver = new Receiver({ isServer: true, maxPayload: input.maxPayload, extensions });
  receiver.on('message', (data: Buffer, isBinary: boolean) =>
    events.push(['message', isBinary, data.toString('latin1')]),
  );
  receiver.on('ping', (data: Buffer) => events.push(['ping', data.toString('latin1')]));
  receiver.on('pong', (data: Buffer) => events.push(['pong', data.toString('latin1')]));
  receiver.on('conclude', (code: number, reason: Buffer) => events.push(['close', code, reason.toString()]));
  receiver.on('error', (error) => {
    const status = Object.getOwnPropertySymbols(error).find((symbol) => symbol.description === 'status-code');
    events.push(['fault', status === undefined ? String(error) : Number(Reflect.get(error, status))]);
  });
  return new Promise((resolve) => {
    let next = 0;
    // One after the other: writes that `ws` 8.23 has buffered while it inflates run on into an error.
    const write = (error?: Error | null): void => {
      const chunk = input.chunks[next++];
      if (chunk !== undefined && !error && !receiver.writableEnded) {
        receiver.write(Buffer.from(chunk), write);
        return;
      }
      // Errors are emitted after the callbacks of the writes that they made fail.
      setImmediate(() => {
        extensions['permessage-deflate']?.cleanup();
        resolve(events);
      });
    };
    write();
  });
}

async function receive(input: Case): Promise<Outcome> {
  const outcome: Outcome = { events: [], compressed: [], early: false };
  const { events } = outcome;
  const validator = new Utf8Validator();
  const maxPayload = input.maxPayload || Number.POSITIVE_INFINITY;
  let parts: Buffer[] = [];
  const deflated: Buffer[] = [];
  let over = false;

  const report = (event: Event): void => {
    if (!over) events.push(event);
  };
  const fault = (code: number): void => {
    report(['fault', code]);
    over = true;
    reader.stop();
    inflater?.destroy();
  };
  const accept = (chunk: Buffer, start: number, end: number, flags: number): void => {
    if (over) return;
    assert.equal((flags & MESSAGE_START) !== 0, parts.length === 0, 'MESSAGE_START is set on the first piece only');
    const part = Buffer.from(chunk.subarray(start, end));
    if ((flags & ASCII) !== 0)
      assert.ok(
        part.every((byte) => byte < 0x80),
        'ASCII tells the truth',
      );
    parts.push(part);
    const ends = (flags & MESSAGE_END) !== 0;
    if ((flags & TEXT) !== 0 && !(validator.write(chunk, start, end) && (!ends || validator.end()))) {
      outcome.early = true;
      fault(1007);
    } else if (ends) {
      report(['message', (flags & TEXT) === 0, Buffer.concat(parts).toString('latin1')]);
      parts = [];
    }
  };
  const inflater = input.compression
    ? new MessageInflater(negotiate(input), {
        maxPayload,
        onData: accept,
        onFault: (code) => {
          outcome.early = true;
          fault(code);
        },
      })
    : undefined;
  const inOrder = (action: () => void): void => {
    if (inflater === undefined) action();
    else inflater.after(action);
  };
  let pieces = 0;
  const reader = new FrameReader(
    {
      // As a receiver whose reader comes and goes.
      placeFor: (size) => (pieces++ % 2 === 0 ? undefined : { chunk: Buffer.alloc(size + 7), end: 7 }),
      onData: (chunk, start, end, flags) => {
        if ((flags & COMPRESSED) !== 0) {
          if ((flags & MESSAGE_START) !== 0) outcome.compressed.push(Buffer.concat(deflated.splice(0)));
          deflated.push(Buffer.from(chunk.subarray(start, end)));
        }
        if (inflater === undefined) accept(chunk, start, end, flags);
        else inflater.write(chunk, start, end, flags);
      },
      onPing: (payload) => {
        const event: Event = ['ping', payload.toString('latin1')];
        inOrder(() => report(event));
      },
      onPong: (payload) => {
        const event: Event = ['pong', payload.toString('latin1')];
        inOrder(() => report(event));
      },
      onClose: (code, reason) => inOrder(() => report(['close', code, reason])),
      onFault: (code) => inOrder(() => fault(code)),
    },
    { maxPayload, compression: input.compression },
  );
  for (const chunk of input.chunks) reader.read(Buffer.from(chunk));
  while (inflater !== undefined && !over && inflater.bufferedAmount >= 0) {
    let idle = false;
    inflater.after(() => {
      idle = true;
    });
    if (idle) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  inflater?.destroy();
  outcome.compressed.push(Buffer.concat(deflated));
  return outcome;
}

function equal(left: readonly Event[], right: readonly Event[]): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** Whether a compressed message contains a final block: only then does zlib find the end of the stream that it looks for. */
function hasFinalBlock(payload: Buffer): boolean {
  try {
    inflateRawSync(Buffer.concat([payload, Buffer.of(0, 0, 0xff, 0xff)]));
    return true;
  } catch {
    return false;
  }
}

/** Whether two outcomes agree, apart from the differences listed at the top. */
async function agree(input: Case, ours: Outcome, theirs: readonly Event[]): Promise<boolean> {
  if (equal(ours.events, theirs)) return true;
  const last = ours.events.at(-1);
  if (last?.[0] === 'fault') {
    const before = ours.events.slice(0, -1);
    if (equal(before, theirs.slice(0, before.length))) {
      const after = theirs.slice(before.length);
      // 1 and 2: nothing may be delivered that we refused
      if (ours.early && after.every(([kind]) => kind !== 'message')) return true;
      // 4
      if (last[1] === 1002 && equal(after, [['fault', 1009]]) && Buffer.concat(input.chunks).includes(0xff))
        return true;
      // 6
      if (last[1] === 1009 && after.length === 0 && input.maxPayload === 0) return true;
      // 3
      if (last[1] === 1002 && after.length === 0) {
        const stream = Buffer.concat(input.chunks);
        const without = await receive({ ...input, chunks: [stream.subarray(0, -1)] });
        return equal(without.events, theirs);
      }
    }
  }
  // 5
  return ours.compressed.some(hasFinalBlock);
}

describe('FrameReader, compared with the Receiver of ws', () => {
  it(`gives the same messages and close codes for ${CASES} random streams`, async () => {
    for (let first = 0; first < CASES; first += BATCH) {
      const seeds = Array.from({ length: Math.min(BATCH, CASES - first) }, (_, i) => FIRST_SEED + first + i);
      await Promise.all(
        seeds.map(async (seed) => {
          const input = makeCase(seed);
          const [ours, theirs] = await Promise.all([receive(input), receiveWithWs(input)]);
          if (await agree(input, ours, theirs)) return;
          assert.deepEqual(ours.events, theirs, `FUZZ_SEED=${seed} FUZZ_CASES=1 repeats it; theirs is 'expected'`);
        }),
      );
    }
  });
});
