import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocketState } from '../src/connection/state.js';
import { DeflateSetting } from '../src/framing/deflate-pool.js';
import { failure, Harness, LARGE, observe, rejectsWith } from './support/connections.js';
import { inflated, negotiated, noise, PerMessageDeflate } from './support/deflate.js';
import { passTurns, until } from './support/fake-socket.js';
import { CLOSE_FRAME, PING_FRAME } from './support/frames.js';
import { endSlices } from './support/slices.js';

describe('Connection, sending', () => {
  it('sends in the order of the calls, whatever the size', async (t) => {
    const { socket, ...h } = new Harness(t);
    const data = ['a', Buffer.alloc(LARGE, 1), 'b', Buffer.alloc(20_000, 2), 'c'.repeat(70_000), 'd'];
    await Promise.all(data.map((one) => h.send(one)));
    assert.deepEqual(
      socket.sent.map(({ payload }) => payload.length),
      [1, LARGE, 1, 20_000, 70_000, 1],
    );
  });

  it('writes all small messages of a tick at once', async (t) => {
    const { socket, ...h } = new Harness(t);
    for (let i = 0; i < 100; i++) await h.send(`${i}`);
    await passTurns();
    assert.equal(socket.sent.length, 100);
    assert.equal(socket.writes, 1);
  });

  it('settles a small message at once, so that senders need not wait for the system', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    await h.send('first');
    await passTurns();
    await h.send('second');
    assert.deepEqual(socket.sentText, []);
    socket.unstall();
    await passTurns();
    assert.deepEqual(socket.sentText, ['text first', 'text second']);
  });

  it('settles a large message when the system has taken it', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const sent = observe(h.send(Buffer.alloc(LARGE)));
    await passTurns();
    assert.equal(sent.outcome, 'pending');
    socket.unstall();
    await passTurns();
    assert.equal(sent.outcome, undefined);
  });

  it('makes a sender wait when more than 128 KiB have piled up', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    await h.send(Buffer.alloc(LARGE / 20));
    await passTurns();
    let settled = 0;
    const sends = Array.from({ length: 20 }, () => h.send(Buffer.alloc(10_000)));
    for (const sent of sends) sent.then(() => settled++, assert.fail);
    await passTurns();
    // Headers of four bytes; those of the messages that wait do not exist yet.
    const full = Math.ceil((128 * 1024 - LARGE / 20 - 4) / 10_004);
    assert.equal(settled, full);
    assert.equal(h.connection.bufferedAmount, LARGE / 20 + 20 * 10_000 + (1 + full) * 4);
    socket.unstall();
    await Promise.all(sends);
    await passTurns();
    assert.equal(h.connection.bufferedAmount, 0);
  });

  it('rejects what was not written when the connection is lost, and does not report it as sent', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const lost = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))].map((sent) =>
      assert.rejects(sent, failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', { hresult: 0x800704cd })),
    );
    await passTurns();
    socket.reset();
    await Promise.all(lost);
  });

  it('rejects what was not written when the system refuses it', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const lost = h.send(Buffer.alloc(LARGE));
    await passTurns();
    socket.failWrite(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    await assert.rejects(lost, (error: Error) => /EPIPE/.test(String(error.cause)));
  });

  it('withdraws a cancelled message that is not on the wire, and sends the next one', async (t) => {
    const { socket, ...h } = new Harness(t);
    const controller = new AbortController();
    socket.stall();
    const first = h.send(Buffer.alloc(LARGE));
    await passTurns();
    const second = h.send('x'.repeat(20_000), { signal: controller.signal });
    const third = h.send('third');
    controller.abort('no');
    await rejectsWith(second, 'no');
    socket.unstall();
    await Promise.all([first, third]);
    assert.deepEqual(
      socket.sent.map(({ payload }) => payload.length),
      [LARGE, 5],
    );
    assert.equal(h.connection.bufferedAmount, 0);
  });

  it('finishes the frame of a cancelled message whose first byte is out', async (t) => {
    const { socket, ...h } = new Harness(t);
    const controller = new AbortController();
    socket.stall();
    const first = h.send(Buffer.alloc(LARGE), { signal: controller.signal });
    await passTurns();
    controller.abort('no');
    await rejectsWith(first, 'no');
    socket.unstall();
    await h.send('next');
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ payload }) => payload.length),
      [LARGE, 4],
    );
  });

  it('puts nothing on the wire for a signal that has fired', async (t) => {
    const { socket, ...h } = new Harness(t);
    await rejectsWith(h.send('x', { signal: AbortSignal.abort('no') }), 'no');
    await h.send('y', { signal: new AbortController().signal });
    await passTurns();
    assert.deepEqual(socket.sentText, ['text y']);
  });

  it('continues a message with the next fragment, lets control frames between, and keeps whole messages out', async (t) => {
    const { socket, ...h } = new Harness(t);
    await h.send('one ', { more: true });
    const whole = [h.send('whole', { ownMessage: true }), h.send(Buffer.alloc(LARGE), { ownMessage: true })];
    h.arrive({ opcode: PING_FRAME, payload: 'ping' });
    await passTurns();
    await h.send(Buffer.from('two '), { more: true });
    await h.send('three');
    await Promise.all(whole);
    assert.deepEqual(socket.sentText.slice(0, 5), [
      'text+ one ',
      'pong ping',
      'continuation+ two ',
      'continuation three',
      'text whole',
    ]);
    assert.equal(socket.sent[5]?.payload.length, LARGE);
  });

  it('keeps whole messages out of a message whose fragments wait themselves', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const sends = [
      h.send(Buffer.alloc(LARGE, 65), { more: true }),
      h.send('whole', { ownMessage: true }),
      h.send(Buffer.alloc(20_000, 66), { more: true }),
    ];
    await passTurns();
    socket.unstall();
    await passTurns();
    sends.push(h.send('end'));
    await Promise.all(sends);
    assert.deepEqual(
      socket.sent.map(({ opcode, fin, payload }) => [opcode, fin, payload.length]),
      [
        [2, false, LARGE],
        [0, false, 20_000],
        [0, true, 3],
        [1, true, 5],
      ],
    );
  });

  it('withdraws a whole message that waits for the end of another', async (t) => {
    const { socket, ...h } = new Harness(t);
    const controller = new AbortController();
    await h.send('a', { more: true });
    const whole = h.send('whole', { ownMessage: true, signal: controller.signal });
    controller.abort('no');
    await rejectsWith(whole, 'no');
    await h.send('b');
    await passTurns();
    assert.deepEqual(socket.sentText, ['text+ a', 'continuation b']);
  });

  it('rejects whole messages that wait when our half is closed within the message before them', async (t) => {
    const { socket, ...h } = new Harness(t);
    await h.send('a', { more: true });
    const rejected = assert.rejects(h.send('whole', { ownMessage: true }), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await h.closeOutput();
    await rejected;
    assert.deepEqual(socket.sentText, ['text+ a', 'close \x03\xe8']);
    assert.equal(h.connection.bufferedAmount, 0);
  });

  it('aborts a consumer so slow that more than sendBufferLimit has piled up', async (t) => {
    const { socket, ...h } = new Harness(t, { sendBufferLimit: LARGE });
    socket.stall();
    const full = failure('ERR_WEBSOCKET_SEND_BUFFER_FULL');
    const sends = [Buffer.alloc(LARGE), Buffer.alloc(10)].map((data) => assert.rejects(h.send(data), full));
    await passTurns();
    await assert.rejects(h.send('x'), full);
    await assert.rejects(h.send('x'), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await Promise.all(sends);
    assert.equal(socket.destroyed, true);
    assert.equal(h.connection.state, WebSocketState.Aborted);
  });

  it('keeps to a sendBufferLimit below its own high-water mark', async (t) => {
    const { socket, ...h } = new Harness(t, { sendBufferLimit: 1000 });
    socket.stall();
    await h.send('x'.repeat(600));
    await passTurns();
    await h.send('x'.repeat(600));
    assert.equal(h.connection.trySend('x'), false);
    await assert.rejects(h.send('x'), failure('ERR_WEBSOCKET_SEND_BUFFER_FULL'));
  });

  it('takes no offence at a single large message, nor at many of one tick that the peer takes', async (t) => {
    const { socket, ...h } = new Harness(t, { sendBufferLimit: 1000 });
    await h.send(Buffer.alloc(LARGE));
    for (let i = 0; i < 100; i++) await h.send('x'.repeat(900));
    await passTurns();
    assert.equal(socket.sent.length, 101);
  });

  it('withdraws everything that is not on the wire on cancelOutstandingIO, and stays usable', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE)), h.send('a')];
    await passTurns();
    const outstanding = [...sends, h.receive()].map((one) =>
      assert.rejects(one, failure('ERR_WEBSOCKET_OPERATION_ABORTED', { hresult: 0x800703e3 })),
    );
    h.connection.cancelOutstandingIO();
    await Promise.all(outstanding);
    socket.unstall();
    await h.send('next');
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ payload }) => payload.length),
      [LARGE, 4],
    );
    h.arrive('in step');
    assert.equal(await h.receiveText(), 'in step');
  });

  it('sends nothing after its close frame has been queued', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const large = h.send(Buffer.alloc(LARGE));
    const more = h.send(Buffer.alloc(LARGE));
    const closed = h.closeOutput();
    await passTurns();
    assert.equal(h.connection.state, WebSocketState.Open);
    await assert.rejects(h.send('x'), /a close frame has been queued, must be Open or CloseReceived/);
    assert.equal(h.connection.trySend('x'), false);
    await assert.rejects(h.connection.ping(undefined, undefined), failure('ERR_WEBSOCKET_INVALID_STATE'));
    socket.unstall();
    await Promise.all([large, more, closed]);
    assert.equal(socket.sent.at(-1)?.opcode, CLOSE_FRAME);
    await assert.rejects(h.send('x'), /state is CloseSent, must be Open or CloseReceived/);
  });

  it('keeps no listener on a signal that serves ten thousand operations', async (t) => {
    const { socket, ...h } = new Harness(t);
    const { signal } = new AbortController();
    let listeners = 0;
    t.mock.method(signal, 'addEventListener', () => listeners++);
    t.mock.method(signal, 'removeEventListener', () => listeners--);
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE))];
    await passTurns();
    for (let i = 0; i < 10_000; i++) sends.push(h.send('x', { signal }));
    // More than may wait goes through the queue.
    const data = Buffer.alloc(1000);
    for (let i = 0; i < 10_000; i++) sends.push(h.send(data, { signal }));
    assert.equal(listeners, 1);
    socket.unstall();
    await Promise.all(sends);
    await passTurns();
    assert.equal(listeners, 0);
  });
});

