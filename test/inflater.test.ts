import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { constants, createDeflateRaw, deflateRawSync, inflateRawSync } from 'node:zlib';
import type { DeflateParameters } from '../src/framing/deflate-options.js';
import { DeflatePool, PORTION_SIZE } from '../src/framing/deflate-pool.js';
import { COMPRESSED, MESSAGE_END, MESSAGE_START, TEXT } from '../src/framing/frame-reader.js';
import { MessageInflater, type MessageInflaterOptions } from '../src/framing/inflater.js';
import { lastingContexts } from '../src/framing/lasting-contexts.js';
import { deflated, NO_TAKEOVER, negotiated, noise } from './support/deflate.js';
import { Random } from './support/random.js';

// FUZZ_CASES sets how many spoiled messages are tried, FUZZ_SEED the first of them.
const CASES = Math.min(Number(process.env.FUZZ_CASES ?? 300), 3000);
const SEED = Number(process.env.FUZZ_SEED ?? 1);

/** What a client might send instead of a compressed message: sound, cut, changed, with more behind it, or ended. */
function spoiled(random: Random): Buffer {
  const message = Buffer.alloc(random.below(4000), noise(1 + random.below(300), random.below(1000)));
  const payload = random.chance(70) ? Buffer.from(deflated(message)) : deflateRawSync(message);
  if (random.chance(30)) return payload.subarray(0, random.below(payload.length + 1));
  if (random.chance(40)) payload[random.below(payload.length)] = random.below(256);
  if (random.chance(20)) return Buffer.concat([payload, noise(random.below(50), random.below(1000))]);
  return payload;
}

/** A message of which so many bytes are sent. */
function compressedTo(size: number): Buffer {
  let length = size - 20;
  while (deflated(noise(length)).length < size) length++;
  const message = noise(length);
  assert.equal(deflated(message).length, size);
  return message;
}

/** A client with context takeover. */
function takeoverClient(t: TestContext, windowBits: number = 15): (message: Buffer) => Promise<Buffer> {
  const stream = createDeflateRaw({ windowBits, flush: constants.Z_SYNC_FLUSH });
  t.after(() => stream.close());
  const parts: Buffer[] = [];
  stream.on('data', (part: Buffer) => parts.push(part));
  return async (message) => {
    await new Promise((resolve) => stream.write(message, resolve));
    return Buffer.concat(parts.splice(0)).subarray(0, -4);
  };
}

interface Received {
  readonly messages: Buffer[];
  readonly texts: boolean[];
  readonly pieces: number[];
  readonly faults: [number, string][];
  readonly pressure: boolean[];
}

type Overrides = Partial<MessageInflaterOptions> & { params?: DeflateParameters | null; onPiece?(): void };

function inflate(t: TestContext, overrides: Overrides = {}): { inflater: MessageInflater; received: Received } {
  const { params, onPiece, ...options } = overrides;
  const received: Received = { messages: [], texts: [], pieces: [], faults: [], pressure: [] };
  let parts: Buffer[] = [];
  const inflater = new MessageInflater(negotiated(params), {
    maxPayload: Number.POSITIVE_INFINITY,
    onData: (chunk, start, end, flags) => {
      assert.equal((flags & MESSAGE_START) !== 0, parts.length === 0, 'MESSAGE_START is set on the first piece only');
      parts.push(Buffer.from(chunk.subarray(start, end)));
      received.pieces.push(end - start);
      if ((flags & MESSAGE_END) !== 0) {
        received.messages.push(Buffer.concat(parts));
        received.texts.push((flags & TEXT) !== 0);
        parts = [];
      }
      onPiece?.();
    },
    onFault: (code, message) => received.faults.push([code, message]),
    onBackpressure: (full) => received.pressure.push(full),
    ...options,
  });
  t.after(() => inflater.destroy());
  return { inflater, received };
}

