import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it, type TestContext } from 'node:test';
import { constants, createInflateRaw } from 'node:zlib';
import { DEFLATE_DEFAULTS, type DeflateParameters, type NegotiatedDeflate } from '../src/framing/deflate-options.js';
import { DeflatePool, DeflateSetting } from '../src/framing/deflate-pool.js';
import { compressForMany, MessageDeflater } from '../src/framing/deflater.js';
import { inflated, NO_TAKEOVER, negotiated, noise, PerMessageDeflate, TRAILER } from './support/deflate.js';

describe('MessageDeflater', () => {
  function compress(deflater: MessageDeflater, data: Buffer | string, end: boolean = true): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      deflater.compress(Buffer.from(data), end, (error, out) => (error ? reject(error) : resolve(Buffer.from(out))));
    });
  }

  function deflater(t: TestContext, params: DeflateParameters | null = NO_TAKEOVER): MessageDeflater {
    const result = new MessageDeflater(negotiated(params));
    t.after(() => result.destroy());
    return result;
  }

  it('compresses messages that can be inflated one by one when no context is taken over', async (t) => {
    const connection = deflater(t);
    for (const message of [Buffer.alloc(0), Buffer.from('abc'), noise(100_000), Buffer.alloc(1_000_000, 'x')]) {
      const payload = await compress(connection, message);
      assert.ok(inflated(payload).equals(message));
      assert.ok(payload.length < message.length + 100);
    }
  });

  it('compresses the fragments of a message so that they can be inflated as they arrive', async (t) => {
    const connection = deflater(t);
    const first = await compress(connection, 'one two three', false);
    assert.equal(String(inflated(first)), 'one two three');
    const second = await compress(connection, ' one two three', false);
    const last = await compress(connection, '');
    assert.equal(String(inflated(Buffer.concat([first, second, last]))), 'one two three one two three');
  });

  it('keeps the window that was agreed upon', async (t) => {
    const connection = deflater(t, { ...NO_TAKEOVER, server_max_window_bits: 9 });
    const base = noise(300);
    // Far enough apart for zlib to notice a reference beyond the window.
    const payload = await compress(connection, Buffer.concat([base, noise(20_000, 3), base]));
    const stream = createInflateRaw({ windowBits: 9 });
    t.after(() => stream.close());
    stream.end(Buffer.concat([payload, TRAILER, Buffer.of(0x03, 0x00)]));
    const parts: Buffer[] = [];
    for await (const part of stream) parts.push(part as Buffer);
    assert.equal(Buffer.concat(parts).length, 20_600);
  });

  it('refers to earlier messages when the context is taken over, and not when it has been dropped since', async (t) => {
    const connection = deflater(t, {});
    const stream = createInflateRaw();
    t.after(() => stream.close());
    const parts: Buffer[] = [];
    stream.on('data', (part: Buffer) => parts.push(part));
    const receive = async (payload: Buffer): Promise<Buffer> => {
      await new Promise((resolve) => stream.write(Buffer.concat([payload, TRAILER]), resolve));
      return Buffer.concat(parts.splice(0));
    };
    const message = noise(2000);
    const sizes: number[] = [];
    for (const pushOut of [false, true, false]) {
      const payload = await compress(connection, message);
      sizes.push(payload.length);
      assert.deepEqual(await receive(payload), message);
      if (!pushOut) continue;
      for (let i = 0; i < 64; i++) await compress(deflater(t, {}), 'other');
    }
    assert.ok(Number(sizes[1]) < 100);
    assert.ok(Number(sizes[2]) > 1000, 'the context was given up for other connections');
  });

  it('compresses small messages without a context where 64 others have one, and gives one to every 17th', async (t) => {
    // What is lent for a message is none of them.
    for (let count = 0; count < 64; count++) await compress(deflater(t), 'fragment', false);
    assert.equal(deflater(t, {}).isForAtOnce(1, true), false);
    const others = Array.from({ length: 64 }, () => deflater(t, {}));
    for (const other of others) await compress(other, 'other');
    const connection = deflater(t, {});
    const message = noise(2000);
    const independent = deflater(t);
    for (let count = 0; count < 16; count++) independent.compressAtOnce(message);
    for (let count = 0; count < 16; count++) {
      assert.deepEqual([connection.isForAtOnce(2000, true), connection.isForAtOnce(5000, true)], [true, false]);
      assert.equal(others[0]?.isForAtOnce(1, true), false, 'who has a context uses it');
      assert.deepEqual(inflated(connection.compressAtOnce(message) as Buffer), message);
    }
    assert.equal(connection.isForAtOnce(2000, true), false);
    const payloads = [await compress(connection, message), await compress(connection, message)];
    assert.deepEqual(inflated(payloads[0] as Buffer), message);
    assert.ok(Number(payloads[1]?.length) < 100, 'refers to the one before');
    assert.equal(others[0]?.isForAtOnce(1, true), true, 'has given its context up');
    for (const other of [deflater(t), deflater(t)]) await compress(other, noise(5000));
    others[1]?.destroy();
    assert.equal(others[0]?.isForAtOnce(1, true), false, 'there is room again');
    await assert.rejects(async () => {
      t.mock.method(PerMessageDeflate.prototype, 'compress', () => {
        throw new Error('no memory');
      });
      await compress(deflater(t, {}), 'abc');
    }, /no memory/);
    assert.equal(others[0]?.isForAtOnce(1, true), false, 'one that could not be made takes no room');
  });

  it('shares compressors between connections, as many as are needed at once', async (t) => {
    const connections = Array.from({ length: 40 }, () => deflater(t));
    // The tail of each refers to its own head
    const texts = connections.map((_connection, i) => noise(200, i + 1));
    const each = (end: boolean): Promise<Buffer[]> =>
      Promise.all(connections.map((connection, i) => compress(connection, texts[i] as Buffer, end)));
    const heads = await each(false);
    const tails = await each(true);
    heads.forEach((head, i) => {
      const text = texts[i] as Buffer;
      assert.deepEqual(inflated(Buffer.concat([head, tails[i] as Buffer])), Buffer.concat([text, text]));
    });
  });

  it('has whole messages wait for the compressors of its setting, and those in fragments not', async (t) => {
    const compressed = t.mock.method(PerMessageDeflate.prototype as NegotiatedDeflate, 'compress').mock;
    const connections = Array.from({ length: 20 }, () => deflater(t));
    const message = noise(5000);
    const whole = connections.map((connection) => compress(connection, message));
    assert.equal(compressed.callCount(), 10);
    for (const payload of await Promise.all(whole)) assert.deepEqual(inflated(payload), message);
    compressed.resetCalls();
    await Promise.all(connections.map((connection) => compress(connection, message, false)));
    const rest = Promise.all(connections.map((connection) => compress(connection, '')));
    assert.equal(compressed.callCount(), 40);
    await rest;
  });

  it('gives its compressor back behind each message, unless it keeps the context', async (t) => {
    const given = t.mock.method(DeflateSetting.prototype, 'giveDeflater').mock;
    await compress(deflater(t, {}), 'abc');
    assert.equal(given.callCount(), 0);
    const connection = deflater(t);
    await compress(connection, 'abc', false);
    assert.equal(given.callCount(), 0);
    await compress(connection, 'abc');
    assert.equal(given.callCount(), 1);
  });

  it('reports an error and can compress the next message', async (t) => {
    for (const params of [{}, NO_TAKEOVER]) {
      const broken = negotiated(params);
      let fail: 'throw' | 'call back' | undefined = 'throw';
      const original = PerMessageDeflate.prototype.compress;
      const failing: NegotiatedDeflate['compress'] = function (this: NegotiatedDeflate, data, fin, callback) {
        if (fail === 'throw') throw new Error('no memory');
        if (fail === 'call back') callback(new Error('no luck'), Buffer.alloc(0));
        else original.call(this, data, fin, callback);
      };
      t.mock.method(PerMessageDeflate.prototype, 'compress', failing);
      const connection = new MessageDeflater(broken);
      t.after(() => connection.destroy());
      await assert.rejects(compress(connection, 'abc'), /no memory/);
      fail = 'call back';
      await assert.rejects(compress(connection, 'abc'), /no luck/);
      fail = undefined;
      assert.equal(String(inflated(await compress(connection, 'abc'))), 'abc');
      t.mock.restoreAll();
    }
  });

  it('takes whole messages of up to 4 KiB at once, but for those that refer to earlier ones', async (t) => {
    const connection = deflater(t);
    assert.deepEqual(
      [connection.isForAtOnce(4096, true), connection.isForAtOnce(4097, true), connection.isForAtOnce(1, false)],
      [true, false, false],
    );
    assert.equal(deflater(t, {}).isForAtOnce(1, true), false);
    const message = noise(4096);
    assert.deepEqual(inflated(connection.compressAtOnce(message) as Buffer), message);
    await compress(connection, 'abc', false);
    assert.equal(connection.isForAtOnce(1, true), false);
    await compress(connection, 'def');
    assert.equal(connection.isForAtOnce(1, true), true);
  });

  it('can be destroyed at any moment, and then calls nobody', async (t) => {
    for (const params of [{}, NO_TAKEOVER]) {
      const connection = deflater(t, params);
      connection.compress(noise(100_000), true, () => assert.fail('destroyed'));
      connection.destroy();
      const between = deflater(t, params);
      await compress(between, 'abc', false);
      between.destroy();
      assert.equal(String(inflated(await compress(deflater(t, params), 'abc'))), 'abc');
    }
  });

  it('frees a compressor that was still at work when it was destroyed, or that failed', () => {
    for (const error of [null, new Error('no luck')]) {
      let cleanups = 0;
      let finish: (() => void) | undefined;
      const fake: NegotiatedDeflate = {
        params: {},
        compress: (_data, _fin, done) => {
          finish = () => done(error, TRAILER);
        },
        cleanup: () => {
          cleanups++;
        },
      };
      const destroyed = new MessageDeflater(fake);
      destroyed.compress(Buffer.from('abc'), true, () => assert.fail('destroyed'));
      destroyed.destroy();
      cleanups = 0;
      finish?.();
      assert.equal(cleanups, 1);

      const failed = new MessageDeflater(fake);
      failed.compress(Buffer.from('abc'), true, () => {});
      cleanups = 0;
      finish?.();
      assert.equal(cleanups, error === null ? 0 : 1);
      failed.destroy();
    }
  });

  it('does not give up a context that is in use for other connections', async (t) => {
    let finish: (() => void) | undefined;
    let cleanups = 0;
    const busy = new MessageDeflater({
      params: {},
      compress: (_data, fin, done) => {
        if (fin) done(null, TRAILER);
        else finish = () => done(null, TRAILER);
      },
      cleanup: () => {
        cleanups++;
      },
    });
    t.after(() => busy.destroy());
    await compress(busy, 'idle from now on');
    const fragment = compress(busy, 'no more', false);
    for (let i = 0; i < 100; i++) await compress(deflater(t, {}), 'other');
    assert.equal(cleanups, 0);
    finish?.();
    await fragment;
  });

  it('refers to nothing that was sent before it was told to start anew', async (t) => {
    const connection = deflater(t, {});
    const message = noise(2000);
    await compress(connection, message);
    assert.ok((await compress(connection, message)).length < 100);
    connection.startAnew();
    assert.ok((await compress(connection, message)).length > 1000);
  });

  it('frees the context that it keeps between messages when it is destroyed', async () => {
    let cleanups = 0;
    const connection = new MessageDeflater({
      params: {},
      compress: (_data, _fin, done) => done(null, TRAILER),
      cleanup: () => {
        cleanups++;
      },
    });
    await compress(connection, 'abc');
    assert.equal(cleanups, 0);
    connection.destroy();
    assert.equal(cleanups, 1);
  });

  it('takes an agreement without parameters for context takeover with the largest window', async (t) => {
    const connection = new MessageDeflater({
      params: null,
      compress: (_data, _fin, done) => done(null, TRAILER),
      cleanup: () => {},
    });
    t.after(() => connection.destroy());
    assert.deepEqual(await compress(connection, 'abc'), TRAILER);
  });
});

