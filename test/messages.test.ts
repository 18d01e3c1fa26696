import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type WebSocketMessage, WebSocketState } from '../src/index.js';
import { BINARY_FRAME, CONTINUATION, TEXT_FRAME } from './support/frames.js';
import { openRaw, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

describe('for await', { timeout: 150_000 }, () => {
  it('gives text as strings and binary as Buffers, whole, and ends at the close of the peer', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ payload: 'grü', fin: false });
    client.send({ payload: 'ezi', opcode: CONTINUATION });
    client.send({ opcode: BINARY_FRAME, payload: Buffer.of(1, 2) });
    client.send('');
    client.close(1000);
    const messages: WebSocketMessage[] = [];
    for await (const message of socket) messages.push(message);
    assert.deepEqual(messages, ['grüezi', Buffer.of(1, 2), '']);
    assert.equal(socket.state, WebSocketState.CloseReceived);
  });

  it('joins a character that is cut between two fragments', async (t) => {
    const { socket, client } = await openRaw(t);
    const bytes = Buffer.from('€');
    client.send({ payload: bytes.subarray(0, 1), fin: false });
    client.send({ payload: bytes.subarray(1), opcode: CONTINUATION });
    for await (const message of socket) {
      assert.equal(message, '€');
      break;
    }
  });

  it('leaves the connection open at a break, and a later loop goes on', async (t) => {
    const { socket, client } = await openRaw(t);
    for (const text of ['1', '2', '3']) client.send(text);
    client.close();
    const seen: WebSocketMessage[] = [];
    for await (const message of socket) {
      seen.push(message);
      if (message === '2') break;
    }
    await socket.sendAsync('between');
    assert.equal((await client.next()).payload.toString(), 'between');
    for await (const message of socket) seen.push(message);
    assert.deepEqual(seen, ['1', '2', '3']);
  });

  it('leaves the connection open when its body throws', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('1');
    client.send('2');
    await assert.rejects(async () => {
      for await (const message of socket) throw new Error(String(message));
    }, /^Error: 1$/);
    assert.equal(await socket.receiveMessageAsync(), '2');
  });

  it('ends at once where the peer has closed already', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close();
    for (let i = 0; i < 3; i++) for await (const _ of socket) assert.fail('no message');
    assert.equal(await socket.receiveMessageAsync(), undefined);
  });

  it('ends when our own close is acknowledged', async (t) => {
    const { socket, client } = await openWs(t);
    const loop = (async () => {
      for await (const _ of socket);
    })();
    await socket.closeAsync();
    await loop;
    assert.equal(client.readyState >= 2, true);
  });

  it('throws on a fault of the peer', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('good');
    client.send({ opcode: TEXT_FRAME, payload: Buffer.of(0xff) });
    const seen: WebSocketMessage[] = [];
    await assert.rejects(
      async () => {
        for await (const message of socket) seen.push(message);
      },
      { code: 'ERR_WEBSOCKET_FAULTED' },
    );
    assert.deepEqual(seen, ['good']);
    assert.equal((await client.nextClose()).code, 1007);
  });

  it('throws when the connection dies', async (t) => {
    const { socket, client } = await openRaw(t);
    const loop = (async () => {
      for await (const _ of socket);
    })();
    client.raw.reset();
    await assert.rejects(loop, { code: 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY' });
  });

  it('throws for a message longer than receiveBufferLimit, which closes with 1009', async (t) => {
    const { socket, client } = await openRaw(t, { receiveBufferLimit: 1000 });
    client.send({ opcode: BINARY_FRAME, payload: Buffer.alloc(2000) });
    await assert.rejects(
      async () => {
        for await (const _ of socket);
      },
      { code: 'ERR_WEBSOCKET_MESSAGE_TOO_BIG' },
    );
    assert.deepEqual(await client.nextClose(), {
      code: 1009,
      reason: 'A message is longer than the limit of 1000 bytes',
    });
  });

  it('is an iterator that can be driven by hand', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('1');
    client.send('2');
    const iterator = socket[Symbol.asyncIterator]();
    assert.equal(iterator[Symbol.asyncIterator](), iterator);
    assert.deepEqual(await iterator.next(), { value: '1', done: false });
    assert.deepEqual(await iterator.return?.(), { value: undefined, done: true });
    assert.deepEqual(await iterator.next(), { value: undefined, done: true });
    assert.equal(await socket.receiveMessageAsync(), '2');
  });
});

describe('receiveMessageAsync', { timeout: 150_000 }, () => {
  it('gives whole messages, and undefined at the close of the peer, again and again', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('one');
    client.close();
    assert.equal(await socket.receiveMessageAsync(), 'one');
    assert.equal(await socket.receiveMessageAsync(), undefined);
    assert.equal(await socket.receiveMessageAsync(), undefined);
  });

  it('takes turns with receiveAsync', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ payload: 'ab', fin: false });
    client.send({ payload: 'cd', opcode: CONTINUATION });
    client.send('next');
    assert.equal((await socket.receiveAsync(Buffer.alloc(1))).data.toString(), 'a');
    assert.equal(await socket.receiveMessageAsync(), 'bcd');
    assert.equal((await socket.receiveAsync()).data.toString(), 'next');
  });

  it('loses nothing when it is cancelled in the middle of a message', async (t) => {
    const { socket, client } = await openRaw(t);
    const controller = new AbortController();
    const cancelled = socket.receiveMessageAsync({ signal: controller.signal });
    client.send({ payload: 'first ', fin: false });
    await new Promise((resolve) => setTimeout(resolve, 10));
    controller.abort('enough');
    await assert.rejects(cancelled, (reason) => reason === 'enough');
    client.send({ payload: 'second', opcode: CONTINUATION });
    assert.equal(await socket.receiveMessageAsync(), 'first second');
  });

  it('rejects a signal that is none', async (t) => {
    const { socket, client } = await openRaw(t);
    await assert.rejects(socket.receiveMessageAsync({ signal: {} } as object), TypeError);
    client.send('x');
    assert.equal(await socket.receiveMessageAsync(), 'x');
  });
});
