import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { deflateRawSync } from 'node:zlib';
import { WebSocket } from 'ws';
import { WebSocketState } from '../src/index.js';
import { anyFramework, eventually, serveApp } from './support/apps.js';
import { failure, observe } from './support/connections.js';
import {
  BINARY_FRAME,
  CONTINUATION,
  clientClose,
  clientFrame,
  PING_FRAME,
  PONG_FRAME,
  parseFrames,
} from './support/frames.js';
import { clientTransport } from './support/http2-tunnel.js';
import { watchMemory } from './support/memory.js';
import { connectWs, nextClose, nextMessage, openRaw } from './support/open-pair.js';
import { type RawClient, rawUpgrade } from './support/raw-client.js';
import { webSocketUrlOf } from './support/servers.js';

// The errors that clients provoke are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

const MIB = 1024 * 1024;
/** For all floods of a suite together; none of them takes more than a few seconds, unless the machine is busy. */
const options = { timeout: 120_000 };

/** Writes `data` so often, at the pace of the server. */
async function pour(client: RawClient, data: Buffer, times: number): Promise<void> {
  for (let at = 0; at < times && !client.socket.destroyed; at++) {
    if (!client.socket.write(data)) await Promise.race([once(client.socket, 'drain'), once(client.socket, 'close')]);
  }
}

/** Writes without regard to the pace of the server, and tells how much it has taken when it stops taking. */
async function pourUntilStopped(client: RawClient, data: Buffer, times: number, stopped: () => boolean): Promise<void> {
  for (let at = 0; at < times; at++) client.socket.write(data);
  await eventually(stopped);
}

function assertBounded(growth: number, limit: number): void {
  assert.ok(growth < limit, `${(growth / MIB).toFixed(1)} MiB were held, at most ${limit / MIB} were to be`);
}

