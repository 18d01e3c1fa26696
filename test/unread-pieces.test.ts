import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { UnreadPieces } from '../src/connection/receiving/unread-pieces.js';
import { ASCII, MESSAGE_END, TEXT } from '../src/framing/frame-reader.js';

class Events {
  readonly calls: string[] = [];
  onFull(): void {
    this.calls.push('pause');
  }
  onRoom(): void {
    this.calls.push('resume');
  }
  onMessageTooBig(limit: number): void {
    this.calls.push(`too big ${limit}`);
  }
}

function start(limit = 100_000) {
  const events = new Events();
  const pieces = new UnreadPieces(events, limit);
  const push = (text: string, flags = TEXT | MESSAGE_END): void => {
    const bytes = Buffer.from(text);
    pieces.add(bytes, 0, bytes.length, flags, 0);
  };
  /** All fragments that are there: text, `+` if the message goes on. */
  const fragments = (): string[] => {
    const taken: string[] = [];
    for (let one = pieces.takeFragment(undefined); one !== undefined; one = pieces.takeFragment(undefined)) {
      taken.push(`${one.data}${one.endOfMessage ? '' : '+'}`);
    }
    return taken;
  };
  return { events, pieces, push, fragments };
}

const NEXT_CHUNK = Buffer.alloc(0);

/** A view at the beginning of a chunk of 64 KiB, as a socket delivers it. */
function inChunk(text: string, chunk = Buffer.allocUnsafeSlow(64 * 1024)): Buffer {
  return chunk.subarray(0, chunk.write(text));
}

describe('UnreadPieces, fragments', () => {
  it('gives out pieces in order, and nothing when it is empty', () => {
    const { pieces, push, fragments } = start();
    assert.equal(pieces.takeFragment(undefined), undefined);
    push('a', TEXT);
    push('b');
    push('c', MESSAGE_END);
    assert.equal(pieces.isEmpty, false);
    assert.deepEqual(fragments(), ['a+', 'b', 'c']);
    assert.equal(pieces.isEmpty, true);
  });

  it('fills small buffers, and reports the end only with the last byte', () => {
    const { pieces, push } = start();
    push('abcde');
    const buffer = Buffer.alloc(2);
    const taken = [1, 2, 3].map(() => {
      const fragment = pieces.takeFragment(buffer);
      return [String(fragment?.data), fragment?.endOfMessage, fragment?.data.buffer === buffer.buffer];
    });
    assert.deepEqual(taken, [
      ['ab', false, true],
      ['cd', false, true],
      ['e', true, true],
    ]);
    push('exact');
    assert.equal(pieces.takeFragment(Buffer.alloc(5))?.endOfMessage, true);
  });

  it('consumes nothing with a zero-length buffer, except an empty final fragment', () => {
    const { pieces, push, fragments } = start();
    push('a', TEXT);
    const { data, endOfMessage, text } = pieces.takeFragment(Buffer.alloc(0)) ?? assert.fail();
    assert.deepEqual([data.length, endOfMessage, text], [0, false, true]);
    assert.deepEqual(fragments(), ['a+']);
    push('');
    assert.equal(pieces.takeFragment(Buffer.alloc(0))?.endOfMessage, true);
    assert.equal(pieces.isEmpty, true);
  });

  it('fills any kind of byte array', () => {
    const { pieces, push } = start();
    push('abc');
    const bytes = new Uint8Array(10).subarray(4);
    assert.equal(String(pieces.takeFragment(bytes)?.data), 'abc');
    assert.deepEqual([...bytes.subarray(0, 3)], [97, 98, 99]);
  });

  it('gives out large pieces without a copy, and copies small ones out of their chunk', () => {
    const { pieces } = start();
    const chunk = Buffer.allocUnsafeSlow(64 * 1024);
    pieces.add(chunk, 0, 40_000, MESSAGE_END, 0);
    pieces.add(chunk, 40_000, 40_100, MESSAGE_END, 0);
    pieces.add(chunk, 50_000, 50_100, MESSAGE_END, 0);
    assert.equal(pieces.takeFragment(undefined)?.data.buffer, chunk.buffer);
    assert.ok((pieces.takeFragment(undefined)?.data.buffer.byteLength ?? Infinity) <= 8192);
    const message = pieces.takeMessage();
    assert.ok(Buffer.isBuffer(message) && message.buffer.byteLength <= 8192);
  });
});

