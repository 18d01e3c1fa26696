import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import type { WebSocketContext } from '../src/index.js';
import { anyFramework, eventually, serveApp } from './support/apps.js';
import { failure, Harness } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';
import { BINARY_FRAME, clientClose, clientFrame, FAULTY_FRAME, PING_FRAME, PONG_FRAME } from './support/frames.js';
import { openRaw } from './support/open-pair.js';
import { type RawClient, rawUpgrade } from './support/raw-client.js';
import { isOverHttp2 } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const BULK = Buffer.alloc(300_000);
/** Less than what stops a sender whom nobody reads. */
const MUCH = Buffer.alloc(50_000);

/** What a careless application does, none of which is to harm anybody but itself. */
const careless: Readonly<Record<string, (socket: WebSocketContext) => unknown>> = {
  'awaits nothing': (socket) => {
    void socket.sendAsync('a');
    void socket.sendAsync(BULK);
    void socket.ping();
    void socket.closeOutputAsync(4000);
    void socket.sendAsync('late');
    void socket.closeAsync();
  },
  'sends for ever, whatever becomes of it': async (socket) => {
    while (!socket.signal.aborted) await socket.sendAsync('x'.repeat(4000)).catch(() => {});
  },
  'sends much for ever, from two places': async (socket) => {
    const send = async (): Promise<void> => {
      while (!socket.signal.aborted) await socket.sendAsync(BULK).catch(() => {});
    };
    await Promise.all([send(), send()]);
  },
  'reads for ever, and takes the end for a message': async (socket) => {
    while (!socket.signal.aborted) await socket.receiveMessageAsync().catch(() => {});
  },
  'echoes, never looks at errors': async (socket) => {
    for await (const message of socket) void socket.sendAsync(message);
  },
  'closes in every listener': async (socket) => {
    socket.closing.addEventListener('abort', () => void socket.closeAsync(4001));
    socket.signal.addEventListener('abort', () => socket.abort());
    await socket.closed;
    await socket.closeAsync().catch(() => {});
  },
  'waits for what never comes': () => new Promise(() => {}),
  'throws beside a read': (socket) => {
    void socket.receiveAsync().catch(() => {});
    throw new Error('careless');
  },
};

/** What a client sends before it leaves. */
const scripts: Readonly<Record<string, readonly Buffer[]>> = {
  'a close': [clientFrame({ payload: 'hello' }), clientClose(1000)],
  'a fault': [clientFrame({ payload: 'hello' }), clientFrame(FAULTY_FRAME)],
  'a fault behind much': [
    clientFrame({ opcode: BINARY_FRAME, payload: MUCH }),
    clientFrame({ payload: Buffer.of(0xff) }),
  ],
  'more behind its close': [clientClose(1000), clientFrame({ opcode: PING_FRAME }), BULK],
};

/** How it leaves. */
const exits: Readonly<Record<string, (client: RawClient) => void>> = {
  'a reset': (client) => client.reset(),
  FIN: (client) => client.end(),
  'its process dead': ({ socket }) => void socket.destroy(),
  'nothing, it only stops to read': ({ socket }) => void (socket as Socket).pause(),
};

describe('A client that leaves at any moment', { timeout: 120_000 }, () => {
  for (const [what, handler] of Object.entries(careless)) {
    it(`leaves nothing behind where a handler ${what}`, async (t) => {
      const site = await serveApp(t, anyFramework, (app, sockets) => void app.use(sockets.handler(handler)), {
        closeTimeout: 100,
        sendBufferLimit: 1_000_000,
        keepAliveInterval: 50,
        keepAliveTimeout: 50,
      });
      const alive = new Set<Socket | ServerHttp2Stream>();
      function watch(one: Socket | ServerHttp2Stream): void {
        alive.add(one);
        one.once('close', () => alive.delete(one));
      }
      // A session of HTTP/2 may stay when its streams have gone
      if (isOverHttp2()) site.server.on('session', (session: ServerHttp2Session) => session.on('stream', watch));
      else site.server.on('connection', watch);
      const clients = Object.values(scripts).flatMap((script) =>
        Object.values(exits).flatMap((leave) =>
          Array.from({ length: script.length + 1 }, async (_, steps) => {
            const client = await rawUpgrade(t, site.server);
            await client.readHead();
            // It need not keep what it gets
            client.socket.removeAllListeners('data').resume();
            for (const bytes of script.slice(0, steps)) {
              client.write(bytes);
              await new Promise((resolve) => setImmediate(resolve));
            }
            leave(client);
          }),
        ),
      );
      await Promise.all(clients);
      await eventually(() => site.sockets.connections.size === 0 && alive.size === 0);
    });
  }
});

describe('A loop that asks again and again', { timeout: 120_000 }, () => {
  it('for what cannot be sent does not keep the process from other work', async (t) => {
    const { socket, client } = await openRaw(t);
    void socket.closeOutputAsync(1000);
    const loops = [
      async () => socket.sendAsync('x'),
      async () => socket.ping(),
      async () => socket.writeFragment('x'),
    ].map(async (attempt) => {
      while (!socket.signal.aborted) await assert.rejects(attempt(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    });
    await client.nextClose();
    client.close(1000);
    await Promise.all(loops);
  });

  it('for what cannot be read does not either', async (t) => {
    const { socket, client } = await openRaw(t);
    const first = socket.receiveMessageAsync();
    let refused = 0;
    const loops = [
      async () => {
        while (refused < 100) await socket.receiveAsync().catch(() => refused++);
      },
      async () => {
        await first;
        for (let at = 0; at < 100; at++) assert.equal(await socket.receiveMessageAsync(), undefined);
      },
    ].map((loop) => loop());
    // Immediates run
    await once(process, 'nothing', { signal: AbortSignal.timeout(20) }).catch(() => {});
    client.close(1000);
    await Promise.all(loops);
    await socket.closeAsync();
  });
});

describe('A push to a client that talks', { timeout: 120_000 }, () => {
  it('does not miss its close behind what nobody reads', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.sendAsync('first');
    await client.next();
    for (let at = 0; at < 200; at++) client.send('x'.repeat(1000));
    client.close(4001);
    assert.equal((await client.nextClose()).code, 4001);
    assert.equal(await socket.receiveMessageAsync(), 'x'.repeat(1000));
  });
});

describe('Behind a fault', () => {
  it('a listener of signal or closing finds the connection over, and can do no harm', async (t) => {
    const h = new Harness(t);
    h.onTerminated = () => {
      h.connection.abort();
      h.connection.closeTcp();
      h.connection.closeGracefully(1001, '');
    };
    h.arrive({ opcode: PONG_FRAME }, FAULTY_FRAME);
    await passTurns();
    assert.equal(h.terminated, 1);
    assert.equal(h.socket.sent.length, 1);
    assert.equal(h.socket.finSent, true);
  });
});