describe('a flood', options, () => {
  it('of pings that the peer reads the answers of is answered in order, and nobody else waits', async (t) => {
    const { socket, client, server } = await openRaw(t);
    const bystander = await connectWs(t, `${webSocketUrlOf(server)}/`);
    const growth = watchMemory(t);
    let answers = Buffer.alloc(0);
    let count = 0;
    let last = -1;
    client.raw.socket.removeAllListeners('data').on('data', (chunk: Buffer) => {
      const { frames, rest } = parseFrames(Buffer.concat([answers, chunk]));
      answers = Buffer.from(rest);
      for (const { opcode, payload } of frames) {
        assert.equal(opcode, PONG_FRAME);
        assert.ok(payload.readUInt32BE() > last, 'Answers are in order');
        last = payload.readUInt32BE();
        count++;
      }
    });
    const rounds = 200;
    const perRound = 500;
    for (let round = 0; round < rounds; round++) {
      const pings: Buffer[] = [];
      for (let at = 0; at < perRound; at++) {
        const payload = Buffer.alloc(8);
        payload.writeUInt32BE(round * perRound + at);
        pings.push(clientFrame({ opcode: PING_FRAME, payload, mask: Buffer.alloc(4) }));
      }
      await pour(client.raw, Buffer.concat(pings), 1);
      if (round === rounds / 2) {
        bystander.ping();
        await once(bystander, 'pong');
      }
    }
    await eventually(() => last === rounds * perRound - 1);

    assert.ok(count > 0);
    assert.equal(socket.state, WebSocketState.Open);
    assertBounded(growth(), 16 * MIB);
  });

  it('of pings whose answers the peer does not read costs no memory', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.socket.pause();
    const ping = clientFrame({ opcode: PING_FRAME, payload: Buffer.alloc(125, 1), mask: Buffer.alloc(4) });
    const growth = watchMemory(t);
    await pour(client.raw, Buffer.concat(Array<Buffer>(1000).fill(ping)), 200);
    await eventually(() => socket.bufferedAmount > 0 || client.raw.socket.writableLength === 0);

    assert.ok(socket.bufferedAmount < 256 * 1024, `${socket.bufferedAmount} bytes wait`);
    assertBounded(growth(), 16 * MIB);
  });

  it('of pongs is ignored', async (t) => {
    const { socket, client } = await openRaw(t);
    const pong = clientFrame({ opcode: PONG_FRAME, payload: 'unasked', mask: Buffer.alloc(4) });
    const growth = watchMemory(t);
    await pour(client.raw, Buffer.concat(Array<Buffer>(1000).fill(pong)), 200);
    client.send('behind');

    assert.equal(await socket.receiveMessageAsync(), 'behind');
    assertBounded(growth(), 8 * MIB);
  });

  it('of close frames is answered with one', async (t) => {
    const { socket, client } = await openRaw(t);
    const growth = watchMemory(t);
    await pour(
      client.raw,
      Buffer.concat([clientClose(4000, 'first'), ...Array<Buffer>(1000).fill(clientClose(4001))]),
      1,
    );
    assert.equal(await socket.receiveMessageAsync(), undefined);
    await pour(client.raw, Buffer.concat(Array<Buffer>(1000).fill(clientClose(4002))), 50);
    await socket.closeAsync(4000, 'first');

    assert.equal(socket.closeStatus, 4000);
    assert.equal((await client.nextClose()).code, 4000);
    await client.raw.closed();
    assertBounded(growth(), 8 * MIB);
  });

  it('of fragments of one byte that nobody reads is held in the limit', async (t) => {
    const limit = MIB;
    const { client, req } = await openRaw(t, { receiveBufferLimit: limit });
    client.send({ fin: false, opcode: BINARY_FRAME, payload: 'x' });
    const fragment = clientFrame({ fin: false, opcode: CONTINUATION, payload: 'x', mask: Buffer.alloc(4) });
    const growth = watchMemory(t);
    await pourUntilStopped(
      client.raw,
      Buffer.concat(Array<Buffer>(10_000).fill(fragment)),
      100,
      () => req.socket.isPaused() || client.raw.socket.writableLength === 0,
    );

    // The bytes that wait in the client itself, in this process too, are one chunk, a hundred times.
    assertBounded(growth(), 8 * MIB);
  });

  it('of fragments of one byte is a message to whoever reads messages', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ fin: false, opcode: BINARY_FRAME, payload: 'x' });
    const fragment = clientFrame({ fin: false, opcode: CONTINUATION, payload: 'x', mask: Buffer.alloc(4) });
    const growth = watchMemory(t);
    const message = socket.receiveMessageAsync();
    await pour(client.raw, Buffer.concat(Array<Buffer>(10_000).fill(fragment)), 100);
    client.send({ opcode: CONTINUATION });

    assert.equal((await message)?.length, 1_000_001);
    assertBounded(growth(), 16 * MIB);
  });

  it('of empty fragments is nothing', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ fin: false, payload: '' });
    const fragment = clientFrame({ fin: false, opcode: CONTINUATION, mask: Buffer.alloc(4) });
    const growth = watchMemory(t);
    await pour(client.raw, Buffer.concat(Array<Buffer>(10_000).fill(fragment)), 100);
    client.send({ opcode: CONTINUATION, payload: 'the end' });

    assert.equal(await socket.receiveMessageAsync(), 'the end');
    assertBounded(growth(), 8 * MIB);
  });

  it('of empty messages that nobody reads is held in the limit', async (t) => {
    const { client, req } = await openRaw(t, { receiveBufferLimit: MIB });
    const message = clientFrame({ mask: Buffer.alloc(4) });
    const growth = watchMemory(t);
    await pourUntilStopped(client.raw, Buffer.concat(Array<Buffer>(10_000).fill(message)), 100, () =>
      req.socket.isPaused(),
    );

    assertBounded(growth(), 16 * MIB);
  });

  it('of what a decompression bomb holds stops where nobody reads it', async (t) => {
    const { client, req, socket } = await openRaw(
      t,
      { perMessageDeflate: true, receiveBufferLimit: MIB },
      { request: { headers: { 'Sec-WebSocket-Extensions': 'permessage-deflate' } } },
    );
    const bomb = deflateRawSync(Buffer.alloc(256 * MIB), { finishFlush: 2 });
    const growth = watchMemory(t);
    client.send({ opcode: BINARY_FRAME, rsv: 4, payload: bomb.subarray(0, bomb.length - 4) });
    await eventually(() => req.socket.isPaused());
    // Somebody who reads gets it piece by piece.
    let read = 0;
    while (read < 16 * MIB) read += (await socket.receiveAsync()).count;
    socket.abort();

    assertBounded(growth(), 24 * MIB);
  });
});

