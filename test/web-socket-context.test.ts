import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { WebSocketContext, WebSocketError, WebSocketMessageType, WebSocketState } from '../src/index.js';
import { BINARY_FRAME, CONTINUATION, PING_FRAME, PONG_FRAME } from './support/frames.js';
import { nextMessage, openRaw, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

const { Text, Binary, Close } = WebSocketMessageType;

/** What an operation rejects with that came at the wrong time. */
const invalidState = { name: 'WebSocketError', code: 'ERR_WEBSOCKET_INVALID_STATE', webSocketErrorCode: 9 } as const;

describe('receiveAsync', { timeout: 150_000 }, () => {
  it('gives what has arrived, with its type and where the message ends', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ payload: 'hel', fin: false });
    client.send({ payload: 'lo', opcode: CONTINUATION });
    client.send({ payload: Buffer.of(1, 2), opcode: BINARY_FRAME });
    assert.deepEqual(await socket.receiveAsync(), {
      data: Buffer.from('hel'),
      count: 3,
      messageType: Text,
      endOfMessage: false,
    });
    const { data, endOfMessage } = await socket.receiveAsync();
    assert.deepEqual([data.toString(), endOfMessage], ['lo', true]);
    const binary = await socket.receiveAsync();
    assert.deepEqual([[...binary.data], binary.messageType], [[1, 2], Binary]);
  });

  it('fills the buffer that it is given, and gives the rest next time', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('abcdef');
    const buffer = new Uint8Array(10);
    const first = await socket.receiveAsync(buffer.subarray(2, 6));
    assert.equal(first.data.buffer, buffer.buffer);
    assert.deepEqual([first.count, first.endOfMessage], [4, false]);
    assert.equal(Buffer.from(buffer).toString('latin1'), '\0\0abcd\0\0\0\0');
    const second = await socket.receiveAsync(buffer);
    assert.deepEqual([second.count, second.endOfMessage], [2, true]);
    assert.equal(Buffer.from(buffer).toString('latin1'), 'efabcd\0\0\0\0');
  });

  it('takes any kind of buffer', async (t) => {
    const { socket, client } = await openRaw(t);
    for (const buffer of [new ArrayBuffer(8), new DataView(new ArrayBuffer(8)), new Float64Array(1), Buffer.alloc(8)]) {
      client.send('12345678');
      const { data, count, endOfMessage } = await socket.receiveAsync(buffer);
      assert.deepEqual([data.toString(), count, endOfMessage], ['12345678', 8, true]);
    }
  });

  it('waits with a zero-length buffer and consumes nothing', async (t) => {
    const { socket, client } = await openRaw(t);
    const empty = Buffer.alloc(0);
    const waiting = socket.receiveAsync(empty);
    client.send('data');
    assert.deepEqual([(await waiting).count, (await waiting).endOfMessage], [0, false]);
    assert.equal((await socket.receiveAsync(empty)).count, 0);
    assert.equal((await socket.receiveAsync()).data.toString(), 'data');
  });

  it('reports the end of an empty final frame to a zero-length buffer, and consumes it', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ payload: 'a', fin: false });
    client.send({ opcode: CONTINUATION });
    client.send('next');
    await socket.receiveAsync();
    const end = await socket.receiveAsync(Buffer.alloc(0));
    assert.deepEqual([end.count, end.endOfMessage, end.messageType], [0, true, Text]);
    assert.equal((await socket.receiveAsync()).data.toString(), 'next');
  });

  it("reports the peer's close once, with its status", async (t) => {
    const { socket, client } = await openRaw(t);
    client.close(4000, 'gone');
    assert.deepEqual(await socket.receiveAsync(), {
      data: Buffer.alloc(0),
      count: 0,
      messageType: Close,
      endOfMessage: true,
      closeStatus: 4000,
      closeStatusDescription: 'gone',
    });
    assert.equal(socket.state, WebSocketState.CloseReceived);
    await assert.rejects(socket.receiveAsync(), invalidState);
  });

  it('rejects a second one and leaves the first alone', async (t) => {
    const { socket, client } = await openRaw(t);
    const first = socket.receiveAsync();
    await assert.rejects(socket.receiveAsync(), { code: 'ERR_WEBSOCKET_RECEIVE_IN_PROGRESS', hresult: 0x83760001 });
    await assert.rejects(socket.receiveMessageAsync(), { code: 'ERR_WEBSOCKET_RECEIVE_IN_PROGRESS' });
    await assert.rejects(socket.readFragment(), { code: 'ERR_WEBSOCKET_RECEIVE_IN_PROGRESS' });
    client.send('mine');
    assert.equal((await first).data.toString(), 'mine');
  });

  it('loses no byte when it is cancelled', async (t) => {
    const { socket, client } = await openRaw(t);
    const controller = new AbortController();
    const cancelled = socket.receiveAsync(undefined, { signal: controller.signal });
    controller.abort('enough');
    await assert.rejects(cancelled, (reason) => reason === 'enough');
    client.send('kept');
    assert.equal((await socket.receiveAsync()).data.toString(), 'kept');
  });

  it('consumes nothing with a signal that has fired already', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('kept');
    const reason = new Error('before');
    await assert.rejects(socket.receiveAsync(undefined, { signal: AbortSignal.abort(reason) }), reason);
    assert.equal(await socket.receiveMessageAsync(), 'kept');
  });

  it('rejects once with the failure of the connection and then with its state', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.receiveAsync();
    client.raw.reset();
    await assert.rejects(pending, { code: 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY' });
    await assert.rejects(socket.receiveAsync(), invalidState);
    assert.equal(socket.state, WebSocketState.Aborted);
  });
});

