import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { PerMessageDeflateOptions } from 'ws';
import type { NegotiatedDeflate } from '../src/framing/deflate-options.js';
import { DeflatePool, IdleContexts, type InflateCodec, type Portions } from '../src/framing/deflate-pool.js';
import { deflated } from './support/deflate.js';

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

const repeat = <T>(count: number, make: () => T): T[] => Array.from({ length: count }, make);

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

describe('IdleContexts', () => {
  it('drops the one that has been idle longest when there are more than 64', () => {
    const contexts = new IdleContexts();
    const dropped: number[] = [];
    const owners = Array.from({ length: 66 }, (_, at) => ({ dropContext: () => void dropped.push(at) }));
    for (const owner of owners.slice(0, 64)) contexts.keep(owner);
    assert.deepEqual(dropped, []);
    for (const owner of owners.slice(64)) contexts.keep(owner);
    assert.deepEqual(dropped, [0, 1]);
  });

  it('drops none that is in use', () => {
    const contexts = new IdleContexts();
    const dropped: number[] = [];
    const owners = Array.from({ length: 66 }, (_, at) => ({ dropContext: () => void dropped.push(at) }));
    for (const owner of owners.slice(0, 64)) contexts.keep(owner);
    for (const owner of owners.slice(0, 1)) contexts.take(owner);
    for (const owner of owners.slice(64)) contexts.keep(owner);
    assert.deepEqual(dropped, [1]);
  });
});