describe('a client that reads slowly', options, () => {
  it('is aborted when too much waits for it, and nobody else notices', async (t) => {
    const piece = Buffer.alloc(64 * 1024, 1);
    const site = await serveApp(
      t,
      anyFramework,
      (app, sockets) => {
        app.use(
          '/news',
          sockets.handler(async (socket) => void (await socket.closed)),
        );
      },
      { sendBufferLimit: MIB },
    );
    const good = await connectWs(t, `${site.url}/news`);
    const bad = await rawUpgrade(t, site.server, { path: '/news' });
    await bad.readHead();
    bad.socket.pause();
    await eventually(() => site.sockets.connectionCount === 2);
    const growth = watchMemory(t);
    const rejections: unknown[] = [];
    let sent = 0;
    // A broadcast that waits for nobody.
    while (site.sockets.connectionCount === 2) {
      for (const socket of site.sockets.connections) {
        socket.sendAsync(piece).catch((error) => void rejections.push(error));
      }
      sent++;
      assert.equal(((await nextMessage(good)) as Buffer).length, piece.length);
    }

    const codes = rejections.map((error) => (error as { code?: string }).code);
    assert.ok(codes.includes('ERR_WEBSOCKET_SEND_BUFFER_FULL'), String(codes));
    assert.ok(sent * piece.length < 32 * MIB, 'what the kernels hold, and the limit');
    assertBounded(growth(), 8 * MIB);
  });

  it('makes whoever awaits its sends wait, in constant memory, until keep-alive gives it up', async (t) => {
    const { socket, client } = await openRaw(t, { keepAliveInterval: 300, keepAliveTimeout: 300 });
    client.raw.socket.pause();
    const growth = watchMemory(t);
    const piece = Buffer.alloc(64 * 1024, 1);
    const sending = observe(
      (async () => {
        for (;;) await socket.sendAsync(piece);
      })(),
    );
    const { wasClean } = await socket.closed;
    await eventually(() => sending.outcome !== 'pending');

    assert.equal(wasClean, false);
    assert.equal((sending.outcome as { code?: string }).code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
    assertBounded(growth(), 16 * MIB);
  });

  it('cannot keep its socket by not taking the close frame', async (t) => {
    const { socket, client, req } = await openRaw(t, {
      closeTimeout: 300,
      keepAliveInterval: 0,
      sendBufferLimit: Number.POSITIVE_INFINITY,
    });
    client.raw.socket.pause();
    const sends = Array.from({ length: 24 }, () => observe(socket.sendAsync(Buffer.alloc(MIB))));
    await assert.rejects(socket.closeAsync(), failure('ERR_WEBSOCKET_CLOSE_TIMEOUT'));

    assert.ok(req.socket.destroyed);
    await eventually(() => sends.every(({ outcome }) => outcome !== 'pending'));
  });
});

describe('a client that writes slowly', options, () => {
  it('costs what it has sent, and can be closed in the middle of a frame', async (t) => {
    const { socket, client, req } = await openRaw(t, { closeTimeout: 300 });
    const bytes = clientFrame({ opcode: BINARY_FRAME, payload: Buffer.alloc(1000, 1) });
    for (let at = 0; at < 40; at++) {
      client.raw.write(bytes.subarray(at, at + 1));
      await new Promise((resolve) => setImmediate(resolve));
    }
    const dripping = setInterval(() => client.raw.write(Buffer.of(1)), 20);
    t.after(() => clearInterval(dripping));
    await assert.rejects(socket.closeAsync(), failure('ERR_WEBSOCKET_CLOSE_TIMEOUT'));

    assert.ok(req.socket.destroyed);
  });
});

describe('limits', options, () => {
  it('hold for each route by itself', async (t) => {
    const { url } = await serveApp(t, anyFramework, (app, sockets) => {
      const echo = async (socket: Parameters<Parameters<typeof sockets.handler>[0]>[0]): Promise<void> => {
        for await (const message of socket) await socket.sendAsync(message);
      };
      app.use('/small', sockets.handler(echo, { maxPayload: 10 }));
      app.use('/assembled', sockets.handler(echo, { receiveBufferLimit: 10 }));
      app.use('/large', sockets.handler(echo));
    });
    for (const [path, expected] of [
      ['/small', 1009],
      ['/assembled', 1009],
      ['/large', 'x'.repeat(11)],
    ] as const) {
      const client = await connectWs(t, url + path);
      client.send('x'.repeat(10));
      assert.equal(await nextMessage(client), 'x'.repeat(10));
      client.send('x'.repeat(11));
      if (typeof expected === 'number') assert.equal((await nextClose(client)).code, expected, path);
      else assert.equal(await nextMessage(client), expected, path);
    }
  });

  it('keep newcomers out beyond maxConnections, however many knock, and let them in again', async (t) => {
    const { url, sockets } = await serveApp(
      t,
      anyFramework,
      (app, instance) => void app.use(instance.handler(async (socket) => void (await socket.closed))),
      { maxConnections: 10 },
    );
    const knocking = Array.from({ length: 100 }, () => new WebSocket(url, clientTransport(t, url)));
    t.after(() => {
      for (const client of knocking) client.terminate();
    });
    const answers = await Promise.all(
      knocking.map(async (client) => {
        const [opened, refused] = [once(client, 'open'), once(client, 'unexpected-response')];
        return Promise.race([opened.then(() => 101), refused.then(([, response]) => response.statusCode)]);
      }),
    );
    assert.deepEqual([...new Set(answers)].sort(), [101, 503]);
    assert.equal(answers.filter((status) => status === 101).length, 10);
    assert.equal(sockets.connectionCount, 10);

    for (const client of knocking) client.terminate();
    await eventually(() => sockets.connectionCount === 0);
    await connectWs(t, url);
    assert.deepEqual([sockets.totals.accepted, sockets.totals.refused], [11, 90]);
  });
});
