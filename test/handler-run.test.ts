import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { describe, type TestContext as FullTestContext, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import createError from 'http-errors';
import { type WebSocketContext, WebSocketError, type WebSocketOptions, WebSocketState } from '../src/index.js';
import {
  anyFramework,
  type ErrorMiddleware,
  eventually,
  frameworks,
  type Middleware,
  type Site,
  serveApp,
} from './support/apps.js';
import { FAULTY_FRAME } from './support/frames.js';
import { connectWs, FramePeer, nextClose, nextMessage } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import type { TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** A site whose every WebSocket goes to `handler`. */
const serveHandler = (
  t: TestContext,
  handler: (socket: WebSocketContext, req: IncomingMessage, res: ServerResponse) => unknown,
  options: WebSocketOptions = {},
): Promise<Site> => serveApp(t, anyFramework, (app, sockets) => app.use(sockets.handler(handler)), options);

/** What a client sees whose handler ends as `handler` does. */
const endOf = async (
  t: TestContext,
  handler: (socket: WebSocketContext) => unknown,
): Promise<{ code: number; reason: string; errors: unknown[] }> => {
  const { url, errors } = await serveHandler(t, handler);
  const client = await connectWs(t, url);
  return { ...(await nextClose(client)), errors };
};

/** Handlers that fail whatever their client does. */
const mistakes = [
  ['two receives at once', (socket) => Promise.all([socket.receiveAsync(), socket.receiveAsync()])],
  ['socket.ws behind a receive', takeWsBehindReceive],
  ['a loop behind socket.ws', useBehindWs(readOn)],
  ['a send behind socket.ws', useBehindWs((socket) => socket.sendAsync('x'))],
  ['a group behind socket.ws', useBehindWs((socket) => socket.addToGroupAsync('x'))],
] as const satisfies ReadonlyArray<[string, (socket: WebSocketContext) => unknown]>;

function useBehindWs(use: (socket: WebSocketContext) => Promise<unknown>): (socket: WebSocketContext) => unknown {
  return (socket) => {
    assert(socket.ws);
    return use(socket);
  };
}

async function readOn(socket: WebSocketContext): Promise<void> {
  for await (const _ of socket);
}

function takeWsBehindReceive(socket: WebSocketContext): unknown {
  socket.receiveAsync().catch(() => {});
  return socket.ws;
}

async function takeWsBehindEnd(socket: WebSocketContext): Promise<unknown> {
  await once(socket.signal, 'abort');
  return socket.ws;
}

async function sendBehindClose(socket: WebSocketContext): Promise<void> {
  await socket.closed;
  await socket.sendAsync('x');
}

describe('the life of a handler', { timeout: 150_000 }, () => {
  it('closes with 1000 when the handler returns', async (t) => {
    assert.deepEqual(await endOf(t, () => undefined), { code: 1000, reason: '', errors: [] });
  });

  it('closes with 1000 when the promise of the handler resolves', async (t) => {
    assert.deepEqual(await endOf(t, async () => 'anything'), { code: 1000, reason: '', errors: [] });
  });

  it('closes with 1000 when any thenable resolves', async (t) => {
    const thenable = (): object => Object.defineProperty({}, 'then', { value: (done: () => void) => done() });
    assert.deepEqual(await endOf(t, thenable), { code: 1000, reason: '', errors: [] });
  });

  it('leaves a connection alone that the handler has closed itself', async (t) => {
    const end = await endOf(t, (socket) => socket.closeAsync(4001, 'mine'));
    assert.deepEqual(end, { code: 4001, reason: 'mine', errors: [] });
  });

  it('sends no second close frame behind closeOutputAsync', async (t) => {
    const end = await endOf(t, (socket) => socket.closeOutputAsync(4002, 'half'));
    assert.deepEqual(end, { code: 4002, reason: 'half', errors: [] });
  });

  it("acknowledges the peer's close with the peer's own code and reason", async (t) => {
    const { server } = await serveHandler(t, async (socket) => {
      assert.equal(await socket.receiveMessageAsync(), undefined);
      assert.equal(socket.state, WebSocketState.CloseReceived);
    });
    const raw = await rawUpgrade(t, server);
    await raw.readHead();
    const client = new FramePeer(raw);
    client.close(4321, 'my own');
    assert.deepEqual(await client.nextClose(), { code: 4321, reason: 'my own' });
  });

  it('acknowledges an empty close frame with an empty one', async (t) => {
    const { server } = await serveHandler(t, (socket) => socket.receiveMessageAsync());
    const raw = await rawUpgrade(t, server);
    await raw.readHead();
    const client = new FramePeer(raw);
    client.close();
    assert.deepEqual(await client.nextClose(), { code: 1005, reason: '' });
  });

  it('has nothing to close when the connection was aborted', async (t) => {
    assert.deepEqual(await endOf(t, (socket) => socket.abort()), { code: 1006, reason: '', errors: [] });
  });

  it('leaves a connection alone that was handed over to ws', async (t) => {
    const { url } = await serveHandler(t, (socket) => {
      const { ws } = socket;
      ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
    });
    const client = await connectWs(t, url);
    client.send('still here');
    assert.equal(await nextMessage(client), 'still here');
    client.close(1000);
    assert.deepEqual(await nextClose(client), { code: 1000, reason: '' });
  });

  it('is expected to fail with the reason of socket.signal when the client has vanished, and with nothing else', async (t) => {
    const failures: ((signal: AbortSignal) => unknown)[] = [
      (signal) => signal.reason,
      (signal) => new Error('The operation was aborted', { cause: signal.reason }),
      () => new Error('A mistake'),
      () => 'no error at all',
    ];
    const reported: boolean[] = [];
    const { url } = await serveHandler(
      t,
      async ({ signal }) => {
        const failure = failures[reported.length];
        if (!signal.aborted) await once(signal, 'abort');
        throw failure?.(signal);
      },
      { onError: (_error, _socket, _req, { expected }) => void reported.push(expected) },
    );
    for (let count = 1; count <= failures.length; count += 1) {
      (await connectWs(t, url)).terminate();
      await eventually(() => reported.length === count);
    }
    assert.deepEqual(reported, [true, true, false, false]);
  });

  it('has come to its end when what it waits for is cancelled by socket.closing', async (t) => {
    const { url, errors } = await serveHandler(t, async ({ closing }) => {
      await sleep(60_000, undefined, { signal: closing });
    });
    const client = await connectWs(t, url);
    client.close(4001, 'bye');

    assert.deepEqual(await nextClose(client), { code: 4001, reason: 'bye' });
    assert.deepEqual(errors, []);
  });

  describe('that fails', () => {
    const boom = new Error('secret detail');

    it('closes with 1011 and no detail, and reports the error, if it throws', async (t) => {
      const end = await endOf(t, () => {
        throw boom;
      });
      assert.deepEqual(end, { code: 1011, reason: '', errors: [boom] });
    });

    it('closes with 1011 and no detail, and reports the error, if it rejects', async (t) => {
      assert.deepEqual(await endOf(t, () => Promise.reject(boom)), { code: 1011, reason: '', errors: [boom] });
    });

    it('closes with 4000 + status and the message for an http error below 500 that is exposed', async (t) => {
      const error = createError(403, 'Not for you');
      const end = await endOf(t, () => Promise.reject(error));
      assert.deepEqual(end, { code: 4403, reason: 'Not for you', errors: [error] });
    });

    it('keeps the message of an http error that is not exposed', async (t) => {
      const error = createError(404, 'a secret path', { expose: false });
      assert.deepEqual(await endOf(t, () => Promise.reject(error)), { code: 4404, reason: '', errors: [error] });
    });

    it('closes with 1011 for an http error of the server, exposed or not', async (t) => {
      const error = createError(503, 'database at 10.0.0.7', { expose: true });
      assert.deepEqual(await endOf(t, () => Promise.reject(error)), { code: 1011, reason: '', errors: [error] });
    });

    it('closes with 1011 and no detail for an error whose status is none of HTTP', async (t) => {
      for (const status of [200, 302, 404.5, Number.NaN, -1]) {
        const error = Object.assign(new Error('odd'), { expose: true, status, statusCode: status });
        const { code, reason } = await endOf(t, () => Promise.reject(error));
        assert.deepEqual({ code, reason }, { code: 1011, reason: '' });
      }
    });

    it('cuts a message that is too long for a close frame between two characters', async (t) => {
      const { code, reason } = await endOf(t, () => Promise.reject(createError(400, 'ä'.repeat(100))));
      assert.deepEqual({ code, reason }, { code: 4400, reason: 'ä'.repeat(61) });
    });

    it('survives an http error whose message is no string', async (t) => {
      const error = Object.assign(createError(400), { message: 42 });
      const { code, reason } = await endOf(t, () => Promise.reject(error));
      assert.deepEqual({ code, reason }, { code: 4400, reason: '42' });
    });

    it('closes with 1011 whatever it throws', async (t) => {
      for (const thrown of [undefined, null, 0, '', 'text', Symbol('s'), Object.create(null)]) {
        const { code, errors } = await endOf(t, () => Promise.reject(thrown));
        assert.equal(code, 1011);
        assert.equal(errors.length, 1);
        assert.equal(errors[0], thrown);
      }
    });

    it('reports its failure after the connection has been lost', async (t) => {
      const { url, errors } = await serveHandler(t, async (socket) => {
        await socket.closed;
        await socket.sendAsync('too late');
      });
      (await connectWs(t, url)).terminate();
      await eventually(() => errors.length === 1);
      assert(errors[0] instanceof WebSocketError);
      assert.equal(errors[0].code, 'ERR_WEBSOCKET_INVALID_STATE');
    });

    it('closes the WebSocket of ws if the connection was handed over', async (t) => {
      const end = await endOf(t, (socket) => {
        assert(socket.ws);
        throw createError(409, 'twice');
      });
      assert.equal(end.code, 4409);
      assert.equal(end.reason, 'twice');
    });
  });

  it('warns once of a response that reaches nobody, and of none without a status', async (t) => {
    const warnings: NodeJS.ErrnoException[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    Reflect.deleteProperty(globalThis, Symbol.for('websocket-context.WEBSOCKET_SPENT_RESPONSE'));
    const statuses = [101, 401, 404];
    const { url } = await serveHandler(t, (_socket, _req, res) => {
      res.statusCode = statuses.shift() ?? 500;
      res.end('Sign in first');
    });
    for (let i = 0; i < 3; i++) assert.deepEqual(await nextClose(await connectWs(t, url)), { code: 1000, reason: '' });

    assert.deepEqual(
      warnings.map(({ name, code }) => [name, code]),
      [['WebSocketResponseWarning', 'WEBSOCKET_SPENT_RESPONSE']],
    );
    assert.match(warnings[0]?.message ?? '', /with status 401 .* throw createError\(401\)/);
  });

  describe('with onError', () => {
    it('tells which connection and request failed', async (t) => {
      const calls: unknown[][] = [];
      let seen: unknown[] = [];
      const { url } = await serveHandler(
        t,
        (socket, req) => {
          seen = [socket, req];
          throw new Error('x');
        },
        { onError: (...args) => void calls.push(args) },
      );
      await nextClose(await connectWs(t, url));
      assert.equal(calls.length, 1);
      assert.equal(calls[0]?.[1], seen[0]);
      assert.equal(calls[0]?.[2], seen[1]);
    });

    /** Whether the failure of `handler` is expected, where the client does what `behave` says. */
    const isExpected = async (
      t: TestContext,
      handler: (socket: WebSocketContext) => unknown,
      behave: (client: FramePeer) => void = () => {},
    ): Promise<unknown[]> => {
      const reports: unknown[] = [];
      const onError: WebSocketOptions['onError'] = (_error, _socket, _req, { expected }) => void reports.push(expected);
      const { server } = await serveHandler(t, handler, { onError });
      const raw = await rawUpgrade(t, server);
      await raw.readHead();
      behave(new FramePeer(raw));
      await eventually(() => reports.length === 1);
      return reports;
    };

    for (const [what, mistake] of mistakes) {
      it(`does not expect the mistake of ${what}`, async (t) => {
        assert.deepEqual(await isExpected(t, mistake), [false]);
      });
    }

    for (const [what, handler, behave] of [
      ['a send behind the close of a client', sendBehindClose, (client) => client.close(1000)],
      ['socket.ws of a client that has left', takeWsBehindEnd, (client) => client.raw.reset()],
      ['socket.ws of a client that has broken the protocol', takeWsBehindEnd, (client) => client.send(FAULTY_FRAME)],
    ] as const satisfies ReadonlyArray<
      [string, (socket: WebSocketContext) => Promise<unknown>, (client: FramePeer) => void]
    >) {
      it(`expects ${what}`, async (t) => {
        assert.deepEqual(await isExpected(t, handler, behave), [true]);
      });
    }

    for (const [how, onError] of [
      ['throws', () => assert.fail('listener')],
      ['rejects', () => Promise.reject(new Error('listener'))],
      [
        'throws what is no error',
        () => {
          throw Object.create(null);
        },
      ],
    ] as const) {
      it(`warns and goes on if onError ${how}`, async (t) => {
        const { url } = await serveHandler(
          t,
          () => {
            throw new Error('x');
          },
          { onError: onError as () => void },
        );
        const warned = once(process, 'warning');
        assert.equal((await nextClose(await connectWs(t, url))).code, 1011);
        const [warning] = await warned;
        assert.equal(warning.name, 'WebSocketOnErrorWarning');
        assert.match(warning.message, /^The onError option of webSockets\(\) failed: /);
      });
    }
  });

  describe('without onError', () => {
    /** What is printed when `handler` fails. */
    const printedOf = async (
      t: FullTestContext,
      handler: (socket: WebSocketContext) => unknown,
      environment = 'production',
    ): Promise<unknown[]> => {
      process.env['NODE_ENV'] = environment;
      const log = t.mock.method(console, 'error', () => {});
      t.after(() => {
        process.env['NODE_ENV'] = 'test';
      });
      // With an onError of undefined, which is none
      const site = await serveApp(t, anyFramework, (app, sockets) => app.use(sockets.handler(handler)), {
        onError: undefined,
      } as object);
      await nextClose(await connectWs(t, site.url));
      return log.mock.calls.map((call) => call.arguments[0]);
    };
    const printed = (t: FullTestContext, error: unknown, environment?: string): Promise<unknown[]> =>
      printedOf(t, () => Promise.reject(error), environment);

    it('prints a programming error with its stack', async (t) => {
      const [text] = await printed(t, new TypeError('typo'));
      assert.match(String(text), /^TypeError: typo\n {4}at /);
    });

    it('prints the message of an error without a stack', async (t) => {
      assert.deepEqual(await printed(t, Object.assign(new Error('bare'), { stack: undefined })), ['bare']);
    });

    it('prints what is no error', async (t) => {
      assert.deepEqual(await printed(t, 'text'), ['text']);
    });

    it('prints an http error of the server', async (t) => {
      assert.equal((await printed(t, createError(500, 'broken'))).length, 1);
    });

    for (const [what, mistake] of mistakes) {
      it(`prints the mistake of ${what}`, async (t) => {
        const [text, ...others] = await printedOf(t, mistake);
        assert.match(String(text), /^WebSocketError: Cannot .+\n {4}at /);
        assert.deepEqual(others, []);
      });
    }

    it('does not print what a client can cause at any time', async (t) => {
      assert.deepEqual(await printed(t, createError(404)), []);
      assert.deepEqual(await printed(t, new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 'x')), []);
    });

    it('prints nothing in tests', async (t) => {
      assert.deepEqual(await printed(t, new Error('x'), 'test'), []);
    });
  });
});

for (const [name, create] of Object.entries(frameworks)) {
  describe(`the chain behind an app.use handshake in ${name}`, { timeout: 150_000 }, () => {
    /** What a client sees of a chain of middleware behind the handshake. */
    const chain = async (
      t: TestContext,
      middleware?: Middleware,
      errorMiddleware?: ErrorMiddleware,
    ): Promise<{ code: number; reason: string; errors: unknown[] }> => {
      const { url, errors } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        if (middleware !== undefined) app.use(middleware);
        if (errorMiddleware !== undefined) app.use(errorMiddleware);
      });
      const client = await connectWs(t, url);
      return { ...(await nextClose(client)), errors };
    };

    it('closes with 4404 what nobody has claimed by its end', async (t) => {
      assert.deepEqual(await chain(t), { code: 4404, reason: '', errors: [] });
    });

    it('closes with 4404 what nobody has claimed when the response is ended', async (t) => {
      const end = await chain(t, (_req, res) => res.end('not for WebSockets'));
      assert.deepEqual(end, { code: 4404, reason: '', errors: [] });
    });

    it('closes with 4404 what nobody has claimed although an error page was written', async (t) => {
      const end = await chain(t, (_req, res) => {
        res.statusCode = 500;
        res.end();
      });
      assert.deepEqual(end, { code: 4404, reason: '', errors: [] });
    });

    it('treats an error at its end like that of a handler', async (t) => {
      const error = createError(401, 'Who are you');
      assert.deepEqual(await chain(t, (_req, _res, next) => next(error)), {
        code: 4401,
        reason: 'Who are you',
        errors: [error],
      });
    });

    it('treats what a middleware throws like the error of a handler', async (t) => {
      const error = new Error('secret');
      const end = await chain(t, () => {
        throw error;
      });
      assert.deepEqual(end, { code: 1011, reason: '', errors: [error] });
    });

    it('leaves an open connection to the one who has claimed it, whatever comes after', async (t) => {
      const { url, errors } = await serveApp(t, create, (app, sockets) => {
        app.use(sockets);
        app.use((req, res, next) => {
          const { webSocket } = req as { webSocket?: WebSocketContext };
          res.setHeader('X-Late', 'yes');
          res.write('<html>');
          res.end('</html>');
          next();
          void webSocket?.sendAsync('clean').then(() => webSocket.closeAsync(4000, 'still mine'));
        });
      });
      const client = await connectWs(t, url);
      const message = nextMessage(client);
      assert.deepEqual(await nextClose(client), { code: 4000, reason: 'still mine' });
      assert.equal(await message, 'clean');
      assert.deepEqual(errors, []);
    });

    it('closes a claimed connection with 4000 + status when an error middleware answers with that', async (t) => {
      const end = await chain(
        t,
        (req, _res, next) => {
          assert((req as { webSocket?: WebSocketContext }).webSocket);
          next(createError(403));
        },
        (error, _req, res, _next) => {
          res.statusCode = (error as createError.HttpError).status;
          res.setHeader('Content-Type', 'application/json');
          res.end(JSON.stringify({ message: error.message }));
        },
      );
      assert.deepEqual([end.code, end.reason], [4403, '']);
      assert.match(
        String(end.errors),
        /^ForbiddenError: Cannot answer with status 403: the WebSocket was open already/,
      );
    });

    it('closes a claimed connection with 1011 when an error middleware answers with 500', async (t) => {
      const end = await chain(
        t,
        (req, _res, next) => next((req as { webSocket?: WebSocketContext }).webSocket && new Error('secret')),
        (_error, _req, res, _next) => {
          res.statusCode = 500;
          res.end('Internal Server Error');
        },
      );
      assert.deepEqual([end.code, end.reason], [1011, '']);
      assert.match(String(end.errors), /Cannot answer with status 500: the WebSocket was open already/);
    });

    it('takes what is falsy for no error, as the framework does', async (t) => {
      for (const nothing of [0, '', false, null]) {
        assert.deepEqual(await chain(t, (_req, _res, next) => next(nothing)), { code: 4404, reason: '', errors: [] });
      }
    });
  });
}
