import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { PendingSend, type PendingSendParts } from '../src/connection/sending/pending-send.js';
import { SendCompressor } from '../src/connection/sending/send-compressor.js';
import { DeflateSetting } from '../src/framing/deflate-pool.js';
import { inflated, NO_TAKEOVER, negotiated, noise, PerMessageDeflate } from './support/deflate.js';

class Sender {
  readonly compressor = new SendCompressor(this, { negotiated: negotiated(NO_TAKEOVER), options: { threshold: 10 } });
  readonly failures: string[] = [];
  slices = 0;
  flushed!: Promise<void>;
  #resolve!: () => void;

  constructor(t: TestContext) {
    this.#expectFlush();
    t.after(() => this.compressor.destroy());
  }
  flush(): void {
    this.#resolve();
    this.#expectFlush();
  }
  scheduleSlice(): void {
    this.slices++;
  }
  onCompressionFailed(error: Error): void {
    this.failures.push(error.message);
  }
  #expectFlush(): void {
    this.flushed = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }
}

function send(data: string | Uint8Array, parts: Partial<PendingSendParts> = {}): PendingSend {
  return new PendingSend({
    data,
    text: true,
    endOfMessage: true,
    compress: true,
    close: false,
    ownMessage: true,
    size: Buffer.byteLength(data),
    ...parts,
  });
}

const small = 'small '.repeat(10);
const large = noise(5000);

describe('SendCompressor', () => {
  it('finds worth compressing what has as many bytes as the threshold, or further fragments, unless it is told', (t) => {
    const { compressor } = new Sender(t);
    for (const [data, endOfMessage, compress, expected] of [
      ['123456789', true, undefined, false],
      ['1234567890', true, undefined, true],
      ['äöüß!', true, undefined, false],
      ['äöüß!!', true, undefined, true],
      [Buffer.alloc(10), true, undefined, true],
      ['1', false, undefined, true],
      ['1', true, true, true],
      [large, true, false, false],
      ['1', false, false, false],
    ] as const) {
      assert.equal(compressor.isWorth(data, endOfMessage, compress), expected, `${data.length} ${compress}`);
    }
  });

  it('has the first fragment decide for all of a message', (t) => {
    const { compressor } = new Sender(t);
    const decisions = (): boolean[] =>
      [true, false].flatMap((isWorth) => [
        compressor.mustCompress(isWorth, false),
        compressor.mustCompress(isWorth, true),
      ]);
    assert.deepEqual(decisions(), [true, false, false, false]);
    compressor.beginMessage();
    assert.deepEqual(decisions(), [true, true, false, true]);
    compressor.endMessage();
    assert.deepEqual(decisions(), [true, false, false, false]);
  });

  it('leaves alone what is not to be compressed, or has been', (t) => {
    const { compressor } = new Sender(t);
    const compressed = send(large);
    compressed.phase = 'compressed';
    for (const pending of [send(large, { compress: false }), send(large, { close: true }), compressed]) {
      const { phase } = pending;
      assert.equal(compressor.prepare(pending, false), true);
      assert.deepEqual([pending.data, pending.phase], [large, phase]);
    }
    const fragment = send(large);
    assert.equal(compressor.prepare(fragment, true), true);
    assert.equal(fragment.phase, 'queued');
  });

  it('compresses 16 small messages in a slice, and asks for another one for those behind them', (t) => {
    const sender = new Sender(t);
    const { compressor } = sender;
    for (let round = 1; round < 3; round++) {
      assert.equal(compressor.prepare(send(small), false), false);
      assert.equal(sender.slices, 2 * round - 1);
      compressor.beginSlice();
      for (let count = 0; count < 16; count++) {
        const pending = send(count % 2 === 0 ? small : Buffer.from(small));
        assert.equal(compressor.prepare(pending, false), true);
        assert.equal(pending.phase, 'compressed');
        assert.equal(String(inflated(pending.data as Buffer)), small);
      }
      assert.equal(compressor.prepare(send(small), false), false);
      assert.equal(sender.slices, 2 * round);
      compressor.endSlice();
    }
    compressor.beginSlice();
    compressor.endSlice();
    const late = send(small);
    assert.equal(compressor.prepare(late, false), false);
    assert.equal(late.phase, 'queued');
  });

  it('has another thread compress what is large, or cannot be compressed at once, from a copy', async (t) => {
    const sender = new Sender(t);
    const given = Buffer.from(large);
    const pending = send(given);
    assert.equal(sender.compressor.prepare(pending, false), false);
    assert.equal(pending.phase, 'compressing');
    given.fill(0);
    await sender.flushed;
    assert.equal(pending.phase, 'compressed');
    assert.deepEqual(inflated(pending.data as Buffer), large);

    t.mock.method(DeflateSetting.prototype, 'compressAtOnce', () => undefined);
    const refused = send(small);
    sender.compressor.beginSlice();
    assert.equal(sender.compressor.prepare(refused, false), false);
    await sender.flushed;
    assert.equal(String(inflated(refused.data as Buffer)), small);
    assert.equal(sender.slices, 0);
  });

  it('lets a message go as it is that cannot be compressed, unless some of it has gone compressed', async (t) => {
    const sender = new Sender(t);
    t.mock.method(PerMessageDeflate.prototype, 'compress', () => {
      throw new Error('No memory');
    });
    const whole = send(large);
    assert.equal(sender.compressor.prepare(whole, false), false);
    await sender.flushed;
    assert.deepEqual([whole.data, whole.phase], [large, 'queued']);
    assert.equal(sender.compressor.prepare(whole, false), true);
    assert.deepEqual(sender.failures, []);
    sender.compressor.beginMessage();
    assert.equal(sender.compressor.prepare(send(large, { endOfMessage: false }), true), false);
    await new Promise(setImmediate);
    assert.deepEqual(sender.failures, ['No memory']);
  });

  it('goes on with nothing once it is destroyed', async (t) => {
    const sender = new Sender(t);
    const pending = send(large);
    assert.equal(sender.compressor.prepare(pending, false), false);
    let isFlushed = false;
    void sender.flushed.then(() => {
      isFlushed = true;
    });
    sender.compressor.destroy();
    const other = new Sender(t);
    other.compressor.prepare(send(large), false);
    await other.flushed;
    assert.deepEqual([pending.phase, isFlushed], ['compressing', false]);
  });
});