describe('Connection, compressed sending', () => {
  const compression = () => ({ negotiated: negotiated(), options: { threshold: 10 } });

  it('keeps the order of compressed and other messages, and closes behind them', async (t) => {
    const { socket, ...h } = new Harness(t, { compression: compression() });
    const sends = [
      h.send('short'),
      h.send('long enough to compress'),
      h.send(noise(LARGE)),
      h.send('x'),
      h.closeOutput(),
    ];
    await Promise.all(sends);
    assert.deepEqual(
      socket.sent.map(({ opcode, rsv }) => [opcode, rsv]),
      [
        [1, 0],
        [1, 4],
        [2, 4],
        [1, 0],
        [8, 0],
      ],
    );
  });

  it('compresses either all fragments of a message or none', async (t) => {
    const { socket, ...h } = new Harness(t, { compression: compression() });
    await h.send('a', { more: true });
    await h.send('b');
    await h.connection.send({
      data: 'c',
      text: true,
      endOfMessage: false,
      compress: false,
      ownMessage: false,
      signal: undefined,
    });
    await h.send('long enough to compress');
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ opcode, rsv, fin }) => [opcode, rsv, fin]),
      [
        [1, 4, false],
        [0, 0, true],
        [1, 0, false],
        [0, 0, true],
      ],
    );
  });

  it('finishes what is being compressed when its sender cancels', async (t) => {
    const { socket, ...h } = new Harness(t, { compression: compression() });
    const controller = new AbortController();
    const sent = h.send(noise(LARGE), { signal: controller.signal });
    process.nextTick(() => controller.abort('no'));
    await rejectsWith(sent, 'no');
    await h.send('next');
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ opcode, rsv }) => [opcode, rsv]),
      [
        [2, 4],
        [1, 0],
      ],
    );
  });

  it('survives abort while a message is being compressed', async (t) => {
    const { socket, ...h } = new Harness(t, { compression: compression() });
    const sent = h.send(noise(LARGE));
    process.nextTick(() => h.connection.abort());
    await assert.rejects(sent, failure('ERR_WEBSOCKET_OPERATION_ABORTED'));
    await passTurns(20);
    assert.deepEqual(socket.sent, []);
  });

  it('compresses small messages in the tick in which they are sent, and large ones in another thread', async (t) => {
    const { socket, ...h } = new Harness(t, { compression: compression() });
    const here = t.mock.method(DeflateSetting.prototype, 'compressAtOnce').mock;
    const elsewhere = t.mock.method(PerMessageDeflate.prototype, 'compress').mock;
    const messages = ['long enough to compress', noise(4096), noise(4097)];
    void Promise.all(messages.map((data) => h.send(data)));
    await new Promise(setImmediate);
    assert.deepEqual(
      socket.sent.map(({ opcode, rsv }) => [opcode, rsv]),
      [
        [1, 4],
        [2, 4],
      ],
    );
    await until(() => socket.sent.length === 3);
    assert.deepEqual([here.callCount(), elsewhere.callCount()], [2, 1]);
    assert.deepEqual(
      socket.sent.map(({ payload }) => inflated(payload)),
      messages.map((data) => Buffer.from(data)),
    );
  });

  it('lets others have their turn, and other work be done, while it compresses for a loop', async (t) => {
    endSlices(t);
    const order: string[] = [];
    const { compressAtOnce } = DeflateSetting.prototype;
    t.mock.method(DeflateSetting.prototype, 'compressAtOnce', function (this: DeflateSetting, data: Buffer) {
      order.push(String(data));
      return compressAtOnce.call(this, data);
    });
    const [talker, other] = [compression(), compression()].map((each) => new Harness(t, { compression: each }));
    const sends = Array.from({ length: 40 }, () => talker?.send('of the talker'));
    await Promise.all([...sends, other?.send('of another')]);
    assert.equal(talker?.socket.sent.length, 40);
    assert.deepEqual([order.length, order.indexOf('of another')], [41, 16]);
    const others = Array.from({ length: 40 }, () => new Harness(t, { compression: compression() }));
    const all = Promise.all(others.map((each) => each.send('long enough to compress')));
    await new Promise(process.nextTick);
    await new Promise(process.nextTick);
    assert.equal(others.filter(({ socket }) => socket.sent.length > 0).length, 16);
    await all;
  });

  it('has another thread compress a small message that cannot be compressed at once, or sends it as it is', async (t) => {
    const { socket, ...h } = new Harness(t, { compression: compression() });
    t.mock.method(DeflateSetting.prototype, 'compressAtOnce', () => undefined);
    await h.send('long enough to compress');
    t.mock.method(PerMessageDeflate.prototype, 'compress', () => {
      throw new Error('No memory');
    });
    await h.send('long enough to compress');
    assert.deepEqual(
      socket.sent.map(({ rsv }) => rsv),
      [4, 0],
    );
  });

  it('sends a message as it is when it cannot be compressed', async (t) => {
    const broken = negotiated();
    broken.compress = (_data, _fin, callback) => process.nextTick(callback, new Error('No memory'), Buffer.alloc(0));
    const { socket, ...h } = new Harness(t, {
      compression: { negotiated: Object.assign(broken, { params: {} }), options: { threshold: 0 } },
    });
    await h.send('plain');
    assert.deepEqual(socket.sentText, ['text plain']);
  });

  it('aborts when the rest of a compressed message cannot be compressed', async (t) => {
    const broken = negotiated({});
    const { compress } = broken;
    let calls = 0;
    broken.compress = (data, fin, callback) => {
      if (calls++ === 0) compress.call(broken, data, fin, callback);
      else process.nextTick(callback, new Error('No memory'), Buffer.alloc(0));
    };
    const { socket, ...h } = new Harness(t, { compression: { negotiated: broken, options: {} } });
    await h.send('begun', { more: true });
    await Promise.all([
      assert.rejects(h.send('rest'), /could not be compressed \(No memory\)/),
      assert.rejects(h.send('whole', { ownMessage: true }), failure('ERR_WEBSOCKET_OPERATION_ABORTED')),
    ]);
    assert.equal(socket.destroyed, true);
  });
});
