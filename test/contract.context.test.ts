// The acceptance tests of the context, section 3 of the contract; see contract.test.ts.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import {
  WebSocketError,
  type WebSocketMessage,
  WebSocketMessageType,
  WebSocketState,
  webSockets,
} from '../src/index.js';
import { eventually } from './support/apps.js';
import { BINARY_FRAME } from './support/frames.js';
import { nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';
import { KEY, rawUpgrade } from './support/raw-client.js';
import { isOverHttp2, serve, type TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const elsewhere = { Origin: 'https://elsewhere.example' };

describe('3.1 ASP.NET style', { timeout: 120_000 }, () => {
  it('state', async (t) => {
    const { socket, client } = await openRaw(t);
    const states: number[] = [socket.state];
    client.close(1000);
    await socket.receiveAsync();
    states.push(socket.state);
    await socket.closeAsync();
    states.push(socket.state);
    assert.deepEqual(states, [WebSocketState.Open, WebSocketState.CloseReceived, WebSocketState.Closed]);
  });

  it('closeStatus, closeStatusDescription', async (t) => {
    const { socket, client } = await openRaw(t);
    assert.deepEqual([socket.closeStatus, socket.closeStatusDescription], [undefined, undefined]);
    client.close();
    await socket.receiveAsync();
    assert.deepEqual([socket.closeStatus, socket.closeStatusDescription], [1005, '']);
  });

  it('subProtocol', async (t) => {
    const { socket } = await openWs(t, { subProtocols: ['a'] }, { protocols: ['b', 'a'] });
    assert.equal(socket.subProtocol, 'a');
  });

  it('receiveAsync', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('abc');
    const { data, count, messageType, endOfMessage } = await socket.receiveAsync(Buffer.alloc(2));
    assert.deepEqual([data.toString(), count, messageType, endOfMessage], ['ab', 2, WebSocketMessageType.Text, false]);
  });

  it('receiveAsync: small payloads that are kept do not pin the chunk they came in', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.write(Buffer.concat(Array.from({ length: 1000 }, () => Buffer.of(0x82, 0x81, 0, 0, 0, 0, 7))));
    for (let i = 0; i < 1000; i++) assert((await socket.receiveAsync()).data.buffer.byteLength <= 8 * 1024);
  });

  it('sendAsync', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.sendAsync('text');
    await socket.sendAsync(Uint8Array.of(1));
    assert.deepEqual([await nextMessage(client), await nextMessage(client)], ['text', Buffer.of(1)]);
  });

  it('closeAsync', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.closeAsync(4000, 'x');
    assert.deepEqual(await nextClose(client), { code: 4000, reason: 'x' });
    await socket.closeAsync();
  });

  it('closeOutputAsync', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.closeOutputAsync(4000, 'x');
    client.send('still');
    assert.equal(await socket.receiveMessageAsync(), 'still');
  });

  it('abort', async (t) => {
    const { socket, client } = await openWs(t);
    const pending = socket.receiveAsync();
    socket.abort();
    await assert.rejects(pending, { code: 'ERR_WEBSOCKET_OPERATION_ABORTED' });
    assert.equal((await nextClose(client)).code, 1006);
  });

  it('[Symbol.asyncDispose]', async (t) => {
    const { socket, client } = await openWs(t);
    await socket[Symbol.asyncDispose]();
    assert.equal((await nextClose(client)).code, 1000);
  });

  it('client-initiated close is not answered behind the application’s back', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close(1000);
    await socket.receiveAsync();
    await socket.sendAsync('still possible');
    assert.equal((await client.next()).payload.toString(), 'still possible');
    await socket.closeAsync(1000);
    assert.equal((await client.nextClose()).code, 1000);
  });

  it('cancellation: a send of which nothing is out is withdrawn, another is finished', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.socket.pause();
    const out = new AbortController();
    const waiting = new AbortController();
    // More than the system takes at once, on both sides together, and less than sendBufferLimit.
    const large = Buffer.alloc(16_000_000);
    const first = socket.sendAsync(large, { signal: out.signal });
    await new Promise((resolve) => setImmediate(resolve));
    const second = socket.sendAsync('withdrawn', { signal: waiting.signal });
    out.abort('out');
    waiting.abort('waiting');
    await assert.rejects(first, (reason) => reason === 'out');
    await assert.rejects(second, (reason) => reason === 'waiting');
    client.raw.socket.resume();
    await socket.sendAsync('usable');
    assert.equal((await client.next()).payload.length, large.length);
    assert.equal((await client.next()).payload.toString(), 'usable');
  });

  it('concurrency: a receive that is pending during a close gets what still arrives, then the close', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.receiveAsync();
    const closing = socket.closeAsync();
    client.send('first');
    assert.equal((await pending).data.toString(), 'first');
    const last = socket.receiveAsync();
    client.close(1000);
    assert.equal((await last).messageType, WebSocketMessageType.Close);
    await closing;
  });
});

