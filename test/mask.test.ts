import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';
import wabt from 'wabt';
import { advanceKey, isAscii, readKey, unmaskBytes, unmaskLong, unmaskView, viewOf } from '../src/framing/mask.js';

const KEY = Buffer.of(0x12, 0x34, 0xd6, 0xf8);

/** RFC 6455 section 5.3, literally. */
function mask(bytes: Buffer, key: Buffer): Buffer {
  return Buffer.from(bytes.map((byte, i) => byte ^ (key[i % 4] as number)));
}

/** `size` bytes of every value, from 0 on. */
function sample(size: number): Buffer {
  return Buffer.from(Array.from({ length: size }, (_, i) => i));
}

type Unmask = (chunk: Buffer, start: number, end: number, key: number) => number;

const ways: Record<string, Unmask> = {
  unmaskBytes,
  unmaskView: (chunk, start, end, key) => unmaskView(viewOf(chunk), start, end, key),
  unmaskLong: (chunk, start, end, key) => unmaskLong(chunk, start, end, key),
};

for (const [name, unmask] of Object.entries(ways)) {
  describe(name, () => {
    it('unmasks any length at any place of a chunk that begins anywhere in memory, and nothing else', () => {
      const key = readKey(KEY, 0);
      for (let place = 0; place < 9; place++) {
        for (let start = 0; start < 5; start++) {
          for (let length = 0; length < 75; length++) {
            const memory = Buffer.from(new ArrayBuffer(100));
            const chunk = memory.subarray(place);
            const plain = sample(length);
            mask(plain, KEY).copy(chunk, start);
            unmask(chunk, start, start + length, key);
            const expected = Buffer.alloc(100);
            plain.copy(expected, place + start);
            assert.deepEqual(memory, expected, `place ${place}, start ${start}, length ${length}`);
          }
        }
      }
    });

    it('reports whether all bytes are ASCII, wherever one is not', () => {
      const key = readKey(KEY, 0);
      for (const length of [1, 2, 3, 4, 5, 20, 47]) {
        for (let at = 0; at < length; at++) {
          const text = Buffer.alloc(length, 'a');
          assert.equal(isAscii(unmask(mask(text, KEY), 0, length, key)), true);
          text[at] = 0x80;
          assert.equal(isAscii(unmask(mask(text, KEY), 0, length, key)), false, `byte ${at} of ${length}`);
        }
      }
    });
  });
}

describe('advanceKey', () => {
  it('gives the key for the payload that follows, whatever the length of what precedes', () => {
    for (let count = 0; count < 10; count++) {
      const rotated = Buffer.from([0, 1, 2, 3].map((i) => KEY[(count + i) % 4] as number));
      assert.equal(advanceKey(readKey(KEY, 0), count), readKey(rotated, 0));
    }
  });
});

