import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import type { WebSocketContext } from '../src/index.js';
import { anyFramework, eventually, type Site, serveApp } from './support/apps.js';
import { startDemo } from './support/demo.js';
import { clientTransport } from './support/http2-tunnel.js';
import { FramePeer } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import { isOverHttp2, type TestContext, webSocketUrlOf } from './support/servers.js';

// The refusals of those that are on their way out are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

/** Small ones, one that fills the buffers of the system and one that waits for it. */
const SIZES = [1, 100, 20_000, 300_000];

/** What a server has promised to a client: so many of its messages have been sent, said `sendAsync`. */
type Promised = Map<string, number>;

/** A message that tells its number, of one of the sizes. */
function message(number: number): string {
  return `${number} `.padEnd(SIZES[number % SIZES.length] ?? 0, '.');
}

/** Serves numbered messages as fast as the client takes them, and records those that `sendAsync` has resolved for. */
function serveNumbers(t: TestContext, promised: Promised): Promise<Site> {
  const push = async (socket: WebSocketContext): Promise<void> => {
    const id = socket.request.url ?? '';
    for (let number = 0; ; number++) {
      await socket.sendAsync(message(number));
      promised.set(id, number + 1);
    }
  };
  return serveApp(t, anyFramework, (app, sockets) => {
    app.use(
      sockets.handler(async (socket) => {
        // Sending ends with an error when the drain has closed our half.
        const pushing = push(socket).catch(() => {});
        for await (const _ of socket) {
          // The client only listens.
        }
        await pushing;
      }),
    );
  });
}

/** A client of {@link serveNumbers} that checks the order of what it gets. */
class Listener {
  received = 0;
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly socket: WebSocket;