describe('UnreadPieces, messages', () => {
  it('gives out a message only when all of it is there, so that readers of fragments can take turns', () => {
    const { pieces, push, fragments } = start();
    push('a', TEXT);
    assert.equal(pieces.takeMessage(), undefined);
    push('b', TEXT);
    push('c');
    push('d', MESSAGE_END);
    assert.equal(pieces.takeMessage(), 'abc');
    assert.deepEqual(pieces.takeMessage(), Buffer.from('d'));
    assert.equal(pieces.takeMessage(), undefined);
    push('e', MESSAGE_END & 0);
    push('f', MESSAGE_END);
    assert.deepEqual(pieces.takeMessage(), Buffer.from('ef'));
    assert.deepEqual(fragments(), []);
  });

  it('decodes text, also where a character is cut', () => {
    const { pieces, push } = start();
    push('grün');
    push('plain', TEXT | MESSAGE_END | ASCII);
    const bytes = Buffer.from('x€y');
    pieces.add(bytes, 0, 2, TEXT, 0);
    pieces.add(bytes, 2, bytes.length, TEXT | MESSAGE_END, 0);
    assert.deepEqual([pieces.takeMessage(), pieces.takeMessage(), pieces.takeMessage()], ['grün', 'plain', 'x€y']);
  });

  it('refuses a message beyond the limit, whether in one piece, in several, or while a reader waits', () => {
    for (const sizes of [[1001], [600, 401]]) {
      for (const waits of [false, true]) {
        const { events, pieces, push } = start(1000);
        const told: string[] = [];
        if (waits) pieces.wait({ wake: () => told.push('readable') }, true);
        for (const [i, size] of sizes.entries())
          push('x'.repeat(size), i === sizes.length - 1 ? TEXT | MESSAGE_END : TEXT);
        if (!waits) assert.equal(pieces.takeMessage(), undefined);
        assert.ok(events.calls.includes('too big 1000'));
        assert.deepEqual(told, []);
      }
    }
  });

  it('accepts a message of exactly the limit, in however many pieces', () => {
    const { events, pieces, push } = start(1000);
    let message: unknown;
    pieces.wait({ wake: () => (message = pieces.takeMessage()) }, true);
    for (let i = 0; i < 999; i++) push('x', TEXT);
    push('x');
    assert.equal(message, 'x'.repeat(1000));
    assert.deepEqual(events.calls, []);
  });

  it('refuses what has grown beyond the limit before its end has come', () => {
    const { events, pieces, push } = start(1000);
    pieces.wait({ wake: () => assert.fail() }, true);
    push('x'.repeat(1001), TEXT);
    assert.deepEqual(events.calls, ['too big 1000']);
  });

  it('lets an unfinished message that has paused the sender grow for a reader who wants all of it', () => {
    const { events, pieces, push } = start(1000);
    push('x'.repeat(900), TEXT);
    assert.equal(pieces.isFull, true);
    let message: unknown;
    pieces.wait({ wake: () => (message = pieces.takeMessage()) }, true);
    assert.equal(pieces.isFull, false);
    push('y'.repeat(100));
    assert.equal(message, 'x'.repeat(900) + 'y'.repeat(100));
    assert.deepEqual(events.calls, ['pause', 'resume']);

    push('x'.repeat(1001), TEXT);
    pieces.wait({ wake: () => assert.fail() }, true);
    assert.deepEqual(events.calls.slice(2), ['pause', 'too big 1000']);
  });
});

