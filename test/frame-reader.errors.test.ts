import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isCloseCode, MESSAGE_START, TEXT } from '../src/framing/frame-reader.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  clientClose,
  clientFrame,
  PING_FRAME,
  PONG_FRAME,
} from './support/frames.js';
import { frames, joined, type RecordOptions, read, record, WHOLE } from './support/record-frames.js';

describe('FrameReader: protocol errors', () => {
  /** The only call that `bytes` lead to, without its message. */
  function faultOf(bytes: Buffer, options: RecordOptions = {}): number {
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
  ] as [string, Buffer, RecordOptions?][]) {
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
    reader.read(frames({ payload: 'before' }, { rsv: 1 }, { payload: 'after' }));
    reader.read(clientFrame({ payload: 'later' }));
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
  const options: RecordOptions = { maxPayload: 200 };

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

  it('adds up all frames of a message', () => {
    const part = { fin: false, opcode: CONTINUATION, payload: 'a'.repeat(70) };
    const calls = read(frames({ ...part, opcode: BINARY_FRAME }, part, part), undefined, options);
    assert.deepEqual(
      calls.map(([kind]) => kind),
      ['data', 'data', 'fault'],
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
    const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, i) => from + i);
    const all = range(0, 65535);
    assert.deepEqual(all.filter(isCloseCode), [...range(1000, 1003), ...range(1007, 1014), ...range(3000, 4999)]);
    for (const code of [0, 256, ...range(900, 1100), ...range(2990, 3010), ...range(4990, 5010), 65535]) {
      const expected = isCloseCode(code)
        ? ['close', code, '']
        : ['fault', 1002, `A close frame must not carry the code ${code}`];
      assert.deepEqual(read(clientClose(code)), [expected]);
    }
  });

  it('fails with 1007 when the reason is not UTF-8', () => {
    assert.equal(read(clientClose(1000, Buffer.of(0x61, 0xff)))[0]?.[1], 1007);
    assert.equal(read(clientClose(1000, Buffer.of(0xe4, 0xb8)))[0]?.[1], 1007);
  });

  it('delivers nothing after a close frame, of this chunk or of later ones', () => {
    const { reader, calls } = record();
    reader.read(Buffer.concat([clientClose(1000), clientFrame({ payload: 'after' }), clientFrame({ rsv: 1 })]));
    reader.read(clientFrame({ payload: 'later' }));
    assert.deepEqual(calls, [['close', 1000, '']]);
  });

  it('may come within a message', () => {
    assert.deepEqual(read(Buffer.concat([clientFrame({ fin: false, payload: 'a' }), clientClose(1001)])), [
      ['data', 'a', TEXT | MESSAGE_START],
      ['close', 1001, ''],
    ]);
  });
});
