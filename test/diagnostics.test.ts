import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import createError from 'http-errors';
import { WebSocket } from 'ws';
import type {
  ConnectionCloseMessage,
  ConnectionOpenMessage,
  HandlerErrorMessage,
  HandshakeAcceptedMessage,
  HandshakeRefusedMessage,
  HandshakeStartMessage,
  WebSocketContext,
} from '../src/index.js';
import { anyFramework, eventually, type Site, serveApp } from './support/apps.js';
import { clientFrame } from './support/frames.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { rawConnect, rawUpgrade } from './support/raw-client.js';
import type { TestContext } from './support/servers.js';

// The errors that handlers leave unhandled on purpose are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

/** The messages of each channel, by the name behind `websocket-context:`. */
interface Messages {
  'handshake:start': HandshakeStartMessage;
  'handshake:accepted': HandshakeAcceptedMessage;
  'handshake:refused': HandshakeRefusedMessage;
  'connection:open': ConnectionOpenMessage;
  'connection:close': ConnectionCloseMessage;
  error: HandlerErrorMessage;
}

const CHANNELS: ReadonlyArray<keyof Messages> = [
  'handshake:start',
  'handshake:accepted',
  'handshake:refused',
  'connection:open',
  'connection:close',
  'error',
];

/** What has been published since it was made, in order. */
class Recording {
  readonly names: Array<keyof Messages> = [];
  readonly #published: Array<readonly [name: keyof Messages, message: unknown]> = [];

  constructor(t: TestContext, names: ReadonlyArray<keyof Messages> = CHANNELS) {
    for (const name of names) {
      const listener = (message: unknown): void => {
        this.names.push(name);
        this.#published.push([name, message]);
      };
      subscribe(`websocket-context:${name}`, listener);
      t.after(() => void unsubscribe(`websocket-context:${name}`, listener));
    }
  }

  /** The only message of a channel. */
  single<N extends keyof Messages>(name: N): Messages[N] {
    const found = this.#published.filter(([one]) => one === name);
    assert.equal(found.length, 1, `messages of ${name}`);
    return found[0]?.[1] as Messages[N];
  }
}

/** Serves an echo at `/echo`, what fails at `/fail` and what is refused at `/private`. */
function serveRoutes(t: TestContext): Promise<Site> {
  return serveApp(t, anyFramework, (app, sockets) => {
    app.use(
      '/echo',
      sockets.handler(async (socket) => {
        for await (const message of socket) await socket.sendAsync(message);
      }),
    );
    app.use(
      '/fail',
      sockets.handler(() => {
        throw new TypeError('Broken on purpose');
      }),
    );
    app.use(
      '/private',
      sockets.handler(() => {}, { origin: ['https://example.com'] }),
    );
    app.use('/mine', (_req, _res, next) => next(createError(401)));
  });
}

