import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { PerMessageDeflateOptions } from 'ws';
import type { NegotiatedDeflate } from '../src/framing/deflate-options.js';
import { DeflatePool, type DeflateSetting, type InflateCodec, type Portions } from '../src/framing/deflate-pool.js';
import { KeptZlib } from '../src/framing/kept-zlib.js';
import { deflated, inflated, noise, PerMessageDeflate, TRAILER } from './support/deflate.js';

/** What an inflater makes of the beginning of a message. */
const inflate = (codec: InflateCodec, input: Buffer): Promise<string> =>
  new Promise((resolve, reject) => {
    let output = '';
    codec.owner = {
      onInflated: (chunk) => {
        output += chunk;
      },
      onConsumed: () => resolve(output),
      onError: reject,
    };
    codec.write(input);
  });

const deflate = (codec: NegotiatedDeflate, input: string): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    codec.compress(Buffer.from(input), true, (error, out) => (error ? reject(error) : resolve(out)));
  });

const repeat = <T>(count: number, make: (at: number) => T): T[] => Array.from({ length: count }, (_, at) => make(at));

describe('DeflatePool', () => {
  it('is one for the same options, and another for others', () => {
    const [one, other]: PerMessageDeflateOptions[] = [{}, {}];
    assert.ok(one && other);
    assert.equal(DeflatePool.of(one), DeflatePool.of(one));
    assert.notEqual(DeflatePool.of(one), DeflatePool.of(other));
  });

  it('has the threshold of its options, and 1 KiB without', () => {
    assert.equal(DeflatePool.of({}).setting(15).threshold, 1024);
    assert.equal(DeflatePool.of({ threshold: 0 }).setting(15).threshold, 0);
    assert.equal(DeflatePool.of({ threshold: 500 }).setting(15).threshold, 500);
  });

  describe('an inflater', () => {
    const taken = (
      t: TestContext,
      pool: DeflatePool,
      windowBits: number,
      portions: Portions = 'small',
    ): InflateCodec => {
      const codec = pool.takeInflater(windowBits, portions);
      t.after(() => codec.close());
      return codec;
    };

    it('is used again for its window, as if it were new', async (t) => {
      const pool = DeflatePool.of({});
      const codec = taken(t, pool, 15);
      const text = 'message '.repeat(100);
      const message = deflated(text);
      assert.notEqual(await inflate(codec, message.subarray(0, -2)), text);
      pool.giveInflater(codec);
      assert.equal(codec.owner, undefined);
      assert.notEqual(taken(t, pool, 10), codec);
      assert.notEqual(taken(t, pool, 15, 'large'), codec);
      assert.equal(taken(t, pool, 15), codec);
      assert.equal(await inflate(codec, message), text);
      assert.notEqual(taken(t, pool, 15), codec);
    });

    it('is kept if fewer than 16 are idle, and closed otherwise', (t) => {
      const pool = DeflatePool.of({});
      const codecs = repeat(17, () => taken(t, pool, 15));
      for (const codec of codecs) pool.giveInflater(codec);
      assert.deepEqual(
        codecs.map(({ stream }) => stream.destroyed),
        [...repeat(16, () => false), true],
      );
      assert.deepEqual(new Set(repeat(16, () => taken(t, pool, 15))), new Set(codecs.slice(0, 16)));
    });
  });

  describe('a deflater', () => {
    const taken = (t: TestContext, pool: DeflatePool, windowBits: number): NegotiatedDeflate => {
      const codec = pool.setting(windowBits).takeDeflater();
      t.after(() => codec.cleanup());
      return codec;
    };

    it('is used again for its window, and remembers nothing', async (t) => {
      const pool = DeflatePool.of({ threshold: 0 });
      const codec = taken(t, pool, 15);
      const text = 'message '.repeat(100);
      const first = await deflate(codec, text);
      pool.setting(15).giveDeflater(codec);
      assert.notEqual(taken(t, pool, 10), codec);
      assert.equal(taken(t, pool, 15), codec);
      assert.deepEqual(await deflate(codec, text), first);
      assert.notEqual(taken(t, pool, 15), codec);
    });

    it('is kept if fewer than 16 are idle, and freed otherwise', (t) => {
      const pool = DeflatePool.of({});
      const codecs = repeat(17, () => taken(t, pool, 15));
      const freed = codecs.map((codec) => t.mock.method(codec, 'cleanup').mock);
      for (const codec of codecs) pool.setting(15).giveDeflater(codec);
      assert.deepEqual(
        freed.map((mock) => mock.callCount()),
        [...repeat(16, () => 0), 1],
      );
      assert.deepEqual(new Set(repeat(16, () => taken(t, pool, 15))), new Set(codecs.slice(0, 16)));
    });
  });
});

