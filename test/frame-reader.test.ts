import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ASCII,
  COMPRESSED,
  FrameReader,
  type FrameSink,
  isCloseCode,
  MESSAGE_END,
  MESSAGE_START,
  TEXT,
} from '../src/framing/frame-reader.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  clientClose,
  clientFrame,
  type FrameInit,
  PING_FRAME,
  PONG_FRAME,
  TEXT_FRAME,
} from './support/frames.js';

type Call =
  | readonly ['data', string, number]
  | readonly ['ping' | 'pong', string]
  | readonly ['close' | 'fault', number, string];

interface Options {
  maxPayload?: number;
  compression?: boolean;
  /** Called after every call that the reader has made. */
  onCall?(call: Call, reader: FrameReader): void;
}

/** A reader whose calls are recorded; payloads as latin1, the flags of data without ASCII. */
function record(options: Options = {}): { reader: FrameReader; calls: Call[] } {
  const { maxPayload = Number.POSITIVE_INFINITY, compression = false } = options;
  const calls: Call[] = [];
  const add = (call: Call): void => {
    calls.push(call);
    options.onCall?.(call, reader);
  };
  const sink: FrameSink = {
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
  const reader = new FrameReader(sink, { maxPayload, compression });
  return { reader, calls };
}

/** What the reader makes of `bytes` in chunks of `size`. */
function read(bytes: Buffer, size: number = bytes.length, options: Options = {}): Call[] {
  const { reader, calls } = record(options);
  for (let at = 0; at < bytes.length; at += size) reader.push(Buffer.from(bytes.subarray(at, at + size)));
  return calls;
}

function frames(...inits: FrameInit[]): Buffer {
  return Buffer.concat(inits.map((init) => clientFrame(init)));
}

/** Joins the pieces of each message, so that calls compare wherever chunks were cut. */
function joined(calls: readonly Call[]): Call[] {
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

const WHOLE = MESSAGE_START | MESSAGE_END;

describe('FrameReader: messages', () => {
  it('delivers a message in one frame as one piece with all its flags', () => {
    assert.deepEqual(read(frames({ payload: 'héllo' })), [
      ['data', Buffer.from('héllo').toString('latin1'), TEXT | WHOLE],
    ]);
    assert.deepEqual(read(frames({ opcode: BINARY_FRAME, payload: Buffer.of(0, 255) })), [['data', '\u0000ÿ', WHOLE]]);
  });

  it('delivers payloads of every encoding of the length, alone and behind one another', () => {
    const sizes = [0, 1, 2, 23, 125, 126, 127, 255, 256, 257, 1000, 65535, 65536, 70_001];
    const inits = sizes.map((size) => ({ opcode: BINARY_FRAME, payload: Buffer.alloc(size, size) }));
    const expected = inits.map(({ payload }): Call => ['data', payload.toString('latin1'), WHOLE]);
    assert.deepEqual(read(frames(...inits)), expected);
    inits.forEach((init, i) => {
      assert.deepEqual(read(frames(init)), [expected[i]]);
    });
  });

  it('accepts lengths that could have been encoded in fewer bytes', () => {
    for (const lengthBytes of [2, 8] as const) {
      assert.deepEqual(read(frames({ payload: 'abc', lengthBytes })), [['data', 'abc', TEXT | WHOLE]]);
    }
  });

  it('delivers fragments one by one, and control frames between them', () => {
    const stream = frames(
      { fin: false, payload: 'one' },
      { opcode: PING_FRAME, payload: 'ping' },
      { fin: false, opcode: CONTINUATION, payload: 'two' },
      { opcode: PONG_FRAME, payload: 'pong' },
      { opcode: CONTINUATION, payload: 'three' },
      { opcode: BINARY_FRAME, payload: 'four' },
    );
    assert.deepEqual(read(stream), [
      ['data', 'one', TEXT | MESSAGE_START],
      ['ping', 'ping'],
      ['data', 'two', TEXT],
      ['pong', 'pong'],
      ['data', 'three', TEXT | MESSAGE_END],
      ['data', 'four', WHOLE],
    ]);
  });

  it('says nothing of empty fragments, but marks the first piece that comes', () => {
    const stream = frames(
      { fin: false, opcode: BINARY_FRAME },
      { fin: false, opcode: CONTINUATION },
      { fin: false, opcode: CONTINUATION, payload: 'a' },
      { opcode: CONTINUATION },
    );
    assert.deepEqual(read(stream), [
      ['data', 'a', MESSAGE_START],
      ['data', '', MESSAGE_END],
    ]);
  });

  it('delivers an empty piece for an empty message, in one frame or several', () => {
    assert.deepEqual(read(frames({})), [['data', '', TEXT | WHOLE]]);
    assert.deepEqual(read(frames({ fin: false }, { opcode: CONTINUATION })), [['data', '', TEXT | WHOLE]]);
    assert.deepEqual(read(frames({ lengthBytes: 8 })), [['data', '', TEXT | WHOLE]]);
  });

  it('marks every piece of a compressed message, and only those', () => {
    const stream = frames(
      { rsv: 4, payload: 'abc' },
      { fin: false, rsv: 4, opcode: BINARY_FRAME, payload: 'de' },
      { opcode: CONTINUATION, payload: 'f' },
      { payload: 'plain' },
      { fin: false, payload: 'p' },
      { opcode: CONTINUATION, payload: 'q' },
    );
    assert.deepEqual(read(stream, undefined, { compression: true }), [
      ['data', 'abc', TEXT | COMPRESSED | WHOLE],
      ['data', 'de', COMPRESSED | MESSAGE_START],
      ['data', 'f', COMPRESSED | MESSAGE_END],
      ['data', 'plain', TEXT | WHOLE],
      ['data', 'p', TEXT | MESSAGE_START],
      ['data', 'q', TEXT | MESSAGE_END],
    ]);
  });

  it('hints that a piece is ASCII, of every size', () => {
    for (const size of [0, 5, 130, 5000]) {
      for (const padding of [0, 300]) {
        let hints = 0;
        const sink: FrameSink = {
          onData: (_chunk, _start, _end, flags) => {
            if ((flags & ASCII) !== 0) hints++;
          },
          onPing: () => {},
          onPong: () => {},
          onClose: () => {},
          onFault: () => {},
        };
        const reader = new FrameReader(sink, { maxPayload: 1e6, compression: false });
        const ping = clientFrame({ opcode: PING_FRAME, payload: 'p'.repeat(padding / 3) });
        const text = frames({ payload: 'a'.repeat(size) }, { payload: `${'a'.repeat(size)}é` });
        reader.push(Buffer.concat([text, ping, ping, ping]));
        assert.equal(hints, 1, `size ${size}`);
      }
    }
  });
});

describe('FrameReader: cuts', () => {
  const stream = frames(
    { payload: 'x'.repeat(30) },
    { fin: false, opcode: BINARY_FRAME, payload: 'y'.repeat(126) },
    { opcode: PING_FRAME, payload: 'ping payload' },
    { fin: false, opcode: CONTINUATION },
    { opcode: CONTINUATION, payload: 'z'.repeat(300) },
    { opcode: PONG_FRAME },
    { payload: 'w'.repeat(9), lengthBytes: 8 },
    { opcode: CLOSE_FRAME, payload: Buffer.from('\u0003\u00e8bye', 'latin1') },
  );
  const expected: Call[] = [
    ['data', 'x'.repeat(30), TEXT | WHOLE],
    ['data', 'y'.repeat(126) + 'z'.repeat(300), WHOLE],
    ['ping', 'ping payload'],
    ['pong', ''],
    ['data', 'w'.repeat(9), TEXT | WHOLE],
    ['close', 1000, 'bye'],
  ];

  it('reads the same wherever the stream is cut in two', () => {
    for (let at = 0; at <= stream.length; at++) {
      const { reader, calls } = record();
      reader.push(Buffer.from(stream.subarray(0, at)));
      reader.push(Buffer.from(stream.subarray(at)));
      assert.deepEqual(joined(calls), expected, `cut at ${at}`);
    }
  });

  it('reads the same in chunks of every size, down to single bytes', () => {
    for (let size = 1; size < 40; size++) assert.deepEqual(joined(read(stream, size)), expected, `chunks of ${size}`);
  });

  it('does not mind empty chunks', () => {
    const { reader, calls } = record();
    for (const byte of stream) {
      reader.push(Buffer.of(byte));
      reader.push(Buffer.alloc(0));
    }
    assert.deepEqual(joined(calls), expected);
  });

  it('delivers payload when it arrives, not when its frame is complete', () => {
    const frame = clientFrame({ payload: 'abcdef' });
    const { reader, calls } = record();
    reader.push(Buffer.from(frame.subarray(0, 8)));
    assert.deepEqual(calls, [['data', 'ab', TEXT | MESSAGE_START]]);
    reader.push(Buffer.from(frame.subarray(8, 11)));
    reader.push(Buffer.from(frame.subarray(11)));
    assert.deepEqual(calls.slice(1), [
      ['data', 'cde', TEXT],
      ['data', 'f', TEXT | MESSAGE_END],
    ]);
  });

  it('unmasks large payloads that are cut out of step with the key', () => {
    const payload = Buffer.from(Array.from({ length: 5000 }, (_, i) => i));
    for (const size of [257, 1023, 1025, 4097]) {
      assert.deepEqual(joined(read(frames({ opcode: BINARY_FRAME, payload }), size)), [
        ['data', payload.toString('latin1'), WHOLE],
      ]);
    }
  });

  it('passes on pieces of the chunk itself instead of copying', () => {
    const chunk = clientFrame({ payload: 'abc' });
    let same = false;
    const sink: FrameSink = {
      onData: (piece) => {
        same = piece === chunk;
      },
      onPing: () => {},
      onPong: () => {},
      onClose: () => {},
      onFault: () => {},
    };
    new FrameReader(sink, { maxPayload: 100, compression: false }).push(chunk);
    assert.ok(same);
  });
});

describe('FrameReader: protocol errors', () => {
  /** The only call that `bytes` lead to, without its message. */
  function faultOf(bytes: Buffer, options: Options = {}): number {
    const whole = read(bytes, undefined, options);
    assert.deepEqual(read(bytes, 1, options).at(-1), whole.at(-1), 'cuts make no difference');
    const last = whole.at(-1);
    assert.equal(last?.[0], 'fault');
    return Number(last?.[1]);
  }

  for (const [what, bytes, options] of [
    ['RSV2', frames({ rsv: 2 })],
    ['RSV3', frames({ rsv: 1 })],
    ['RSV2 on a message of compressed ones', frames({ rsv: 6 }), { compression: true }],
    ['RSV1 without compression', frames({ rsv: 4 })],
    ['RSV1 on a continuation', frames({ fin: false, rsv: 4 }, { rsv: 4, opcode: CONTINUATION }), { compression: true }],
    ['RSV1 on a control frame', frames({ rsv: 4, opcode: PING_FRAME }), { compression: true }],
    ['reserved data opcodes', frames({ opcode: 3, payload: 'abc' })],
    ['reserved data opcode 7', frames({ opcode: 7 })],
    ['reserved control opcodes', frames({ opcode: 0xb })],
    ['reserved control opcode 15', frames({ opcode: 0xf })],
    ['a continuation of nothing', frames({ opcode: CONTINUATION, payload: 'abc' })],
    ['a continuation after the end of the message', frames({}, { opcode: CONTINUATION })],
    ['a new message within a message', frames({ fin: false }, { payload: 'abc' })],
    [
      'a new fragmented message within a message',
      frames({ fin: false, payload: 'a' }, { fin: false, opcode: BINARY_FRAME }),
    ],
    ['a fragmented ping', frames({ fin: false, opcode: PING_FRAME })],
    ['a fragmented close', frames({ fin: false, opcode: CLOSE_FRAME })],
    ['a ping of 126 bytes', frames({ opcode: PING_FRAME, payload: 'x'.repeat(126) })],
    ['a pong with a 64-bit length', frames({ opcode: PONG_FRAME, lengthBytes: 8 })],
    ['a data frame without mask', frames({ mask: false, payload: 'abcdefgh' })],
    ['a control frame without mask', frames({ mask: false, opcode: PING_FRAME, payload: 'abc' })],
    ['a length with its top bit set', frames({ lengthBytes: 8, length: 2n ** 63n })],
    ['a close frame of one byte', frames({ opcode: CLOSE_FRAME, payload: 'x' })],
  ] as [string, Buffer, Options?][]) {
    it(`refuses ${what} with 1002`, () => {
      assert.equal(faultOf(bytes, options), 1002);
    });
  }

  it('refuses lengths that a number cannot hold with 1009', () => {
    assert.equal(faultOf(frames({ lengthBytes: 8, length: 2n ** 53n })), 1009);
    assert.equal(faultOf(frames({ lengthBytes: 8, length: 2n ** 63n - 1n })), 1009);
    assert.deepEqual(read(clientFrame({ lengthBytes: 8, length: 2n ** 53n - 1n, payload: 'ab' })), [
      ['data', 'ab', TEXT | MESSAGE_START],
    ]);
  });

  it('refuses a frame as soon as the byte that is wrong has arrived', () => {
    assert.equal(faultOf(Buffer.of(0x83)), 1002);
    assert.equal(faultOf(Buffer.of(0x81, 0x05)), 1002);
    assert.equal(faultOf(Buffer.of(0x89, 0xfe)), 1002);
    assert.equal(faultOf(Buffer.of(0x81, 0xfe, 0x01, 0x00), { maxPayload: 255 }), 1009);
    assert.equal(faultOf(Buffer.of(0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0)), 1002);
  });

  it('delivers what precedes the error, and nothing after it', () => {
    const { reader, calls } = record();
    reader.push(frames({ payload: 'before' }, { rsv: 1 }, { payload: 'after' }));
    reader.push(clientFrame({ payload: 'later' }));
    assert.deepEqual(
      calls.map(([kind]) => kind),
      ['data', 'fault'],
    );
  });

  it('says what is wrong in a sentence', () => {
    const [fault] = read(Buffer.of(0x83));
    assert.deepEqual(fault, ['fault', 1002, 'Opcode 3 is reserved']);
  });
});

describe('FrameReader: maxPayload', () => {
  const options: Options = { maxPayload: 200 };

  it('admits messages up to the limit, in one frame or several', () => {
    const fragments = frames(
      { fin: false, payload: 'a'.repeat(100) },
      { fin: false, opcode: CONTINUATION, payload: 'a'.repeat(99) },
      { opcode: CONTINUATION, payload: 'a' },
      { payload: 'b'.repeat(200) },
    );
    assert.deepEqual(joined(read(fragments, undefined, options)), [
      ['data', 'a'.repeat(200), TEXT | WHOLE],
      ['data', 'b'.repeat(200), TEXT | WHOLE],
    ]);
  });

  it('fails with 1009 when a header announces more, before any of that payload', () => {
    const message = 'A message is longer than the limit of 200 bytes';
    assert.deepEqual(read(clientFrame({ payload: 'a'.repeat(201) }), undefined, options), [['fault', 1009, message]]);
    assert.deepEqual(
      read(
        frames({ fin: false, payload: 'a'.repeat(199) }, { opcode: CONTINUATION, payload: 'bb' }),
        undefined,
        options,
      ),
      [
        ['data', 'a'.repeat(199), TEXT | MESSAGE_START],
        ['fault', 1009, message],
      ],
    );
  });

  it('counts every message anew, and control frames not at all', () => {
    const stream = frames(
      { fin: false, payload: 'a'.repeat(150) },
      { opcode: PING_FRAME, payload: 'p'.repeat(125) },
      { opcode: CONTINUATION, payload: 'a'.repeat(50) },
      { fin: false, payload: 'b'.repeat(150) },
      { opcode: CONTINUATION, payload: 'b'.repeat(50) },
    );
    assert.ok(read(stream, undefined, options).every(([kind]) => kind !== 'fault'));
  });

  it('counts compressed bytes as they come', () => {
    assert.deepEqual(
      read(clientFrame({ rsv: 4, payload: 'a'.repeat(201) }), undefined, { ...options, compression: true }).at(-1)?.[1],
      1009,
    );
  });
});

describe('FrameReader: close frames', () => {
  it('reports code and reason, 1005 for an empty one', () => {
    assert.deepEqual(read(clientClose(1000, 'schönen Tag')), [['close', 1000, 'schönen Tag']]);
    assert.deepEqual(read(clientClose(3000)), [['close', 3000, '']]);
    assert.deepEqual(read(clientClose()), [['close', 1005, '']]);
    assert.deepEqual(read(clientClose(1001, 'r'.repeat(123)), 7), [['close', 1001, 'r'.repeat(123)]]);
  });

  it('admits exactly the codes that RFC 6455 section 7.4 and the registry allow on the wire', () => {
    const admitted: number[] = [];
    for (let code = 0; code <= 65535; code++) {
      const [call] = read(clientClose(code));
      if (call?.[0] === 'close') admitted.push(code);
      else assert.deepEqual(call, ['fault', 1002, `A close frame must not carry the code ${code}`]);
      assert.equal(isCloseCode(code), call?.[0] === 'close');
    }
    const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
    assert.deepEqual(admitted, [...range(1000, 1003), ...range(1007, 1014), ...range(3000, 4999)]);
  });

  it('fails with 1007 when the reason is not UTF-8', () => {
    assert.equal(read(clientClose(1000, Buffer.of(0x61, 0xff)))[0]?.[1], 1007);
    assert.equal(read(clientClose(1000, Buffer.of(0xe4, 0xb8)))[0]?.[1], 1007);
  });

  it('delivers nothing after a close frame, of this chunk or of later ones', () => {
    const { reader, calls } = record();
    reader.push(Buffer.concat([clientClose(1000), clientFrame({ payload: 'after' }), clientFrame({ rsv: 1 })]));
    reader.push(clientFrame({ payload: 'later' }));
    assert.deepEqual(calls, [['close', 1000, '']]);
  });

  it('may come within a message', () => {
    assert.deepEqual(read(Buffer.concat([clientFrame({ fin: false, payload: 'a' }), clientClose(1001)])), [
      ['data', 'a', TEXT | MESSAGE_START],
      ['close', 1001, ''],
    ]);
  });
});

describe('FrameReader: control frames', () => {
  it('reports payloads of every size, empty ones and cut ones included', () => {
    for (const size of [0, 1, 4, 124, 125]) {
      const payload = 'p'.repeat(size);
      for (const chunk of [1, 3, 50, 1000]) {
        assert.deepEqual(read(clientFrame({ opcode: PING_FRAME, payload }), chunk), [['ping', payload]]);
        assert.deepEqual(read(clientFrame({ opcode: PONG_FRAME, payload }), chunk), [['pong', payload]]);
      }
    }
  });

  it('does not mix the payloads of two that were cut', () => {
    const stream = frames({ opcode: PING_FRAME, payload: 'first one' }, { opcode: PING_FRAME, payload: 'second' });
    assert.deepEqual(read(stream, 5), [
      ['ping', 'first one'],
      ['ping', 'second'],
    ]);
  });
});

describe('FrameReader: stop', () => {
  const stream = frames(
    { payload: 'a' },
    { opcode: PING_FRAME, payload: 'b' },
    { opcode: PONG_FRAME, payload: 'c' },
    { fin: false, payload: 'd' },
    { opcode: CONTINUATION, payload: 'e'.repeat(300) },
    { opcode: CLOSE_FRAME },
  );

  it('ends delivery at once from within any callback', () => {
    const whole = read(stream).length;
    for (let after = 1; after <= whole; after++) {
      let seen = 0;
      const options: Options = { onCall: (_call, reader) => ++seen === after && reader.stop() };
      const { reader, calls } = record(options);
      reader.push(Buffer.from(stream));
      reader.push(Buffer.from(stream));
      assert.equal(calls.length, after);
    }
  });

  it('ends delivery between chunks, within a header, a payload or a control frame', () => {
    for (let at = 0; at < stream.length; at++) {
      const { reader, calls } = record();
      reader.push(Buffer.from(stream.subarray(0, at)));
      const before = calls.length;
      reader.stop();
      reader.push(Buffer.from(stream.subarray(at)));
      assert.equal(calls.length, before, `stopped at ${at}`);
    }
  });
});

describe('FrameReader: hostile streams', () => {
  it('reads a million fragments of one byte, and as many empty ones, in passing', () => {
    const { reader, calls } = record({
      onCall: () => {
        if (calls.length > 10) calls.length = 0;
      },
    });
    reader.push(clientFrame({ fin: false, opcode: BINARY_FRAME }));
    const one = clientFrame({ fin: false, opcode: CONTINUATION, payload: 'x', mask: Buffer.alloc(4) });
    const none = clientFrame({ fin: false, opcode: CONTINUATION });
    const chunk = Buffer.concat(Array.from({ length: 10_000 }, () => Buffer.concat([one, none])));
    const started = process.cpuUsage();
    for (let i = 0; i < 100; i++) reader.push(chunk);
    const { user, system } = process.cpuUsage(started);
    assert.ok(user + system < 10_000_000, 'ten seconds would be a hundred times too long');
    reader.push(clientFrame({ opcode: CONTINUATION }));
    assert.deepEqual(calls.at(-1), ['data', '', MESSAGE_END]);
  });

  it('accepts text frames of opcode 1 only', () => {
    assert.deepEqual(read(frames({ opcode: TEXT_FRAME, payload: 't' }))[0]?.[2], TEXT | WHOLE);
  });
});