describe('compressForMany', () => {
  const setting = (windowBits: number = 15): DeflateSetting => DeflatePool.of(DEFLATE_DEFAULTS).setting(windowBits);

  function compress(data: Buffer | string, windowBits?: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      compressForMany(setting(windowBits), Buffer.from(data), (error, out) =>
        error ? reject(error) : resolve(Buffer.from(out)),
      );
    });
  }

  /** Longer than what is compressed at once. */
  const long = 'abc'.repeat(2000);

  it('makes of each message what anybody with the setting can inflate, whatever came before', async () => {
    for (const length of [2000, 2100]) {
      const message = noise(length);
      for (const windowBits of [15, 15, 10]) {
        const payload = await compress(Buffer.concat([message, message]), windowBits);
        assert.deepEqual(inflated(payload), Buffer.concat([message, message]));
        assert.equal(payload.length < 3000, windowBits === 15, 'refers as far back as the window allows');
      }
    }
  });

  it('makes the same of a message, whether it is compressed at once or in another thread', async (t) => {
    const message = Buffer.concat([noise(1000), noise(1000, 2), noise(1000), noise(1000, 2)]);
    for (const zlibDeflateOptions of [
      { level: 1 },
      { level: 9, memLevel: 9 },
      { strategy: constants.Z_HUFFMAN_ONLY },
    ]) {
      for (const windowBits of [9, 15]) {
        const chosen = DeflatePool.of({ zlibDeflateOptions }).setting(windowBits);
        const codec = chosen.takeDeflater();
        t.after(() => codec.cleanup());
        const elsewhere = await new Promise<Buffer>((resolve) => {
          codec.compress(message, true, (_error, out) => resolve(Buffer.from(out)));
        });
        assert.deepEqual(chosen.compressAtOnce(message), elsewhere);
      }
    }
  });

  it('calls back before it returns for up to 4 KiB, unless that cannot be', async () => {
    const outcomes: unknown[] = [];
    const compressIn = (chosen: DeflateSetting): Promise<void> =>
      new Promise((resolve) => {
        compressForMany(chosen, Buffer.alloc(4096), (error, out) => {
          outcomes.push(error?.message ?? inflated(out).length);
          resolve();
        });
      });
    await Promise.all([
      compressIn(DeflatePool.of({ zlibDeflateOptions: { level: 99 } }).setting(15)),
      compressIn(setting()),
    ]);
    assert.equal(outcomes[0], 4096);
    assert.match(String(outcomes[1]), /options\.level.*99/);
  });

  it('gives its compressor back behind each message, and frees one that has failed', async (t) => {
    const given = t.mock.method(DeflateSetting.prototype, 'giveDeflater').mock;
    await compress(long);
    assert.equal(given.callCount(), 1);
    const freed = t.mock.method(PerMessageDeflate.prototype, 'cleanup').mock;
    t.mock.method(PerMessageDeflate.prototype, 'compress', ((_data, _fin, done) => {
      done(new Error('no luck'), TRAILER);
    }) satisfies NegotiatedDeflate['compress']);
    await assert.rejects(compress(long), /no luck/);
    assert.equal(given.callCount(), 1);
    assert.equal(freed.callCount(), 1);
  });

  it('reports, and not before it returns, that there is no memory for a compressor', async (t) => {
    t.mock.method(PerMessageDeflate.prototype, 'compress', () => {
      throw new Error('no memory');
    });
    let told: Error | null = null;
    compressForMany(setting(), Buffer.from(long), (error) => {
      told = error;
    });
    assert.equal(told, null);
    await new Promise((resolve) => setImmediate(resolve));
    assert.match(String(told), /no memory/);
  });

  it('shows the asynchronous context of nobody who sends to what outlives the message', async (t) => {
    const user = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const original = PerMessageDeflate.prototype.compress;
    const noting: NegotiatedDeflate['compress'] = function (this: NegotiatedDeflate, data, fin, callback) {
      seen.push(user.getStore());
      original.call(this, data, fin, callback);
    };
    t.mock.method(PerMessageDeflate.prototype, 'compress', noting);
    await user.run('alice', () => compress(long));
    assert.deepEqual(seen, [undefined]);
  });
});
