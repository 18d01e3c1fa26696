import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { WebSocketMessageType, WebSocketState } from '../src/index.js';
import { eventually } from './support/apps.js';
import { FAULTY_FRAME } from './support/frames.js';
import { nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

const { Close } = WebSocketMessageType;

/** What an operation rejects with that came at the wrong time. */
const invalidState = { name: 'WebSocketError', code: 'ERR_WEBSOCKET_INVALID_STATE', webSocketErrorCode: 9 } as const;

describe('closeAsync', { timeout: 150_000 }, () => {
  it('sends the close and resolves when the client has acknowledged', async (t) => {
    const { socket, client } = await openRaw(t);
    let resolved = false;
    const closing = socket.closeAsync(4000, 'bye').then(() => {
      resolved = true;
    });
    assert.deepEqual(await client.nextClose(), { code: 4000, reason: 'bye' });
    assert.equal(socket.state, WebSocketState.CloseSent);
    assert(!resolved);
    client.send('late data is discarded');
    client.close(4001, 'ack');
    await closing;
    assert.equal(socket.state, WebSocketState.Closed);
    assert.deepEqual([socket.closeStatus, socket.closeStatusDescription], [4001, 'ack']);
    await client.raw.closed();
  });

  it('acknowledges the close of the client and resolves', async (t) => {
    const { socket, client } = await openWs(t);
    client.close(4000, 'client');
    assert.equal(await socket.receiveMessageAsync(), undefined);
    await socket.closeAsync(4001, 'server');
    assert.equal(socket.state, WebSocketState.Closed);
    assert.deepEqual(await nextClose(client), { code: 4001, reason: 'server' });
  });

  it('resolves on a closed connection, and joins a close that is under way', async (t) => {
    const { socket, client } = await openRaw(t);
    const both = Promise.all([socket.closeAsync(4000), socket.closeAsync(4001)]);
    assert.equal((await client.nextClose()).code, 4000);
    client.close(4000);
    await both;
    await socket.closeAsync();
    assert.equal(socket.state, WebSocketState.Closed);
  });

  it('rejects on an aborted connection', async (t) => {
    const { socket } = await openRaw(t);
    socket.abort();
    await assert.rejects(socket.closeAsync(), invalidState);
    await assert.rejects(socket.closeOutputAsync(), invalidState);
    await assert.rejects(socket.sendConnectionClose(), invalidState);
  });

  it('rejects after closeTimeout, and drops the connection', async (t) => {
    const { socket, client } = await openRaw(t, { closeTimeout: 20 });
    await assert.rejects(socket.closeAsync(), { code: 'ERR_WEBSOCKET_CLOSE_TIMEOUT', hresult: 0x800705b4 });
    assert.equal(socket.state, WebSocketState.Aborted);
    await client.raw.closed();
  });

  it('aborts when it is cancelled behind its close frame', async (t) => {
    const { socket, client } = await openRaw(t);
    const controller = new AbortController();
    const closing = socket.closeAsync(1000, '', { signal: controller.signal });
    await client.nextClose();
    controller.abort('hurry');
    await assert.rejects(closing, (reason) => reason === 'hurry');
    assert.equal(socket.state, WebSocketState.Aborted);
  });

  it('does nothing with a signal that has fired already', async (t) => {
    const { socket, client } = await openWs(t);
    await assert.rejects(socket.closeAsync(1000, '', { signal: AbortSignal.abort('no') }), (reason) => reason === 'no');
    await assert.rejects(
      socket.closeOutputAsync(1000, '', { signal: AbortSignal.abort('no') }),
      (reason) => reason === 'no',
    );
    assert.equal(socket.state, WebSocketState.Open);
    await socket.sendAsync('open');
    assert.equal(await nextMessage(client), 'open');
  });

  for (const [args, type] of [
    [['1000'], TypeError],
    [[null], TypeError],
    [[1000, 5], TypeError],
    [[1000, null], TypeError],
    [[999], RangeError],
    [[1004], RangeError],
    [[1006], RangeError],
    [[1015], RangeError],
    [[1016], RangeError],
    [[2999], RangeError],
    [[5000], RangeError],
    [[Number.NaN], RangeError],
    [[1000.5], RangeError],
    [[1005, 'no room'], RangeError],
    [[1000, 'x'.repeat(124)], RangeError],
    [[1000, '€'.repeat(42)], RangeError],
    [[1000, '', { signal: 'x' }], TypeError],
  ] as const) {
    it(`rejects (${JSON.stringify(args).slice(1, 30)}) with a ${type.name} in all its forms, and changes nothing`, async (t) => {
      const { socket } = await openRaw(t);
      const given = args as readonly unknown[] as [number, string];
      await assert.rejects(socket.closeAsync(...given), type);
      await assert.rejects(socket.closeOutputAsync(...given), type);
      if (args.length < 3) await assert.rejects(socket.sendConnectionClose(...given), type);
      assert.equal(socket.state, WebSocketState.Open);
    });
  }

  for (const status of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999]) {
    it(`sends ${status}`, async (t) => {
      const { socket, client } = await openRaw(t);
      await socket.closeOutputAsync(status, 'x'.repeat(123));
      assert.deepEqual(await client.nextClose(), { code: status, reason: 'x'.repeat(123) });
    });
  }

  it('sends an empty frame for 1005', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.closeOutputAsync(1005);
    assert.deepEqual(await client.nextClose(), { code: 1005, reason: '' });
  });
});