  constructor(t: TestContext, url: string) {
    this.socket = new WebSocket(url, { perMessageDeflate: false, ...clientTransport(t, url) });
    t.after(() => this.socket.terminate());
    this.socket
      .on('error', () => {})
      .on('message', (data: Buffer) => {
        assert.equal(data.toString(), message(this.received));
        this.received++;
      });
    this.closed = new Promise((resolve) => {
      this.socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }
}

/** Stops a server as `docs/how-to/drain-and-restart.md` says. */
async function stop({ server, sockets }: Site): Promise<{ closed: number; aborted: number }> {
  const result = await sockets.close({ reason: 'restarting', timeout: 60_000 });
  const closed = once(server, 'close');
  server.close();
  await closed;
  return result;
}

describe('a rolling restart under load', { timeout: 120_000 }, () => {
  it('loses no message that a send had resolved for, and closes every client cleanly', async (t) => {
    const promised: Promised = new Map();
    const instances = [await serveNumbers(t, promised), await serveNumbers(t, promised)];
    const clients = 24;
    const restarts = 3;
    let connections = 0;
    let finished = false;
    const closes: Array<{ code: number; reason: string }> = [];

    /** Connects again whenever it is sent away, to the other instance if the first is gone. */
    const visit = async (home: number): Promise<void> => {
      for (let at = home; !finished; at++) {
        const id = `/${connections++}`;
        const listener = new Listener(t, webSocketUrlOf((instances[at % instances.length] as Site).server) + id);
        const close = await listener.closed;
        // Refused: that instance is on its way out.
        if (!promised.has(id)) continue;
        closes.push(close);
        assert.ok(listener.received >= (promised.get(id) ?? 0), `${listener.received} of ${promised.get(id)} arrived`);
      }
    };
    const visitors = Array.from({ length: clients }, (_, home) => visit(home));
    for (let restart = 0; restart < restarts; restart++) {
      const next = await serveNumbers(t, promised);
      const goneBefore = closes.length;
      const site = instances[restart % instances.length] as Site;
      await eventually(() => site.sockets.connectionCount >= clients / 4);
      const sent = site.sockets.totals.messagesSent;
      await eventually(() => site.sockets.totals.messagesSent > sent + 200);
      instances[restart % instances.length] = next;
      finished = restart === restarts - 1;
      const { closed, aborted } = await stop(site);
      assert.equal(aborted, 0);
      assert.ok(closed >= clients / 4);
      await eventually(() => closes.length >= goneBefore + closed);
    }
    await Promise.all(instances.map(stop));
    await Promise.all(visitors);

    assert.deepEqual(
      closes.filter(({ code, reason }) => code !== 1001 || reason !== 'restarting'),
      [],
    );
    assert.ok([...promised.values()].reduce((sum, count) => sum + count, 0) > 500);
  });
});

describe('a drain', { timeout: 120_000 }, () => {
  it('sends what waits for a slow client before it closes', async (t) => {
    const promised: Promised = new Map();
    const site = await serveNumbers(t, promised);
    const listener = new Listener(t, `${site.url}/slow`);
    await once(listener.socket, 'open');
    listener.socket.pause();
    // Until the sender has to wait.
    let before = -1;
    while (before !== promised.get('/slow')) {
      before = promised.get('/slow') ?? 0;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const stopping = stop(site);
    listener.socket.resume();

    assert.deepEqual(await stopping, { closed: 1, aborted: 0 });
    assert.ok(listener.received >= (promised.get('/slow') ?? 0));
    assert.equal((await listener.closed).code, 1001);
  });

  it('takes what clients say until they acknowledge', async (t) => {
    const heard: string[] = [];
    const { server, sockets } = await serveApp(t, anyFramework, (app, instance) => {
      app.use(
        instance.handler(async (socket) => {
          for await (const text of socket) heard.push(String(text));
        }),
      );
    });
    const raw = await rawUpgrade(t, server);
    await raw.readHead();
    const client = new FramePeer(raw);
    const draining = sockets.close();
    client.send('on its way');
    assert.equal((await client.nextClose()).code, 1001);
    client.send('and this');
    client.close(1001);

    assert.deepEqual(await draining, { closed: 1, aborted: 0 });
    await eventually(() => heard.length === 2);
    assert.deepEqual(heard, ['on its way', 'and this']);
  });

  it('does not wait for the dead', async (t) => {
    const site = await serveNumbers(t, new Map());
    const raws = await Promise.all(Array.from({ length: 5 }, () => rawUpgrade(t, site.server)));
    for (const raw of raws) {
      await raw.readHead();
      raw.socket.pause();
    }
    const began = performance.now();

    assert.deepEqual(await site.sockets.close({ timeout: 300 }), { closed: 0, aborted: 5 });
    assert.ok(performance.now() - began < 5000);
    const closed = once(site.server, 'close');
    site.server.close();
    await closed;
  });
});

describe('the demo', { timeout: 120_000, skip: isOverHttp2() }, () => {
  it('answers SIGTERM under load: every client is closed with 1001, and it exits by itself', async (t) => {
    const demo = await startDemo(t);
    const clients = Array.from({ length: 30 }, () => new WebSocket(`${demo.socketUrl}/echo`));
    t.after(() => {
      for (const client of clients) client.terminate();
    });
    let echoes = 0;
    let next = (): void => {};
    const ends = clients.map(async (client, at) => {
      let [sent, received] = [0, 0];
      const say = (): void => client.send(`${at}: ${sent++}`);
      client.on('open', () => {
        // So many are on their way at any time.
        for (let more = 0; more < 8; more++) say();
      });
      client.on('message', (data: Buffer) => {
        assert.equal(data.toString(), `${at}: ${received++}`);
        echoes++;
        next();
        if (client.readyState === WebSocket.OPEN) say();
      });
      const [code, reason] = await once(client, 'close');
      return `${code} ${reason}`;
    });
    await new Promise<void>((resolve) => {
      next = () => {
        if (echoes > 3000) resolve();
      };
    });
    const exit = await demo.stop('SIGTERM');

    assert.deepEqual([...new Set(await Promise.all(ends))], ['1001 restarting']);
    assert.deepEqual(exit, { code: 0, signal: null });
    assert.match(demo.output(), /closed: 30, aborted: 0/);
  });
});