describe('unmaskLong', () => {
  const PAGE = 64 * 1024;

  it('unmasks pieces around the size of its memory, and of several times that', () => {
    const key = readKey(KEY, 0);
    for (const size of [PAGE - 1, PAGE, PAGE + 1, PAGE + 64, 3 * PAGE + 70]) {
      const plain = sample(size);
      const chunk = Buffer.concat([Buffer.from('x'), mask(plain, KEY), Buffer.from('y')]);
      assert.equal(isAscii(unmaskLong(chunk, 1, size + 1, key)), false);
      assert.ok(chunk.equals(Buffer.concat([Buffer.from('x'), plain, Buffer.from('y')])), `${size} bytes`);
    }
  });

  it('unmasks into another place, and leaves the chunk and all around that place as they were', () => {
    const key = readKey(KEY, 0);
    for (const size of [0, 1, 63, 64, 65, 1000, PAGE + 70]) {
      const plain = sample(size);
      const chunk = Buffer.concat([Buffer.from('x'), mask(plain, KEY), Buffer.from('y')]);
      const before = Buffer.from(chunk);
      const target = Buffer.alloc(size + 5, 'z');
      unmaskLong(chunk, 1, size + 1, key, { chunk: target, end: 3 });
      assert.ok(target.equals(Buffer.concat([Buffer.from('zzz'), plain, Buffer.from('zz')])), `${size} bytes`);
      assert.ok(chunk.equals(before));
    }
  });

  it('reports a byte that is not ASCII wherever it is, and not those of the piece before', () => {
    const size = 2 * PAGE + 64;
    for (const at of [0, 15, 16, 31, 32, 47, 48, 63, 64, PAGE - 1, PAGE, size - 1]) {
      const text = Buffer.alloc(size, 'a');
      text[at] = 0x80;
      assert.equal(isAscii(unmaskLong(text, 0, size, 0)), false, `byte ${at}`);
      text[at] = 0x7f;
      assert.equal(isAscii(unmaskLong(text, 0, size, 0)), true, `byte ${at}`);
    }
  });

  /** What a new process prints that has unmasked 1 KiB, in which a byte of 0x80 stands at the end or not. */
  async function inProcess(...args: string[]): Promise<string> {
    const program = `
      import { isAscii, unmaskLong } from ${JSON.stringify(new URL('../src/framing/mask.js', import.meta.url).href)};
      const chunk = Buffer.alloc(1025, 'b');
      console.log(isAscii(unmaskLong(chunk, 1, 1025, 0x03030303)), chunk.toString('latin1') === 'b' + 'a'.repeat(1024));
      chunk[1024] = 0x80;
      console.log(isAscii(unmaskLong(chunk, 1, 1025, 0)), typeof WebAssembly);`;
    const { stdout } = await promisify(execFile)(process.execPath, [...args, '--input-type=module', '--eval', program]);
    return stdout.trim().replaceAll('\n', ' ');
  }

  it('runs the module that unmask.wat describes', async () => {
    const source = await readFile('src/framing/unmask.wat', 'utf8');
    const module = (await wabt()).parseWat('unmask.wat', source, { simd: true });
    const binary = Buffer.from(module.toBinary({}).buffer).toString('base64');
    const printed = `data:text/javascript,
      const { Module } = WebAssembly;
      WebAssembly.Module = class extends Module {
        constructor(bytes) {
          super(bytes);
          console.log(bytes.toString('base64'));
        }
      };`;
    const [inUse] = (await inProcess('--import', printed)).split(' ');
    assert.equal(inUse, binary, `SIMD_MODULE in mask.ts has to be ${binary}`);
  });

  it('does without WebAssembly where there is none', async () => {
    assert.equal(await inProcess(), 'true true false object');
    assert.equal(await inProcess('--jitless'), 'true true false undefined');
  });

  it('does without it where its module does not compile', async (t) => {
    t.mock.method(Reflect.get(globalThis, 'WebAssembly'), 'Module', function refuse() {
      throw new Error('no SIMD');
    });
    // An instance of its own, which has not compiled it yet
    const { href } = new URL('../src/framing/mask.js?without-simd', import.meta.url);
    const fresh: typeof import('../src/framing/mask.js') = await import(href);
    const plain = Buffer.alloc(1024, 'a');
    const chunk = Buffer.concat([Buffer.from('x'), mask(plain, KEY), Buffer.from('y')]);
    assert.equal(fresh.isAscii(fresh.unmaskLong(chunk, 1, 1025, readKey(KEY, 0))), true);
    assert.ok(chunk.equals(Buffer.concat([Buffer.from('x'), plain, Buffer.from('y')])));
    const target = Buffer.alloc(1026, 'z');
    fresh.unmaskLong(mask(plain, KEY), 0, 1024, readKey(KEY, 0), { chunk: target, end: 1 });
    assert.ok(target.equals(Buffer.concat([Buffer.from('z'), plain, Buffer.from('z')])));
  });
});