describe('DeflateSetting', () => {
  /** Compresses as many messages at once; resolves with them when all are done. */
  const compressAll = (setting: DeflateSetting, count: number): Promise<string[]> =>
    Promise.all(
      repeat(count, (at) => {
        const data = noise(5000, at + 1);
        return new Promise<string>((resolve) => {
          setting.compressWhole(data, (error, out) => {
            resolve(error === null ? `${at} ${inflated(Buffer.from(out)).equals(data)}` : `${at} ${error.message}`);
          });
        });
      }),
    );

  it('compresses and inflates at once whatever is short', () => {
    for (const options of [
      {},
      { zlibDeflateOptions: { level: 0, memLevel: 1 } },
      { zlibDeflateOptions: { memLevel: 1 } },
    ]) {
      const pool = DeflatePool.of(options);
      for (const data of [Buffer.alloc(0), Buffer.of(1), noise(100), noise(4096)]) {
        const payload = pool.setting(15).compressAtOnce(data);
        assert.ok(payload !== undefined);
        assert.deepEqual(pool.inflateAtOnce(Buffer.concat([payload, TRAILER]), 15, 4096), data);
        assert.equal(pool.inflateAtOnce(Buffer.concat([payload, TRAILER]), 15, data.length - 1), undefined);
      }
    }
  });

  it('has one context for each window for what it inflates at once', (t) => {
    const pool = DeflatePool.of({});
    const run = t.mock.method(KeptZlib.prototype, 'run').mock;
    const payload = Buffer.concat([deflated('abc'), TRAILER]);
    for (const windowBits of [15, 15, 9, 15]) pool.inflateAtOnce(payload, windowBits, 100);
    const [first, second, other, third] = run.calls.map(({ this: kept }) => kept);
    assert.ok(first === second && first === third && first !== other);
  });

  it('compresses no more whole messages at once than may be, by as many compressors', async (t) => {
    for (const [options, atOnce] of [
      [{}, 10],
      [{ concurrencyLimit: 3 }, 3],
    ] as const) {
      const setting = DeflatePool.of(options).setting(15);
      const compress = t.mock.method(PerMessageDeflate.prototype as NegotiatedDeflate, 'compress').mock;
      const compressors = (): number => new Set(compress.calls.map(({ this: compressor }) => compressor)).size;
      const all = compressAll(setting, 40);
      assert.equal(compress.callCount(), atOnce);
      assert.deepEqual(
        await all,
        repeat(40, (at) => `${at} true`),
      );
      assert.equal(compressors(), atOnce);
      await compressAll(setting, 1);
      assert.equal(compressors(), atOnce);
      t.mock.restoreAll();
    }
  });

  it('goes on with those that wait when one of them cannot be compressed, and frees its compressor', async (t) => {
    const setting = DeflatePool.of({ concurrencyLimit: 1 }).setting(15);
    const original = PerMessageDeflate.prototype.compress;
    let calls = 0;
    t.mock.method(PerMessageDeflate.prototype, 'compress', function (this: NegotiatedDeflate, ...args) {
      calls++;
      if (calls === 2) throw new Error('no memory');
      if (calls === 3) args[2](new Error('no luck'), Buffer.alloc(0));
      else original.apply(this, args);
    } as NegotiatedDeflate['compress']);
    const cleanup = t.mock.method(PerMessageDeflate.prototype, 'cleanup').mock;
    assert.deepEqual(await compressAll(setting, 4), ['0 true', '1 no memory', '2 no luck', '3 true']);
    assert.equal(cleanup.callCount(), 2);
    assert.deepEqual(await compressAll(setting, 2), ['0 true', '1 true']);
  });

  it('compresses in the order in which messages came', async () => {
    const setting = DeflatePool.of({ concurrencyLimit: 1 }).setting(15);
    const order: number[] = [];
    await new Promise<void>((resolve) => {
      const add = (at: number): void =>
        setting.compressWhole(noise(5000, at), () => {
          order.push(at);
          if (at < 3) add(at + 3);
          if (order.length === 6) resolve();
        });
      for (const at of [0, 1, 2]) add(at);
    });
    assert.deepEqual(order, [0, 1, 2, 3, 4, 5]);
  });
});