describe('the diagnostics channels', { timeout: 120_000 }, () => {
  it('tell the life of a connection from its handshake to its close', async (t) => {
    const recording = new Recording(t);
    const { url, sockets } = await serveRoutes(t);
    const client = await connectWs(t, `${url}/echo`);
    const [context] = sockets.connections as ReadonlySet<WebSocketContext>;
    client.send('twelve bytes');
    assert.equal(await nextMessage(client), 'twelve bytes');
    client.close(4321, 'enough');
    await nextClose(client);
    await eventually(() => recording.names.includes('connection:close'));

    assert.deepEqual(recording.names, ['handshake:start', 'handshake:accepted', 'connection:open', 'connection:close']);
    const { req } = recording.single('handshake:start');
    assert.equal(req.headers.upgrade, 'websocket');
    const accepted = recording.single('handshake:accepted');
    assert.equal(accepted.req, req);
    assert.equal(accepted.socket, context);
    assert.ok(accepted.duration >= 0 && accepted.duration < 20_000);
    assert.deepEqual(recording.single('connection:open'), { req, socket: context });
    const { duration, ...closed } = recording.single('connection:close');
    // Frames of a client have a header of 2 bytes and a mask of 4, those of a server the header only.
    assert.deepEqual(closed, {
      req,
      socket: context,
      code: 4321,
      reason: 'enough',
      wasClean: true,
      bytesReceived: 2 + 4 + 12 + (2 + 4 + 2 + 6),
      bytesSent: 2 + 12 + (2 + 2 + 6),
      messagesReceived: 1,
      messagesSent: 1,
    });
    assert.ok(duration >= accepted.duration && duration < 20_000);
  });

  it('tell that a connection was lost with code 1006', async (t) => {
    const recording = new Recording(t);
    const { server } = await serveRoutes(t);
    const raw = await rawUpgrade(t, server, { path: '/echo' });
    await raw.readHead();
    raw.reset();
    await eventually(() => recording.names.includes('connection:close'));

    const { code, reason, wasClean } = recording.single('connection:close');
    assert.deepEqual({ code, reason, wasClean }, { code: 1006, reason: '', wasClean: false });
  });

  it('tell a refusal with the error that the application gets', async (t) => {
    const recording = new Recording(t);
    const { server } = await serveRoutes(t);
    const raw = await rawUpgrade(t, server, { path: '/private', headers: { Origin: 'https://elsewhere.example' } });
    assert.equal((await raw.readResponse()).status, 403);

    assert.deepEqual(recording.names, ['handshake:start', 'handshake:refused']);
    const { req, error } = recording.single('handshake:refused');
    assert.equal(req, recording.single('handshake:start').req);
    assert.ok(createError.isHttpError(error));
    assert.equal(error.status, 403);
  });

  it('say nothing of requests that the application answers itself', async (t) => {
    const recording = new Recording(t);
    const { server } = await serveRoutes(t);
    const raw = await rawUpgrade(t, server, { path: '/mine' });
    assert.equal((await raw.readResponse()).status, 401);

    assert.deepEqual(recording.names, []);
  });

  it('tell which handler failed, on which connection and why', async (t) => {
    const recording = new Recording(t);
    const { url, errors } = await serveRoutes(t);
    const client = await connectWs(t, `${url}/fail`);
    assert.equal((await nextClose(client)).code, 1011);

    const { req, socket, error } = recording.single('error');
    assert.equal(req, recording.single('handshake:start').req);
    assert.equal(socket, recording.single('connection:open').socket);
    assert.deepEqual([error], errors);
  });

  for (const name of CHANNELS) {
    it(`may be listened to one by one (${name})`, async (t) => {
      const recording = new Recording(t, [name]);
      const { url, server, sockets } = await serveRoutes(t);
      await nextClose(await connectWs(t, `${url}/fail`));
      await (
        await rawUpgrade(t, server, { path: '/private', headers: { Origin: 'https://e.example' } })
      ).readResponse();
      await eventually(() => sockets.connectionCount === 0);

      assert.deepEqual([...new Set(recording.names)], [name]);
    });
  }

  it('do not let a listener that throws disturb the connection', async (t) => {
    // Node reports it as an uncaught exception of its own tick, whatever the publisher does; the tests would fail by it.
    const thrown: unknown[] = [];
    const listener = (error: unknown): void => void thrown.push(error);
    const others = process.listeners('uncaughtException');
    process.removeAllListeners('uncaughtException').on('uncaughtException', listener);
    t.after(() => {
      process.removeListener('uncaughtException', listener);
      for (const other of others) process.on('uncaughtException', other);
    });
    const fail = (): void => {
      throw new Error('The listener is broken');
    };
    for (const name of CHANNELS) {
      subscribe(`websocket-context:${name}`, fail);
      t.after(() => void unsubscribe(`websocket-context:${name}`, fail));
    }
    const { url, sockets } = await serveRoutes(t);
    const client = await connectWs(t, `${url}/echo`);
    client.send('still here');
    assert.equal(await nextMessage(client), 'still here');
    client.close(1000);
    assert.equal((await nextClose(client)).code, 1000);
    await eventually(() => sockets.connectionCount === 0);

    assert.equal(thrown.length, 4, 'start, accepted, open and close');
  });
});

describe('the counters', { timeout: 120_000 }, () => {
  it('begin with nothing', async (t) => {
    const { sockets } = await serveRoutes(t);

    assert.equal(sockets.connectionCount, 0);
    assert.deepEqual(sockets.totals, {
      accepted: 0,
      refused: 0,
      succeeded: 0,
      failed: 0,
      bytesReceived: 0,
      bytesSent: 0,
      messagesReceived: 0,
      messagesSent: 0,
    });
  });

  it('count what goes through live connections, and keep it when they have ended', async (t) => {
    const { server, sockets } = await serveRoutes(t);
    const raw = await rawConnect(t, server);
    raw.request({ path: '/echo', tail: clientFrame({ payload: 'hello' }) });
    await raw.readHead();
    await raw.read(2 + 5);

    assert.equal(sockets.connectionCount, 1);
    const live = sockets.totals;
    assert.deepEqual(live, {
      accepted: 1,
      refused: 0,
      succeeded: 0,
      failed: 0,
      bytesReceived: 2 + 4 + 5,
      bytesSent: 2 + 5,
      messagesReceived: 1,
      messagesSent: 1,
    });

    raw.reset();
    await eventually(() => sockets.connectionCount === 0);
    assert.deepEqual(sockets.totals, { ...live, failed: 1 });
  });

  it('tell how handshakes and connections ended', async (t) => {
    const { url, server, sockets } = await serveRoutes(t);
    const ends: Array<Promise<unknown>> = [];
    for (let at = 0; at < 3; at++) {
      const client = await connectWs(t, `${url}/echo`);
      client.close(1000);
      ends.push(nextClose(client));
    }
    await Promise.all(ends);
    for (let at = 0; at < 2; at++) (await rawUpgrade(t, server, { path: '/echo' })).reset();
    const refused = new WebSocket(`${url}/private`, { origin: 'https://elsewhere.example' });
    await once(refused, 'error');
    await eventually(() => sockets.totals.failed + sockets.totals.succeeded === sockets.totals.accepted);

    const { accepted, refused: refusals, succeeded, failed } = sockets.totals;
    assert.equal(succeeded, 3);
    // A reset may be faster than the handshake, which is refused then, or never asked for.
    assert.ok(failed <= 2 && accepted === succeeded + failed);
    assert.ok(refusals >= 1 && refusals + accepted <= 6);
  });
});
