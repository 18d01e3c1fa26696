import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import express, { type Request, type Response } from 'express';
import express4 from 'express4';
import { isHttpError } from 'http-errors';
import { WebSocketError } from '../src/errors.js';
import type { AppFunction } from '../src/upgrade/chain.js';
import { bytesWritten, UpgradeRequest } from '../src/upgrade/upgrade-request.js';
import { hasFastProperties, haveSameLayout } from './support/layouts.js';
import { type RawClient, type RawRequest, rawUpgrade } from './support/raw-client.js';
import type { TestContext } from './support/servers.js';
import { accept, accepting, assertClean, attached, Deferred, RecordedEvents, responseTo } from './support/upgrades.js';

describe('bytesWritten()', () => {
  const socket = (counts: object): Duplex => Object.assign(new Duplex({ read() {}, write() {} }), counts);

  it('counts what waits', () => {
    const writing = socket({ bytesWritten: 8, _bytesDispatched: 3 });
    writing.write('waits');
    assert.equal(bytesWritten(writing), 8);
  });

  it('does not have what waits summed up where nothing does', () => {
    const idle = Object.defineProperty(socket({ _bytesDispatched: 3 }), 'bytesWritten', {
      get: () => assert.fail('summed up'),
    });
    assert.equal(bytesWritten(idle), 3);
  });

  it('takes what there is where the system is not counted apart, which may be nothing', () => {
    assert.equal(bytesWritten(socket({ bytesWritten: 8 })), 8);
    assert.equal(bytesWritten(socket({})), undefined);
  });
});