/** Sends `total` bytes in frames of `size` and reads them slowly; most bytes taken from the system ahead of the reader. */
const mostAhead = async (t: TestContext, total: number, size: number): Promise<number> => {
  const limit = 256 * 1024;
  const { socket, client, req } = await openRaw(t, { receiveBufferLimit: limit });
  const tcp = client.raw.socket;
  const mask = Buffer.alloc(4);
  void (async () => {
    const chunk = Buffer.alloc(Math.min(size, 64 * 1024));
    for (let sent = 0; sent < total; sent += size) {
      const header = Buffer.alloc(10);
      header[0] = (sent === 0 ? 2 : 0) | (sent + size >= total ? 0x80 : 0);
      header[1] = 0xff;
      header.writeBigUInt64BE(BigInt(size), 2);
      tcp.write(Buffer.concat([header, mask]));
      for (let done = 0; done < size; done += chunk.length) {
        if (!tcp.write(chunk.subarray(0, Math.min(chunk.length, size - done))))
          await once(tcp, 'drain').catch(() => {});
      }
    }
  })();
  let read = 0;
  let ahead = 0;
  for (let reads = 0; ; reads++) {
    const { count, endOfMessage } = await socket.receiveAsync();
    read += count;
    if (reads % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
    ahead = Math.max(ahead, req.socket.bytesRead - read);
    if (endOfMessage) break;
  }
  assert.equal(read, total);
  return ahead;
};

describe('3.2 IIS style', { timeout: 120_000 }, () => {
  it('readFragment', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('x');
    const { data, count, utf8Encoded, finalFragment, connectionClose } = await socket.readFragment();
    assert.deepEqual(
      [data.toString(), count, utf8Encoded, finalFragment, connectionClose],
      ['x', 1, true, true, false],
    );
  });

  it('writeFragment', async (t) => {
    const { socket, client } = await openWs(t);
    assert.equal(await socket.writeFragment('ä', { utf8Encoded: true, finalFragment: true }), 2);
    assert.equal(await nextMessage(client), 'ä');
  });

  it('sendConnectionClose', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.sendConnectionClose();
    assert.deepEqual(await client.nextClose(), { code: 1005, reason: '' });
  });

  it('closeTcpConnection', async (t) => {
    const { socket, client } = await openRaw(t);
    socket.closeTcpConnection();
    assert.equal((await client.raw.readToEnd()).length, 0);
  });

  it('getCloseStatus', async (t) => {
    const { socket, client } = await openRaw(t);
    assert.equal(socket.getCloseStatus(), undefined);
    client.close(4000, 'x');
    await socket.readFragment();
    assert.deepEqual(socket.getCloseStatus(), { statusCode: 4000, reason: 'x' });
  });

  it('cancelOutstandingIO', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.readFragment();
    socket.cancelOutstandingIO();
    await assert.rejects(pending, { hresult: 0x800703e3 });
    client.send('kept');
    assert.equal((await socket.readFragment()).data.toString(), 'kept');
  });

  it('the callback form: exactly once, after the call has returned', async (t) => {
    const { socket, client } = await openWs(t);
    const calls: unknown[][] = [];
    const result = socket.writeFragment('x', {}, (...args) => void calls.push(args), 'context');
    assert.deepEqual([result, calls], [undefined, []]);
    await nextMessage(client);
    await eventually(() => calls.length > 0);
    assert.deepEqual(calls, [[undefined, 'context', 1, true, true, false]]);
  });

  it('a message of 64 MiB in one frame passes in constant memory', async (t) => {
    const ahead = await mostAhead(t, 64 * 1024 * 1024, 64 * 1024 * 1024);
    assert(ahead < 1024 * 1024, `${ahead} bytes were taken ahead of the reader`);
  });

  it('a message of 64 MiB in 1,024 frames passes in constant memory', async (t) => {
    const ahead = await mostAhead(t, 64 * 1024 * 1024, 64 * 1024);
    assert(ahead < 1024 * 1024, `${ahead} bytes were taken ahead of the reader`);
  });

  it('text fails at the first impossible byte', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ payload: Buffer.of(0x61, 0xc0), fin: false });
    await assert.rejects(
      async () => {
        for (;;) await socket.readFragment();
      },
      { code: 'ERR_WEBSOCKET_FAULTED' },
    );
    assert.equal((await client.nextClose()).code, 1007);
  });
});

