import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkSignal, incomingBytes, outgoingBytes, signalOf } from '../src/context/data.js';
import { webSockets } from '../src/index.js';
import { openRaw } from './support/open-pair.js';

const bytes = Uint8Array.of(1, 2, 3, 4);

/** Every kind of bytes, all of them `bytes`. */
const kinds: Readonly<Record<string, ArrayBuffer | SharedArrayBuffer | ArrayBufferView>> = {
  'a Buffer': Buffer.from(bytes),
  'a Uint8Array': bytes,
  'a Uint16Array': new Uint16Array(bytes.buffer),
  'a Float32Array': new Float32Array(bytes.buffer),
  'a DataView': new DataView(bytes.buffer),
  'an ArrayBuffer': bytes.buffer,
  'a SharedArrayBuffer': (() => {
    const shared = new SharedArrayBuffer(4);
    new Uint8Array(shared).set(bytes);
    return shared;
  })(),
};

const notBytes: readonly unknown[] = [null, 42, 42n, true, Symbol('x'), {}, [1, 2], () => {}, new Date()];

describe('outgoingBytes', () => {
  it('leaves strings alone', () => {
    assert.equal(outgoingBytes('päck', 'send'), 'päck');
    assert.equal(outgoingBytes('', 'send'), '');
  });

  for (const [kind, value] of Object.entries(kinds)) {
    it(`takes the bytes of ${kind}`, () => {
      const taken = outgoingBytes(value, 'send');
      assert(taken instanceof Uint8Array);
      assert.deepEqual([...taken], [...bytes]);
    });
  }

  it('takes only the part that a view shows', () => {
    const view = new DataView(bytes.buffer, 1, 2);
    assert.deepEqual([...(outgoingBytes(view, 'send') as Uint8Array)], [2, 3]);
  });

  it('says for anything else what it found and what it needs', () => {
    for (const value of [undefined, ...notBytes]) {
      assert.throws(() => outgoingBytes(value, 'send'), {
        name: 'TypeError',
        message: `Cannot send: data is of type ${value === null ? 'null' : typeof value}, must be a string, a Buffer, a typed array, a DataView or an ArrayBuffer`,
      });
    }
  });
});

describe('what is to be sent', () => {
  it('is told of json() where it is an object, and that there is', async (t) => {
    const { socket } = await openRaw(t);
    const sockets = webSockets();
    const advice = (type: string, json: string) => ({
      name: 'TypeError',
      message: `Cannot send: data is of type ${type}, must be a string, a Buffer, a typed array, a DataView or an ArrayBuffer; for JSON use ${json}`,
    });
    await assert.rejects(socket.sendAsync({} as string), advice('object', 'socket.json()'));
    await assert.rejects(sockets.group('room').sendAsync([] as unknown as string), advice('object', 'group.json()'));
    await assert.rejects(socket.sendAsync(1 as unknown as string), /an ArrayBuffer$/);
  });
});

describe('incomingBytes', () => {
  it('is undefined without a buffer', () => {
    assert.equal(incomingBytes(undefined, 'receive'), undefined);
  });

  for (const [kind, value] of Object.entries(kinds)) {
    it(`writes through to ${kind}`, () => {
      const view = incomingBytes(value, 'receive');
      assert(view instanceof Uint8Array);
      const memory = ArrayBuffer.isView(value) ? value.buffer : value;
      assert.equal(view.buffer, memory);
      assert.equal(view.byteLength, 4);
    });
  }

  it('says for anything else what it found and what it needs', () => {
    for (const value of ['text', ...notBytes]) {
      assert.throws(() => incomingBytes(value, 'receive'), {
        name: 'TypeError',
        message: /^Cannot receive: buffer is of type \w+, must be a Buffer, .* or undefined$/,
      });
    }
  });
});

describe('checkSignal', () => {
  it('returns a signal and the absence of one', () => {
    const { signal } = new AbortController();
    assert.equal(checkSignal(signal, 'send'), signal);
    assert.equal(checkSignal(undefined, 'send'), undefined);
  });

  it('says for anything else what it found and what it needs', () => {
    for (const value of [null, 1, 'stop', {}, new EventTarget(), new AbortController()]) {
      assert.throws(() => checkSignal(value, 'send'), {
        name: 'TypeError',
        message: /^Cannot send: signal is (null|of type \w+), must be an AbortSignal$/,
      });
    }
  });
});

describe('signalOf', () => {
  it('accepts options without a signal, and none', () => {
    const { signal } = new AbortController();
    assert.equal(signalOf({ signal }, 'send'), signal);
    for (const options of [{}, undefined, null]) assert.equal(signalOf(options, 'send'), undefined);
  });

  for (const [value, found] of [
    [1, 'of type number'],
    [true, 'of type boolean'],
    ['text', 'of type string'],
    [new AbortController().signal, 'an AbortSignal'],
  ] as const) {
    it(`rejects options that are ${found}`, () => {
      assert.throws(() => Reflect.apply(signalOf, undefined, [value, 'send']), {
        name: 'TypeError',
        message: `Cannot send: options is ${found}, must be an object, such as { signal }`,
      });
    });
  }
});
