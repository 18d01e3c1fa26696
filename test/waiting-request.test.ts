import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { type Duplex, duplexPair, Readable } from 'node:stream';
import { describe, it, type TestContext } from 'node:test';
import session, { Store } from 'express-session';
import { UpgradeRequest } from '../src/upgrade/upgrade-request.js';
import { passTurns } from './support/fake-socket.js';
import { type RawClient, rawUpgrade, requestBytes } from './support/raw-client.js';
import { accept, assertClean, attached, Deferred, responseTo } from './support/upgrades.js';

/** Resolves with the names of the events of `emitter`, each time it is emitted, until `last`. */
const eventsOf = (
  emitter: IncomingMessage | ServerResponse | Duplex,
  names: readonly string[],
  seen: string[],
): void => {
  for (const name of names) emitter.on(name, () => seen.push(name));
};

const EVENTS = ['aborted', 'error', 'end', 'finish', 'close'];

/** How many timers keep the process alive. */
const timers = (): number => process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;

/** A request for the server's origin function, from whose arrival on time passes by `t.mock.timers.tick` only. */
const withoutClock = (t: TestContext, server: Server): Promise<RawClient> => {
  // Not earlier: timers of the test before are still to be cleared
  server.once('connection', () => t.mock.timers.enable({ apis: ['setTimeout', 'Date'] }));
  return rawUpgrade(t, server, { headers: { Origin: 'http://x' } });
};

describe('a client that leaves while its request waits', () => {
  const leaving = {
    'with a FIN': 'end',
    'with a reset': 'reset',
  } as const;

  for (const secure of [false, true]) {
    for (const [how, leave] of Object.entries(leaving)) {
      it(`${how} makes req and res emit close, once each (${secure ? 'https' : 'http'})`, async (t) => {
        const arrived = new Deferred<void>();
        const closed = new Deferred<void>();
        const seen = { req: [] as string[], res: [] as string[] };
        let upgrade: UpgradeRequest | undefined;
        const server = await attached(
          t,
          (req, res) => {
            upgrade = UpgradeRequest.of(req);
            eventsOf(req, ['aborted', 'end', 'close'], seen.req);
            eventsOf(res, ['finish', 'close'], seen.res);
            req.on('close', closed.resolve);
            arrived.resolve();
          },
          { secure },
        );
        const client = await rawUpgrade(t, server);
        await arrived.promise;
        client[leave]();
        await closed.promise;
        await new Promise(setImmediate);

        assert.deepEqual(seen, { req: ['aborted', 'close'], res: ['close'] });
        assert.equal(upgrade?.gone, true);
        assert.equal(upgrade.socket.destroyed, true);
        assert.equal(upgrade.req.destroyed, true);
        assert.equal(upgrade.res.destroyed, true);
      });

      it(`${how} is noticed behind frames that it has sent (${secure ? 'https' : 'http'})`, async (t) => {
        const arrived = new Deferred<void>();
        const release = new Deferred<void>();
        const outcome = new Deferred<unknown>();
        const server = await attached(
          t,
          async (req) => {
            arrived.resolve();
            await release.promise;
            try {
              const { socket } = await accept(req);
              socket.once('close', () => outcome.resolve('accepted, then closed'));
            } catch (error) {
              outcome.resolve(Reflect.get(Object(error), 'code'));
            }
          },
          { secure },
        );
        const client = await rawUpgrade(t, server, { tail: 'frames' });
        await arrived.promise;
        client[leave]();
        await client.closed();
        release.resolve();
        assert.match(
          String(await outcome.promise),
          /^(accepted, then closed|ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY)$/,
        );
      });
    }
  }

  it('is an aborted request to those who listen for its errors', async (t) => {
    const arrived = new Deferred<void>();
    const failed = new Deferred<unknown>();
    const server = await attached(t, (req) => {
      req.on('error', failed.resolve);
      arrived.resolve();
    });
    const client = await rawUpgrade(t, server);
    await arrived.promise;
    client.reset();
    const error = await failed.promise;
    assert.equal(String(error), 'Error: aborted');
    assert.equal(Reflect.get(Object(error), 'code'), 'ECONNRESET');
  });

  it('leaves a response that takes anything and does nothing', async (t) => {
    const arrived = new Deferred<void>();
    const done = new Deferred<void>();
    const events: string[] = [];
    const server = await attached(t, async (_req, res, next) => {
      eventsOf(res, EVENTS, events);
      arrived.resolve();
      await once(res, 'close');
      res.setHeader('X', '1');
      assert.equal(res.write('x'), true);
      res.end('x');
      res.end('x');
      next();
      next(new Error('late'));
      setImmediate(() => setImmediate(done.resolve));
    });
    const client = await rawUpgrade(t, server);
    await arrived.promise;
    client.end();
    await done.promise;
    assert.deepEqual(events, ['close']);
    await client.closed();
    assert.equal(client.received.length, 0);
  });

  it('is gone at once if it left before the application was asked', async (t) => {
    const server = await attached(t, () => assert.fail('reached'));
    server.prependListener('upgrade', (_req, socket: Duplex) => {
      socket.end();
      server.removeAllListeners('upgrade');
    });
    const client = await rawUpgrade(t, server);
    await client.closed();
  });

  it('makes the rest of a refusal useless, which closes req and res', async (t) => {
    const begun = new Deferred<void>();
    const closed = new Deferred<void>();
    const seen = { req: [] as string[], res: [] as string[] };
    let upgrade: UpgradeRequest | undefined;
    const server = await attached(t, (req, res) => {
      upgrade = UpgradeRequest.of(req);
      eventsOf(req, ['aborted', 'close'], seen.req);
      eventsOf(res, ['finish', 'close'], seen.res);
      req.on('close', closed.resolve);
      res.write('beginning', () => begun.resolve());
    });
    const client = await rawUpgrade(t, server);
    await begun.promise;
    client.reset();
    await closed.promise;
    assert.deepEqual(seen, { req: ['aborted', 'close'], res: ['close'] });
    assert.equal(upgrade?.phase, 'answering');
  });

  it('does not let a response finish that is ended when it has left', async (t) => {
    const listening = new Deferred<void>();
    const closed = new Deferred<void>();
    const events: string[] = [];
    const server = await attached(t, async (req, res) => {
      eventsOf(res, EVENTS, events);
      res.on('close', () => setImmediate(closed.resolve));
      await new Promise(setImmediate);
      // Behind the listener that notices it
      req.socket.on('end', () => res.end());
      listening.resolve();
    });
    const client = await rawUpgrade(t, server);
    await listening.promise;
    client.end();
    await closed.promise;
    assert.deepEqual(events, ['close']);
  });
});