describe('UpgradeRequest', () => {
  describe('by itself', () => {
    /** One whose response has this state. */
    function requestWith(state: { finished: boolean; destroyed: boolean }) {
      const req = new IncomingMessage(new Socket());
      const res = Object.assign(new ServerResponse(req), state);
      return {
        res,
        former: new ServerResponse(req),
        upgrade: new UpgradeRequest(req, res, req.socket, Buffer.alloc(0)),
      };
    }

    for (const state of [
      { finished: false, destroyed: false },
      { finished: true, destroyed: true },
    ]) {
      it(`lets go of its response behind the tick if nobody will be told of its end (${JSON.stringify(state)})`, () => {
        const { res, former, upgrade } = requestWith(state);
        const letGo = new Promise<void>((resolve) => {
          upgrade.dropResponse(former);
          process.nextTick(() => {
            assert.equal(upgrade.res, former);
            resolve();
          });
        });
        assert.equal(upgrade.res, res);
        return letGo;
      });
    }

    it('keeps its response until somebody has been told of its end', async () => {
      const { res, former, upgrade } = requestWith({ finished: true, destroyed: false });
      upgrade.dropResponse(former);
      await new Promise(setImmediate);
      assert.equal(upgrade.res, res);
      upgrade.letGo();
      assert.equal(upgrade.res, former);
    });

    it('knows the header that was set last, until there is an answer', () => {
      const { upgrade } = requestWith({ finished: false, destroyed: false });
      upgrade.noteHeader('Vary');
      assert.equal(upgrade.headerName, 'Vary');
      upgrade.enter('answering');
      upgrade.noteHeader('ETag');
      assert.equal(upgrade.headerName, undefined);
    });
  });

  describe('as the request', () => {
    it('keeps nothing of what came with it', async (t) => {
      const accepted = new Deferred<IncomingMessage>();
      const server = await attached(t, (req) => {
        void accept(req);
        accepted.resolve(req);
      });
      const client = await rawUpgrade(t, server, { tail: 'early' });
      await client.readHead();
      assert.equal(String(await client.read(5)), 'early');
      assert.equal(UpgradeRequest.of(await accepted.promise)?.head.length, 0);
      await assertClean(client);
    });

    it('gets no webSocket if it is refused', async (t) => {
      const refused = new Deferred<IncomingMessage>();
      const server = await attached(t, (req, res) => {
        res.writeHead(403).end();
        refused.resolve(req);
      });
      await rawUpgrade(t, server);
      assert.ok(!Object.hasOwn(await refused.promise, 'webSocket'));
    });

    it('gives the context to nobody who only copies, lists or prints the request', async (t) => {
      const claims: string[] = [];
      class Claimed extends RecordedEvents {
        override claim(): this {
          claims.push('claimed');
          return super.claim();
        }
      }
      const ways: Readonly<Record<string, (req: IncomingMessage) => unknown>> = {
        spread: (req) => ({ ...req }),
        assign: (req) => Object.assign({}, req),
        keys: (req) => Object.keys(req),
        entries: (req) => Object.entries(req),
        'for in': (req) => {
          const seen: unknown[] = [];
          for (const name in req) seen.push(Reflect.get(req, name));
          return seen;
        },
        'JSON with a replacer': (req) => JSON.stringify(req, (key, value) => (key === '' ? value : String(value))),
        'console.log': (req) => inspect(req),
        'console.log, deep': (req) => inspect(req, { depth: 6, getters: true }),
        descriptors: (req) => Object.getOwnPropertyDescriptors(req),
        in: (req) => 'webSocket' in req,
      };
      const done = new Deferred<void>();
      const server = await attached(t, async (req) => {
        await accept(req, {}, new Claimed());
        for (const look of Object.values(ways)) look(req);
        done.resolve();
      });
      const client = await rawUpgrade(t, server);
      await done.promise;
      assert.deepEqual(claims, []);
      await client.readHead();
      await assertClean(client);
    });

    it('gives the context to whoever asks for it on req.webSocket, and not before', async (t) => {
      const events = new RecordedEvents();
      const seen = new Deferred<Promise<unknown[]>>();
      const look = async (req: IncomingMessage & { webSocket?: unknown }): Promise<unknown[]> => {
        const before = req.webSocket;
        await accept(req, {}, events);
        return [before, req.webSocket];
      };
      const server = await attached(t, (req) => seen.resolve(look(req)));
      await rawUpgrade(t, server);
      assert.deepEqual(await seen.promise, [undefined, events]);
    });

    it('is gone when the application has destroyed its socket, before anybody is told', async (t) => {
      const phases = new Deferred<unknown[]>();
      const server = await attached(t, (req, res) => {
        req.socket.destroy();
        const isOurs = UpgradeRequest.of(req)?.isOurs();
        res.end('too late');
        phases.resolve([isOurs, UpgradeRequest.of(req)?.phase]);
      });
      await rawUpgrade(t, server);
      assert.deepEqual(await phases.promise, [false, 'gone']);
    });

    it('has no property for the router of Express before that has been seen', async (t) => {
      const names = new Deferred<string[]>();
      const server = await attached(t, (req, res) => {
        names.resolve(Object.keys(req));
        res.end();
      });
      await responseTo(t, server);
      assert.equal((await names.promise).includes('undefined'), false);
    });

    it('shows its response on req.res, or another one that the application puts there', async (t) => {
      const other = {};
      const seen = new Deferred<unknown[]>();
      const server = await attached(t, (req: IncomingMessage & { res?: unknown }, res) => {
        const found = [req.res === res, Object.keys(req).includes('res')];
        req.res = other;
        void accept(req);
        setImmediate(() => seen.resolve([...found, req.res === other, UpgradeRequest.of(req)?.res === res]));
      });
      await rawUpgrade(t, server);
      assert.deepEqual(await seen.promise, [true, true, true, false]);
    });

    for (const [name, create] of Object.entries({ express, express4: express4 as unknown as typeof express })) {
      it(`shows its response on req.res while the handshake lasts, and behind it one that is over, in ${name}`, async (t) => {
        const seen = new Deferred<readonly [Request, Response]>();
        const app = create();
        app.use((req: Request, res: Response) => {
          res.locals['user'] = 'Ada';
          void accept(req);
          assert.equal(req.res, res);
          seen.resolve([req, res]);
        });
        const server = await attached(t, app);
        const client = await rawUpgrade(t, server);
        await client.readHead();
        const [req, res] = await seen.promise;
        const former = req.res as Response;
        assert.notEqual(former, res);
        assert.equal(req.res, former);
        assert.equal(former.locals, res.locals);
        assert.equal(former.req, req);
        const { statusCode, headersSent, writableEnded, socket } = former;
        assert.deepEqual([statusCode, headersSent, writableEnded, socket], [101, true, true, null]);
        for (const response of [former, res]) {
          const called = new Deferred<void>();
          response.status(200).type('text').send('nobody gets this');
          response.end(called.resolve);
          await called.promise;
        }
        await assertClean(client);
      });
    }

    it('has its layout in common with others behind the router of Express, as one of its own costs 1 KiB', async (t) => {
      const requests: IncomingMessage[] = [];
      const app = express();
      app.get('/', (req) => void accept(req));
      const handle: AppFunction = app;
      const server = await attached(t, (req, res, next) => {
        handle(req, res, next);
        requests.push(req);
      });
      for (let i = 0; i < 3; i++) await (await rawUpgrade(t, server)).readHead();
      const [first, second, third] = requests;
      assert.ok(first && second && third && haveSameLayout(second, third) && hasFastProperties(third));
      for (const req of requests) {
        const symbols = Object.getOwnPropertySymbols(req).map(({ description }) => description);
        assert.ok(symbols.includes('router.tracing.matchedRoute'));
      }
    });
  });

  describe('as a state', () => {
    /** Runs `act` on an attached request, and returns what a handshake then fails with. */
    const failure = async (
      t: TestContext,
      act: (req: IncomingMessage, res: ServerResponse) => unknown,
    ): Promise<{ error: unknown; client: RawClient }> => {
      const failed = new Deferred<unknown>();
      const server = await attached(t, async (req, res) => {
        await act(req, res);
        try {
          await accept(req);
          failed.resolve(undefined);
        } catch (error) {
          failed.resolve(error);
        }
      });
      const client = await rawUpgrade(t, server);
      return { error: await failed.promise, client };
    };

    const assertState = (error: unknown, message: RegExp): void => {
      assert.ok(error instanceof WebSocketError && isHttpError(error));
      assert.equal(error.code, 'ERR_WEBSOCKET_INVALID_STATE');
      assert.equal(error.status, 500);
      assert.equal(error.expose, false);
      assert.match(error.message, message);
    };

    it('is refused a second time', async (t) => {
      const { error, client } = await failure(t, (req) => accept(req));
      assertState(error, /it has been accepted already, use the context on req\.webSocket/);
      await client.readHead();
      await assertClean(client);
    });

    it('is refused while another decision is pending', async (t) => {
      const errors: unknown[] = [];
      const server = await attached(t, async (req) => {
        const first = accept(req, { origin: async () => true });
        try {
          await accept(req, { origin: async () => true });
        } catch (error) {
          errors.push(error);
        }
        await first;
      });
      const client = await rawUpgrade(t, server, { headers: { Origin: 'http://x' } });
      assert.equal((await client.readHead()).status, 101);
      assertState(errors[0], /another accept\(\) of it is still being decided, call it once/);
      await assertClean(client);
    });

    it('is refused once the response has begun, which then completes', async (t) => {
      const { error, client } = await failure(t, (_req, res) => void res.writeHead(401).write('no'));
      assertState(error, /the response has begun/);
      assert.equal((await client.readHead()).status, 401);
    });

    it('is refused once a response has begun, though it failed before its head was out', async (t) => {
      const { error } = await failure(t, (_req, res) => {
        res.statusCode = 5;
        assert.throws(() => res.flushHeaders(), RangeError);
        res.statusCode = 200;
      });
      assertState(error, /the response has begun/);
    });

    it('is refused once the head of a response has been made', async (t) => {
      const { error } = await failure(t, (_req, res) => void res.writeHead(401));
      assertState(error, /the head of the response has been written/);
    });

    it('is refused once the response has ended', async (t) => {
      const { error, client } = await failure(t, (_req, res) => void res.writeHead(401).end('no'));
      assertState(error, /the response has begun/);
      assert.equal((await client.readResponse()).body, 'no');
    });

    it('is refused once something else has written to the socket', async (t) => {
      const { error, client } = await failure(t, (req) => void req.socket.write('HTTP/1.1 200 Mine\r\n\r\n'));
      assertState(error, /something else has written to its socket or reads from it/);
      assert.equal((await client.readHead()).reason, 'Mine');
    });

    it('is refused once something else reads from the socket, in whichever way', async (t) => {
      for (const read of [
        (req: IncomingMessage) => req.socket.on('data', () => {}),
        (req: IncomingMessage) => req.socket.on('readable', () => {}),
        (req: IncomingMessage) => req.socket.on('data', () => {}).pause(),
        (req: IncomingMessage) => req.socket.resume(),
      ]) {
        const { error } = await failure(t, (req) => void read(req));
        assertState(error, /something else has written to its socket or reads from it/);
      }
    });

    it('is refused once the socket has been destroyed or ended', async (t) => {
      for (const end of ['destroy', 'end'] as const) {
        const { error } = await failure(t, (req) => void req.socket[end]());
        assert.ok(error instanceof WebSocketError && isHttpError(error));
        assert.equal(error.code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
        assert.equal(error.status, 400);
      }
    });

    it('has a property webSocket that can be found and replaced, but is not listed', async (t) => {
      let descriptor: PropertyDescriptor | undefined;
      const server = await attached(t, (req) => {
        void accept(req);
        descriptor = Object.getOwnPropertyDescriptor(req, 'webSocket');
      });
      await (await rawUpgrade(t, server)).readHead();
      assert.deepEqual([descriptor?.configurable, descriptor?.enumerable], [true, false]);
    });

    it('may be accepted after a refusal that was not sent', async (t) => {
      const server = await attached(t, async (req) => {
        await assert.rejects(async () => accept(req, { origin: ['http://other'] }), { status: 403 });
        await assert.rejects(async () => accept(req, { origin: async () => false }), { status: 403 });
        await assert.rejects(
          async () =>
            void accept(req, {
              origin: 'any',
              subProtocols: () => {
                throw new Error('no');
              },
            }),
          { status: 500 },
        );
        await accept(req, { origin: 'any' });
      });
      const client = await rawUpgrade(t, server, { headers: { Origin: 'http://x' } });
      assert.equal((await client.readHead()).status, 101);
    });
  });

  describe('while its origin is decided', () => {
    const withOrigin = (origin: string): RawRequest => ({ headers: { Origin: origin } });

    it('allows the same origin and no origin, and nothing else, by default', async (t) => {
      const server = await accepting(t);
      assert.equal((await (await rawUpgrade(t, server, withOrigin('http://localhost'))).readHead()).status, 101);
      assert.equal((await (await rawUpgrade(t, server)).readHead()).status, 101);
      const response = await responseTo(t, server, withOrigin('http://evil.example'));
      assert.equal(response.status, 403);
      assert.match(response.body, /webSockets\({ origin: \[&#39;http:\/\/evil\.example&#39;\] }\)/);
    });

    it('is decided by a function, at once or later', async (t) => {
      const allow = (origin: string): boolean => origin === 'http://good';
      for (const origin of [allow, async (given: string) => allow(given)]) {
        const server = await accepting(t, { origin });
        assert.equal((await (await rawUpgrade(t, server, withOrigin('http://good'))).readHead()).status, 101);
        assert.equal((await responseTo(t, server, withOrigin('http://bad'))).status, 403);
      }
    });

    it('is only allowed by true', async (t) => {
      for (const answer of ['yes', 1, {}, Object.fromEntries([['then', true]]), null, undefined]) {
        for (const origin of [() => answer, async () => answer]) {
          const server = await accepting(t, { origin } as object);
          assert.equal((await responseTo(t, server, withOrigin('http://x'))).status, 403);
        }
      }
    });

    it('refuses with 500 and the cause if the function throws or rejects', async (t) => {
      const cause = new Error('database is down');
      for (const origin of [
        () => {
          throw cause;
        },
        async () => {
          throw cause;
        },
      ]) {
        const seen = new Deferred<unknown>();
        const server = await attached(t, async (req, _res, next) => {
          try {
            await accept(req, { origin });
          } catch (error) {
            seen.resolve(error);
            next(error);
          }
        });
        assert.equal((await responseTo(t, server, withOrigin('http://x'))).status, 500);
        const error = await seen.promise;
        assert.ok(isHttpError(error));
        assert.equal(error.message, 'Cannot accept the WebSocket request: the origin function failed');
        assert.equal(error['cause'], cause);
      }
    });

    it('may be decided by a function that has answered instead', async (t) => {
      const errors: unknown[] = [];
      const server = await attached(t, async (req, res) => {
        const origin = (): Promise<boolean> => {
          res.writeHead(402).end('pay');
          return new Promise(() => {});
        };
        await Promise.resolve(accept(req, { origin })).catch((error: unknown) => errors.push(error));
      });
      const response = await responseTo(t, server, withOrigin('http://x'));
      assert.deepEqual([response.status, response.body], [402, 'pay']);
      assert.match(String(errors[0]), /the response has begun/);
    });

    it('may be decided while the response is ended, which rejects at once', async (t) => {
      const rejected = new Deferred<unknown>();
      const server = await attached(t, (req, res) => {
        const never = new Promise<boolean>(() => {});
        Promise.resolve(accept(req, { origin: () => never })).catch(rejected.resolve);
        res.writeHead(401).end();
      });
      assert.equal((await responseTo(t, server, withOrigin('http://x'))).status, 401);
      assert.match(String(await rejected.promise), /the response has begun/);
    });

    it('is given up by the time limit of the route with 503, and the handshake rejects', async (t) => {
      const rejected = new Deferred<unknown>();
      const never = new Promise<boolean>(() => {});
      const server = await attached(
        t,
        (req) => {
          Promise.resolve(accept(req, { origin: () => never, handshakeTimeout: 20 })).catch(rejected.resolve);
        },
        { handshakeTimeout: 0 },
      );
      assert.equal((await responseTo(t, server, withOrigin('http://x'))).status, 503);
      const error = await rejected.promise;
      assert.ok(error instanceof WebSocketError);
      assert.equal(error.code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
    });

    it('is given up when the client leaves, and the handshake rejects', async (t) => {
      for (const leave of ['end', 'reset'] as const) {
        const asked = new Deferred<void>();
        const rejected = new Deferred<unknown>();
        const server = await attached(t, (req) => {
          const never = new Promise<boolean>(() => {});
          const origin = (): Promise<boolean> => {
            asked.resolve();
            return never;
          };
          Promise.resolve(accept(req, { origin, handshakeTimeout: 0 })).catch(rejected.resolve);
        });
        const client = await rawUpgrade(t, server, withOrigin('http://x'));
        await asked.promise;
        client[leave]();
        const error = await rejected.promise;
        assert.ok(error instanceof WebSocketError && isHttpError(error));
        assert.equal(error.code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
      }
    });
  });
});