describe('sendAsync', { timeout: 150_000 }, () => {
  it('sends strings as text and bytes as binary', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.sendAsync('text');
    await socket.sendAsync(Buffer.from('bytes'));
    await socket.sendAsync(Uint16Array.of(1).buffer);
    assert.equal(await nextMessage(client), 'text');
    assert.deepEqual(await nextMessage(client), Buffer.from('bytes'));
    assert.deepEqual(await nextMessage(client), Buffer.of(1, 0));
  });

  it('sends as the type that it is told', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.sendAsync('as bytes', { messageType: Binary });
    await socket.sendAsync(Buffer.from('as text'), { messageType: Text });
    assert.deepEqual(await nextMessage(client), Buffer.from('as bytes'));
    assert.equal(await nextMessage(client), 'as text');
  });

  it('sends fragments of one message', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.sendAsync('a', { endOfMessage: false });
    await socket.sendAsync('b', { endOfMessage: false, messageType: Binary });
    await socket.sendAsync('');
    const frames = [await client.next(), await client.next(), await client.next()];
    assert.deepEqual(
      frames.map(({ fin, opcode, payload }) => [fin, opcode, payload.toString()]),
      [
        [false, 1, 'a'],
        [false, 0, 'b'],
        [true, 0, ''],
      ],
    );
  });

  it('sends all calls in their order, whatever their size', async (t) => {
    const { socket, client } = await openWs(t);
    const sizes = [1, 100_000, 5, 1_000_000, 0, 70_000, 3];
    const sent = Promise.all(sizes.map((size) => socket.sendAsync(Buffer.alloc(size))));
    const received = [];
    for (const _ of sizes) received.push((await nextMessage(client)).length);
    assert.deepEqual(received, sizes);
    await sent;
  });

  it('rejects what cannot be sent, and sends nothing', async (t) => {
    const { socket, client } = await openWs(t);
    for (const data of [undefined, null, 5, {}, [], true])
      await assert.rejects(socket.sendAsync(data as string), TypeError);
    await assert.rejects(socket.sendAsync('x', { messageType: Close as 0 }), RangeError);
    await assert.rejects(socket.sendAsync('x', { messageType: 7 as 0 }), RangeError);
    await assert.rejects(socket.sendAsync('x', { messageType: 'text' } as object), TypeError);
    await assert.rejects(socket.sendAsync('x', { messageType: null } as object), TypeError);
    await assert.rejects(socket.sendAsync('x', { signal: {} } as object), TypeError);
    await assert.rejects(socket.sendAsync('x', { signal: AbortSignal.abort('no') }), (reason) => reason === 'no');
    await socket.sendAsync('first', null as never);
    assert.equal(await nextMessage(client), 'first');
  });

  it('resolves when the connection is ready for more', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.socket.pause();
    const chunk = Buffer.alloc(1024 * 1024);
    let sent = 0;
    let waiting = true;
    const all = (async () => {
      for (; sent < 64; sent++) await socket.sendAsync(chunk);
      waiting = false;
    })();
    // As much as the buffers of the system take, and no more
    let before = -1;
    while (before !== sent || socket.bufferedAmount === 0) {
      before = sent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert(waiting && sent < 64, `${sent} MiB were sent to a client that does not read`);
    assert(socket.bufferedAmount < 3 * chunk.length);
    client.raw.socket.destroy();
    await assert.rejects(all, WebSocketError);
  });

  it('rejects and aborts when more than sendBufferLimit waits', async (t) => {
    const { socket, client } = await openRaw(t, { sendBufferLimit: 1024 * 1024 });
    client.raw.socket.pause();
    const outcomes = [];
    for (let i = 0; i < 40; i++) outcomes.push(socket.sendAsync(Buffer.alloc(1024 * 1024)));
    const settled = await Promise.allSettled(outcomes);
    const reasons = settled.map((one) => (one.status === 'rejected' ? one.reason.code : 'sent'));
    assert(reasons.includes('ERR_WEBSOCKET_SEND_BUFFER_FULL'));
    assert.equal(socket.state, WebSocketState.Aborted);
    await assert.rejects(socket.sendAsync('x'), invalidState);
  });
});

