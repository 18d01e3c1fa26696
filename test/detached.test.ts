import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDetached, release } from '../src/connection/detached.js';
import { DEFLATE_DEFAULTS } from '../src/framing/deflate-options.js';
import { WebSocketState } from '../src/index.js';
import { failure, Harness, LARGE, observe } from './support/connections.js';
import { negotiated } from './support/deflate.js';
import { passTurns } from './support/fake-socket.js';
import { BINARY_FRAME } from './support/frames.js';
import { nextMessage, openRaw, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

interface Resizable extends ArrayBuffer {
  resize(length: number): void;
}

interface Growable extends SharedArrayBuffer {
  grow(length: number): void;
}

/** A buffer that can be resized; the types of the oldest Node that is supported do not know it. */
function resizable(length: number, most: number): Resizable {
  return Reflect.construct(ArrayBuffer, [length, { maxByteLength: most }]);
}

function growable(length: number, most: number): Growable {
  return Reflect.construct(SharedArrayBuffer, [length, { maxByteLength: most }]);
}

/** Gives the memory of a buffer away, as `postMessage(…, [buffer])` does. */
function detach(buffer: ArrayBuffer): void {
  structuredClone(buffer, { transfer: [buffer] });
}

describe('release()', () => {
  it('takes the memory of a buffer away, in every version of Node', () => {
    const buffer = new ArrayBuffer(16);
    release(buffer);
    assert.equal(buffer.byteLength, 0);
    assert.equal(isDetached(buffer), true);
  });

  it('leaves nothing for the garbage collector to count', () => {
    const before = process.memoryUsage().arrayBuffers;
    for (let i = 0; i < 100; i++) release(new ArrayBuffer(1 << 20));
    const added = process.memoryUsage().arrayBuffers - before;
    assert.ok(added < 10 << 20, `${added} bytes`);
  });
});

describe('isDetached()', () => {
  it('tells bytes that are gone from those that never were', () => {
    for (const make of [
      (buffer: ArrayBuffer) => buffer,
      (buffer: ArrayBuffer) => new Uint8Array(buffer),
      (buffer: ArrayBuffer) => new Float64Array(buffer),
      (buffer: ArrayBuffer) => new DataView(buffer),
      (buffer: ArrayBuffer) => Buffer.from(buffer),
    ]) {
      const buffer = new ArrayBuffer(8);
      const bytes = make(buffer);
      assert.equal(isDetached(bytes), false);
      assert.equal(isDetached(make(new ArrayBuffer(0))), false);
      detach(buffer);
      assert.equal(isDetached(bytes), true);
    }
    const buffer = resizable(16, 32);
    const views = [new Uint8Array(buffer, 8, 8), new Uint32Array(buffer, 8, 2), new DataView(buffer, 8, 8)];
    const whole = new Uint8Array(buffer);
    buffer.resize(9);
    assert.deepEqual(views.map(isDetached), [true, true, true]);
    buffer.resize(0);
    assert.equal(isDetached(whole), false);
  });
});

describe('bytes that are given away while they wait', () => {
  const gone = { name: 'TypeError', message: /was detached or resized before its turn/ };

  it('reject their own send and leave the stream in step', async (t) => {
    const { socket, send } = new Harness(t);
    const bytes = new Uint8Array(LARGE);
    const shrunk = resizable(LARGE, LARGE);
    await send('before');
    const sends = [send(bytes), send(new Uint8Array(shrunk)), send(new Uint8Array(shrunk, 0, 20_000))];
    const rejected = Promise.all(sends.map((sent) => assert.rejects(sent, gone)));
    const behind = send('behind');
    detach(bytes.buffer);
    shrunk.resize(10);
    await rejected;
    await behind;
    assert.deepEqual(socket.sentText, ['text before', 'text behind']);
  });

  it('do so within a message that was begun in fragments, and leave the message open', async (t) => {
    const { socket, send, connection } = new Harness(t);
    await send('begun ', { more: true });
    const bytes = new Uint8Array(LARGE);
    const sent = send(bytes, { more: true });
    const whole = observe(send('a message of its own', { ownMessage: true }));
    detach(bytes.buffer);
    await assert.rejects(sent, gone);
    await passTurns();
    assert.equal(whole.outcome, 'pending');
    await send('and ended');
    await passTurns();
    assert.deepEqual(socket.sentText, ['text+ begun ', 'continuation and ended', 'text a message of its own']);
    assert.equal(connection.bufferedAmount, 0);
  });

  it('do so where they wait behind a batch that the peer does not take, and while they are postponed', async (t) => {
    const { socket, send, connection } = new Harness(t);
    socket.stall();
    await send('first', { more: true });
    await passTurns();
    const [own, small] = [new Uint8Array(LARGE), new Uint8Array(100)];
    const filler = send(Buffer.alloc(200_000), { more: true });
    const sends = [send(own, { ownMessage: true }), send(small, { more: true })];
    const rejected = Promise.all(sends.map((sent) => assert.rejects(sent, gone)));
    detach(own.buffer);
    detach(small.buffer);
    const end = send('end');
    socket.unstall();
    await filler;
    await rejected;
    await end;
    await passTurns();
    assert.equal(socket.sentText.at(-1), 'continuation end');
    assert.equal(connection.bufferedAmount, 0);
  });

  it('do so where they would have been compressed, and are compressed where they were given away too late', async (t) => {
    const compression = { negotiated: negotiated({}), options: DEFLATE_DEFAULTS };
    const { socket, send } = new Harness(t, { compression });
    const [first, second] = [new Uint8Array(LARGE).fill(97), new Uint8Array(LARGE).fill(97)];
    const [compressed, waiting] = [send(first), send(second)];
    const rejected = assert.rejects(waiting, gone);
    await passTurns(1);
    detach(first.buffer);
    detach(second.buffer);
    await compressed;
    await rejected;
    await send('behind');
    await passTurns();
    assert.equal(socket.sent.length, 2);
  });

  it('are sent as they were when their buffer grows', async (t) => {
    const { socket, send } = new Harness(t);
    const grown = resizable(20_000, 40_000);
    const shared = growable(20_000, 40_000);
    const sends = [send(new Uint8Array(grown)), send(new Uint8Array(shared))];
    grown.resize(40_000);
    shared.grow(40_000);
    await Promise.all(sends);
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ payload }) => payload.length),
      [20_000, 20_000],
    );
  });

  it('cannot cut short a frame that is with a stream already', async (t) => {
    const { socket, send } = new Harness(t);
    socket.stall();
    const bytes = new Uint8Array(LARGE).fill(1);
    const sent = send(bytes);
    await passTurns();
    detach(bytes.buffer);
    socket.unstall();
    await sent;
    await send('behind');
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ payload }) => payload.length),
      [LARGE, 6],
    );
  });

  it('reach no other connection, over real sockets', async (t) => {
    const [careless, other] = [await openWs(t), await openWs(t)];
    const bytes = new Uint8Array(LARGE);
    const sent = careless.socket.sendAsync(bytes);
    const large = other.socket.sendAsync(new Uint8Array(LARGE));
    detach(bytes.buffer);
    await assert.rejects(sent, gone);
    await large;
    await careless.socket.sendAsync('still there');
    assert.equal(await nextMessage(careless.client), 'still there');
    assert.equal((await nextMessage(other.client)).length, LARGE);
  });

  it('are refused at once when they were gone before', async (t) => {
    const { socket, client } = await openRaw(t);
    const bytes = new Uint8Array(10);
    const view = new DataView(new ArrayBuffer(10));
    detach(bytes.buffer);
    detach(view.buffer);
    for (const data of [bytes, bytes.buffer, view]) {
      const message = /the buffer of data has been detached or resized/;
      await assert.rejects(socket.sendAsync(data), { name: 'TypeError', message });
      await assert.rejects(socket.writeFragment(data), { name: 'TypeError', message });
      await assert.rejects(socket.ping(data), { name: 'TypeError', message });
      await assert.rejects(socket.receiveAsync(data), { name: 'TypeError', message: /the buffer of buffer/ });
    }
    await socket.sendAsync('');
    await socket.sendAsync(new Uint8Array(0));
    assert.equal((await client.next()).payload.length, 0);
    assert.equal((await client.next()).opcode, BINARY_FRAME);
  });
});

describe('a buffer to receive into that is given away', () => {
  it('rejects its own receive, and not a byte is lost', async (t) => {
    const { arrive, receive, receiveText } = new Harness(t);
    const bytes = new Uint8Array(10);
    const received = receive(bytes);
    detach(bytes.buffer);
    arrive('hello');
    await assert.rejects(received, { name: 'TypeError', message: /was detached or resized meanwhile/ });
    assert.equal(await receiveText(), 'hello');
  });
});

describe('a stream that throws', () => {
  it('ends its own connection and no other, nor the process', async (t) => {
    const broken = new Harness(t);
    const other = new Harness(t);
    broken.socket.write = () => {
      throw new Error('a stream of the application');
    };
    const lost = broken.send(Buffer.alloc(LARGE));
    const sent = other.send('hello');
    await assert.rejects(lost, failure('ERR_WEBSOCKET_OPERATION_ABORTED', { message: /a stream of the application/ }));
    await sent;
    assert.equal(broken.connection.state, WebSocketState.Aborted);
    assert.equal(broken.terminated, 1);
    assert.deepEqual(other.socket.sentText, ['text hello']);
  });
});