describe('closeOutputAsync', { timeout: 150_000 }, () => {
  it('resolves without waiting, and receiving goes on until the close of the client', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.closeOutputAsync(1000, 'half');
    assert.equal(socket.state, WebSocketState.CloseSent);
    await client.nextClose();
    await assert.rejects(socket.sendAsync('no more'), invalidState);
    client.send('still coming');
    client.close(1000);
    assert.equal(await socket.receiveMessageAsync(), 'still coming');
    assert.equal((await socket.receiveAsync()).messageType, Close);
    assert.equal(socket.state, WebSocketState.Closed);
  });

  it('sends no second frame', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.closeOutputAsync(4000);
    await socket.closeOutputAsync(4001);
    assert.equal((await client.nextClose()).code, 4000);
    client.close(4000);
    assert.equal((await client.raw.readToEnd()).length, 0);
  });

  it('closes with 1000 unless told otherwise', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.closeOutputAsync();
    assert.equal((await client.nextClose()).code, 1000);
  });
});

describe('abort', { timeout: 150_000 }, () => {
  it('drops the connection, and what is pending rejects', async (t) => {
    const { socket, client } = await openWs(t);
    const pending = [socket.receiveAsync(), socket.ping()];
    socket.abort();
    assert.equal(socket.state, WebSocketState.Aborted);
    for (const one of pending)
      await assert.rejects(one, { code: 'ERR_WEBSOCKET_OPERATION_ABORTED', hresult: 0x800703e3 });
    assert.equal((await nextClose(client)).code, 1006);
    assert.deepEqual(await socket.closed, { code: 1006, reason: '', wasClean: false });
  });

  it('has no effect on a connection that is over', async (t) => {
    const { socket, client } = await openWs(t);
    client.close(1000);
    await socket.closeAsync();
    socket.abort();
    socket.closeTcpConnection();
    socket.cancelOutstandingIO();
    assert.equal(socket.state, WebSocketState.Closed);
    assert.equal((await socket.closed).wasClean, true);
  });

  it('makes every operation reject from then on', async (t) => {
    const { socket } = await openRaw(t);
    socket.abort();
    socket.abort();
    await assert.rejects(socket.sendAsync('x'), invalidState);
    await assert.rejects(socket.sendAsync('x', { endOfMessage: false }), invalidState);
    await assert.rejects(socket.receiveAsync(), invalidState);
    await assert.rejects(socket.receiveMessageAsync(), invalidState);
    await assert.rejects(socket.readFragment(), invalidState);
    await assert.rejects(socket.writeFragment('x'), invalidState);
    await assert.rejects(socket.ping(), invalidState);
    await assert.rejects(async () => {
      for await (const _ of socket);
    }, invalidState);
    assert.throws(() => socket.ws, invalidState);
  });
});

