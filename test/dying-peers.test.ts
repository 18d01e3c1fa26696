import assert from 'node:assert/strict';
import { execFile, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { KeepAlive, type KeepAlivePeer } from '../src/connection/keep-alive.js';
import { WebSocketState, webSockets } from '../src/index.js';
import { anyFramework, eventually, type Site, serveApp } from './support/apps.js';
import { openBlackhole } from './support/blackhole.js';
import { failure, observe } from './support/connections.js';
import { FakeClock } from './support/fake-clock.js';
import { passTurns } from './support/fake-socket.js';
import { BINARY_FRAME, clientClose, clientFrame, PING_FRAME } from './support/frames.js';
import { connectWs, FramePeer, nextMessage, openRaw } from './support/open-pair.js';
import { type RawClient, rawConnect, rawUpgrade, requestBytes } from './support/raw-client.js';
import { listen, type TestContext } from './support/servers.js';
import type { VanishedPeers } from './support/vanishing-network.js';

// The errors that clients provoke are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

/** Ways for a client to go without a word. */
const goings: Readonly<Record<string, (client: RawClient) => void>> = {
  reset: (client) => client.reset(),
  end: (client) => client.end(),
  'end and reset': (client) => {
    client.end();
    client.socket.once('finish', () => client.reset());
  },
};

/** An echo whose handshake takes its time if the path says so. */
function serveEcho(t: TestContext): Promise<Site> {
  return serveApp(
    t,
    anyFramework,
    (app, sockets) => {
      app.use('/slow', (_req, _res, next) => void sleep(20).then(() => next()));
      app.use(
        sockets.handler(async (socket) => {
          for await (const message of socket) await socket.sendAsync(message);
        }),
      );
    },
    { closeTimeout: 2000 },
  );
}

/** A network of its own for a process. */
const NAMESPACE = ['--net', '--map-root-user'];

describe('a peer that goes without a word', { timeout: 120_000 }, () => {
  for (const [how, go] of Object.entries(goings)) {
    it(`leaves nothing behind: ${how} at any moment of the handshake`, async (t) => {
      const { server, sockets, url } = await serveEcho(t);
      for (const path of ['/', '/slow']) {
        const bytes = requestBytes({ path, tail: clientFrame({ payload: 'early' }) });
        for (let at = 0; at <= bytes.length; at += at < bytes.length - 20 ? 17 : 1) {
          const client = await rawConnect(t, server);
          client.write(bytes.subarray(0, at));
          if (at % 2 === 0) await sleep(1);
          go(client);
        }
      }
      await eventually(() => sockets.connectionCount === 0);
      const { accepted, succeeded, failed } = sockets.totals;
      assert.equal(accepted, succeeded + failed);
      const client = await connectWs(t, url);
      client.send('alive');
      assert.equal(await nextMessage(client), 'alive');
    });

    it(`leaves nothing behind: ${how} at any byte of its frames`, async (t) => {
      const { server, sockets } = await serveEcho(t);
      const bytes = Buffer.concat([
        clientFrame({ payload: 'whole' }),
        clientFrame({ opcode: PING_FRAME, payload: 'ping' }),
        clientFrame({ fin: false, opcode: BINARY_FRAME, payload: Buffer.alloc(300) }),
        clientClose(1000, 'over'),
      ]);
      let opened = 0;
      for (let at = 0; at <= bytes.length; at += at > 40 && at < 320 ? 23 : 1) {
        const client = await rawUpgrade(t, server);
        assert.equal((await client.readHead()).status, 101);
        opened++;
        client.write(bytes.subarray(0, at));
        if (at % 2 === 0) await sleep(1);
        go(client);
      }
      await eventually(() => sockets.connectionCount === 0);

      const { accepted, succeeded, failed } = sockets.totals;
      assert.deepEqual([accepted, succeeded + failed], [opened, opened]);
    });

    it(`settles everything that is pending: ${how}`, async (t) => {
      const { socket, client } = await openRaw(t, { closeTimeout: 500, sendBufferLimit: Number.POSITIVE_INFINITY });
      client.raw.socket.pause();
      const pending = {
        receive: observe(socket.receiveAsync()),
        // More than the kernels hold, with the largest buffers that are usual.
        send: observe(socket.sendAsync(Buffer.alloc(64 * 1024 * 1024))),
        behind: observe(socket.sendAsync('behind it')),
        ping: observe(socket.ping()),
        close: observe(socket.closeAsync()),
        closed: observe(socket.closed),
        signal: observe(once(socket.signal, 'abort')),
      };
      go(client.raw);
      await eventually(() => Object.values(pending).every(({ outcome }) => outcome !== 'pending'));

      assert.deepEqual(pending.closed.outcome, { code: 1006, reason: '', wasClean: false });
      for (const name of ['receive', 'send', 'behind', 'ping', 'close'] as const) {
        const { outcome } = pending[name];
        assert.ok(outcome instanceof Error && 'code' in outcome, `${name} settled with ${outcome}`);
        assert.match(String(outcome.code), /CLOSED_PREMATURELY|CLOSE_TIMEOUT/, name);
      }
      assert.equal(socket.state, WebSocketState.Aborted);
    });

    it(`is over for a reader that had not read its last messages: ${how}`, async (t) => {
      const { socket, client } = await openRaw(t);
      client.send('one');
      client.send('two');
      // What has arrived is read, what has not is lost with the connection.
      assert.equal(await socket.receiveMessageAsync(), 'one');
      go(client.raw);
      await socket.closed;
      await assert.rejects(
        (async () => {
          for await (const message of socket) assert.equal(message, 'two');
        })(),
        failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'),
      );
    });
  }

  it('drops a client that is silent instead of sending its request', async (t) => {
    const sockets = webSockets();
    const server = createServer({ connectionsCheckingInterval: 20 });
    Object.assign(server, { headersTimeout: 100, requestTimeout: 100 });
    await listen(t, server);
    sockets.attach(server, sockets.handler(() => {}) as Parameters<typeof sockets.attach>[1]);
    const silent = await rawConnect(t, server);
    const slow = await rawConnect(t, server);
    // Lives from a byte now and then.
    const bytes = requestBytes({});
    let at = 0;
    const dripping = setInterval(() => slow.write(bytes.subarray(at, ++at)), 10);
    t.after(() => clearInterval(dripping));
    slow.write('');
    silent.write('G');

    await Promise.all([silent.closed(), slow.closed()]);
    assert.equal(sockets.totals.accepted, 0);
  });
});

describe('a peer that has vanished', { timeout: 120_000 }, () => {
  it('is noticed within interval and timeout, behind a proxy that swallows everything', async (t) => {
    const [keepAliveInterval, keepAliveTimeout] = [400, 300];
    const clock = new FakeClock().install(t);
    t.mock.method(performance, 'now', clock.now);
    const ends: Array<Promise<{ code: number }>> = [];
    const { server, sockets } = await serveApp(
      t,
      anyFramework,
      (app, instance) => {
        app.use(
          instance.handler(async (socket) => {
            ends.push(socket.closed);
            await socket.receiveAsync();
          }),
        );
      },
      { keepAliveInterval, keepAliveTimeout },
    );
    const hole = await openBlackhole(t, server);
    await Promise.all(Array.from({ length: 20 }, () => connectWs(t, hole.url)));
    await eventually(() => sockets.connectionCount === 20);
    // They answer pings for longer than that. A ping is 2 bytes, and the pong of a client 6.
    while (clock.now() < 2 * (keepAliveInterval + keepAliveTimeout)) {
      clock.advance(50);
      await passTurns();
      await eventually(() => sockets.totals.bytesReceived === 3 * sockets.totals.bytesSent);
    }
    assert.equal(sockets.connectionCount, 20);
    assert.ok(sockets.totals.bytesSent >= 2 * 20 * 2, `${sockets.totals.bytesSent} bytes of pings`);

    hole.swallow();
    const began = clock.now();
    while (clock.now() < began + keepAliveInterval + keepAliveTimeout) {
      clock.advance(50);
      await passTurns();
    }
    assert.equal(sockets.connectionCount, 0);
    const codes = (await Promise.all(ends)).map(({ code }) => code);
    assert.deepEqual([...new Set(codes)], [1006]);
  });

  it('is noticed when its packets are dropped', { skip: whyNoNetworkOfOurOwn() }, async (t) => {
    const program = fileURLToPath(new URL('support/vanishing-network.js', import.meta.url));
    const { stdout } = await promisify(execFile)('unshare', [...NAMESPACE, process.execPath, program], {
      timeout: 100_000,
    });
    const results: VanishedPeers[] = JSON.parse(stdout);

    for (const { kind, after, codes } of results) {
      t.diagnostic(`${kind}: noticed after ${after.map(Math.round).join(', ')} ms`);
      assert.deepEqual(codes, Array(10).fill(1006), kind);
      // While we do not read only TCP can tell: it asks after an interval of silence, and then ten times, a second apart.
      // Long before that the others have been noticed, also on a machine that is busy.
      const limit = kind === 'paused' ? 1000 + 10_000 + 10_000 : 1000 + 1000 + 6000;
      for (const ms of after) assert.ok(ms < limit, `${kind}: ${ms} ms`);
    }
    assert.equal(results.length, 3);
  });
});

describe('a reader that pauses', { timeout: 120_000 }, () => {
  it('is not taken for a dead peer, and gets every byte when it comes back', async (t) => {
    const { socket, client, req } = await openRaw(t, {
      keepAliveInterval: 150,
      keepAliveTimeout: 150,
      receiveBufferLimit: 64 * 1024,
    });
    const peer = new FramePeer(client.raw);
    const total = 400;
    for (let at = 0; at < total; at++) peer.send({ opcode: BINARY_FRAME, payload: Buffer.alloc(16 * 1024, at & 255) });
    peer.close(1000);
    await eventually(() => req.socket.isPaused());
    await sleep(1200);
    assert.equal(socket.state, WebSocketState.Open);

    let count = 0;
    for await (const message of socket) assert.equal((message as Buffer)[0], count++ & 255);
    assert.equal(count, total);
    await socket.closeAsync();
  });
});

/**
 * The share of a core that this process takes while the test does nothing: the least of several moments, because the
 * runtime has collecting and compiling of its own to do, for longer on a machine that is busy.
 */
async function idleShare(): Promise<number> {
  const shares: number[] = [];
  for (let moment = 0; moment < 8; moment++) {
    const before = process.cpuUsage();
    const began = performance.now();
    await sleep(200);
    const { user, system } = process.cpuUsage(before);
    shares.push((user + system) / 1000 / (performance.now() - began));
  }
  return Math.min(...shares);
}

describe('idle connections', { timeout: 120_000 }, () => {
  it('cost one timer and no measurable CPU, ten thousand of them', async (t) => {
    const timers = t.mock.method(globalThis, 'setTimeout');
    const keepAlive = new KeepAlive();
    const peers = Array.from(
      { length: 10_000 },
      (): KeepAlivePeer => ({
        lastActivity: keepAlive.now(),
        inputPaused: false,
        probe: () => true,
        onSilence: () => assert.fail('None is lost'),
      }),
    );
    const tickets = peers.map((peer) => keepAlive.watch(peer, 30_000, 20_000));
    const armed = timers.mock.callCount();
    const share = await idleShare();
    for (const ticket of tickets) keepAlive.unwatch(ticket);

    assert.equal(armed, 1);
    t.diagnostic(`${(share * 100).toFixed(2)} % of a core`);
    assert.ok(share < 0.1);
  });

  it('cost next to nothing in earnest, two thousand of them', async (t) => {
    const { server, sockets } = await serveEcho(t);
    const timers = t.mock.method(globalThis, 'setTimeout');
    for (let at = 0; at < 2000; at += 100) {
      await Promise.all(Array.from({ length: 100 }, async () => (await rawUpgrade(t, server)).readHead()));
    }
    await eventually(() => sockets.connectionCount === 2000);
    const armed = timers.mock.calls.map((call) => call.arguments[1]);
    const share = await idleShare();

    assert.ok(armed.length < 20, `Timers of so many ms were set for 2000 connections: ${armed.join(', ')}`);
    t.diagnostic(`${(share * 100).toFixed(2)} % of a core`);
    assert.ok(share < 0.15);
  });
});

/**
 * Why packets cannot be dropped here; false if they can. What can be installed has to be there in CI. Namespaces, or this
 * discipline, may be switched off in the kernel: the test of the proxy does what it can.
 */
function whyNoNetworkOfOurOwn(): string | false {
  const discipline = ['tc', 'qdisc', 'add', 'dev', 'lo', 'root', 'tbf', 'rate', '8bit', 'burst', '1', 'limit', '1'];
  try {
    execFileSync('unshare', [...NAMESPACE, ...discipline], { stdio: 'pipe' });
    return false;
  } catch (error) {
    const { code, status } = error as { code?: string; status?: number | null };
    if (process.env['CI'] && (code === 'ENOENT' || status === 127)) throw error;
    return `it needs unshare, ip and tc, and a kernel that lets them: ${error}`;
  }
}
