import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter } from 'node:events';
import { createServer, IncomingMessage, Server, type ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { attach } from '../src/upgrade/attach.js';
import type { AppFunction } from '../src/upgrade/chain.js';
import { emitRequest } from '../src/upgrade/request-event.js';
import { eventually } from './support/apps.js';
import { rawUpgrade } from './support/raw-client.js';
import { listen, type TestContext } from './support/servers.js';
import { accept, responseTo } from './support/upgrades.js';

type Emit = (this: Server, event: string, ...args: unknown[]) => boolean;

/** A server whose own request listener must not see an upgrade. */
async function serve(t: TestContext, app: AppFunction, prepare: (server: Server) => void): Promise<Server> {
  const server = createServer(() => assert.fail('An ordinary listener was called'));
  prepare(server);
  attach(server, app, { handshakeTimeout: 5000 });
  return listen(t, server);
}

/** Puts `around` around the events of a server. */
function wrap(server: Server, around: (emit: () => boolean, event: string, args: readonly unknown[]) => boolean): void {
  const { emit } = server;
  const wrapped: Emit = function (event, ...args) {
    return around(() => Reflect.apply(emit, this, [event, ...args]), event, args);
  };
  server.emit = wrapped;
}

describe('the request event of an upgrade', { timeout: 150_000 }, () => {
  it('brings it to the application, within whatever is around the event', async (t) => {
    const scope = new AsyncLocalStorage<{ url: string | undefined; statuses: number[] }>();
    const statuses: number[] = [];
    const seen: unknown[] = [];
    const server = await serve(
      t,
      async (req) => {
        await new Promise(setImmediate);
        await accept(req);
        seen.push(scope.getStore()?.url);
      },
      (made) =>
        wrap(made, (emit, event, [req, res]) => {
          if (event !== 'request') return emit();
          (res as ServerResponse).on('finish', () => statuses.push((res as ServerResponse).statusCode));
          return scope.run({ url: (req as IncomingMessage).url, statuses }, emit);
        }),
    );
    for (const path of ['/one', '/two']) {
      assert.equal((await (await rawUpgrade(t, server, { path })).readHead()).status, 101);
    }
    await eventually(() => seen.length === 2);
    assert.deepEqual(seen, ['/one', '/two']);
    assert.deepEqual(statuses, [101, 101]);
  });

  it('brings it within whatever is around the events, or the listeners, of all servers', async (t) => {
    const { emit, on } = Server.prototype;
    t.after(() => {
      // Both are inherited
      Reflect.deleteProperty(Server.prototype, 'emit');
      Reflect.deleteProperty(Server.prototype, 'on');
    });
    const seen: string[] = [];
    let emits = 0;
    const app: AppFunction = (_req, res) => {
      emits = String(new Error().stack).match(/emit \(node:events/g)?.length ?? 0;
      res.end(String(seen));
    };
    const server = await serve(t, app, () => {});
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 100;
    t.after(() => {
      Error.stackTraceLimit = stackTraceLimit;
    });
    assert.equal((await responseTo(t, server)).body, '');
    assert.equal(emits, 1, 'the upgrade event, and no other that nobody could see');
    Server.prototype.on = function (event: string, listener: (...args: never[]) => void) {
      if (event === 'request') seen.push('on');
      return Reflect.apply(on, this, [event, listener]);
    };
    assert.equal((await responseTo(t, server)).body, 'on');
    assert.equal(emits, 2);
    const wrapped: Emit = function (event, ...args) {
      if (event === 'request') seen.push('emit');
      return Reflect.apply(emit, this, [event, ...args]);
    };
    Server.prototype.emit = wrapped;
    assert.equal((await responseTo(t, server)).body, 'on,on,emit');
  });

  it('may come late', async (t) => {
    const server = await serve(
      t,
      (_req, res) => res.end('late'),
      (made) =>
        wrap(made, (emit, event) => {
          if (event !== 'request') return emit();
          setImmediate(emit);
          return true;
        }),
    );
    assert.equal((await responseTo(t, server)).body, 'late');
  });

  it('may be answered instead', async (t) => {
    const server = await serve(
      t,
      () => assert.fail('reached'),
      (made) =>
        wrap(made, (emit, event, [, res]) => {
          if (event !== 'request') return emit();
          (res as ServerResponse).writeHead(403).end('not today');
          return true;
        }),
    );
    assert.equal((await responseTo(t, server)).status, 403);
  });

  it('is bounded by handshakeTimeout if it is swallowed, or comes twice', async (t) => {
    const server = createServer();
    wrap(server, (emit, event) => event === 'request' || emit());
    attach(server, () => assert.fail('reached'), { handshakeTimeout: 30 });
    await listen(t, server);
    assert.equal((await responseTo(t, server)).status, 503);

    let asked = 0;
    const twice = await serve(
      t,
      (_req, res) => {
        asked++;
        setTimeout(() => res.end('once'), 10);
      },
      (made) => wrap(made, (emit, event) => (event === 'request' ? emit() && emit() : emit())),
    );
    assert.equal((await responseTo(t, twice)).body, 'once');
    assert.equal(asked, 1);
  });

  it('answers 500 if what is around it throws', async (t) => {
    const server = await serve(
      t,
      () => assert.fail('reached'),
      (made) =>
        wrap(made, (emit, event) => {
          if (event === 'request') throw new Error('instrumentation');
          return emit();
        }),
    );
    assert.equal((await responseTo(t, server)).status, 500);
  });

  it('passes an emit by that is tied to the server', async (t) => {
    let events = 0;
    const server = await serve(
      t,
      (req) => accept(req),
      (made) => {
        const bound = made.emit.bind(made);
        const tied = (event: string, ...args: unknown[]): boolean => {
          events++;
          return Reflect.apply(bound, undefined, [event, ...args]);
        };
        made.emit = tied;
      },
    );
    for (let i = 0; i < 2; i++) assert.equal((await (await rawUpgrade(t, server)).readHead()).status, 101);
    assert.ok(events > 0);
  });

  it('leaves no listener on a server whose on() is tied to it', async (t) => {
    const server = await serve(
      t,
      (req) => accept(req),
      (made) => {
        made.on = made.on.bind(made);
      },
    );
    const before = server.listenerCount('request');
    assert.equal((await (await rawUpgrade(t, server)).readHead()).status, 101);
    assert.equal(server.listenerCount('request'), before);
  });

  it('is told on the channels of Node, which has nothing to tell of upgrades itself', async (t) => {
    const messages: [string, unknown][] = [];
    const onStart = (message: unknown): void => void messages.push(['start', message]);
    const onFinish = (message: unknown): void => void messages.push(['finish', message]);
    subscribe('http.server.request.start', onStart);
    subscribe('http.server.response.finish', onFinish);
    t.after(() => {
      unsubscribe('http.server.request.start', onStart);
      unsubscribe('http.server.response.finish', onFinish);
    });
    let own: unknown;
    const server = await serve(
      t,
      (req, res) => {
        own = { request: req, response: res, socket: req.socket };
        return accept(req);
      },
      () => {},
    );
    await (await rawUpgrade(t, server)).readHead();
    await eventually(() => messages.length === 2);
    for (const [index, name] of ['start', 'finish'].entries()) {
      const [kind, message] = messages[index] as [string, { request: unknown; response: unknown; server: unknown }];
      assert.equal(kind, name);
      const { request, response } = own as { request: unknown; response: unknown };
      assert.equal(message.request, request);
      assert.equal(message.response, response);
      assert.equal(message.server, server);
    }
  });

  it('is told on a channel of Node though nobody listens to the other', async (t) => {
    const server = await serve(
      t,
      (req) => accept(req),
      () => {},
    );
    for (const name of ['http.server.request.start', 'http.server.response.finish']) {
      let told = 0;
      const listener = (): void => void told++;
      subscribe(name, listener);
      await (await rawUpgrade(t, server)).readHead();
      await eventually(() => told === 1);
      unsubscribe(name, listener);
    }
  });

  it('is emitted on what is the server to whoever looks at it', () => {
    const server = createServer(() => assert.fail('reached'));
    server.timeout = 1234;
    const seen: unknown[] = [];
    const { emit } = server;
    server.emit = function (this: Server, event: string, ...args: unknown[]): boolean {
      if (event === 'request') seen.push(this instanceof Server, this.listenerCount('request'), this.timeout);
      return Reflect.apply(emit, this, [event, ...args]);
    };
    const [req, res] = [new IncomingMessage(new Socket()), new EventEmitter()];
    let handled = 0;
    emitRequest(server, req, res as ServerResponse, { begin: () => handled++ });
    assert.deepEqual(seen, [true, 1, 1234]);
    assert.equal(handled, 1);
  });
});