describe('asyncDispose', { timeout: 150_000 }, () => {
  it('closes with 1000', async (t) => {
    const { socket, client } = await openWs(t);
    {
      await using scoped = socket;
      await scoped.sendAsync('in scope');
    }
    assert.equal(socket.state, WebSocketState.Closed);
    assert.equal((await nextClose(client)).code, 1000);
  });

  it('does nothing when the connection is over, or belongs to ws', async (t) => {
    const { socket } = await openRaw(t);
    socket.abort();
    await socket[Symbol.asyncDispose]();
    const handedOver = await openWs(t);
    assert.equal(handedOver.socket.ws.readyState, WebSocket.OPEN);
    await handedOver.socket[Symbol.asyncDispose]();
    assert.equal(handedOver.socket.ws.readyState, WebSocket.OPEN);
  });
});

describe('signal and closed', { timeout: 150_000 }, () => {
  type Opened = Awaited<ReturnType<typeof openRaw>>;
  const endings: ReadonlyArray<readonly [string, (pair: Opened) => unknown, object]> = [
    [
      'closes and is acknowledged',
      async ({ socket, client }) => {
        const closing = socket.closeAsync(4000, 'server');
        await client.nextClose();
        client.close(4000, 'echo');
        await closing;
      },
      { code: 4000, reason: 'echo', wasClean: true },
    ],
    [
      'acknowledges the close of the client',
      async ({ socket, client }) => {
        client.close(4001, 'client');
        await socket.receiveAsync();
        await socket.closeAsync();
      },
      { code: 4001, reason: 'client', wasClean: true },
    ],
    [
      'acknowledges an empty close frame',
      async ({ socket, client }) => {
        client.close();
        await socket.receiveAsync();
        await socket.closeAsync();
      },
      { code: 1005, reason: '', wasClean: true },
    ],
    ['aborts', ({ socket }) => socket.abort(), { code: 1006, reason: '', wasClean: false }],
    ['closes TCP', ({ socket }) => socket.closeTcpConnection(), { code: 1006, reason: '', wasClean: false }],
    ['is reset', ({ client }) => client.raw.reset(), { code: 1006, reason: '', wasClean: false }],
    ['sees FIN without a close frame', ({ client }) => client.raw.end(), { code: 1006, reason: '', wasClean: false }],
    ['sees a protocol error', ({ client }) => client.send(FAULTY_FRAME), { code: 1006, reason: '', wasClean: false }],
    [
      'is a WebSocket of ws that closes',
      async ({ socket, client }) => {
        socket.ws.close(4002, 'by ws');
        await client.nextClose();
        client.close(4002, 'by ws');
        // ws waits for the end of TCP
        await client.raw.closed();
        client.raw.end();
      },
      { code: 4002, reason: 'by ws', wasClean: true },
    ],
    [
      'is a WebSocket of ws that is terminated',
      ({ socket }) => socket.ws.terminate(),
      { code: 1006, reason: '', wasClean: false },
    ],
    [
      'is handed over to ws and aborted',
      ({ socket }) => {
        assert(socket.ws);
        socket.abort();
      },
      { code: 1006, reason: '', wasClean: false },
    ],
  ];
  for (const [how, end, info] of endings) {
    it(`tell when a connection ${how}, asked before or after`, async (t) => {
      const pair = await openRaw(t, { keepAliveInterval: 0 });
      const { socket } = pair;
      const { closed, signal } = socket;
      assert(!signal.aborted);
      assert.equal(socket.signal, signal);
      assert.equal(socket.closed, closed);
      let fired = 0;
      signal.addEventListener('abort', () => fired++);
      await end(pair);
      assert.deepEqual(await closed, info);
      assert(signal.aborted);
      assert.equal(fired, 1);

      const late = await openRaw(t, { keepAliveInterval: 0 });
      await end(late);
      await eventually(() => late.socket.state >= WebSocketState.Closed);
      assert(late.socket.signal.aborted);
      assert.deepEqual(await late.socket.closed, info);
      assert.equal(late.sockets.connections.size, 0);
    });
  }
});
