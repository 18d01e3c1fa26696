import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocketState } from '../src/connection/state.js';
import { failure, Harness, LARGE, rejectsWith } from './support/connections.js';
import { deflated, negotiated } from './support/deflate.js';
import { FakeSocket, passTurns, until } from './support/fake-socket.js';
import { BINARY_FRAME, CONTINUATION, clientFrame, FAULTY_FRAME, PONG_FRAME } from './support/frames.js';

describe('Connection, receiving', () => {
  it('takes what came together with the handshake', async (t) => {
    const h = new Harness(t, { head: clientFrame({ payload: 'early' }) });
    assert.equal(await h.receiveText(), 'early');
  });

  it('stops the sender at receiveBufferLimit and goes on when there is room', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { receiveBufferLimit: 10_000 });
    const read = h.receiveText();
    h.arrive('first', 'a'.repeat(9_000), 'b'.repeat(2_000));
    await read;
    assert.equal(connection.inputPaused, true);
    h.arrive('c');
    await passTurns();
    await h.receive();
    assert.equal(connection.inputPaused, false);
    assert.equal((await h.receiveText()) as string, 'b'.repeat(2_000));
    assert.equal(await h.receiveText(), 'c');
    assert.equal(socket.destroyed, false);
  });

  it('refuses a second read and disturbs nothing', async (t) => {
    const h = new Harness(t);
    const read = h.receiveText();
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_RECEIVE_IN_PROGRESS', { hresult: 0x83760001 }));
    await assert.rejects(h.message(), failure('ERR_WEBSOCKET_RECEIVE_IN_PROGRESS'));
    h.arrive('x');
    assert.equal(await read, 'x');
  });

  it('loses no byte when a read is cancelled', async (t) => {
    const h = new Harness(t);
    const controller = new AbortController();
    const read = h.message(controller.signal);
    h.arrive({ payload: 'one ', fin: false });
    await passTurns();
    controller.abort('no');
    await rejectsWith(read, 'no');
    await rejectsWith(h.receive(undefined, AbortSignal.abort('before')), 'before');
    h.arrive({ opcode: CONTINUATION, payload: 'message' });
    assert.equal(await h.message(new AbortController().signal), 'one message');
  });

  it('delivers what came before a fault, then the fault once, then INVALID_STATE', async (t) => {
    const h = new Harness(t);
    const { socket, connection } = h;
    h.arrive('good', { payload: 'bad', rsv: 2 });
    await passTurns();
    assert.equal(connection.state, WebSocketState.Aborted);
    assert.equal(await h.receiveText(), 'good');
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_FAULTED', { hresult: 0x83760002 }));
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(h.send('x'), failure('ERR_WEBSOCKET_INVALID_STATE'));
    assert.equal(socket.sent[0]?.payload.readUInt16BE(0), 1002);
    assert.equal(socket.finSent, true);
    assert.equal(socket.destroyed, false);
    assert.equal(h.terminated, 1);
    h.arrive('ignored');
    socket.arriveEnd();
    await passTurns();
    assert.equal(socket.destroyed, true);
  });

  for (const [what, code, error, frame] of [
    ['text that is not UTF-8', 1007, 'ERR_WEBSOCKET_FAULTED', { payload: Buffer.of(0xff) }],
    ['a message beyond maxPayload', 1009, 'ERR_WEBSOCKET_MESSAGE_TOO_BIG', { payload: 'x'.repeat(2000) }],
    ['an unmasked frame', 1002, 'ERR_WEBSOCKET_FAULTED', { payload: 'x', mask: false }],
  ] as const) {
    it(`closes with ${code} for ${what}, rejects the pending read and ends TCP`, async (t) => {
      const { socket, connection, ...h } = new Harness(t, { maxPayload: 1000 });
      const read = assert.rejects(h.receive(), failure(error));
      h.arrive(frame);
      await read;
      await passTurns();
      assert.equal(connection.state, WebSocketState.Aborted);
      assert.equal(socket.sent[0]?.payload.readUInt16BE(0), code);
      assert.equal(socket.finSent, true);
    });
  }

  it('destroys the socket after closeTimeout when the peer does not go after a fault', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    h.arrive(FAULTY_FRAME);
    await passTurns();
    h.clock.advance(10_000);
    assert.equal(socket.destroyed, true);
  });

  it('sends no second close frame for a fault behind its own', async (t) => {
    const { socket, ...h } = new Harness(t);
    const rejected = assert.rejects(h.close(), failure('ERR_WEBSOCKET_FAULTED'));
    h.arrive(FAULTY_FRAME);
    await rejected;
    await passTurns();
    assert.equal(socket.sent.length, 1);
  });

  it('reports a FIN without a close frame as premature, and an RST likewise with another hresult', async (t) => {
    for (const [end, hresult] of [
      ['arriveEnd', 0x80070026],
      ['reset', 0x800704cd],
    ] as const) {
      const { socket, connection, ...h } = new Harness(t);
      const lost = failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', { hresult });
      h.arrive('last');
      await passTurns();
      socket[end]();
      await passTurns();
      assert.equal(connection.state, WebSocketState.Aborted);
      assert.equal(connection.isPeerConnected, false);
      assert.equal(await h.receiveText(), 'last');
      await assert.rejects(h.receive(), lost);
      await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_INVALID_STATE'));
      assert.equal(h.clock.pending, 0);
    }
  });

  it('notices the end of a peer whose input was paused when somebody reads on', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { receiveBufferLimit: 1000 });
    const read = h.receive();
    h.arrive('first', 'x'.repeat(2_000));
    await read;
    socket.arriveEnd();
    await passTurns();
    assert.equal(connection.state, WebSocketState.Open);
    await h.receive();
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', { hresult: 0x80070026 }));
  });

  it('is Aborted from the beginning if the client has left during the handshake', async (t) => {
    const socket = new FakeSocket();
    socket.destroy();
    const h = new Harness(t, {}, socket);
    assert.equal(h.connection.state, WebSocketState.Aborted);
    assert.equal(h.terminated, 1);
    assert.equal(h.clock.pending, 0);
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
  });

  it('works for any operation called from the continuation of another', async (t) => {
    const { connection, ...h } = new Harness(t);
    const order: string[] = [];
    const read = h.receiveText().then(async (text) => {
      order.push(`${text}`);
      const sent = h.send(Buffer.alloc(LARGE)).then(() => order.push('sent'));
      const next = h.receiveText().then(
        (value) => order.push(`${value}`),
        (error) => order.push(error.code),
      );
      await Promise.all([sent, next]);
      connection.abort();
    });
    h.arrive('a', 'b', 'c');
    await read;
    assert.deepEqual(order.sort(), ['a', 'b', 'sent']);
    assert.equal(connection.state, WebSocketState.Aborted);
  });

  it('rejects every pending operation on abort', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    socket.stall();
    const pending = [h.send(Buffer.alloc(LARGE)), connection.ping(undefined, undefined), h.close(), h.receive()];
    const rejected = pending.map((one: Promise<unknown>) =>
      assert.rejects(one, failure('ERR_WEBSOCKET_OPERATION_ABORTED')),
    );
    await passTurns();
    connection.abort();
    await Promise.all(rejected);
    assert.equal(socket.destroyed, true);
    await passTurns();
    assert.equal(h.clock.pending, 0);
  });

  it('passes a million one-byte fragments to a reader of messages in bounded memory and time', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const message = h.message();
    const fragment = clientFrame({ opcode: CONTINUATION, payload: 'x', fin: false });
    const chunk = Buffer.concat(Array.from({ length: 10_000 }, () => fragment));
    socket.arrive(clientFrame({ payload: '', opcode: BINARY_FRAME, fin: false }));
    const before = process.memoryUsage();
    for (let i = 0; i < 100; i++) {
      socket.arrive(chunk);
      await passTurns(1);
    }
    const after = process.memoryUsage();
    assert.ok(after.rss - before.rss < 200e6, `${after.rss - before.rss} bytes`);
    assert.equal(connection.inputPaused, false);
    socket.arrive(clientFrame({ opcode: CONTINUATION, payload: 'y' }));
    assert.equal((await message)?.length, 1_000_001);
  });

  it('stops a peer that floods nobody with tiny messages', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { receiveBufferLimit: 1_000_000 });
    const read = h.receive();
    h.arrive('first');
    await read;
    const chunk = Buffer.concat(Array.from({ length: 1_000 }, () => clientFrame({ payload: 'x' })));
    let chunks = 0;
    for (; chunks < 100 && !connection.inputPaused; chunks++) {
      socket.arrive(chunk);
      await passTurns(1);
    }
    assert.ok(chunks < 20);
  });

  it('reads compressed messages at the pace of the reader, and the close behind them', async (t) => {
    const { connection, ...h } = new Harness(t, {
      receiveBufferLimit: 50_000,
      compression: { negotiated: negotiated(), options: {} },
    });
    const read = h.receiveText();
    h.arrive('first');
    await read;
    const text = 'x'.repeat(400_000);
    h.arrive({ payload: deflated(text), rsv: 4 }, 'plain');
    h.arriveClose(1000);
    await until(() => connection.inputPaused);
    assert.equal(connection.state, WebSocketState.Open);
    let length = 0;
    for (;;) {
      const { count, endOfMessage } = await h.receive();
      length += count;
      if (endOfMessage) break;
    }
    assert.equal(length, text.length);
    assert.equal(await h.receiveText(), 'plain');
    assert.equal(await h.receiveText(), 1000);
  });

  it('rejects a close that comes upon a fault in what the inflater held back', async (t) => {
    const { connection, ...h } = new Harness(t, {
      receiveBufferLimit: 1000,
      compression: { negotiated: negotiated(), options: {} },
    });
    const read = h.receive();
    h.arrive('first', 'x'.repeat(2000), { payload: Buffer.of(0xff) });
    await read;
    assert.equal(connection.inputPaused, true);
    await assert.rejects(h.close(), failure('ERR_WEBSOCKET_FAULTED'));
    assert.equal(connection.state, WebSocketState.Aborted);
  });

  it('counts bytes and messages in both directions', async (t) => {
    const { connection, ...h } = new Harness(t);
    h.arrive('abc', { payload: 'd', fin: false });
    await h.send('x');
    await passTurns();
    assert.deepEqual(connection.traffic, { bytesReceived: 16, bytesSent: 3, messagesReceived: 1, messagesSent: 1 });
  });
});

