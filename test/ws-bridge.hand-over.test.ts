import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { once } from 'node:events';
import type { Server } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws';
import { DEFLATE_DEFAULTS } from '../src/framing/deflate-options.js';
import { openAsWs } from '../src/upgrade/ws-bridge.js';
import { handOverOptions, Recorder, shakingServer } from './support/bridging.js';
import { deflated, negotiated } from './support/deflate.js';
import { BINARY_FRAME, clientFrame, PING_FRAME } from './support/frames.js';
import { KEY, type RawRequest, rawUpgrade } from './support/raw-client.js';
import { type TestContext, webSocketUrlOf } from './support/servers.js';

describe('openAsWs()', () => {
  /** A server that hands every connection over, as soon as it is open. */
  const handingServer = async (
    t: TestContext,
    options: { maxPayload?: number; closeTimeout?: number; perMessageDeflate?: boolean; subProtocol?: string },
    use: (webSocket: WebSocket) => void,
  ): Promise<Server> => {
    const { maxPayload = Number.POSITIVE_INFINITY, closeTimeout = 1000, subProtocol } = options;
    return shakingServer(
      t,
      { subProtocol, perMessageDeflate: options.perMessageDeflate ? DEFLATE_DEFAULTS : false },
      (handshake) => {
        use(openAsWs(handshake.socket, handshake.head, handOverOptions({ ...handshake, maxPayload, closeTimeout })));
      },
    );
  };

  const handOne = async (
    t: TestContext,
    options: Parameters<typeof handingServer>[1],
    clientOptions: { perMessageDeflate?: boolean } = {},
  ): Promise<{ server: WebSocket; client: WebSocket }> => {
    const { promise, resolve } = withResolvers<WebSocket>();
    const http = await handingServer(t, options, resolve);
    const client = new WebSocket(webSocketUrlOf(http), options.subProtocol ?? [], clientOptions);
    t.after(() => client.terminate());
    await once(client, 'open');
    return { client, server: await promise };
  };

  const withResolvers = <T>(): { promise: Promise<T>; resolve: (value: T) => void } => {
    let resolve: (value: T) => void = () => {};
    const promise = new Promise<T>((done) => {
      resolve = done;
    });
    return { promise, resolve };
  };

  it('makes an open WebSocket of ws that sends and receives', async (t) => {
    const { client, server } = await handOne(t, { subProtocol: 'chat' });
    assert.ok(server instanceof WebSocket);
    assert.equal(server.readyState, WebSocket.OPEN);
    assert.equal(server.protocol, 'chat');
    assert.equal(server.extensions, '');

    client.send('ping');
    const [message, isBinary] = await once(server, 'message');
    server.send(`${message} pong`);
    const [answer] = await once(client, 'message');

    assert.equal(isBinary, false);
    assert.equal(String(answer), 'ping pong');
  });

  it('answers pings and completes the close handshake', async (t) => {
    const { client, server } = await handOne(t, {});
    client.ping('x');
    const [pong] = await once(client, 'pong');
    assert.equal(String(pong), 'x');

    client.close(4001, 'bye');
    const [[code, reason], [clientCode]] = await Promise.all([once(server, 'close'), once(client, 'close')]);
    assert.deepEqual([code, String(reason), clientCode], [4001, 'bye', 4001]);
  });

  it('delivers the early bytes first and then those that the socket has buffered', async (t) => {
    const received: string[] = [];
    const { promise, resolve } = withResolvers<void>();
    const server = await shakingServer(t, {}, ({ socket, head }) => {
      socket.read(0);
      void once(socket, 'readable').then(() => {
        const options = handOverOptions({ maxPayload: 100, closeTimeout: 0 });
        openAsWs(socket, head, options).on('message', (data) => {
          if (received.push(String(data)) === 3) resolve();
        });
      });
    });
    const frame = (text: string): Buffer => clientFrame({ payload: text });
    const request: RawRequest = { tail: Buffer.concat([frame('one'), frame('two')]) };
    const client = await rawUpgrade(t, server, request);
    await client.readHead();
    client.write(frame('three'));

    await promise;
    assert.deepEqual(received, ['one', 'two', 'three']);
  });

  it('goes on with the negotiated compression', async (t) => {
    const { client, server } = await handOne(t, { perMessageDeflate: true });
    assert.equal(server.extensions, 'permessage-deflate');
    const text = 'compress me '.repeat(1000);

    client.send(text);
    const [message] = await once(server, 'message');
    server.send(String(message));
    const [answer] = await once(client, 'message');

    assert.equal(String(answer), text);
  });

  it('closes with 1009 beyond maxPayload, compressed or not', async (t) => {
    for (const perMessageDeflate of [false, true]) {
      const { client, server } = await handOne(t, { maxPayload: 1000, perMessageDeflate }, { perMessageDeflate });
      const error = once(server, 'error');
      client.send(Buffer.alloc(1001), { compress: perMessageDeflate });
      assert.match(String((await error)[0]), /Max payload size exceeded/);
      assert.equal((await once(client, 'close'))[0], 1009);
    }
  });

  it('knows no limit if maxPayload is none that ws could count to', async (t) => {
    for (const maxPayload of [Number.POSITIVE_INFINITY, 2 ** 31, 2 ** 32 + 1]) {
      const { client, server } = await handOne(t, { maxPayload, perMessageDeflate: true });
      client.send(Buffer.alloc(100_000));
      const [message] = await once(server, 'message');
      assert.equal(message.length, 100_000);
      client.terminate();
    }
  });

  it('hands the longest limit over that ws can count to, and no limit beyond it', () => {
    for (const [maxPayload, limit] of [
      [2 ** 31 - 1, 2 ** 31 - 1],
      [2 ** 31, 0],
    ] as const) {
      const options = handOverOptions({ maxPayload, closeTimeout: 0 });
      const webSocket = openAsWs(new Recorder(), Buffer.alloc(0), options);
      assert.equal(Reflect.get(Reflect.get(webSocket, '_receiver'), '_maxPayload'), limit);
    }
  });

  it('makes a WebSocket with the settings of one that a server of ws makes by default', () => {
    const settingsOf = (webSocket: object): unknown[] =>
      [webSocket, Reflect.get(webSocket, '_receiver')].map((part: object) =>
        Object.entries(part).filter(([, value]) => ['boolean', 'number', 'string'].includes(typeof value)),
      );
    const made: WebSocket[] = [];
    const headers = { upgrade: 'websocket', 'sec-websocket-key': KEY, 'sec-websocket-version': '13' };
    const server = new WebSocketServer({ noServer: true, clientTracking: false });
    const head = Buffer.alloc(0);
    const opened = (webSocket: WebSocket): unknown => made.push(webSocket);
    Reflect.apply(server.handleUpgrade, server, [{ method: 'GET', headers }, new Recorder(), head, opened]);

    const options = handOverOptions({
      maxPayload: server.options.maxPayload ?? 0,
      closeTimeout: Reflect.get(server.options, 'closeTimeout'),
    });
    assert.deepEqual(made.map(settingsOf), [settingsOf(openAsWs(new Recorder(), head, options))]);
  });

  it('limits messages to what may be held, where that is less than maxPayload', () => {
    for (const [maxPayload, receiveBufferLimit, limit] of [
      [10, 20, 10],
      [20, 10, 10],
      [Number.POSITIVE_INFINITY, 10, 10],
    ] as const) {
      const options = handOverOptions({ maxPayload, receiveBufferLimit, perMessageDeflate: negotiated() });
      const webSocket = openAsWs(new Recorder(), Buffer.alloc(0), options);
      assert.equal(Reflect.get(Reflect.get(webSocket, '_receiver'), '_maxPayload'), limit);
      assert.equal(Reflect.get(options.perMessageDeflate as object, '_maxPayload'), limit);
    }
  });

  it('sends nothing more once too much waits, and says so to the sender', async () => {
    const socket = new Recorder();
    const slow: number[] = [];
    const error = new Error('too slow');
    const options = handOverOptions({
      sendBufferLimit: 204,
      onSlowConsumer(waiting) {
        slow.push(waiting);
        return error;
      },
    });
    const webSocket = openAsWs(socket, Buffer.alloc(0), options);
    socket.cork();
    webSocket.send('x'.repeat(200));
    webSocket.send('z'); // 204 bytes wait, as many as may
    assert.deepEqual(slow, []);
    webSocket.send('without a callback');
    const told = await new Promise((resolve) => webSocket.send('y', { binary: true }, resolve));
    assert.equal(told, error);
    assert.deepEqual(slow, [207, 207]);
    webSocket.close();
    // Who closes has said what there is to say: ws itself answers the sender
    assert.match(String(await new Promise((resolve) => webSocket.send('late', resolve))), /not open/);
    assert.equal(slow.length, 2);
    socket.uncork();
    assert.equal(Buffer.concat(socket.written).length, 207 + 2);
    socket.destroy();
  });

  it('calls senders back in their own asynchronous context, though they had to wait for compressors of others', async () => {
    const sender = new AsyncLocalStorage<number>();
    const senders = Array.from({ length: 40 }, (_, at) => at);
    const told = senders.map((at) => {
      const options = handOverOptions({ perMessageDeflate: negotiated() });
      const webSocket = openAsWs(new Recorder(), Buffer.alloc(0), options);
      return new Promise((resolve) => {
        sender.run(at, () => webSocket.send('x'.repeat(10_000), () => resolve(sender.getStore())));
      });
    });
    assert.deepEqual(await Promise.all(told), senders);
  });

  it('limits the wait for the acknowledgement of a close', async (t) => {
    const opened = withResolvers<WebSocket>();
    const http = await handingServer(t, { closeTimeout: 20 }, opened.resolve);
    const client = await rawUpgrade(t, http);
    const server = await opened.promise;
    server.close(1000);
    assert.equal((await once(server, 'close'))[0], 1006);
    await client.closed();
  });

  it('waits for it as long as a timer can if there is no limit', () => {
    const options = handOverOptions({ maxPayload: 1, closeTimeout: 0 });
    const webSocket = openAsWs(new Recorder(), Buffer.alloc(0), options);
    assert.equal(Reflect.get(webSocket, '_closeTimeout'), 2 ** 31 - 1);
  });

  it('makes a WebSocket that the streams of ws work with', async (t) => {
    const { client, server } = await handOne(t, {});
    const stream = createWebSocketStream(server);
    stream.pipe(stream);
    client.send(Buffer.from('through'));
    const [answer] = await once(client, 'message');
    assert.equal(String(answer), 'through');
  });

  it('answers a ping of a raw client on a stream that is no socket', async () => {
    const socket = new Recorder();
    const options = handOverOptions({ maxPayload: 1, closeTimeout: 0 });
    const webSocket = openAsWs(socket, clientFrame({ opcode: PING_FRAME, payload: Buffer.from('p') }), options);
    await once(webSocket, 'ping');
    assert.deepEqual(Buffer.concat(socket.written), Buffer.from([0x8a, 1, 0x70]));
    assert.ok(!(socket instanceof Socket));
  });

  it('survives bytes that come behind a compressed message with an error in them', async () => {
    const socket = new Recorder();
    const options = handOverOptions({ perMessageDeflate: negotiated(), maxPayload: 1 << 20, closeTimeout: 100 });
    const webSocket = openAsWs(socket, Buffer.alloc(0), options);
    const failed = once(webSocket, 'error');
    const [message] = await Promise.all([
      once(webSocket, 'message'),
      (async () => {
        socket.push(clientFrame({ rsv: 4, opcode: BINARY_FRAME, payload: deflated('x'.repeat(100_000)) }));
        const bad = clientFrame({ payload: Buffer.concat([Buffer.of(0xff), Buffer.alloc(20, 97)]) });
        // ws gets each of these while it inflates, and goes on with them when it has found the error.
        const behind = clientFrame({ payload: 'x'.repeat(30) });
        for (const chunk of [bad.subarray(0, 10), bad.subarray(10), behind, behind]) socket.push(Buffer.from(chunk));
      })(),
    ]);
    assert.equal(String(message[0]).length, 100_000);
    const [error] = await failed;
    assert.match(String(error), /invalid UTF-8/);
    socket.destroy();
  });
});
