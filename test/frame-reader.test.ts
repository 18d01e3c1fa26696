import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  ASCII,
  COMPRESSED,
  type FrameEvents,
  FrameReader,
  MESSAGE_END,
  MESSAGE_START,
  TEXT,
} from '../src/framing/frame-reader.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  clientFrame,
  PING_FRAME,
  PONG_FRAME,
  TEXT_FRAME,
} from './support/frames.js';
import { type Call, frames, joined, type RecordOptions, read, record, WHOLE } from './support/record-frames.js';

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

  /** Of each piece that `chunks` bring, whether it comes with the hint that it is ASCII. */
  function hints(...chunks: Buffer[]): boolean[] {
    const given: boolean[] = [];
    const events: FrameEvents = {
      placeFor: () => undefined,
      onData: (_chunk, _start, _end, flags) => given.push((flags & ASCII) !== 0),
      onPing: () => {},
      onPong: () => {},
      onClose: () => {},
      onFault: () => {},
    };
    const reader = new FrameReader(events, { maxPayload: 1e6, compression: false });
    for (const chunk of chunks) reader.read(chunk);
    return given;
  }

  it('hints that a piece is ASCII, of every size', () => {
    for (const size of [0, 5, 130, 5000]) {
      for (const padding of [0, 300]) {
        const ping = clientFrame({ opcode: PING_FRAME, payload: 'p'.repeat(padding / 3) });
        const text = frames({ payload: 'a'.repeat(size) }, { payload: `${'a'.repeat(size)}é` });
        assert.deepEqual(hints(Buffer.concat([text, ping, ping, ping])), [true, false], `size ${size}`);
      }
    }
  });

  it('hints that a part of a frame is ASCII, whatever the rest is', () => {
    const frame = clientFrame({ payload: `ab${'é'.repeat(300)}${'c'.repeat(600)}` });
    assert.deepEqual(hints(frame.subarray(0, 10), frame.subarray(10, 610), frame.subarray(610)), [true, false, true]);
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
      reader.read(Buffer.from(stream.subarray(0, at)));
      reader.read(Buffer.from(stream.subarray(at)));
      assert.deepEqual(joined(calls), expected, `cut at ${at}`);
    }
  });

  it('reads the same in chunks of every size, down to single bytes', () => {
    for (let size = 1; size < 40; size++) assert.deepEqual(joined(read(stream, size)), expected, `chunks of ${size}`);
  });

  it('does not mind empty chunks', () => {
    const { reader, calls } = record();
    for (const byte of stream) {
      reader.read(Buffer.of(byte));
      reader.read(Buffer.alloc(0));
    }
    assert.deepEqual(joined(calls), expected);
  });

  it('delivers payload when it arrives, not when its frame is complete', () => {
    const frame = clientFrame({ payload: 'abcdef' });
    const { reader, calls } = record();
    reader.read(Buffer.from(frame.subarray(0, 8)));
    assert.deepEqual(calls, [['data', 'ab', TEXT | MESSAGE_START]]);
    reader.read(Buffer.from(frame.subarray(8, 11)));
    reader.read(Buffer.from(frame.subarray(11)));
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
    const events: FrameEvents = {
      placeFor: () => undefined,
      onData: (piece) => {
        same = piece === chunk;
      },
      onPing: () => {},
      onPong: () => {},
      onClose: () => {},
      onFault: () => {},
    };
    new FrameReader(events, { maxPayload: 100, compression: false }).read(chunk);
    assert.ok(same);
  });

  it('puts long pieces of a frame where they are wanted, the first of it and short ones aside', () => {
    const sizes = [700, 600, 511, 512, 77];
    const payload = Buffer.from(Array.from({ length: sizes.reduce((sum, size) => sum + size) }, (_, i) => i % 251));
    const bytes = clientFrame({ payload });
    const target = Buffer.alloc(payload.length + 3);
    const asked: number[][] = [];
    const reported: string[] = [];
    let end = 3;
    const events: FrameEvents = {
      placeFor: (size, rest) => {
        asked.push([size, rest]);
        return asked.length === 1 ? undefined : { chunk: target, end };
      },
      onData: (chunk, from, to) => {
        reported.push(chunk === target ? `${from}` : 'in its chunk');
        chunk.copy(target, end, from, to);
        end += to - from;
      },
      onPing: () => {},
      onPong: () => {},
      onClose: () => {},
      onFault: () => {},
    };
    const reader = new FrameReader(events, { maxPayload: 1e6, compression: false });
    let at = 0;
    for (const [index, size] of sizes.entries()) {
      const next = index === 0 ? bytes.length - payload.length + size : at + size;
      reader.read(Buffer.from(bytes.subarray(at, next)));
      at = next;
    }

    assert.ok(target.subarray(3).equals(payload));
    assert.deepEqual(asked, [
      [700, 1700],
      [600, 1100],
      [512, 77],
    ]);
    assert.deepEqual(reported, ['in its chunk', '703', 'in its chunk', '1814', 'in its chunk']);
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

describe('FrameReader: isBetweenMessages', () => {
  it('is true between messages only: not within a frame of any kind, nor between the frames of a message', () => {
    const parts = [
      clientFrame({ payload: 'whole' }),
      clientFrame({ opcode: PING_FRAME, payload: 'ping' }),
      frames(
        { fin: false, payload: 'a' },
        { opcode: PING_FRAME },
        { fin: false, opcode: CONTINUATION },
        { opcode: CONTINUATION },
      ),
    ];
    const { reader } = record();
    assert.ok(reader.isBetweenMessages);
    for (const part of parts) {
      part.forEach((byte, at) => {
        reader.read(Buffer.of(byte));
        assert.equal(reader.isBetweenMessages, at === part.length - 1, `after byte ${at}`);
      });
    }
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
      const options: RecordOptions = { onCall: (_call, reader) => ++seen === after && reader.stop() };
      const { reader, calls } = record(options);
      reader.read(Buffer.from(stream));
      reader.read(Buffer.from(stream));
      assert.equal(calls.length, after);
    }
  });

  it('ends delivery between chunks, within a header, a payload or a control frame', () => {
    for (let at = 0; at < stream.length; at++) {
      const { reader, calls } = record();
      reader.read(Buffer.from(stream.subarray(0, at)));
      const before = calls.length;
      reader.stop();
      reader.read(Buffer.from(stream.subarray(at)));
      assert.equal(calls.length, before, `stopped at ${at}`);
    }
  });
});

describe('FrameReader: hostile streams', () => {
  it('reads the fragments of one byte of a message, and empty ones, however many there were before', () => {
    const { reader, calls } = record({
      onCall: () => {
        if (calls.length > 10) calls.length = 0;
      },
    });
    reader.read(clientFrame({ fin: false, opcode: BINARY_FRAME }));
    const one = clientFrame({ fin: false, opcode: CONTINUATION, payload: 'x', mask: Buffer.alloc(4) });
    const none = clientFrame({ fin: false, opcode: CONTINUATION });
    const chunk = Buffer.concat(Array.from({ length: 1000 }, () => Buffer.concat([one, none])));
    const taken = Array.from({ length: 20 }, () => {
      const started = process.cpuUsage();
      reader.read(chunk);
      const { user, system } = process.cpuUsage(started);
      return user + system;
    });
    const [first, last] = [Math.min(...taken.slice(0, 5)), Math.min(...taken.slice(-5))];
    // What takes time in proportion to the fragments before would take at least five times as long.
    assert.ok(last < 4 * first, `${last} µs instead of ${first} µs for 2,000 fragments`);
    reader.read(clientFrame({ opcode: CONTINUATION }));
    assert.deepEqual(calls.at(-1), ['data', '', MESSAGE_END]);
  });

  it('accepts text frames of opcode 1 only', () => {
    assert.deepEqual(read(frames({ opcode: TEXT_FRAME, payload: 't' }))[0]?.[2], TEXT | WHOLE);
  });
});
