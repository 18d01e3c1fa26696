import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import createError from 'http-errors';
import { WebSocketServer } from 'ws';
import { attach } from '../src/upgrade/attach.js';
import type { AppFunction } from '../src/upgrade/chain.js';
import { UpgradeRequest } from '../src/upgrade/upgrade-request.js';
import { rawUpgrade } from './support/raw-client.js';
import { serve, type TestContext } from './support/servers.js';
import { assertClean, Deferred, responseTo } from './support/upgrades.js';

const options = { handshakeTimeout: 5000 };

const silent: AppFunction = () => {};
const notFound: AppFunction = (_req, _res, next) => next();

/** A server with another upgrade listener beside the attached application. */
const shared = async (
  t: TestContext,
  app: AppFunction,
  other: (req: IncomingMessage, socket: Duplex, head: Buffer) => void,
  { first = false, handshakeTimeout = 5000 } = {},
): Promise<Server> => {
  const server = await serve(t, (_req, res) => res.end('plain'));
  if (first) server.on('upgrade', other);
  attach(server, app, { handshakeTimeout });
  if (!first) server.on('upgrade', other);
  return server;
};

describe('attach() beside other upgrade listeners', () => {
  for (const first of [true, false]) {
    const order = first ? 'before ours' : 'behind ours';

    it(`leaves to ws what it answers at once (${order})`, async (t) => {
      const wss = new WebSocketServer({ noServer: true });
      const server = await shared(
        t,
        (_req, res) => res.end('html for everyone'),
        (req, socket, head) => {
          if (req.url === '/hmr') wss.handleUpgrade(req, socket, head, (webSocket) => webSocket.send('hot'));
        },
        { first },
      );
      const client = await rawUpgrade(t, server, { path: '/hmr' });
      assert.equal((await client.readHead()).status, 101);
      assert.deepEqual(await client.read(5), Buffer.from([0x81, 3, ...Buffer.from('hot')]));
      assert.equal((await responseTo(t, server, { path: '/' })).body, 'html for everyone');
      client.reset();
    });

    it(`does not ask the application when another has begun an answer at once (${order})`, async (t) => {
      let reached = false;
      const app: AppFunction = () => {
        reached = true;
      };
      const server = await shared(t, app, (_req, socket) => void socket.write('HTTP/1.1 101 Theirs\r\n\r\n'), {
        first,
      });
      const client = await rawUpgrade(t, server);
      assert.equal((await client.readHead()).reason, 'Theirs');
      assert.equal(reached, false);
    });

    it(`does not add to an answer that another has written at once (${order})`, async (t) => {
      const server = await shared(
        t,
        (_req, res) => res.end('ours'),
        (_req, socket) => {
          socket.end('HTTP/1.1 400 Theirs\r\n\r\n');
        },
        { first },
      );
      const client = await rawUpgrade(t, server);
      assert.equal((await client.readToEnd()).toString(), 'HTTP/1.1 400 Theirs\r\n\r\n');
    });
  }

  it('drops its own answer if another has begun to use the socket meanwhile', async (t) => {
    const uses: ReadonlyArray<(socket: Duplex) => void> = [
      (socket) => socket.write('HTTP/1.1 101 Theirs\r\n\r\n'),
      (socket) => {
        socket.on('data', () => {});
        setTimeout(() => socket.write('HTTP/1.1 101 Theirs\r\n\r\n'), 10);
      },
    ];
    for (const use of uses) {
      const taken = new Deferred<void>();
      const silence = new Deferred<void>();
      const server = await shared(
        t,
        async (_req, res, next) => {
          await taken.promise;
          res.on('close', () => assert.fail('closed'));
          res.write('ours');
          res.end('ours');
          res.setHeader('X-Late', '1');
          next(createError(500, 'ours'));
          next();
          silence.resolve();
        },
        (_req, socket) =>
          void setImmediate(() => {
            use(socket);
            taken.resolve();
          }),
      );
      const client = await rawUpgrade(t, server);
      await silence.promise;
      assert.equal((await client.readHead()).reason, 'Theirs');
      assert.equal(client.received.length, 0);
      client.reset();
    }
  });

  it('answers what the application answers, and errors, but not what nobody matched', async (t) => {
    const server = await shared(
      t,
      (req, res, next) => {
        if (req.url === '/answer') res.end('answer');
        else next(req.url === '/error' ? createError(403, 'no') : undefined);
      },
      (req, socket) => {
        if (req.url === '/theirs') setTimeout(() => socket.end('HTTP/1.1 101 Theirs\r\n\r\n'), 20);
      },
    );
    assert.equal((await responseTo(t, server, { path: '/answer' })).body, 'answer');
    assert.equal((await responseTo(t, server, { path: '/error' })).status, 403);
    const client = await rawUpgrade(t, server, { path: '/theirs' });
    assert.equal((await client.readToEnd()).toString(), 'HTTP/1.1 101 Theirs\r\n\r\n');
  });

  it('destroys without a word what nobody has answered in time', async (t) => {
    const server = await shared(t, notFound, () => {}, { handshakeTimeout: 30 });
    const client = await rawUpgrade(t, server);
    await client.closed();
    assert.equal(client.received.length, 0);
  });

  it('does not destroy what another uses when the time is up', async (t) => {
    const used = new Deferred<void>();
    const server = await shared(
      t,
      notFound,
      (_req, socket) =>
        void setImmediate(() => {
          socket.on('error', () => {});
          socket.pipe(socket);
          used.resolve();
        }),
      { handshakeTimeout: 30 },
    );
    const client = await rawUpgrade(t, server);
    await used.promise;
    await new Promise((resolve) => setTimeout(resolve, 60));
    await assertClean(client);
  });

  it('leaves a socket alone that another has ended at once', async (t) => {
    const ended = new Deferred<Duplex>();
    const server = await shared(
      t,
      () => assert.fail('reached'),
      (_req, socket) => {
        socket.end();
        ended.resolve(socket);
      },
    );
    const client = await rawUpgrade(t, server);
    const socket = await ended.promise;
    await client.closed();
    assert.equal(socket.destroyed, false);
  });

  it('answers 503 if the application has made a head but no answer when the chain ends', async (t) => {
    const server = await shared(
      t,
      (_req, res, next) => {
        res.writeHead(200);
        next();
      },
      () => {},
      { handshakeTimeout: 30 },
    );
    assert.equal((await responseTo(t, server)).status, 503);
  });

  it('answers 503 if the application has not answered in time', async (t) => {
    const server = await shared(t, silent, () => {}, { handshakeTimeout: 30 });
    assert.equal((await responseTo(t, server)).status, 503);
  });

  it('never touches what its filter refuses', async (t) => {
    const seen = new Deferred<unknown[]>();
    const server = await serve(t, (_req, res) => res.end('plain'));
    attach(server, () => assert.fail('reached'), { handshakeTimeout: 20, filter: () => false });
    server.on('upgrade', (req, socket) => {
      const { _httpMessage } = socket as typeof socket & { _httpMessage?: unknown };
      seen.resolve([socket.listenerCount('error'), socket.readableFlowing, _httpMessage, UpgradeRequest.of(req)]);
      setTimeout(() => socket.end('HTTP/1.1 101 Theirs\r\n\r\n'), 60);
    });
    const client = await rawUpgrade(t, server);
    assert.deepEqual(await seen.promise, [0, null, undefined, undefined]);
    assert.equal((await client.readToEnd()).toString(), 'HTTP/1.1 101 Theirs\r\n\r\n');
  });

  it('takes a filter that throws for one that refuses, and prints its error', async (t) => {
    const printed = t.mock.method(console, 'error', () => {});
    t.after(() => {
      process.env['NODE_ENV'] = 'test';
    });
    process.env['NODE_ENV'] = 'production';
    const server = await serve(t, (_req, res) => res.end('plain'));
    attach(server, () => assert.fail('reached'), {
      ...options,
      filter: () => {
        throw new Error('filter');
      },
    });
    assert.equal((await responseTo(t, server)).body, 'plain');
    assert.match(String(printed.mock.calls[0]?.arguments[0]), /Error: filter/);
  });

  for (const [when, wait] of [
    ['at once', (use: () => void) => use()],
    ['later', setImmediate],
  ] as const) {
    for (const goesOn of [true, false]) {
      const proceeding = goesOn ? 'calls next()' : 'does not';
      it(`leaves its socket to middleware that uses it ${when} and ${proceeding}, also behind the client’s FIN`, async (t) => {
        const server = await shared(
          t,
          ({ socket }, _res, next) => {
            wait(() => {
              socket.write('HTTP/1.1 101 Theirs\r\n\r\n');
              socket.resume().once('end', () => setImmediate(() => socket.end('the last word')));
              if (goesOn) next();
            });
          },
          () => {},
        );
        const client = await rawUpgrade(t, server);
        await client.readHead();
        client.end();
        assert.equal((await client.readToEnd()).toString(), 'the last word');
      });
    }
  }

  describe('a request for another protocol', () => {
    const h2c = { headers: { Upgrade: 'h2c', Connection: 'Upgrade' } };

    it('is theirs', async (t) => {
      const server = await shared(
        t,
        () => assert.fail('reached'),
        (_req, socket) => socket.end('HTTP/1.1 101 h2c\r\n\r\n'),
      );
      const client = await rawUpgrade(t, server, h2c);
      assert.equal((await client.readToEnd()).toString(), 'HTTP/1.1 101 h2c\r\n\r\n');
    });

    it('is destroyed if nobody has answered it in time', async (t) => {
      const server = await shared(
        t,
        () => assert.fail('reached'),
        () => {},
        { handshakeTimeout: 30 },
      );
      const client = await rawUpgrade(t, server, h2c);
      await client.closed();
      assert.equal(client.received.length, 0);
    });

    it('is not destroyed if somebody uses it, or if there is no time limit', async (t) => {
      let used: Duplex | undefined;
      let before = 0;
      const use = (_req: unknown, socket: Duplex): void => {
        used = socket.pipe(socket);
        before = socket.listenerCount('close');
      };
      const write = (_req: unknown, socket: Duplex): unknown =>
        setImmediate(() => socket.write('HTTP/1.1 101 h2c\r\n'));
      const using = await shared(t, silent, use, { handshakeTimeout: 20 });
      const writing = await shared(t, silent, write, { handshakeTimeout: 20 });
      const ignoring = await shared(t, silent, () => {}, { handshakeTimeout: 0 });
      const patient = await shared(t, silent, () => {}, { handshakeTimeout: 20 });
      attach(patient, notFound, { handshakeTimeout: 60_000 });
      const endless = await shared(t, silent, () => {}, { handshakeTimeout: 20 });
      attach(endless, notFound, { handshakeTimeout: 0 });
      const clients = [];
      for (const server of [using, writing, ignoring, patient, endless]) {
        const arrived = once(server, 'upgrade');
        clients.push(await rawUpgrade(t, server, h2c));
        await arrived;
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
      for (const client of clients) assert.equal(client.ended, false);
      // Ours, which was there before theirs, has gone
      assert.equal(used?.listenerCount('close'), before - 1);
      await assertClean(clients[0] as (typeof clients)[0]);
    });

    it('leaves no timer behind when its client leaves', async (t) => {
      const arrived = new Deferred<void>();
      const closed = new Deferred<void>();
      const server = await shared(
        t,
        silent,
        (_req, socket) => {
          arrived.resolve();
          socket.on('error', () => {});
          socket.once('close', () => closed.resolve());
        },
        { handshakeTimeout: 2_000_000 },
      );
      const client = await rawUpgrade(t, server, h2c);
      await arrived.promise;
      client.reset();
      await closed.promise;
    });
  });
});