/** Writes a whole message as if it had come in frames or chunks of `size`. */
function write(
  inflater: MessageInflater,
  payload: Buffer,
  size: number = payload.length || 1,
  flags: number = 0,
): void {
  let at = 0;
  do {
    const end = Math.min(at + size, payload.length);
    const start = at === 0 ? MESSAGE_START : 0;
    inflater.write(payload, at, end, COMPRESSED | flags | start | (end === payload.length ? MESSAGE_END : 0));
    at = end;
  } while (at < payload.length);
}

function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  assert.ok(typeof collect === 'function');
  collect();
}

function idle(inflater: MessageInflater): Promise<void> {
  return new Promise((resolve) => inflater.after(resolve));
}

describe('MessageInflater', () => {
  it('inflates messages of any size, however they were cut', async (t) => {
    const { inflater, received } = inflate(t);
    const messages = [Buffer.from('a'), Buffer.alloc(0), noise(3000), Buffer.alloc(200_000, 'abc'), noise(150_000)];
    for (const size of [1_000_000, 70_000, 1000, 1]) {
      for (const message of messages) if (size > 1 || message.length < 5000) write(inflater, deflated(message), size);
    }
    await idle(inflater);
    const expected = [...messages, ...messages, ...messages, ...messages.slice(0, 3)];
    assert.equal(received.messages.length, expected.length);
    received.messages.forEach((message, i) => {
      assert.ok(message.equals(expected[i] as Buffer), `message ${i}`);
    });
    assert.equal(inflater.bufferedAmount, 0);
    assert.deepEqual(received.faults, []);
  });

  it('passes a small message on at once, unless it is not whole, grows large, or refers to others', async (t) => {
    const small = noise(1000);
    const cases: readonly (readonly [Buffer, number, Overrides, boolean])[] = [
      [small, 5000, {}, true],
      [small, 5000, { maxPayload: 1000 }, true],
      [Buffer.alloc(16 * 1024), 5000, {}, true],
      [compressedTo(4096), 5000, {}, true],
      [small, 500, {}, false],
      [small, 5000, { params: {} }, false],
      [Buffer.alloc(16 * 1024 + 1), 5000, {}, false],
      [compressedTo(4097), 5000, {}, false],
    ];
    for (const [message, size, overrides, isAtOnce] of cases) {
      const { inflater, received } = inflate(t, overrides);
      write(inflater, deflated(message), size);
      assert.equal(received.messages.length, isAtOnce ? 1 : 0);
      await idle(inflater);
      assert.deepEqual([received.messages, received.faults], [[message], []]);
      await new Promise(setImmediate);
    }
  });

  it('inflates no more at once than the process can spare in a turn, and goes on in order', async (t) => {
    const { inflater, received } = inflate(t);
    const messages = Array.from({ length: 2000 }, (_, at) => Buffer.alloc(at % 2 === 0 ? 10 : 10_000, `${at} `));
    for (const message of messages) write(inflater, deflated(message));
    assert.ok(received.messages.length > 20 && received.messages.length < 200, `${received.messages.length} at once`);
    await idle(inflater);
    assert.deepEqual(received.messages, messages);
  });

  it('passes on what came before a pause, and what has come since when it is over', async (t) => {
    const { inflater, received } = inflate(t, { onPiece: () => inflater.pause() });
    for (const message of ['one', 'two', 'three']) write(inflater, deflated(message));
    assert.deepEqual(received.messages.map(String), ['one']);
    inflater.resume();
    assert.deepEqual(received.messages.map(String), ['one', 'two']);
    inflater.resume();
    assert.deepEqual(received.messages.map(String), ['one', 'two', 'three']);
  });

  it(`makes the same of whatever comes, at once or by a stream, in ${CASES} cases`, async (t) => {
    const random = new Random(SEED);
    const { inflateAtOnce } = DeflatePool.prototype;
    let mayBeAtOnce = true;
    let count = 0;
    t.mock.method(
      DeflatePool.prototype,
      'inflateAtOnce',
      function (this: DeflatePool, ...args: Parameters<typeof inflateAtOnce>) {
        if (!mayBeAtOnce) return undefined;
        const out = inflateAtOnce.apply(this, args);
        if (out !== undefined) count++;
        return out;
      },
    );
    for (let at = 0; at < CASES; at++) {
      const payload = spoiled(random);
      const outcomes: unknown[] = [];
      for (mayBeAtOnce of [true, false]) {
        const { inflater, received } = inflate(t, { maxPayload: 3000 });
        write(inflater, payload);
        write(inflater, deflated('next'));
        while (received.faults.length === 0 && received.messages.length < 2) await new Promise(setImmediate);
        outcomes.push([received.messages, received.faults]);
      }
      assert.deepEqual(outcomes[0], outcomes[1], payload.toString('hex'));
    }
    assert.ok(count > CASES / 4, `${count} at once`);
  });

  it('tells text from binary', async (t) => {
    const { inflater, received } = inflate(t);
    write(inflater, deflated('text'), 2, TEXT);
    write(inflater, deflated('binary'));
    await idle(inflater);
    assert.deepEqual(received.texts, [true, false]);
  });

  it('accepts an empty message without any byte, and one whose end is an empty frame', async (t) => {
    const { inflater, received } = inflate(t);
    write(inflater, Buffer.alloc(0));
    const payload = deflated('abc');
    inflater.write(payload, 0, payload.length, COMPRESSED | MESSAGE_START);
    inflater.write(payload, 0, 0, COMPRESSED | MESSAGE_END);
    await idle(inflater);
    assert.deepEqual(received.messages.map(String), ['', 'abc']);
  });

  it('delivers what has arrived of a message before the rest is there', async (t) => {
    const { inflater, received } = inflate(t);
    const stream = createDeflateRaw({ flush: constants.Z_SYNC_FLUSH });
    t.after(() => stream.close());
    stream.write('first');
    const [part] = (await once(stream, 'data')) as [Buffer];
    inflater.write(part, 0, part.length, COMPRESSED | MESSAGE_START);
    await idle(inflater);
    assert.deepEqual(received.pieces, [5]);
    inflater.write(part, 0, 0, COMPRESSED | MESSAGE_END);
    await idle(inflater);
    assert.deepEqual(received.messages.map(String), ['first']);
  });

  it('delivers a small message as one piece, and a large one in pieces of bounded size', async (t) => {
    const { inflater, received } = inflate(t);
    write(inflater, deflated('small'));
    await idle(inflater);
    assert.deepEqual(received.pieces, [5]);
    write(inflater, deflated(Buffer.alloc(10_000_000)));
    await idle(inflater);
    assert.ok(Math.max(...received.pieces) <= PORTION_SIZE.small);
  });

  const takeLarge = async (t: TestContext, params: DeflateParameters): Promise<void> => {
    const { inflater, received } = inflate(t, { params, largePortions: true });
    const client = params === NO_TAKEOVER ? async (message: Buffer) => deflated(message) : takeoverClient(t);
    const long = Buffer.concat([noise(100_000), Buffer.alloc(900_000, 'abc')]);
    // The window goes on through both, and through a context that was dropped
    const messages = [Buffer.from('a short one'), long, Buffer.from('a short one'), long, noise(20_000)];
    const largest: number[] = [];
    for (const message of messages) {
      received.pieces.length = 0;
      write(inflater, await client(message));
      await idle(inflater);
      largest.push(Math.max(...received.pieces));
    }
    assert.deepEqual(received.messages, messages);
    assert.deepEqual(received.faults, []);
    const [short, first, , second] = largest as [number, number, number, number];
    assert.equal(short, messages[0]?.length);
    for (const size of [first, second]) assert.ok(size > PORTION_SIZE.small && size <= PORTION_SIZE.large, `${size}`);
  };

  it('delivers a long message in larger pieces, if that is allowed, and goes on with the window of the client', (t) =>
    takeLarge(t, {}));

  it('delivers a long message in larger pieces from a codec of its own, without context takeover', (t) =>
    takeLarge(t, NO_TAKEOVER));

  for (const [what, come, rest, isLong] of [
    ['32 KiB of which', 32 * 1024, 0, true],
    ['less of which', 32 * 1024 - 1, 0, false],
    ['2 KiB of which', 2048, 1e9, true],
    ['too little of which', 1024, 1e9, false],
    ['4 KiB of which, and not much more to come,', 4096, 28 * 1024 - 1, false],
  ] as const) {
    it(`takes a message for ${isLong ? 'a long' : 'a short'} one, ${what} comes first`, async (t) => {
      const { inflater, received } = inflate(t, { largePortions: true });
      const payload = deflated(Buffer.concat([noise(40_000), Buffer.alloc(1_000_000)]));
      inflater.write(payload, 0, come, COMPRESSED | MESSAGE_START, rest);
      await idle(inflater);
      inflater.write(payload, come, payload.length, COMPRESSED | MESSAGE_END);
      await idle(inflater);
      assert.equal(Math.max(...received.pieces) > PORTION_SIZE.small, isLong);
      assert.equal(received.messages[0]?.length, 1_040_000);
    });
  }

  it('asks for no more input while a large portion of a long message waits', async (t) => {
    const { inflater, received } = inflate(t, { largePortions: true });
    const payload = deflated(noise(500_000));
    inflater.write(payload, 0, 40_000, COMPRESSED | MESSAGE_START);
    await idle(inflater);
    inflater.pause();
    inflater.write(payload, 40_000, 300_000, COMPRESSED);
    assert.deepEqual(received.pressure, []);
    inflater.write(payload, 300_000, payload.length, COMPRESSED | MESSAGE_END);
    assert.deepEqual(received.pressure, [true]);
    inflater.resume();
    await idle(inflater);
    assert.deepEqual(received.pressure, [true, false]);
    assert.equal(received.messages[0]?.length, 500_000);
  });

  it('passes uncompressed pieces and callbacks on in their place', async (t) => {
    const { inflater, received } = inflate(t);
    const order: number[] = [];
    inflater.after(() => order.push(received.messages.length));
    assert.deepEqual(order, [0], 'at once when nothing waits');
    const long = noise(5000);
    write(inflater, deflated(long));
    inflater.after(() => {
      order.push(received.messages.length);
      inflater.after(() => order.push(received.messages.length));
    });
    const plain = Buffer.from('xtwox');
    inflater.write(plain, 1, 4, MESSAGE_START | MESSAGE_END | TEXT);
    write(inflater, deflated('three'));
    await idle(inflater);
    assert.deepEqual(order, [0, 1, 3]);
    assert.deepEqual(received.messages, [long, Buffer.from('two'), Buffer.from('three')]);
    assert.equal(inflater.bufferedAmount, 0);
  });

  it('delivers nothing while paused, goes on in order, and makes little in the meantime', async (t) => {
    let pieces = 0;
    const { inflater, received } = inflate(t, {
      onPiece: () => {
        if (++pieces % 3 !== 0) return;
        inflater.pause();
        const before = pieces;
        setImmediate(() =>
          setImmediate(() => {
            assert.equal(pieces, before);
            inflater.resume();
          }),
        );
      },
    });
    const messages = [Buffer.alloc(300_000, 'x'), Buffer.from('short'), Buffer.from('shorter'), noise(100_000)];
    for (const message of messages) write(inflater, deflated(message), 40_000);
    inflater.write(Buffer.from('plain'), 0, 5, MESSAGE_START | MESSAGE_END);
    await idle(inflater);
    assert.deepEqual(received.messages, [...messages, Buffer.from('plain')]);
  });

  it('can be paused before anything has come, and resumed without having been paused', async (t) => {
    const { inflater, received } = inflate(t);
    inflater.resume();
    inflater.pause();
    write(inflater, deflated('abc'));
    inflater.write(Buffer.from('d'), 0, 1, MESSAGE_START | MESSAGE_END);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(received.messages, []);
    assert.equal(inflater.bufferedAmount, deflated('abc').length + 1);
    inflater.resume();
    await idle(inflater);
    assert.deepEqual(received.messages.map(String), ['abc', 'd']);
  });

  it('does not pile up calls when a reader pauses and resumes at every piece', async (t) => {
    const { inflater, received } = inflate(t, {
      onPiece: () => {
        inflater.pause();
        inflater.resume();
      },
    });
    inflater.pause();
    const pieces = 30_000;
    for (let i = 0; i < pieces; i++) inflater.write(Buffer.of(i), 0, 1, MESSAGE_START | MESSAGE_END);
    inflater.resume();
    await idle(inflater);
    assert.equal(received.messages.length, pieces);
  });

  it('passes nothing on while paused, however long that is, and then all of it', async (t) => {
    for (const message of [noise(5000), Buffer.alloc(300_000, 'long')]) {
      const { inflater, received } = inflate(t);
      const other = inflate(t);
      write(inflater, deflated(message));
      inflater.pause();
      // By then zlib has made all that it can of the first one
      write(other.inflater, deflated(Buffer.alloc(3_000_000, 'longer')));
      await idle(other.inflater);
      assert.deepEqual(received.pieces, []);
      inflater.resume();
      await idle(inflater);
      assert.deepEqual(received.messages, [message]);
    }
  });

  it('gives its codec back behind each message, unless it keeps the context', async (t) => {
    const given = t.mock.method(DeflatePool.prototype, 'giveInflater').mock;
    for (const [params, count] of [
      [NO_TAKEOVER, 1],
      [{}, 1],
    ] as const) {
      const { inflater } = inflate(t, { params });
      write(inflater, deflated(noise(5000)));
      await idle(inflater);
      assert.equal(given.callCount(), count);
    }
  });

  it('holds nothing of what it has passed on', async (t) => {
    const { inflater } = inflate(t);
    const passed = (() => {
      const chunk = Buffer.alloc(100_000);
      inflater.write(chunk, 0, chunk.length, MESSAGE_START | MESSAGE_END);
      return new WeakRef(chunk);
    })();
    await new Promise((resolve) => setImmediate(resolve));
    collectGarbage();
    assert.equal(passed.deref(), undefined);
  });

  it('needs no chunk any more that it has told of: those that were a piece as a whole, or were made of several', async (t) => {
    for (const params of [{}, NO_TAKEOVER]) {
      const spent: Buffer[] = [];
      const onSpent = (chunk: Buffer): void => {
        spent.push(chunk);
        chunk.fill(0xff);
      };
      const { inflater, received } = inflate(t, { params, onSpent });
      const message = noise(300_000);
      const payload = deflated(message);
      const whole: Buffer[] = [];
      // Together for one job, and alone in a job
      for (const size of [20_000, 90_000]) {
        for (let at = 0; at < payload.length; at += size) {
          const isLast = at + size >= payload.length;
          const flags = COMPRESSED | (at === 0 ? MESSAGE_START : 0) | (isLast ? MESSAGE_END : 0);
          const part = Buffer.from(payload.subarray(at, at + size));
          if (at % (2 * size) === 0) {
            whole.push(part);
            inflater.write(part, 0, part.length, flags);
            // Alone it is inflated where it is
            if (size === 90_000 && !isLast) assert.ok(!spent.includes(part));
          } else {
            inflater.write(Buffer.concat([Buffer.of(0), part, Buffer.of(0)]), 1, part.length + 1, flags);
          }
          if (size === 90_000) await idle(inflater);
        }
        await idle(inflater);
      }
      assert.deepEqual(received.messages, [message, message]);
      assert.deepEqual(
        spent.filter((chunk) => whole.includes(chunk)),
        whole,
      );
      write(inflater, deflated('short'), 3);
      await idle(inflater);
      const made = spent.filter((chunk) => !whole.includes(chunk));
      assert.ok(made.length > 0);
      // Not one of those that somebody else may have something in
      for (const { length, buffer } of made) assert.equal(length, buffer.byteLength);
    }
  });

  it('minds input that waits beyond 64 KiB, until it is half of that, with 64 bytes for each piece', (t) => {
    const plain = (inflater: MessageInflater, size: number): void =>
      inflater.write(Buffer.alloc(size), 0, size, MESSAGE_START | MESSAGE_END);
    const { inflater, received } = inflate(t, { onPiece: () => inflater.pause() });
    inflater.pause();
    plain(inflater, 0);
    plain(inflater, 32 * 1024 - 64);
    plain(inflater, 32 * 1024 - 128);
    assert.deepEqual(received.pressure, [], '64 KiB wait');
    plain(inflater, 0);
    assert.deepEqual(received.pressure, [true]);
    inflater.resume();
    assert.deepEqual(received.pressure, [true], '64 KiB wait');
    inflater.resume();
    assert.deepEqual(received.pressure, [true, false], '32 KiB wait');
  });

  it('minds no input that it has passed on', (t) => {
    let pieces = 0;
    const { inflater, received } = inflate(t, {
      onPiece: () => {
        if (++pieces === 900) inflater.pause();
      },
    });
    inflater.pause();
    for (let i = 0; i < 1000; i++) inflater.write(Buffer.of(i), 0, 1, MESSAGE_START | MESSAGE_END);
    inflater.resume();
    assert.equal(pieces, 900);
    assert.deepEqual(received.pressure, []);
  });

  it('asks for no more input while much of it waits', async (t) => {
    const { inflater, received } = inflate(t);
    inflater.pause();
    const payload = deflated(noise(100_000));
    write(inflater, payload, 30_000);
    assert.deepEqual(received.pressure, [true]);
    inflater.resume();
    await idle(inflater);
    assert.deepEqual(received.pressure, [true, false]);
    inflater.pause();
    for (let i = 0; i < 2000; i++) inflater.write(payload, 0, 0, COMPRESSED | MESSAGE_START);
    assert.deepEqual(received.pressure, [true, false, true], 'pieces without payload weigh something as well');
  });

  it('does not need anybody to listen to that', async (t) => {
    const inflater = new MessageInflater(negotiated(), { maxPayload: 1e9, onData: () => {}, onFault: assert.fail });
    t.after(() => inflater.destroy());
    inflater.pause();
    write(inflater, deflated(noise(200_000)));
    inflater.resume();
    write(inflater, deflated(noise(200_000)), 1000);
    await idle(inflater);
  });

  it('ends a message that inflates to more than maxPayload with 1009, before it is inflated', async (t) => {
    const bomb = deflated(Buffer.alloc(40 * 1024 * 1024));
    const faulted = new Promise<void>((resolve) => {
      const { inflater, received } = inflate(t, {
        maxPayload: 100_000,
        onFault: (code, message) => {
          assert.equal(code, 1009);
          assert.equal(message, 'A message inflates to more than the limit of 100000 bytes');
          assert.ok(received.pieces.reduce((sum, size) => sum + size, 0) <= 100_000);
          assert.deepEqual(received.messages, []);
          resolve();
        },
      });
      write(inflater, bomb);
    });
    const before = process.memoryUsage().arrayBuffers;
    await faulted;
    assert.ok(process.memoryUsage().arrayBuffers - before < 10_000_000);
  });

  it('counts maxPayload for every message anew', async (t) => {
    const { inflater, received } = inflate(t, { maxPayload: 50_000 });
    for (let i = 0; i < 5; i++) write(inflater, deflated(Buffer.alloc(50_000)));
    await idle(inflater);
    assert.equal(received.messages.length, 5);
    assert.deepEqual(received.faults, []);
  });

  it('ends with 1007 when the data is corrupt, and reports nothing after that', async (t) => {
    const fault = await new Promise<[number, string]>((resolve) => {
      const { inflater, received } = inflate(t, {
        onFault: (...details) => {
          assert.deepEqual(received.messages.map(String), ['good']);
          inflater.after(() => assert.fail('not after a fault'));
          write(inflater, deflated('more'));
          resolve(details);
        },
      });
      write(inflater, deflated('good'));
      write(inflater, Buffer.from('07'.repeat(20), 'hex'));
      write(inflater, deflated('more'));
    });
    assert.equal(fault[0], 1007);
    assert.match(fault[1], /^A compressed message cannot be inflated: invalid /);
  });

  it('ends with 1011 when zlib refuses the options', (t) => {
    const { inflater, received } = inflate(t, { options: { zlibInflateOptions: { chunkSize: 1 } } });
    write(inflater, deflated('abc'));
    assert.equal(received.faults[0]?.[0], 1011);
    assert.match(received.faults[0]?.[1] ?? '', /chunkSize/);
  });

  it('ignores what follows a final block, and goes on with the next message', async (t) => {
    for (const params of [NO_TAKEOVER, {}]) {
      const { inflater, received } = inflate(t, { params });
      const final = Buffer.concat([deflateRawSync('final'), Buffer.from('what zlib will not take')]);
      for (let i = 0; i < 2; i++) {
        write(inflater, final);
        write(inflater, final, 3);
        const cut = deflateRawSync('cut').length;
        inflater.write(deflateRawSync('cut'), 0, cut, COMPRESSED | MESSAGE_START);
        await idle(inflater);
        inflater.write(final, 0, 20, COMPRESSED);
        await idle(inflater);
        inflater.write(final, 0, 20, COMPRESSED);
        await idle(inflater);
        inflater.write(final, 0, 20, COMPRESSED | MESSAGE_END);
      }
      write(inflater, deflated('next'));
      await idle(inflater);
      assert.deepEqual(received.messages.map(String), ['final', 'final', 'cut', 'final', 'final', 'cut', 'next']);
      assert.deepEqual(received.faults, []);
    }
  });

  it('goes on with the window when the block that the trailer completes is a final one', async (t) => {
    const { inflater, received } = inflate(t, { params: {} });
    const first = Buffer.from('the first message is what the second one refers to');
    // An empty stored block with BFINAL, whose length comes with the trailer (RFC 7692 section 7.2.2).
    const ended = Buffer.concat([deflateRawSync(first, { finishFlush: constants.Z_SYNC_FLUSH }), Buffer.of(0x01)]);
    const message = Buffer.concat([first, Buffer.alloc(100_000, 'x')]);
    const second = deflateRawSync(message, { dictionary: first, finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -4);
    assert.throws(() => inflateRawSync(second, { finishFlush: constants.Z_SYNC_FLUSH }), 'it does refer to the first');
    write(inflater, ended);
    write(inflater, second);
    await idle(inflater);
    assert.deepEqual(received.messages, [first, message]);
  });

  it('keeps no more of a client that takes its context over than the window', async (t) => {
    const inflater = new MessageInflater(negotiated({}), { maxPayload: 1e9, onData: () => {}, onFault: assert.fail });
    t.after(() => inflater.destroy());
    const payload = deflated(Buffer.alloc(5_000_000, 'abc'));
    const measure = async (): Promise<number> => {
      write(inflater, payload);
      await idle(inflater);
      for (let i = 0; i < 3; i++) {
        collectGarbage();
        await new Promise((resolve) => setImmediate(resolve));
      }
      return process.memoryUsage().arrayBuffers;
    };
    const before = await measure();
    assert.ok((await measure()) - before < 1_000_000);
  });

  it('keeps the context of a client that takes it over, even when others have pushed it out', async (t) => {
    const others = Array.from({ length: 70 }, () => inflate(t, { params: {} }).inflater);
    for (const windowBits of [15, 9]) {
      const params: DeflateParameters = windowBits === 15 ? {} : { client_max_window_bits: windowBits };
      const { inflater, received } = inflate(t, { params });
      const compress = takeoverClient(t, windowBits);
      const base = noise(500, windowBits);
      const messages = [
        base,
        Buffer.concat([base, noise(50)]),
        noise(50_000),
        Buffer.concat([noise(50_000), base]),
        base,
        noise(24_000, 5),
        base,
      ];
      const sizes: number[] = [];
      for (const message of messages) {
        const payload = await compress(message);
        sizes.push(payload.length);
        write(inflater, payload);
        await idle(inflater);
        for (const other of others) write(other, deflated('other'));
        await Promise.all(others.map(idle));
      }
      assert.deepEqual(received.messages, messages);
      if (windowBits === 15) assert.ok(Number(sizes[1]) < 200 && Number(sizes[6]) < 200, 'they refer to earlier ones');
    }
  });

  it('refuses what refers further back than the window agreed upon', async (t) => {
    const base = noise(400);
    // zlib notices when the reference leads beyond the window and beyond the output that it is making.
    const before = noise(PORTION_SIZE.small - 1_400, 3);
    const payload = deflated(Buffer.concat([before, base, noise(20_000, 2), base]));
    const code = await new Promise((resolve) => {
      const params = { ...NO_TAKEOVER, client_max_window_bits: 9 };
      write(inflate(t, { params, onFault: resolve }).inflater, payload);
    });
    assert.equal(code, 1007);
  });

  it('takes nothing more when it has been destroyed', (t) => {
    const { inflater } = inflate(t, { onPiece: () => assert.fail('destroyed') });
    inflater.destroy();
    inflater.after(() => assert.fail('destroyed'));
    inflater.write(Buffer.from('abc'), 0, 3, MESSAGE_START | MESSAGE_END);
    write(inflater, deflated('abc'));
    assert.equal(inflater.bufferedAmount, 0);
  });

  it('can be destroyed at any moment, and then calls nobody', async (t) => {
    const payload = deflated(Buffer.alloc(500_000, 'abc'));
    for (const params of [NO_TAKEOVER, {}]) {
      let tell: () => void = () => {};
      const isDestroyed = new Promise<void>((resolve) => {
        tell = resolve;
      });
      const { inflater, received } = inflate(t, {
        params,
        onPiece: () => {
          inflater.destroy();
          tell();
        },
      });
      write(inflater, payload);
      inflater.after(() => assert.fail('destroyed'));
      const fresh = inflate(t, { params });
      write(fresh.inflater, payload);
      fresh.inflater.destroy();
      fresh.inflater.resume();
      fresh.inflater.pause();
      fresh.inflater.resume();
      const other = inflate(t, { params });
      write(other.inflater, payload);
      // Another thread of zlib may be done before it
      await isDestroyed;
      await idle(other.inflater);
      assert.equal(received.pieces.length, 1);
      assert.deepEqual(fresh.received.pieces, []);
      assert.equal(fresh.inflater.bufferedAmount, 0);
    }
  });

  it('counts its context among those that outlive a message, until it is destroyed', async (t) => {
    assert.equal(lastingContexts.areEnough, false);
    const inflaters = Array.from({ length: 64 }, () => inflate(t, { params: {} }).inflater);
    const independent = inflate(t).inflater;
    for (const inflater of [...inflaters, independent]) {
      write(inflater, deflated(Buffer.alloc(20_000)));
      await idle(inflater);
    }
    assert.equal(lastingContexts.areEnough, true);
    inflaters[0]?.destroy();
    assert.equal(lastingContexts.areEnough, false);
    for (const inflater of inflaters) inflater.destroy();
  });

  it('shares codecs between connections, as many as are needed at once', async (t) => {
    const inflaters = Array.from({ length: 40 }, () => inflate(t));
    const payload = deflated(noise(30_000));
    for (let round = 0; round < 3; round++) {
      for (const { inflater } of inflaters) write(inflater, payload, 7000);
      await Promise.all(inflaters.map(({ inflater }) => idle(inflater)));
    }
    for (const { received } of inflaters)
      assert.deepEqual(received.messages, [noise(30_000), noise(30_000), noise(30_000)]);
  });

  it('takes an agreement without parameters for context takeover with the largest window', async (t) => {
    const { inflater, received } = inflate(t, { params: null });
    for (const message of ['abc', 'abc']) write(inflater, deflated(message));
    await idle(inflater);
    assert.deepEqual(received.messages.map(String), ['abc', 'abc']);
  });
});
