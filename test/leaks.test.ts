import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import createError from 'http-errors';
import { type WebSocketContext, webSockets } from '../src/index.js';
import { eventually } from './support/apps.js';
import { BINARY_FRAME, clientClose, clientFrame, FAULTY_FRAME } from './support/frames.js';
import { requestBytes } from './support/raw-client.js';

process.env['NODE_ENV'] = 'test';

const CONNECTIONS = 10_000;
const AT_ONCE = 200;

/** A client that sends `early` with its request and answers a close frame, or a first frame, with `late`. */
interface Plan {
  /** Sent in one chunk with the request. */
  readonly early?: Buffer;
  /** Sent when the server has sent something behind its 101; `'reset'` breaks the connection, `'end'` ends it. */
  readonly late?: Buffer | 'reset' | 'end';
  readonly handler: (socket: WebSocketContext) => unknown;
}

const text = clientFrame({ payload: 'hello' });
const close = clientClose(1000);

const pongless = new AbortController();

/** All the ways in which a connection may end. */
const plans: Readonly<Record<string, Plan>> = {
  'the handler returns': { late: close, handler: () => {} },
  'the handler echoes and the client closes': {
    early: Buffer.concat([text, close]),
    handler: async (socket) => {
      for await (const message of socket) await socket.sendAsync(message);
    },
  },
  'the handler throws': { late: clientClose(1011), handler: () => Promise.reject(new Error('x')) },
  'the handler rejects with a 4xx': { late: clientClose(4403), handler: () => Promise.reject(createError(403)) },
  'the server closes and waits': { late: close, handler: (socket) => socket.closeAsync(1001, 'x') },
  'the server closes its half': {
    late: Buffer.concat([text, close]),
    handler: async (socket) => {
      await socket.closeOutputAsync();
      for await (const _ of socket);
    },
  },
  'the server aborts': { handler: (socket) => socket.abort() },
  'the server aborts with everything pending': {
    handler: async (socket) => {
      const pending = [socket.receiveAsync(), socket.ping(), socket.sendAsync(Buffer.alloc(300_000)), socket.closed];
      setImmediate(() => socket.abort());
      await Promise.allSettled(pending);
    },
  },
  'the server closes TCP': { late: 'end', handler: (socket) => socket.closeTcpConnection() },
  'the client resets while the server receives': {
    late: 'reset',
    handler: async (socket) => {
      await socket.sendAsync('come on');
      await socket.receiveAsync();
    },
  },
  'the client ends while the server receives': {
    late: 'end',
    handler: async (socket) => {
      await socket.sendAsync('come on');
      await socket.receiveAsync();
    },
  },
  'the client breaks the protocol': {
    early: clientFrame(FAULTY_FRAME),
    handler: (socket) => socket.receiveAsync(),
  },
  'the client sends a message that is too big': {
    early: clientFrame({ opcode: BINARY_FRAME, payload: Buffer.alloc(70_000) }),
    handler: (socket) => socket.receiveMessageAsync(),
  },
  'the client sends bad UTF-8': {
    early: clientFrame({ payload: Buffer.of(0xc0) }),
    handler: (socket) => socket.receiveAsync(),
  },
  'operations are cancelled': {
    late: close,
    handler: async (socket) => {
      const { signal } = pongless;
      const controller = new AbortController();
      const pending = [
        socket.receiveAsync(undefined, { signal: controller.signal }),
        socket.ping('x', { signal: controller.signal }),
        socket.sendAsync('sent', { signal }),
      ];
      controller.abort();
      await Promise.allSettled(pending);
      await socket.closeAsync(1000, '', { signal });
    },
  },
  'streams are piped': {
    early: Buffer.concat([text, close]),
    handler: (socket) => socket.readable.pipeTo(socket.writable),
  },
  'callbacks are used': {
    early: Buffer.concat([text, close]),
    late: close,
    handler: (socket) =>
      new Promise((resolve) => {
        socket.readFragment(undefined, () => socket.sendConnectionClose(1000, '', resolve));
      }),
  },
  'signal, closed and streams are only looked at': {
    late: close,
    handler: (socket) => {
      void socket.closed;
      assert(socket.signal && socket.readable && socket.writable);
    },
  },
  'ws has it': {
    early: text,
    late: close,
    handler: (socket) => {
      const { ws } = socket;
      ws.on('message', (data) => ws.send(data));
    },
  },
};

/** Plays the client of one connection until TCP is closed. */
const play = (port: number, path: string, { early, late }: Plan): Promise<void> =>
  new Promise((resolve) => {
    const socket: Socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    socket.write(requestBytes({ path, tail: early ?? '' }));
    let received = Buffer.alloc(0);
    let answered = false;
    socket.on('data', (chunk: Buffer) => {
      received = Buffer.concat([received.subarray(-8), chunk]);
      const head = received.indexOf('\r\n\r\n');
      const behind = head >= 0 ? received.length > head + 4 : received.length > 0 && socket.bytesRead > 129;
      if (answered || !behind) return;
      answered = true;
      if (late === 'reset') socket.resetAndDestroy();
      else if (late === 'end') socket.end();
      else if (late !== undefined) socket.write(late);
    });
    socket.on('end', () => socket.end());
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });

const handles = (): Record<string, number> => {
  const counts: Record<string, number> = {};
  for (const kind of process.getActiveResourcesInfo()) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
};

describe(`${CONNECTIONS} connections that end in every way`, { timeout: 180_000 }, () => {
  it('leave no socket, timer, listener, context or unhandled rejection behind', async (t) => {
    const unhandled: unknown[] = [];
    const onUnhandled = (reason: unknown): void => void unhandled.push(reason);
    process.on('unhandledRejection', onUnhandled).on('warning', onUnhandled);
    t.after(() => process.off('unhandledRejection', onUnhandled).off('warning', onUnhandled));

    const sockets = webSockets({ onError: () => {}, receiveBufferLimit: 64 * 1024 });
    const names = Object.keys(plans);
    const routes = Object.values(plans).map(({ handler }) => sockets.handler(handler));
    const before = handles();
    const server = createServer();
    const detach = sockets.attach(server, (req, res, next) => routes[Number(req.url?.slice(1))]?.(req, res, next));
    const alive = new Set<Socket>();
    server.on('connection', (socket: Socket) => {
      alive.add(socket);
      socket.once('close', () => alive.delete(socket));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;

    let next = 0;
    const playAll = async (): Promise<void> => {
      while (next < CONNECTIONS) {
        const index = next++ % names.length;
        await play(port, `/${index}`, plans[names[index] as string] as Plan);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, playAll));

    await eventually(() => alive.size === 0 && sockets.connections.size === 0);
    // A signal that outlives every connection holds none of their listeners: Node would warn about them
    pongless.abort();
    detach();
    assert.equal(server.listenerCount('upgrade'), 0);
    server.close();
    await once(server, 'close');
    // A handle is let go of some turns of the event loop behind its 'close'
    await eventually(() => {
      const after = handles();
      return ['TCPSocketWrap', 'TCPServerWrap', 'Timeout'].every((kind) => (after[kind] ?? 0) <= (before[kind] ?? 0));
    });
    assert.deepEqual(unhandled, []);
  });
});