describe('a refusal', () => {
  it('reaches a client that has closed its half', async (t) => {
    const server = await attached(t, async (_req, res) => {
      res.write('first ');
      await new Promise((resolve) => setTimeout(resolve, 30));
      res.end('last');
    });
    const client = await rawUpgrade(t, server);
    client.end();
    assert.equal((await client.readResponse()).body, 'first last');
  });

  it('finishes and closes req and res, once each', async (t) => {
    const closed = new Deferred<void>();
    const seen = { req: [] as string[], res: [] as string[] };
    const server = await attached(t, (req, res) => {
      eventsOf(req, EVENTS, seen.req);
      eventsOf(res, EVENTS, seen.res);
      req.on('close', closed.resolve);
      res.end('no');
    });
    await responseTo(t, server);
    await closed.promise;
    await new Promise(setImmediate);
    assert.deepEqual(seen, { req: ['end', 'close'], res: ['finish', 'close'] });
  });

  it('is not taken away by a reset from a client that goes on sending', async (t) => {
    const body = 'x'.repeat(300_000);
    const server = await attached(t, (_req, res) => res.end(body));
    const client = await rawUpgrade(t, server, { tail: 'y'.repeat(100_000) });
    const pump = setInterval(() => client.write(Buffer.alloc(1000)), 1);
    t.after(() => clearInterval(pump));
    assert.equal((await client.readResponse()).body.length, body.length);
    await client.readToEnd();
    clearInterval(pump);
    assert.equal(client.error, undefined);
  });

  it('may be streamed, at the pace of the client', async (t) => {
    const chunk = Buffer.alloc(65536, 'x');
    const server = await attached(t, (_req, res) => {
      Readable.from(Array.from({ length: 32 }, () => chunk)).pipe(res);
    });
    assert.equal((await responseTo(t, server)).body.length, 32 * chunk.length);
  });

  it('may be written without waiting, and does not warn of leaks then', async (t) => {
    const warnings: string[] = [];
    const onWarning = (warning: Error): void => {
      warnings.push(warning.name);
    };
    process.on('warning', onWarning);
    t.after(() => {
      process.removeListener('warning', onWarning);
    });
    const chunk = Buffer.alloc(65536, 'x');
    const drained = new Deferred<void>();
    const server = await attached(t, (_req, res) => {
      res.once('drain', drained.resolve);
      assert.equal(res.write('x'), true);
      for (let i = 0; i < 40; i++) assert.equal(res.write(chunk), false);
      void drained.promise.then(() => res.end());
    });
    assert.equal((await responseTo(t, server)).body.length, 1 + 40 * chunk.length);
    await new Promise(setImmediate);
    assert.deepEqual(warnings, []);
  });

  it('lets the client close the connection, and does not wait for it for ever', async (t) => {
    let socket: Duplex | undefined;
    const server = await attached(t, (req, res) => {
      ({ socket } = req);
      res.end('no');
    });
    const polite = await withoutClock(t, server);
    await polite.readToEnd();
    assert.equal(socket?.destroyed, false);
    polite.end();
    await once(socket, 'close');

    const client = await rawUpgrade(t, server);
    await client.readToEnd();
    t.mock.timers.tick(1999);
    await new Promise(setImmediate);
    assert.equal(socket.destroyed, false);
    const dropped = once(socket, 'close');
    t.mock.timers.tick(1);
    await dropped;
  });

  it('leaves no timer behind once the client has closed the connection', async (t) => {
    const answered = new Deferred<readonly [Duplex, number]>();
    const server = await attached(t, (req, res) => {
      answered.resolve([req.socket, timers()]);
      res.end('no');
    });
    const client = await rawUpgrade(t, server);
    await client.readToEnd();
    const [socket, before] = await answered.promise;
    assert.equal(socket.destroyed, false);
    client.end();
    await once(socket, 'close');
    assert.ok(timers() <= before);
  });

  it('does not wait for ever for a client that does not read it', async (t) => {
    const ended = new Deferred<Duplex>();
    const server = await attached(t, (req, res) => {
      res.end(Buffer.alloc(64 * 1024 * 1024));
      ended.resolve(req.socket);
    });
    const client = await rawUpgrade(t, server);
    client.socket.pause();
    const socket = await ended.promise;
    assert.equal(Reflect.get(socket, 'timeout'), 10_000);
    socket.emit('timeout');
    assert.equal(socket.destroyed, false);
    await once(socket, 'close');
  });

  it('does not wait for ever for a client that reads it a little now and then', async (t) => {
    const ended = new Deferred<Duplex>();
    const server = await attached(t, (req, res) => {
      t.mock.timers.enable({ apis: ['setTimeout'] });
      res.end(Buffer.alloc(64 * 1024 * 1024));
      ended.resolve(req.socket);
    });
    const client = await rawUpgrade(t, server);
    client.socket.pause();
    const socket = await ended.promise;
    t.mock.timers.tick(299_999);
    assert.equal(socket.destroyed, false);
    t.mock.timers.tick(1);
    // Behind one more look at what has come.
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(socket.destroyed);
  });

  it('reaches a client over a stream that is no socket', async (t) => {
    const server = await attached(t, (_req, res) => res.end('no'));
    for (const [headers, status] of [
      [{}, 'HTTP/1.1 200 OK'],
      [{ 'Content-Length': '1' }, 'HTTP/1.1 400 Bad Request'],
    ] as const) {
      const [ours, theirs] = duplexPair();
      server.emit('connection', theirs);
      ours.write(requestBytes({ headers }));
      let answer = '';
      for await (const chunk of ours) answer += chunk;
      assert.equal(answer.split('\r\n')[0], status);
    }
  });

  it('leaves an error unreported of which the client cannot know any more', async (t) => {
    const printed = t.mock.method(console, 'error', () => {});
    t.after(() => {
      process.env['NODE_ENV'] = 'test';
    });
    const arrived = new Deferred<void>();
    const done = new Deferred<void>();
    const server = await attached(t, async (_req, res, next) => {
      arrived.resolve();
      await once(res, 'close');
      process.env['NODE_ENV'] = 'production';
      next(new Error('late'));
      process.env['NODE_ENV'] = 'test';
      done.resolve();
    });
    const client = await rawUpgrade(t, server);
    await arrived.promise;
    client.reset();
    await done.promise;
    assert.equal(printed.mock.callCount(), 0);
  });

  it('has the headers and trailers of any response', async (t) => {
    const server = await attached(t, (_req, res) => {
      res.setHeaders(new Map([['X-One', '1']]));
      res.appendHeader('X-Two', '2').appendHeader('X-Two', '3');
      res.setHeader('X-Three', '3').setHeader('Trailer', 'X-Four');
      res.removeHeader('X-Three');
      res.write('body');
      res.addTrailers({ 'X-Four': '4' });
      assert.throws(() => res.setHeader('X-Late', '1'), { code: 'ERR_HTTP_HEADERS_SENT' });
      res.end();
    });
    const client = await rawUpgrade(t, server);
    const { headers } = await client.readHead();
    assert.deepEqual([headers['x-one'], headers['x-two'], headers['x-three']], ['1', '2, 3', undefined]);
    assert.equal((await client.readToEnd()).toString(), '4\r\nbody\r\n0\r\nX-Four: 4\r\n\r\n');
  });

  it('does not send interim responses', async (t) => {
    const server = await attached(t, (_req, res) => {
      res.writeContinue();
      res.writeProcessing();
      res.writeEarlyHints({ link: '</style.css>; rel=preload' }, () => res.end('final'));
    });
    const response = await responseTo(t, server);
    assert.deepEqual([response.status, response.body], [200, 'final']);
  });

  it('can be flushed and continued', async (t) => {
    const arrived = new Deferred<void>();
    const server = await attached(t, async (_req, res) => {
      res.statusCode = 402;
      res.flushHeaders();
      await arrived.promise;
      assert.equal(await new Promise((resolve) => res.end('pay', () => resolve('called'))), 'called');
    });
    const client = await rawUpgrade(t, server);
    assert.equal((await client.readHead()).status, 402);
    arrived.resolve();
    assert.equal((await client.readToEnd()).toString(), '3\r\npay\r\n0\r\n\r\n');
  });
});