describe('3.3 JavaScript style', { timeout: 120_000 }, () => {
  it('for await', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('text');
    client.send({ opcode: BINARY_FRAME, payload: 'bytes' });
    client.close();
    const messages: WebSocketMessage[] = [];
    for await (const message of socket) messages.push(message);
    assert.deepEqual(messages, ['text', Buffer.from('bytes')]);
  });

  it('receiveMessageAsync', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close();
    assert.equal(await socket.receiveMessageAsync(), undefined);
  });

  it('readable, writable', async (t) => {
    const { socket, client } = await openWs(t);
    const piped = socket.readable.pipeTo(socket.writable);
    client.send('round');
    assert.equal(await nextMessage(client), 'round');
    client.close();
    await piped;
  });

  it('signal: already fired if the client left during the handshake', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    const outcome = new Promise<unknown>((resolve) => {
      sockets.attach(server, async (req) => {
        req.socket.destroy();
        resolve(
          await sockets.accept(req).then(
            (socket) => socket.signal.aborted,
            () => 'refused',
          ),
        );
      });
    });
    await rawUpgrade(t, server);
    assert.notEqual(await outcome, false);
  });

  it('closed', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.reset();
    assert.deepEqual(await socket.closed, { code: 1006, reason: '', wasClean: false });
  });

  it('bufferedAmount', async (t) => {
    const { socket } = await openRaw(t);
    const sent = socket.sendAsync(Buffer.alloc(100_000));
    assert(socket.bufferedAmount >= 100_000);
    await sent;
    await eventually(() => socket.bufferedAmount === 0);
  });

  it('ping', async (t) => {
    const { socket } = await openWs(t);
    assert.equal(typeof (await socket.ping()), 'number');
  });

  it('request', async (t) => {
    const { socket, req } = await openRaw(t);
    assert.equal(socket.request, req);
  });

  it('ws', async (t) => {
    const { socket, client } = await openWs(t);
    socket.ws.send('from ws');
    assert.equal(await nextMessage(client), 'from ws');
    await assert.rejects(socket.sendAsync('x'), { code: 'ERR_WEBSOCKET_INVALID_STATE' });
  });

  it('the facts of the handshake', async (t) => {
    const { socket } = await openRaw(t, { origin: 'any' }, { request: { path: '/a?b', headers: elsewhere } });
    assert.equal(socket.origin, 'https://elsewhere.example');
    assert.equal(socket.requestUri.href, 'http://localhost/a?b');
    assert.equal(socket.secWebSocketKey, isOverHttp2() ? undefined : KEY);
    for (const name of [
      'secWebSocketProtocols',
      'secWebSocketVersion',
      'isSecureConnection',
      'isLocal',
      'isClientConnected',
      'userHostAddress',
      'cookies',
      'items',
      'isAuthenticated',
      'timestamp',
    ] as const) {
      assert.notEqual(socket[name], undefined, name);
    }
    assert.deepEqual([socket.userAgent, socket.user], [undefined, undefined]);
  });
});

describe('3.4 Errors', { timeout: 120_000 }, () => {
  it('WebSocketError: code, webSocketErrorCode, hresult, cause', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.receiveAsync();
    client.raw.end();
    const error = await pending.then(
      () => undefined,
      (reason: unknown) => reason,
    );
    assert(error instanceof WebSocketError);
    assert.equal(error.code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
    assert.equal(error.webSocketErrorCode, 8);
    assert.equal(error.hresult, 0x80070026);
    await assert.rejects(socket.receiveAsync(), { code: 'ERR_WEBSOCKET_INVALID_STATE', cause: error });
  });

  it('a message says what failed, then the state found and the state needed', async (t) => {
    const { socket } = await openRaw(t);
    await socket.closeOutputAsync();
    await assert.rejects(socket.sendAsync('x'), {
      message: 'Cannot send: state is CloseSent, must be Open or CloseReceived',
    });
  });
});
