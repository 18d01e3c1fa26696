import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import {
  advanceKey,
  isAscii,
  keyWord,
  loadNativeUnmask,
  readKey,
  unmaskBytes,
  unmaskView,
  unmaskWords,
  useNativeUnmask,
  viewOf,
  wordsOf,
} from '../src/framing/mask.js';

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
  unmaskWords: (chunk, start, end, key) => unmaskWords(chunk, wordsOf(chunk), start, end, key),
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

describe('keyWord', () => {
  it('has the bytes of the key in order when a host of either byte order stores it', () => {
    const key = readKey(KEY, 0);
    const stored = Buffer.alloc(4);
    stored.writeInt32LE(keyWord(key, true));
    assert.deepEqual(stored, KEY);
    stored.writeInt32BE(keyWord(key, false));
    assert.deepEqual(stored, KEY);
    assert.deepEqual(Buffer.from(Int32Array.of(keyWord(key)).buffer), KEY);
  });
});

describe('native unmasking', () => {
  afterEach(() => useNativeUnmask(undefined));
  after(() => useNativeUnmask(undefined));

  const large = 48 * 1024;
  const nativeModule = (body: string): string => `data:text/javascript,${encodeURIComponent(body)}`;

  it('is used from 48 KiB on, for exactly the piece and with the key as four bytes', () => {
    const calls: [number, Buffer][] = [];
    useNativeUnmask((piece, key) => {
      calls.push([piece.length, Buffer.from(key)]);
      unmaskBytes(piece, 0, piece.length, readKey(key, 0));
    });
    for (const size of [large - 1, large, large + 3]) {
      const plain = Buffer.alloc(size, 'abc');
      const chunk = Buffer.concat([Buffer.from('x'), mask(plain, KEY), Buffer.from('x')]);
      unmaskWords(chunk, wordsOf(chunk), 1, size + 1, readKey(KEY, 0));
      assert.ok(chunk.equals(Buffer.concat([Buffer.from('x'), plain, Buffer.from('x')])));
    }
    assert.deepEqual(calls, [
      [large, KEY],
      [large + 3, KEY],
    ]);
  });

  it('never claims that a piece is ASCII, because nobody has looked at its bytes', () => {
    useNativeUnmask(() => {});
    const chunk = Buffer.alloc(large, 'a');
    assert.equal(isAscii(unmaskWords(chunk, wordsOf(chunk), 0, large, 0)), false);
  });

  it('takes the unmask of a package with a default export or with named ones', async () => {
    assert.equal(await loadNativeUnmask(nativeModule('export default { unmask(b) { b.fill(1) } }')), true);
    const chunk = Buffer.alloc(large);
    unmaskWords(chunk, wordsOf(chunk), 0, large, 0);
    assert.equal(chunk[large - 1], 1);
    assert.equal(await loadNativeUnmask(nativeModule('export function unmask(b) { b.fill(2) }')), true);
    unmaskWords(chunk, wordsOf(chunk), 0, large, 0);
    assert.equal(chunk[large - 1], 2);
  });

  it('goes on without a package that is missing, broken or something else', async () => {
    for (const specifier of [
      'no-such-package',
      nativeModule('throw new Error("built for another ABI")'),
      nativeModule('export default null'),
      nativeModule('export default 7'),
      nativeModule('export default {}'),
      nativeModule('export default { unmask: 1 }'),
    ]) {
      assert.equal(await loadNativeUnmask(specifier), false, specifier);
    }
    const plain = Buffer.alloc(large, 'abc');
    const chunk = mask(plain, KEY);
    unmaskWords(chunk, wordsOf(chunk), 0, large, readKey(KEY, 0));
    assert.ok(chunk.equals(plain));
  });
});

describe('the optional package', () => {
  // A package of that name, which only this copy of the module sees.
  let folder = '';
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'bufferutil-'));
    const found = join(folder, 'node_modules', 'bufferutil');
    await mkdir(found, { recursive: true });
    await writeFile(join(found, 'package.json'), '{ "type": "module", "exports": "./found.js" }');
    await writeFile(join(found, 'found.js'), 'export const unmask = () => {};');
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await copyFile(fileURLToPath(new URL('../src/framing/mask.js', import.meta.url)), join(folder, 'mask.js'));
  });
  after(() => rm(folder, { recursive: true }));

  /**
   * What a new process prints whose program may `unmask` as many bytes, natively or not, and `settle`: wait until the
   * package would be there if anybody had looked for it before.
   */
  async function run(program: string, env: NodeJS.ProcessEnv = {}): Promise<string> {
    const file = join(folder, 'program.js');
    await writeFile(
      file,
      `import { setImmediate as turn } from 'node:timers/promises';
       import { loadNativeUnmask, unmaskWords, useNativeUnmask, wordsOf } from './mask.js';
       const unmask = (size) => {
         const chunk = Buffer.alloc(size);
         console.log(unmaskWords(chunk, wordsOf(chunk), 0, size, 0) === -1 ? 'native' : 'here');
       };
       const settle = async () => {
         await import('bufferutil');
         await turn();
       };
       ${program}`,
    );
    const { stdout } = await promisify(execFile)(process.execPath, [file], {
      env: { ...process.env, WS_NO_BUFFER_UTIL: '', ...env },
    });
    return stdout.trim().replaceAll('\n', ' ');
  }

  const twice = `unmask(${48 * 1024}); await settle(); unmask(${48 * 1024});`;

  it('is looked for when the first large piece comes, and used as soon as it is there', async () => {
    assert.equal(await run(`unmask(${48 * 1024 - 1}); ${twice}`), 'here here native');
  });

  it('is not looked for if the environment forbids it', async () => {
    assert.equal(await run(twice, { WS_NO_BUFFER_UTIL: '1' }), 'here here');
  });

  it('is not looked for once it has been said what to use', async () => {
    assert.equal(await run(`useNativeUnmask(undefined); ${twice}`), 'here here');
    assert.equal(await run(`await loadNativeUnmask('no-such-package'); ${twice}`), 'here here');
  });
});