describe('handshakeTimeout', () => {
  it('answers 503 if nothing has been answered, and closes res and then req', async (t) => {
    const seen: string[] = [];
    const closed = new Deferred<void>();
    const server = await attached(
      t,
      (req, res) => {
        res.on('finish', () => seen.push('finish'));
        res.on('close', () => seen.push('res'));
        req.on('close', () => {
          seen.push('req');
          closed.resolve();
        });
      },
      { handshakeTimeout: 20 },
    );
    const client = await rawUpgrade(t, server);
    const response = await client.readResponse();
    client.end();
    assert.equal(response.status, 503);
    assert.equal(response.headers['connection'], 'close');
    assert.match(response.body, /The WebSocket handshake was not completed in time/);
    await closed.promise;
    assert.deepEqual(seen, ['res', 'req']);
  });

  it('warns once of a request that nobody has answered, and names it without its query', async (t) => {
    const warnings: NodeJS.ErrnoException[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    Reflect.deleteProperty(globalThis, Symbol.for('websocket-context.WEBSOCKET_UNANSWERED_REQUEST'));
    const server = await attached(t, () => {}, { handshakeTimeout: 20 });
    for (const path of ['/live?key=secret', '/other']) {
      assert.equal((await (await rawUpgrade(t, server, { path })).readResponse()).status, 503);
    }

    assert.deepEqual(
      warnings.map(({ name, code }) => [name, code]),
      [['WebSocketHandshakeWarning', 'WEBSOCKET_UNANSWERED_REQUEST']],
    );
    assert.match(warnings[0]?.message ?? '', / GET \/live within handshakeTimeout, .* next\(\)/);
  });

  it('lets the application answer too late, without an exception', async (t) => {
    const done = new Deferred<void>();
    const server = await attached(
      t,
      async (req, res, next) => {
        await once(res, 'close');
        try {
          void accept(req);
          assert.fail('accepted');
        } catch (error) {
          assert.equal(Reflect.get(Object(error), 'code'), 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
        }
        res.setHeader('X-Late', '1');
        res.writeHead(200).write('late');
        res.end('late');
        next(new Error('late'));
        done.resolve();
      },
      { handshakeTimeout: 20 },
    );
    const client = await rawUpgrade(t, server);
    assert.equal((await client.readResponse()).status, 503);
    await done.promise;
    assert.equal((await client.readToEnd()).length, 0);
  });

  it('answers 503 although the head of another answer had been made', async (t) => {
    const server = await attached(t, (_req, res) => void res.writeHead(200), { handshakeTimeout: 20 });
    assert.equal((await responseTo(t, server)).status, 503);
  });

  it('answers past middleware that keeps a response from ending', async (t) => {
    class Stuck extends Store {
      override get(_id: string, callback: (error: unknown, data?: session.SessionData | null) => void): void {
        callback(null, null);
      }
      override set(): void {}
      override destroy(): void {}
    }
    const middleware = session({ store: new Stuck(), secret: 's', resave: true, saveUninitialized: true });
    const server = await attached(t, (req, res) => Reflect.apply(middleware, undefined, [req, res, () => res.end()]), {
      handshakeTimeout: 20,
    });
    assert.equal((await responseTo(t, server)).status, 503);
  });

  it('does not end what has been answered in time', async (t) => {
    const server = await attached(
      t,
      async (_req, res) => {
        res.write('first ');
        await new Promise((resolve) => setTimeout(resolve, 60));
        res.end('last');
      },
      { handshakeTimeout: 20 },
    );
    assert.equal((await responseTo(t, server)).body, 'first last');
  });

  it('does not end what has been accepted in time', async (t) => {
    const server = await attached(
      t,
      async (req) => {
        await new Promise(setImmediate);
        await accept(req);
      },
      { handshakeTimeout: 40 },
    );
    const client = await rawUpgrade(t, server);
    await client.readHead();
    await new Promise((resolve) => setTimeout(resolve, 80));
    await assertClean(client);
  });

  it('keeps away from a socket that something else uses', async (t) => {
    const server = await attached(
      t,
      (req) => {
        setImmediate(() => req.socket.pipe(req.socket));
      },
      { handshakeTimeout: 20 },
    );
    const client = await rawUpgrade(t, server);
    await new Promise((resolve) => setTimeout(resolve, 60));
    await assertClean(client);
  });

  it('is none if it is 0', async (t) => {
    const server = await attached(
      t,
      async (_req, res) => {
        await new Promise((resolve) => setTimeout(resolve, 50));
        res.end('in its own time');
      },
      { handshakeTimeout: 0 },
    );
    assert.equal((await responseTo(t, server)).body, 'in its own time');
  });

  it('runs from the arrival of the request, also if a route sets its own', async (t) => {
    const never = new Promise<boolean>(() => {});
    const arrived = new Deferred<void>();
    const server = await attached(
      t,
      async (req) => {
        await new Promise(setImmediate);
        t.mock.timers.tick(30);
        const accepted = Promise.resolve(accept(req, { origin: () => never, handshakeTimeout: 40 }));
        accepted.catch(() => {});
        arrived.resolve();
      },
      { handshakeTimeout: 60_000 },
    );
    const client = await withoutClock(t, server);
    await arrived.promise;
    t.mock.timers.tick(9);
    await new Promise(setImmediate);
    assert.equal(client.received.length, 0);
    t.mock.timers.tick(1);
    assert.equal((await client.readHead()).status, 503);
  });

  for (const [when, wait] of [
    ['at once', false],
    ['late', true],
  ] as const) {
    it(`is that of the route, though it be longer than that of the server (${when} accepted)`, async (t) => {
      const decided = new Deferred<boolean>();
      const asked = new Deferred<void>();
      const server = await attached(
        t,
        async (req) => {
          if (wait) await new Promise(setImmediate);
          void accept(req, { origin: () => decided.promise, handshakeTimeout: 60_000 });
          await new Promise(setImmediate);
          asked.resolve();
        },
        { handshakeTimeout: 20 },
      );
      const client = await withoutClock(t, server);
      await asked.promise;
      t.mock.timers.tick(59_999);
      await passTurns(); // a limit ends nothing in the turn that it comes in
      decided.resolve(true);
      assert.equal((await client.readHead()).status, 101);
    });
  }

  it('leaves no timer behind with what is accepted or answered in time', async (t) => {
    const settled = new Deferred<number>();
    const server = await attached(t, async (req) => {
      const before = timers();
      await new Promise(setImmediate);
      assert.equal(timers(), before + 1);
      await accept(req);
      settled.resolve(timers() - before);
    });
    await (await rawUpgrade(t, server)).readHead();
    assert.equal(await settled.promise, 0);
  });
});

describe('setTimeout of a request that waits', () => {
  /** The application, told where to set a timeout and what to do when it has passed. */
  const waysToSet: Readonly<
    Record<string, (req: IncomingMessage, res: ServerResponse, server: Server, expired: () => void) => unknown>
  > = {
    'its response': (_req, res, _server, expired) => res.setTimeout(20, expired),
    'the request': (req, _res, _server, expired) => req.setTimeout(20, expired),
    'the server': (req, _res, server, expired) => {
      server.once('timeout', expired);
      req.socket.setTimeout(20);
    },
  };
  for (const [where, set] of Object.entries(waysToSet)) {
    it(`calls back on ${where}, as for any request`, async (t) => {
      const server = await attached(t, (req, res) => {
        set(req, res, server, () => {
          res.statusCode = 503;
          res.end('too slow');
        });
      });
      const response = await responseTo(t, server);
      assert.deepEqual([response.status, response.body], [503, 'too slow']);
    });

    it(`means nothing on ${where} once the handshake is done`, async (t) => {
      const called: string[] = [];
      const accepted = new Deferred<Duplex>();
      const server = await attached(t, async (req, res) => {
        set(req, res, server, () => called.push(where));
        // Later, when it is being waited for
        await new Promise(setImmediate);
        const { socket } = await accept(req);
        accepted.resolve(socket);
      });
      const client = await rawUpgrade(t, server);
      const socket = await accepted.promise;
      assert.equal(Reflect.get(socket, 'timeout'), 0);
      assert.equal(socket.listenerCount('timeout'), 0);
      // Whoever sets one for the socket from now on means the socket
      socket.emit('timeout');
      await client.readHead();
      await assertClean(client);
      assert.deepEqual(called, []);
    });
  }

  it('of the server counts from the connection on', async (t) => {
    let waiting: ServerResponse | undefined;
    const server = await attached(t, (_req, res) => {
      waiting = res;
    });
    server.setTimeout(20, () => waiting?.end('too slow'));
    assert.equal((await responseTo(t, server)).body, 'too slow');
  });

  it('does not end what nobody looks after, for which there is handshakeTimeout', async (t) => {
    const server = await attached(
      t,
      (_req, res) => {
        res.setTimeout(5);
      },
      { handshakeTimeout: 40 },
    );
    assert.equal((await responseTo(t, server)).status, 503);
  });

  it('holds while a refusal is on its way, and no longer', async (t) => {
    const timeouts: number[] = [];
    const server = await attached(t, (_req, res) => {
      res.setTimeout(20, () => {
        timeouts.push(timeouts.length);
        res.end(' end');
        res.socket?.emit('timeout');
      });
      res.write('beginning');
    });
    assert.equal((await responseTo(t, server)).body, 'beginning end');
    assert.deepEqual(timeouts, [0]);
  });

  it('does not end what somebody else has answered', async (t) => {
    const server = await attached(t, (req, res) => {
      res.setTimeout(5, () => assert.fail('called'));
      req.socket.once('timeout', () => req.socket.write(' second'));
      setImmediate(() => req.socket.write('first'));
    });
    const client = await rawUpgrade(t, server);
    assert.equal(await client.readUntil('second'), 'first second');
  });

  it('is not that of an idle connection, whose earlier requests have been answered', async (t) => {
    for (const pipelined of [false, true]) {
      const waiting = new Deferred<Duplex>();
      const answered = new Deferred<void>();
      const server = await attached(t, async (req, res) => {
        if (req.url === '/first') {
          if (pipelined) await new Promise(setImmediate);
          res.end('first');
          return;
        }
        await new Promise(setImmediate);
        waiting.resolve(req.socket);
        await answered.promise;
        void accept(req);
      });
      const client = await rawUpgrade(t, server, {
        path: '/first',
        headers: { Connection: 'keep-alive', Upgrade: undefined },
      });
      if (!pipelined) await client.readResponse();
      client.request();
      const socket = await waiting.promise;
      assert.equal(Reflect.get(socket, 'timeout') ?? 0, 0);
      answered.resolve();
      if (pipelined) await client.readResponse();
      assert.equal((await client.readHead()).status, 101);
    }
  });
});

describe('a pipelined request over a stream that is no socket', () => {
  it('waits for its turn like any other', async (t) => {
    const server = await attached(t, async (req, res) => {
      await new Promise(setImmediate);
      if (req.url === '/first') res.end('first');
      else await accept(req);
    });
    const [ours, theirs] = duplexPair();
    t.after(() => void ours.destroy());
    server.emit('connection', theirs);
    ours.write(Buffer.concat([Buffer.from('GET /first HTTP/1.1\r\nHost: localhost\r\n\r\n'), requestBytes({})]));
    let answers = '';
    for await (const chunk of ours) {
      answers += chunk;
      if (answers.includes('101')) break;
    }
    assert.match(answers, /^HTTP\/1\.1 200 OK.*firstHTTP\/1\.1 101/s);
  });
});

describe('what an application writes past its response', () => {
  const ways: Readonly<Record<string, (req: IncomingMessage, next: (error: Error) => void) => void>> = {
    'at once': (req, next) => {
      req.socket.write('raw');
      next(new Error('seen'));
    },
    'at once, and unseen': (req) => void req.socket.write('raw'),
    later: (req, next) =>
      void setImmediate(() => {
        req.socket.write('raw');
        next(new Error('seen'));
      }),
    'behind its own half': (req) => void req.socket.end('raw'),
  };
  for (const [when, write] of Object.entries(ways)) {
    it(`has until handshakeTimeout if nobody reads its client (${when})`, async (t) => {
      const closed = new Deferred<void>();
      const server = await attached(
        t,
        (req, _res, next) => {
          req.socket.on('close', closed.resolve);
          write(req, next);
        },
        { handshakeTimeout: 30 },
      );
      const client = await rawUpgrade(t, server);
      assert.equal((await client.readToEnd()).toString(), 'raw');
      // The client keeps its half open
      await closed.promise;
    });

    it(`is left alone where there are other upgrade listeners (${when})`, async (t) => {
      const settled = new Deferred<Duplex>();
      const server = await attached(
        t,
        (req, _res, next) => {
          write(req, next);
          setTimeout(settled.resolve, 60, req.socket);
        },
        { handshakeTimeout: 20 },
      );
      server.on('upgrade', () => {});
      await rawUpgrade(t, server);
      assert.equal((await settled.promise).destroyed, false);
    });
  }

  it('is left alone if somebody reads', async (t) => {
    for (const event of ['data', 'readable']) {
      const server = await attached(
        t,
        (req, _res, next) => {
          req.socket.write('raw');
          req.socket.on(event, () => {
            if (event === 'readable') req.socket.read();
            req.socket.write('read');
          });
          next(new Error('seen'));
        },
        { handshakeTimeout: 20 },
      );
      const client = await rawUpgrade(t, server);
      await new Promise((resolve) => setTimeout(resolve, 60));
      client.write('x');
      assert.equal(await client.readUntil('read'), 'rawread');
    }
  });

  it('leaves no timer behind when it has ended', async (t) => {
    const ended = new Deferred<readonly [number, Duplex]>();
    const server = await attached(
      t,
      (req, _res, next) => {
        ended.resolve([timers(), req.socket]);
        req.socket.write('raw');
        next(new Error('seen'));
      },
      { handshakeTimeout: 60_000 },
    );
    const client = await rawUpgrade(t, server);
    const [before, socket] = await ended.promise;
    await client.read(3);
    client.reset();
    await new Promise((resolve) => socket.once('close', resolve));
    assert.ok(timers() <= before);
  });
});