describe('UnreadPieces, a large frame that a reader of messages waits for', () => {
  /** A frame of `total` bytes, as its chunks arrive. */
  function* arriving(total: number, flags: number, chunkSize = 64 * 1024) {
    for (let at = 0; at < total; at += chunkSize) {
      const size = Math.min(chunkSize, total - at);
      const rest = total - at - size;
      const chunk = Buffer.allocUnsafeSlow(size).fill(at / chunkSize + 1);
      yield { chunk, size, rest, flags: rest === 0 ? flags | MESSAGE_END : flags };
    }
  }

  function startWaiting(limit = 100_000_000) {
    const { events, pieces, fragments } = start(limit);
    const messages: unknown[] = [];
    const read = () => pieces.wait({ wake: () => messages.push(pieces.takeMessage()) }, true);
    read();
    return { events, pieces, fragments, messages, read };
  }

  it('is put together in one buffer as it arrives, and its chunks are free', () => {
    const { pieces, messages } = startWaiting();
    let previous = Buffer.alloc(0);
    for (const { chunk, size, flags, rest } of arriving(1_000_000, 0)) {
      pieces.beginChunk(NEXT_CHUNK);
      pieces.add(chunk, 0, size, flags, rest);
      previous.fill(255);
      previous = chunk;
    }
    const [message] = messages;
    assert.ok(Buffer.isBuffer(message));
    assert.equal(message.length, 1_000_000);
    assert.equal(message.buffer.byteLength, 1_000_000);
    assert.deepEqual([message[0], message[65_536], message[999_999]], [1, 2, 16]);
    assert.equal(pieces.bytesHeld, 0);
  });

  it('has a place for what follows in its frame, and for nothing else', () => {
    const { pieces, messages, read } = startWaiting();
    const whole = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 253));
    assert.equal(pieces.placeFor(40_000, 60_000), undefined);
    pieces.add(Buffer.from(whole.subarray(0, 40_000)), 0, 40_000, 0, 60_000);
    for (const [start, end] of [
      [40_000, 70_000],
      [70_000, 100_000],
    ] as const) {
      const place = pieces.placeFor(end - start, 100_000 - end);
      assert.ok(place !== undefined);
      const at = place.end;
      whole.copy(place.chunk, at, start, end);
      pieces.add(place.chunk, at, at + end - start, end === 100_000 ? MESSAGE_END : 0, 100_000 - end);
    }

    assert.deepEqual(messages, [whole]);
    assert.equal(pieces.bytesHeld, 0);
    assert.equal(pieces.placeFor(1000, 0), undefined, 'no frame is arriving');
    pieces.add(Buffer.alloc(1000), 0, 1000, 0, 1000);
    assert.notEqual(pieces.placeFor(500, 500), undefined, 'who has got a message will read another');
    read();
    pieces.unwait();
    assert.equal(pieces.placeFor(500, 500), undefined, 'the reader has given up');
    pieces.wait({ wake: () => {} }, false);
    assert.equal(pieces.placeFor(500, 500), undefined, 'fragments are wanted');
  });

  it('reserves no more for what is announced than sixteen times what has arrived', () => {
    const { pieces } = startWaiting();
    const before = process.memoryUsage().arrayBuffers;
    pieces.add(Buffer.alloc(20_000), 0, 20_000, 0, 2_000_000_000);
    pieces.add(Buffer.alloc(20_000), 0, 20_000, 0, 1_999_980_000);
    assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000);
  });

  it('makes room when more comes at once than was reserved', () => {
    const { pieces, messages } = startWaiting();
    const parts = [20_000, 900_000, 80_000];
    let rest = 1_000_000;
    for (const [at, size] of parts.entries()) {
      rest -= size;
      pieces.add(Buffer.alloc(size, at), 0, size, rest === 0 ? MESSAGE_END : 0, rest);
    }
    assert.deepEqual(messages, [Buffer.concat(parts.map((size, at) => Buffer.alloc(size, at)))]);
  });

  it('may be the last of several frames, and be text with characters beyond ASCII', () => {
    const { pieces, messages } = startWaiting();
    pieces.add(Buffer.from('begin '), 0, 6, TEXT | ASCII, 0);
    const text = 'ü'.repeat(20_000);
    const bytes = Buffer.from(text);
    pieces.add(Buffer.alloc(30_000, 'a'), 0, 30_000, TEXT | ASCII, bytes.length);
    pieces.add(bytes, 0, bytes.length, TEXT | MESSAGE_END, 0);
    pieces.add(Buffer.from('next'), 0, 4, TEXT | ASCII | MESSAGE_END, 0);
    assert.deepEqual(messages, [`begin ${'a'.repeat(30_000)}${text}`]);
    assert.equal(pieces.takeMessage(), 'next');
  });

  it('stays readable as fragments when the reader gives up, none of which changes or spans two frames afterwards', () => {
    const { pieces, fragments } = startWaiting();
    const push = (letter: string, size: number, flags: number, rest: number) =>
      pieces.add(Buffer.alloc(size, letter), 0, size, TEXT | flags, rest);
    push('a', 20_000, 0, 20_004);
    push('b', 20_000, 0, 4);
    pieces.unwait();
    push('cccc', 4, 0, 0);
    push('d', 20_000, 0, 20_000);
    const taken = fragments();
    push('e', 20_000, MESSAGE_END, 0);
    assert.deepEqual(taken, [`${'a'.repeat(20_000)}${'b'.repeat(20_000)}+`, 'cccc+', `${'d'.repeat(20_000)}+`]);
    assert.deepEqual(fragments(), ['e'.repeat(20_000)]);
    assert.equal(pieces.bytesHeld, 0);
  });

  it('is refused when it passes the limit', () => {
    const { events, pieces, messages } = startWaiting(100_000);
    for (const { chunk, size, flags, rest } of arriving(200_000, 0)) pieces.add(chunk, 0, size, flags, rest);
    assert.equal(events.calls[0], 'too big 100000');
    assert.deepEqual(messages, []);
  });

  it('takes over what had arrived before there was a reader, and is put together from then on', () => {
    const { pieces } = start(100_000_000);
    const parts = [...arriving(400_000, 0)];
    let message: unknown;
    for (const [at, { chunk, size, flags, rest }] of parts.entries()) {
      if (at === 3) {
        assert.equal(String(pieces.takeFragment(Buffer.alloc(2))?.data), '\x01\x01');
        pieces.wait({ wake: () => (message = pieces.takeMessage()) }, true);
      }
      pieces.beginChunk(NEXT_CHUNK);
      pieces.add(chunk, 0, size, flags, rest);
    }
    assert.deepEqual(message, Buffer.concat(parts.map(({ chunk }) => chunk)).subarray(2));
    assert.equal(pieces.bytesHeld, 0);
  });

  it('goes on as fragments when its beginning has been read as such', () => {
    const { pieces, fragments } = start();
    pieces.add(Buffer.from('ab'), 0, 2, TEXT, 4);
    assert.deepEqual(fragments(), ['ab+']);
    pieces.add(Buffer.from('cd'), 0, 2, TEXT, 2);
    pieces.add(Buffer.from('ef'), 0, 2, TEXT | MESSAGE_END, 0);
    assert.deepEqual(fragments(), ['cd+', 'ef']);
  });

  it('can be dropped while it arrives', () => {
    const { pieces, messages } = startWaiting();
    pieces.add(Buffer.alloc(20_000), 0, 20_000, 0, 40_000);
    pieces.add(Buffer.alloc(20_000), 0, 20_000, 0, 20_000);
    pieces.clear();
    pieces.add(Buffer.alloc(20_000, 1), 0, 20_000, MESSAGE_END, 0);
    assert.deepEqual(messages, [Buffer.alloc(20_000, 1)]);
  });
});

