import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { describe, it } from 'node:test';
import { createDeflateRaw, createInflateRaw, type DeflateRaw, deflateRawSync } from 'node:zlib';
import { KeptZlib } from '../src/framing/kept-zlib.js';
import { deflated, inflated, noise, TRAILER } from './support/deflate.js';

const messages = ['', 'a', 'abc'.repeat(300), noise(3000), 'abc'.repeat(300), noise(3000)].map((data) =>
  Buffer.from(data),
);

/** A stream of which `parts` are missing below its surface, or not what they should be. */
function streamWith(parts: object): DeflateRaw {
  return Object.assign(createDeflateRaw(), parts);
}

describe('KeptZlib', () => {
  // If this fails with a new Node, streams have changed below their surface; nothing but speed is lost.
  it('makes of each message what zlib makes of it, with one context for all of them', () => {
    let made = 0;
    const deflate = new KeptZlib(() => {
      made++;
      return createDeflateRaw();
    });
    const inflate = new KeptZlib(() => {
      made++;
      return createInflateRaw();
    });
    assert.equal(made, 0, 'not before it is needed');
    for (const message of messages) {
      const payload = deflate.run(message, 4000);
      assert.deepEqual(payload, Buffer.concat([deflated(message), TRAILER]));
      assert.deepEqual(inflate.run(payload as Buffer, 4000), message);
    }
    assert.equal(made, 2);
  });

  it('gives what it makes away', () => {
    const inflate = new KeptZlib(() => createInflateRaw());
    const all = messages.map((message) => inflate.run(Buffer.concat([deflated(message), TRAILER]), 4000));
    assert.deepEqual(all, messages);
  });

  it('makes nothing of what would become more than it may, and goes on', () => {
    const inflate = new KeptZlib(() => createInflateRaw());
    const small = Buffer.concat([deflated('small'), TRAILER]);
    for (let at = 0; at < 3; at++) {
      assert.equal(inflate.run(Buffer.concat([deflated(noise(101)), TRAILER]), 100), undefined);
      assert.deepEqual(inflate.run(Buffer.concat([deflated(noise(100)), TRAILER]), 100), noise(100));
      assert.equal(inflate.run(small, 0), undefined);
      assert.equal(String(inflate.run(small, 5)), 'small');
    }
    assert.deepEqual(inflate.run(Buffer.concat([deflated(''), TRAILER]), 0), Buffer.alloc(0));
  });

  it('makes nothing of what zlib does not take, or not all of it, and goes on', () => {
    let made = 0;
    const inflate = new KeptZlib(() => {
      made++;
      return createInflateRaw();
    });
    for (const [input, contexts] of [
      [Buffer.concat([deflateRawSync('final'), Buffer.of(0)]), 1],
      [Buffer.of(0xff, 0xff), 2],
      [Buffer.of(0xff, 0xff), 3],
    ] as const) {
      assert.equal(inflate.run(input, 100), undefined);
      assert.equal(String(inflate.run(Buffer.concat([deflated('next'), TRAILER]), 100)), 'next');
      assert.equal(made, contexts);
    }
  });

  it('is of use again when there is memory again', () => {
    let isOutOfMemory = true;
    const deflate = new KeptZlib(() => {
      if (isOutOfMemory) throw new Error('no memory');
      return createDeflateRaw();
    });
    assert.equal(deflate.run(Buffer.from('abc'), 100), undefined);
    isOutOfMemory = false;
    assert.equal(String(inflated(deflate.run(Buffer.from('abc'), 100) as Buffer)), 'abc');
  });

  it('is of no use where a Node has other streams, and makes one to know that', () => {
    const { _handle } = createDeflateRaw() as unknown as { readonly _handle: object };
    for (const parts of [
      { _handle: undefined },
      { _handle: null },
      { _handle: { reset: Reflect.get(_handle, 'reset') } },
      { _handle: { writeSync: Reflect.get(_handle, 'writeSync') } },
      { _writeState: undefined },
      { _writeState: [0, 0] },
    ]) {
      let made = 0;
      const deflate = new KeptZlib(() => {
        made++;
        return streamWith(parts);
      });
      assert.equal(deflate.run(Buffer.from('abc'), 100), undefined);
      assert.equal(deflate.run(Buffer.from('abc'), 100), undefined);
      assert.equal(made, 1);
    }
  });

  it('shows the asynchronous context of nobody to a context that stays', () => {
    const user = new AsyncLocalStorage<string>();
    const seen: unknown[] = [];
    const deflate = new KeptZlib(() => {
      seen.push(user.getStore());
      return createDeflateRaw();
    });
    user.run('alice', () => deflate.run(Buffer.from('abc'), 100));
    assert.deepEqual(seen, [undefined]);
  });
});