describe('Connection, keep-alive', () => {
  const settings = { keepAliveInterval: 30_000, keepAliveTimeout: 20_000 };

  it('pings an idle peer, and aborts when nothing comes in time', async (t) => {
    const { socket, connection, ...h } = new Harness(t, settings);
    h.clock.advance(30_000);
    await passTurns();
    assert.deepEqual(socket.sentText, ['ping ']);
    const read = assert.rejects(h.receive(), /silent for 50000 ms.+keepAliveTimeout, which is 20000 ms/);
    h.clock.advance(20_000);
    await read;
    await passTurns();
    assert.equal(connection.state, WebSocketState.Aborted);
    assert.equal(h.clock.pending, 0);
  });

  it('keeps a peer that answers', async (t) => {
    const { connection, ...h } = new Harness(t, settings);
    for (let i = 0; i < 10; i++) {
      h.clock.advance(30_000);
      h.arrive({ opcode: PONG_FRAME });
      await passTurns();
    }
    assert.equal(connection.state, WebSocketState.Open);
  });

  it('does not mistake its own backpressure for death, nor the moment after it', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { ...settings, receiveBufferLimit: 1000 });
    const read = h.receive();
    assert.equal(socket.tcpKeepAlive, undefined);
    h.arrive('first', 'x'.repeat(2000));
    await read;
    // TCP looks for the peer meanwhile.
    assert.equal(socket.tcpKeepAlive, 30_000);
    h.clock.advance(1_000_000);
    assert.equal(connection.state, WebSocketState.Open);
    // A ping is out, and its time is up in a moment.
    h.clock.advance(29_999 - ((1_000_000 - 30_000) % 20_000));
    await h.receive();
    h.clock.advance(19_999);
    assert.equal(connection.state, WebSocketState.Open);
  });

  it('sends no pings once either side has closed, and leaves the end to closeTimeout', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { ...settings, closeTimeout: 0 });
    await h.closeOutput();
    h.clock.advance(1_000_000);
    await passTurns();
    assert.equal(connection.state, WebSocketState.CloseSent);
    assert.equal(socket.sent.length, 1);
    assert.equal(socket.tcpKeepAlive, 30_000);
  });
});