describe('UnreadPieces, flow', () => {
  it('pauses the sender at the limit, once, and resumes at half of it', () => {
    const { events, pieces, push } = start(10_000);
    push('x'.repeat(5_000));
    assert.deepEqual(events.calls, []);
    push('y'.repeat(5_000));
    push('z');
    assert.deepEqual(events.calls, ['pause']);
    assert.ok(pieces.bytesHeld > 10_000);
    pieces.takeFragment(Buffer.alloc(4_000));
    assert.deepEqual(events.calls, ['pause']);
    pieces.takeFragment(Buffer.alloc(4_000));
    pieces.takeFragment(Buffer.alloc(2_000));
    assert.deepEqual(events.calls, ['pause', 'resume']);
    assert.equal(pieces.isFull, false);
  });

  it('counts what a piece costs beside its bytes', () => {
    const { events, push } = start(100_000);
    for (let i = 0; i < 1_000; i++) push('');
    assert.deepEqual(events.calls, ['pause']);
  });

  it('tells a waiting reader once, and returns one that gives up', () => {
    const { pieces, push } = start();
    let told = 0;
    const reader = { wake: () => told++ };
    pieces.wait(reader, false);
    assert.equal(pieces.hasReader, true);
    push('a', TEXT);
    push('b');
    assert.equal(told, 1);
    pieces.wait(reader, true);
    assert.equal(pieces.unwait(), reader);
    assert.equal(pieces.unwait(), undefined);
    assert.equal(pieces.hasReader, false);
  });

  it('throws everything away after discard, but lets a reader who waits have its due', () => {
    const { pieces, push, fragments } = start();
    push('unread');
    pieces.discard();
    push('late');
    assert.deepEqual(fragments(), []);

    const other = start();
    let message: unknown;
    other.push('mess', TEXT);
    other.pieces.wait({ wake: () => (message = other.pieces.takeMessage()) }, true);
    other.pieces.discard();
    other.push('age');
    other.push('late');
    assert.equal(message, 'message');
    assert.equal(other.pieces.isEmpty, true);
  });

  it('discards when the reader gives up that still had its due', () => {
    const { pieces, push } = start();
    push('mess', TEXT);
    pieces.wait({ wake: () => assert.fail() }, true);
    pieces.discard();
    pieces.unwait();
    assert.equal(pieces.isEmpty, true);
    push('age');
    assert.equal(pieces.isEmpty, true);
  });

  it('sheds instead of pausing: what is held can be read, and nothing after the first loss', () => {
    const { events, pieces, push, fragments } = start(1_000);
    push('a'.repeat(900), TEXT);
    pieces.dropBeyondLimit();
    assert.deepEqual(events.calls, ['pause', 'resume']);
    push('lost', TEXT);
    assert.deepEqual(fragments(), [`${'a'.repeat(900)}+`]);
    push('not a message of its own');
    assert.equal(pieces.isEmpty, true);
    assert.deepEqual(events.calls, ['pause', 'resume']);
  });

  it('does not pause while it sheds', () => {
    const { events, pieces, push, fragments } = start(1_000);
    pieces.dropBeyondLimit();
    push('a'.repeat(900));
    assert.equal(fragments().length, 1);
    push('b');
    assert.deepEqual(fragments(), ['b']);
    assert.deepEqual(events.calls, []);
  });
});