describe('ping', { timeout: 150_000 }, () => {
  it('resolves with the round trip', async (t) => {
    const { socket } = await openWs(t);
    const roundTrip = await socket.ping();
    assert(roundTrip >= 0 && roundTrip < 100_000);
  });

  it('carries the payload that it is given, once per answer', async (t) => {
    const { socket, client } = await openRaw(t);
    const pings = [socket.ping('text'), socket.ping(Buffer.from('bytes')), socket.ping(new ArrayBuffer(125))];
    for (const _ of pings) {
      const { opcode, payload } = await client.next();
      assert.equal(opcode, PING_FRAME);
      client.send({ opcode: PONG_FRAME, payload });
    }
    await Promise.all(pings);
  });

  it('rejects what is no payload, or too long', async (t) => {
    const { socket } = await openRaw(t);
    await assert.rejects(socket.ping(5 as never), TypeError);
    await assert.rejects(socket.ping('x'.repeat(126)), {
      name: 'RangeError',
      message: 'Cannot ping: data is 126 bytes, must be at most 125',
    });
    await assert.rejects(socket.ping('ä'.repeat(63)), RangeError);
    await assert.rejects(socket.ping('x', { signal: 1 } as object), TypeError);
    await assert.rejects(socket.ping('x', { signal: AbortSignal.abort('no') }), (reason) => reason === 'no');
  });

  it('can be cancelled', async (t) => {
    const { socket } = await openRaw(t);
    const controller = new AbortController();
    const pinging = socket.ping('x', { signal: controller.signal });
    controller.abort('enough');
    await assert.rejects(pinging, (reason) => reason === 'enough');
    assert.equal(socket.state, WebSocketState.Open);
  });
});

describe('ws', { timeout: 150_000 }, () => {
  it('is an open WebSocket of ws, always the same, that gets what had arrived', async (t) => {
    const { socket, client } = await openWs(
      t,
      { subProtocols: ['graphql-transport-ws'] },
      { protocols: ['graphql-transport-ws'] },
    );
    client.send('early');
    await new Promise((resolve) => setTimeout(resolve, 20));
    const { ws } = socket;
    assert(ws instanceof WebSocket);
    assert.equal(socket.ws, ws);
    assert.equal(ws.readyState, WebSocket.OPEN);
    assert.equal(ws.protocol, 'graphql-transport-ws');
    const early = await new Promise((resolve) => ws.once('message', (data) => resolve(String(data))));
    assert.equal(early, 'early');
    ws.send('from ws');
    assert.equal(await nextMessage(client), 'from ws');
    assert.equal(socket.bufferedAmount, ws.bufferedAmount);
  });

  it('takes the methods that move data out of use', async (t) => {
    const { socket } = await openWs(t);
    assert(socket.ws);
    await assert.rejects(socket.sendAsync('x'), { ...invalidState, message: /handed over to ws/ });
    await assert.rejects(socket.receiveAsync(), invalidState);
    await assert.rejects(socket.receiveMessageAsync(), invalidState);
    await assert.rejects(socket.closeAsync(), invalidState);
    await assert.rejects(socket.closeOutputAsync(), invalidState);
    await assert.rejects(socket.ping(), invalidState);
    await assert.rejects(socket.writeFragment('x'), invalidState);
    await assert.rejects(socket.readFragment(), invalidState);
    await assert.rejects(socket.sendConnectionClose(), invalidState);
    await assert.rejects(socket[Symbol.asyncIterator]().next(), invalidState);
    socket.cancelOutstandingIO();
    assert.equal(socket.state, WebSocketState.Open);
  });

  it('throws after the first read, and when the connection is over', async (t) => {
    const { socket, client } = await openWs(t);
    client.send('x');
    await socket.receiveMessageAsync();
    assert.throws(() => socket.ws, invalidState);
    await socket.sendAsync('still ours');
    assert.equal(await nextMessage(client), 'still ours');
  });

  it('ends TCP with closeTcpConnection', async (t) => {
    const { socket, client } = await openRaw(t);
    assert(socket.ws);
    socket.closeTcpConnection();
    await client.raw.closed();
    assert.equal((await socket.closed).wasClean, false);
  });
});

describe('WebSocketContext', { timeout: 150_000 }, () => {
  it('is what stands on req.webSocket', async (t) => {
    const { socket, req, res } = await openRaw(t);
    assert(socket instanceof WebSocketContext);
    assert.equal((req as { webSocket?: unknown }).webSocket, socket);
    assert.equal(socket.request, req);
    assert.equal(res.req, req);
    assert('webSocket' in req);
  });

  it('says nothing about a close before there was one', async (t) => {
    const { socket } = await openRaw(t);
    assert.equal(socket.state, WebSocketState.Open);
    assert.equal(socket.closeStatus, undefined);
    assert.equal(socket.closeStatusDescription, undefined);
    assert.equal(socket.getCloseStatus(), undefined);
    assert.equal(socket.bufferedAmount, 0);
  });

  it('answers pings by itself, and acknowledges late when the application does not', async (t) => {
    const { socket, client } = await openRaw(t, { closeTimeout: 30 });
    client.send({ opcode: PING_FRAME, payload: 'are you there' });
    const { opcode, payload } = await client.next();
    assert.deepEqual([opcode, payload.toString()], [10, 'are you there']);
    client.close(4000, 'bye');
    assert.deepEqual(await client.nextClose(), { code: 4000, reason: 'bye' });
    assert.equal(socket.state, WebSocketState.Closed);
  });
});
