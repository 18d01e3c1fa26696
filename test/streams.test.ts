import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type WebSocketMessage, WebSocketState } from '../src/index.js';
import { eventually } from './support/apps.js';
import { BINARY_FRAME, FAULTY_FRAME } from './support/frames.js';
import { nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

describe('readable', { timeout: 150_000 }, () => {
  it('gives whole messages and closes at the close of the peer', async (t) => {
    const { socket, client } = await openRaw(t);
    assert.equal(socket.readable, socket.readable);
    client.send('text');
    client.send({ opcode: BINARY_FRAME, payload: Buffer.of(1) });
    client.close();
    const messages: WebSocketMessage[] = [];
    for await (const message of socket.readable) messages.push(message);
    assert.deepEqual(messages, ['text', Buffer.of(1)]);
  });

  it('reads nothing that nobody asks for', async (t) => {
    const { socket, client } = await openRaw(t);
    const reader = socket.readable.getReader();
    client.send('for the stream');
    client.send('for receiveAsync');
    assert.equal((await reader.read()).value, 'for the stream');
    reader.releaseLock();
    assert.equal((await socket.receiveAsync()).data.toString(), 'for receiveAsync');
  });

  it('follows the pace of its reader', async (t) => {
    const { socket, client, req } = await openRaw(t, { receiveBufferLimit: 64 * 1024 });
    const reader = socket.readable.getReader();
    const messages = 256;
    const length = 32 * 1024;
    client.send({ opcode: BINARY_FRAME, payload: Buffer.alloc(length) });
    await reader.read();
    for (let i = 1; i < messages; i++) client.send({ opcode: BINARY_FRAME, payload: Buffer.alloc(length) });
    await pause(100);
    const held = req.socket.bytesRead;
    assert(held < 1024 * 1024, `${held} bytes were taken from the system for a reader that waits`);
    for (let i = 1; i < messages; i++) assert.equal((await reader.read()).value?.length, length);
  });

  it('closes with 1000 when it is cancelled', async (t) => {
    const { socket, client } = await openWs(t);
    const reader = socket.readable.getReader();
    const pending = reader.read();
    await reader.cancel('no more');
    assert.deepEqual(await pending, { value: undefined, done: true });
    assert.equal(socket.state, WebSocketState.Closed);
    assert.equal((await nextClose(client)).code, 1000);
  });

  it('closes with 1000 when a loop over it breaks', async (t) => {
    const { socket, client } = await openWs(t);
    client.send('only one');
    for await (const _ of socket.readable) break;
    assert.equal((await nextClose(client)).code, 1000);
  });

  it('stays open when a loop that prevents cancelling breaks', async (t) => {
    const { socket, client } = await openWs(t);
    client.send('1');
    client.send('2');
    for await (const _ of socket.readable.values({ preventCancel: true })) break;
    assert.equal(await socket.receiveMessageAsync(), '2');
  });

  it('fails when the connection dies', async (t) => {
    const { socket, client } = await openRaw(t);
    const reader = socket.readable.getReader();
    const pending = reader.read();
    client.raw.reset();
    await assert.rejects(pending, { code: 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY' });
    await assert.rejects(reader.closed, { code: 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY' });
  });

  it('can be released while it waits; what comes then is kept for the next reader', async (t) => {
    const { socket, client } = await openRaw(t);
    const first = socket.readable.getReader();
    const pending = first.read();
    first.releaseLock();
    await assert.rejects(pending, TypeError);
    client.send('kept');
    const second = socket.readable.getReader();
    assert.equal((await second.read()).value, 'kept');
  });
});

describe('writable', { timeout: 150_000 }, () => {
  it('sends each chunk as a message', async (t) => {
    const { socket, client } = await openWs(t);
    assert.equal(socket.writable, socket.writable);
    const writer = socket.writable.getWriter();
    await writer.write('text');
    await writer.write(Buffer.from('bytes'));
    await writer.write(new SharedArrayBuffer(2));
    assert.equal(await nextMessage(client), 'text');
    assert.deepEqual(await nextMessage(client), Buffer.from('bytes'));
    assert.deepEqual(await nextMessage(client), Buffer.alloc(2));
  });

  it('counts bytes against its high-water mark', async (t) => {
    const { socket } = await openRaw(t);
    const writer = socket.writable.getWriter();
    await writer.ready;
    const mark = writer.desiredSize ?? 0;
    assert.equal(mark, 64 * 1024);
    const writes = [
      [writer.write('ä'.repeat(100)), 200],
      [writer.write(Buffer.alloc(50)), 50],
      [writer.write(new ArrayBuffer(25)), 25],
    ] as const;
    assert.equal(writer.desiredSize, mark - 275);
    await Promise.all(writes.map(([write]) => write));
    assert.equal(writer.desiredSize, mark);
  });

  it('asks its writer to wait for a client that does not read', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.socket.pause();
    const writer = socket.writable.getWriter();
    let written = 0;
    let waiting = true;
    const all = (async () => {
      for (; written < 64; written++) {
        await writer.ready;
        writer.write(Buffer.alloc(1024 * 1024)).catch(() => {});
      }
      waiting = false;
    })();
    for (let before = -1; before !== written; ) {
      before = written;
      await pause(50);
    }
    assert(waiting && written < 64, `${written} MiB were written`);
    client.raw.socket.destroy();
    await assert.rejects(all);
  });

  it('sends our close with close(), and receiving goes on', async (t) => {
    const { socket, client } = await openRaw(t);
    const writer = socket.writable.getWriter();
    void writer.write('last');
    await writer.close();
    assert.equal((await client.next()).payload.toString(), 'last');
    assert.deepEqual(await client.nextClose(), { code: 1000, reason: '' });
    assert.equal(socket.state, WebSocketState.CloseSent);
    client.send('still received');
    client.close(1000);
    assert.equal(await socket.receiveMessageAsync(), 'still received');
    await writer.closed;
  });

  it('aborts with abort()', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.writable.abort(new Error('enough'));
    assert.equal(socket.state, WebSocketState.Aborted);
    assert.equal((await nextClose(client)).code, 1006);
  });

  it('waits for the end of a message that somebody else has begun', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.sendAsync('be', { endOfMessage: false });
    const writer = socket.writable.getWriter();
    const written = writer.write('own');
    await socket.sendAsync('gun');
    await written;
    assert.equal(await nextMessage(client), 'begun');
    assert.equal(await nextMessage(client), 'own');
  });

  it('fails for a chunk that cannot be sent; the connection stays as it is', async (t) => {
    const { socket, client } = await openWs(t);
    for (const chunk of [5, null, undefined, {}]) {
      const pair = await openWs(t);
      await assert.rejects(pair.socket.writable.getWriter().write(chunk as never), TypeError);
      assert.equal(pair.socket.state, WebSocketState.Open);
    }
    await socket.sendAsync('open');
    assert.equal(await nextMessage(client), 'open');
  });

  it('fails when the connection is over, as a send does', async (t) => {
    const { socket, client } = await openRaw(t);
    const writer = socket.writable.getWriter();
    client.raw.reset();
    await assert.rejects(writer.closed, { code: 'ERR_WEBSOCKET_INVALID_STATE', message: /state is Aborted/ });
    await assert.rejects(writer.write('x'));
  });

  it('has failed already on a connection that is over', async (t) => {
    const { socket } = await openRaw(t);
    socket.abort();
    await assert.rejects(socket.writable.getWriter().closed);
    await assert.rejects(socket.readable.getReader().read(), { code: 'ERR_WEBSOCKET_INVALID_STATE' });
  });

  it('fails on a connection that was handed over to ws', async (t) => {
    const { socket } = await openWs(t);
    assert(socket.ws);
    await assert.rejects(socket.writable.getWriter().write('x'), { code: 'ERR_WEBSOCKET_INVALID_STATE' });
  });
});

describe('pipeTo', { timeout: 150_000 }, () => {
  it('carries messages from one connection to another, and the close', async (t) => {
    const from = await openWs(t);
    const to = await openWs(t);
    const piped = from.socket.readable.pipeTo(to.socket.writable);
    for (let i = 0; i < 100; i++) from.client.send(`message ${i}`);
    from.client.send(Buffer.alloc(200_000));
    for (let i = 0; i < 100; i++) assert.equal(await nextMessage(to.client), `message ${i}`);
    assert.equal((await nextMessage(to.client)).length, 200_000);
    from.client.close(4000);
    await piped;
    assert.equal((await nextClose(to.client)).code, 1000);
  });

  it('carries the pace of the last reader to the first sender', async (t) => {
    const from = await openRaw(t, { receiveBufferLimit: 256 * 1024 });
    const to = await openRaw(t);
    to.client.raw.socket.pause();
    const piped = from.socket.readable.pipeTo(to.socket.writable);
    const chunk = Buffer.alloc(64 * 1024);
    for (let i = 0; i < 512; i++) from.client.send({ opcode: BINARY_FRAME, payload: chunk });
    for (let before = -1; before !== from.req.socket.bytesRead; ) {
      before = from.req.socket.bytesRead;
      await pause(50);
    }
    assert(from.req.socket.bytesRead < 512 * chunk.length);
    assert(to.socket.bufferedAmount < 1024 * 1024);
    to.client.raw.reset();
    await assert.rejects(piped);
  });

  it('closes its source with 1000 when the other connection is closed', async (t) => {
    const from = await openWs(t);
    const to = await openWs(t);
    to.client.close();
    await to.socket.closeAsync();
    await assert.rejects(from.socket.readable.pipeTo(to.socket.writable));
    assert.equal((await nextClose(from.client)).code, 1000);
  });

  it('aborts the other connection when its source dies', async (t) => {
    const from = await openRaw(t);
    const to = await openWs(t);
    const piped = from.socket.readable.pipeTo(to.socket.writable);
    from.client.raw.reset();
    await assert.rejects(piped, { code: 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY' });
    assert.equal((await nextClose(to.client)).code, 1006);
  });

  it('leaves both connections open when it is stopped so', async (t) => {
    const from = await openWs(t);
    const to = await openWs(t);
    const controller = new AbortController();
    const piped = from.socket.readable.pipeTo(to.socket.writable, {
      signal: controller.signal,
      preventCancel: true,
      preventAbort: true,
    });
    controller.abort('stop');
    await assert.rejects(piped, (reason) => reason === 'stop');
    assert.deepEqual([from.socket.state, to.socket.state], [WebSocketState.Open, WebSocketState.Open]);
    from.client.send('behind the pipe');
    assert.equal((await from.socket.readable.getReader().read()).value, 'behind the pipe');
  });

  it('echoes a connection into itself', async (t) => {
    const { socket, client } = await openWs(t);
    const piped = socket.readable.pipeTo(socket.writable);
    client.send('back to me');
    assert.equal(await nextMessage(client), 'back to me');
    client.close(4000);
    await piped;
    assert.equal((await nextClose(client)).code, 1000);
  });
});

describe('streams that nobody looks after', { timeout: 150_000 }, () => {
  it('leave no unhandled rejection, however the connection ends', async (t) => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', listener);
    t.after(() => process.off('unhandledRejection', listener));
    for (const end of ['abort', 'reset', 'close', 'fault'] as const) {
      const { socket, client } = await openRaw(t);
      const { readable, writable } = socket;
      const reader = readable.getReader();
      const writer = writable.getWriter();
      void reader.closed.catch(() => {});
      reader.read().catch(() => {});
      assert(writer.desiredSize);
      if (end === 'abort') socket.abort();
      else if (end === 'reset') client.raw.reset();
      else if (end === 'close') client.close();
      else client.send(FAULTY_FRAME);
      if (end === 'close') await socket.closeAsync();
      await eventually(() => socket.state >= WebSocketState.Closed);
      reader.releaseLock();
      writer.releaseLock();
    }
    await pause(10);
    assert.deepEqual(unhandled, []);
  });
});