describe('UnreadPieces, memory', () => {
  it('does not pin chunks of which small pieces stay unread', () => {
    const { pieces } = start();
    const chunk = inChunk('abc');
    pieces.add(chunk, 0, 1, TEXT, 0);
    pieces.add(chunk, 1, 2, TEXT, 0);
    pieces.beginChunk(NEXT_CHUNK);
    pieces.beginChunk(NEXT_CHUNK);
    const second = inChunk('defg');
    pieces.add(second, 0, 4, TEXT | MESSAGE_END, 0);
    pieces.beginChunk(NEXT_CHUNK);
    const sizes: number[] = [];
    const taken: string[] = [];
    for (let i = 0; i < 3; i++) {
      const { data } = pieces.takeFragment(undefined) ?? assert.fail();
      taken.push(String(data));
      sizes.push(data.buffer.byteLength);
    }
    assert.deepEqual(taken, ['a', 'b', 'defg']);
    assert.ok(Math.max(...sizes) <= 8192);
  });

  it('lets nobody transfer the memory that small payloads share', () => {
    const { pieces } = start();
    for (const text of ['a', 'b']) pieces.add(inChunk(text), 0, 1, MESSAGE_END, 0);
    const first = pieces.takeMessage();
    const second = pieces.takeMessage();
    assert.ok(Buffer.isBuffer(first) && Buffer.isBuffer(second));
    assert.equal(first.buffer, second.buffer);
    try {
      // Node 20 copies it instead
      structuredClone(first, { transfer: [first.buffer as ArrayBuffer] });
    } catch (error) {
      assert.equal(error instanceof DOMException && error.name, 'DataCloneError');
    }
    assert.equal(String(second), 'b');
  });

  it('keeps a view of a chunk that is mostly unread, and copies long pieces of a longer one', () => {
    const { pieces } = start();
    const chunk = Buffer.allocUnsafeSlow(4000);
    pieces.add(chunk, 0, 4000, MESSAGE_END, 0);
    pieces.add(Buffer.allocUnsafeSlow(64 * 1024), 0, 5000, MESSAGE_END, 0);
    pieces.beginChunk(NEXT_CHUNK);
    assert.equal(pieces.takeFragment(undefined)?.data.buffer, chunk.buffer);
    assert.equal(pieces.takeFragment(undefined)?.data.buffer.byteLength, 5000);
  });

  it('goes on settling behind what has been read', () => {
    const { pieces } = start();
    for (const text of ['a', 'b', 'c']) {
      const chunk = inChunk(text);
      pieces.add(chunk, 0, 1, TEXT | MESSAGE_END, 0);
      pieces.beginChunk(NEXT_CHUNK);
      if (text === 'a') pieces.takeFragment(undefined);
    }
    assert.equal(pieces.takeMessage(), 'b');
    assert.equal(pieces.takeMessage(), 'c');
  });

  it('joins the tiny pieces of a message that a reader waits for, and of no other', () => {
    const { pieces, push } = start(10_000_000);
    let message: unknown;
    for (let i = 0; i < 3000; i++) push('x', MESSAGE_END & 0);
    pieces.beginChunk(NEXT_CHUNK);
    const apart = pieces.bytesHeld;
    pieces.wait({ wake: () => (message = pieces.takeMessage()) }, true);
    push('x', 0);
    pieces.beginChunk(NEXT_CHUNK);
    assert.ok(pieces.bytesHeld < apart / 10);
    for (let i = 0; i < 200_000; i++) {
      push('y', 0);
      if (i % 10_000 === 0) pieces.beginChunk(NEXT_CHUNK);
    }
    assert.ok(pieces.bytesHeld < 10_000 * 200 + 300_000, `${pieces.bytesHeld}`);
    push('z', MESSAGE_END);
    assert.ok(Buffer.isBuffer(message));
    assert.equal(message.toString('latin1'), `${'x'.repeat(3001)}${'y'.repeat(200_000)}z`);
    assert.equal(pieces.bytesHeld, 0);
  });

  it('leaves joined pieces alone once they are large', () => {
    const { pieces } = start(10_000_000);
    let message: unknown;
    pieces.wait({ wake: () => (message = pieces.takeMessage()) }, true);
    const large = Buffer.alloc(70_000, 'a');
    pieces.add(large, 0, large.length, TEXT | ASCII, 0);
    for (let i = 0; i < 1100; i++) pieces.add(Buffer.from('ü'), i % 2, (i % 2) + 1, TEXT | (i % 2 ? ASCII : 0), 0);
    pieces.beginChunk(NEXT_CHUNK);
    pieces.add(large, 0, large.length, TEXT | ASCII | MESSAGE_END, 0);
    assert.equal(message, `${'a'.repeat(70_000)}${'ü'.repeat(550)}${'a'.repeat(70_000)}`);
  });

  it('takes constant time for each chunk, however many messages are unread', () => {
    const { pieces, push } = start(1e9);
    const start1 = process.cpuUsage();
    for (let i = 0; i < 50_000; i++) {
      pieces.beginChunk(NEXT_CHUNK);
      push('x');
    }
    const { user } = process.cpuUsage(start1);
    assert.ok(user < 2e6, `${user} µs`);
  });

  describe('endChunk()', () => {
    const parse = (pieces: UnreadPieces, chunk: Buffer, flags = MESSAGE_END): void => {
      pieces.beginChunk(chunk);
      pieces.add(chunk, 0, chunk.length, flags, 0);
    };

    it('is false for a chunk of which a reader has got text or a copy', () => {
      const { pieces } = start();
      const chunk = Buffer.alloc(1000, 'a');
      pieces.wait({ wake: () => void pieces.takeMessage() }, true);
      parse(pieces, chunk, TEXT | ASCII | MESSAGE_END);
      assert.equal(pieces.endChunk(chunk), false);

      pieces.wait({ wake: () => void pieces.takeFragment(new Uint8Array(1000)) }, false);
      parse(pieces, chunk);
      assert.equal(pieces.endChunk(chunk), false);
    });

    it('is true for a chunk of which a reader has got a view, or of which something is unread', () => {
      const { pieces } = start();
      const chunk = Buffer.alloc(1000, 'a');
      for (const take of [() => pieces.takeMessage(), () => pieces.takeFragment(undefined)]) {
        pieces.wait({ wake: take }, false);
        parse(pieces, chunk);
        assert.equal(pieces.endChunk(chunk), true);
      }
      parse(pieces, chunk);
      assert.equal(pieces.endChunk(chunk), true);
    });

    it('is false for a chunk whose bytes were put behind those of the message before', () => {
      const { pieces } = start();
      const first = Buffer.alloc(1000, 'a');
      const second = Buffer.alloc(1000, 'b');
      pieces.wait({ wake: () => {} }, true);
      pieces.beginChunk(first);
      pieces.add(first, 0, 1000, 0, 1000);
      assert.equal(pieces.endChunk(first), true);
      pieces.beginChunk(second);
      const place = pieces.placeFor(1000, 0);
      assert.ok(place);
      pieces.add(place.chunk, place.end, place.end + 1000, MESSAGE_END, 0);
      assert.equal(pieces.endChunk(second), false);
    });

    it('is true where too much is unread to find out', () => {
      const { pieces } = start();
      const unread = Buffer.alloc(17);
      pieces.beginChunk(unread);
      for (let at = 0; at < unread.length; at++) pieces.add(unread, at, at + 1, MESSAGE_END, 0);
      assert.equal(pieces.endChunk(NEXT_CHUNK), true);
    });
  });
});
