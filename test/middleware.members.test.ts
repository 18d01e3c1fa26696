import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { type WebSocketContext, WebSocketError, WebSocketState, webSockets } from '../src/index.js';
import { anyFramework, eventually, serveApp } from './support/apps.js';
import { connectWs, nextClose, nextMessage, openWs } from './support/open-pair.js';
import { rawConnect, rawUpgrade } from './support/raw-client.js';
import { serve, urlOf, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const echo = async (socket: WebSocketContext): Promise<void> => {
  for await (const message of socket) await socket.sendAsync(message);
};

const refuseAll = { origin: () => false } as const;
const fromElsewhere = { headers: { Origin: 'https://elsewhere.example' } } as const;

describe('accept', { timeout: 150_000 }, () => {
  it('rejects the second time', async (t) => {
    const { socket, sockets, req } = await openWs(t);
    await assert.rejects(sockets.accept(req), {
      code: 'ERR_WEBSOCKET_INVALID_STATE',
      status: 500,
      message: /it has been accepted already, use the context on req.webSocket/,
    });
    assert.equal(socket.state, WebSocketState.Open);
  });

  it('rejects the second one of two at a time', async (t) => {
    const sockets = webSockets({ origin: async () => true });
    const server = await serve(t, () => {});
    const outcome = new Promise<unknown>((resolve) => {
      sockets.attach(server, (req) => {
        void sockets.accept(req).then((socket) => socket.closeAsync());
        sockets.accept(req).catch(resolve);
      });
    });
    await nextClose(await connectWs(t, webSocketUrlOf(server), [], { origin: 'https://a.example' }));
    assert.equal(((await outcome) as WebSocketError).code, 'ERR_WEBSOCKET_INVALID_STATE');
  });

  it('rejects once the response has begun', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    const outcome = new Promise<unknown>((resolve) => {
      sockets.attach(server, (req, res) => {
        res.write('page');
        sockets
          .accept(req)
          .catch(resolve)
          .finally(() => res.end());
      });
    });
    const raw = await rawUpgrade(t, server);
    await raw.readToEnd();
    assert.equal(((await outcome) as WebSocketError).code, 'ERR_WEBSOCKET_INVALID_STATE');
  });

  it('rejects a plain HTTP request with 426', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, (req, res) => {
      sockets.accept(req).catch((error) => res.writeHead(error.status, error.headers).end(error.message));
    });
    sockets.attach(server, () => assert.fail('no upgrade'));
    const response = await fetch(urlOf(server));
    assert.equal(response.status, 426);
    await response.text();
  });

  it('rejects invalid route options and leaves the request to be answered', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    sockets.attach(server, async (req) => {
      await assert.rejects(sockets.accept(req, { closeTimeout: -1 }), RangeError);
      await assert.rejects(sockets.accept(req, { nonsense: 1 } as object), TypeError);
      await assert.rejects(sockets.accept(req, { maxConnections: 0 }), RangeError);
      await (await sockets.accept(req)).closeAsync(4000);
    });
    assert.equal((await nextClose(await connectWs(t, webSocketUrlOf(server)))).code, 4000);
  });

  it('rejects when the client leaves during an asynchronous decision', async (t) => {
    let left: (() => void) | undefined;
    const sockets = webSockets({ origin: () => new Promise(() => left?.()) });
    const server = await serve(t, () => {});
    const outcome = new Promise<unknown>((resolve) =>
      sockets.attach(server, (req) => sockets.accept(req).catch(resolve)),
    );
    const raw = await rawConnect(t, server);
    left = () => raw.reset();
    raw.request({ headers: { Origin: 'https://a.example' } });
    assert.equal(((await outcome) as WebSocketError).code, 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY');
    assert.equal(sockets.connections.size, 0);
  });
});

describe('a client that leaves while the 101 is being written', { timeout: 150_000 }, () => {
  it('leaves a context that is over, and no connection', async (t) => {
    const seen: unknown[] = [];
    const { server, sockets, errors } = await serveApp(t, anyFramework, (app, all) => {
      app.use((req, res, next) => {
        const { writeHead } = res;
        res.writeHead = (...args: unknown[]) => {
          req.socket.destroy();
          return Reflect.apply(writeHead, res, args);
        };
        next();
      });
      app.use(
        all.handler(async (socket) => {
          seen.push(socket.state, socket.signal.aborted, await socket.closed, all.connections.size);
          await socket.sendAsync('to nobody');
        }),
      );
    });
    await (await rawUpgrade(t, server)).closed();
    await eventually(() => errors.length === 1);
    assert.deepEqual(seen, [WebSocketState.Aborted, true, { code: 1006, reason: '', wasClean: false }, 0]);
    assert(errors[0] instanceof WebSocketError);
    assert.equal(errors[0].code, 'ERR_WEBSOCKET_INVALID_STATE');
    assert.equal(sockets.connections.size, 0);
  });
});

describe('handler', () => {
  it('wants a function and valid route options', () => {
    const sockets = webSockets();
    for (const fn of [undefined, null, {}, 'x']) {
      assert.throws(() => sockets.handler(fn as () => void), {
        name: 'TypeError',
        message: /^Cannot make a handler: fn is (null|of type \w+), must be a function$/,
      });
    }
    assert.throws(() => sockets.handler(echo, { closeTimeout: 'x' } as object), TypeError);
    assert.throws(() => sockets.handler(echo, { onError: 'log' } as object), TypeError);
    assert.throws(() => sockets.handler(echo, { maxPayload: -5 }), RangeError);
  });
});

describe('isWebSocketRequest and requestedProtocols', { timeout: 150_000 }, () => {
  it('tell what the request asks for', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, (req, res) => {
      res.end(JSON.stringify([sockets.isWebSocketRequest(req), sockets.requestedProtocols(req)]));
    });
    sockets.attach(server, (req, res) => {
      res.end(JSON.stringify([sockets.isWebSocketRequest(req), sockets.requestedProtocols(req)]));
    });
    const ask = async (header?: string): Promise<unknown> => {
      const raw = await rawUpgrade(
        t,
        server,
        header === undefined ? {} : { headers: { 'Sec-WebSocket-Protocol': header } },
      );
      return JSON.parse((await raw.readResponse()).body);
    };
    assert.deepEqual(await ask(), [true, []]);
    assert.deepEqual(await ask('v2.chat, v1.chat'), [true, ['v2.chat', 'v1.chat']]);
    assert.deepEqual(await ask('a b, c'), [true, []]);
    assert.deepEqual(await (await fetch(urlOf(server))).json(), [false, []]);
  });
});

describe('maxConnections', { timeout: 150_000 }, () => {
  it('refuses the next one with 503 and Retry-After, and admits again when one has gone', async (t) => {
    const { url, server, sockets } = await serveApp(t, anyFramework, (app, all) => void app.use(all.handler(echo)), {
      maxConnections: 2,
    });
    const first = await connectWs(t, url);
    await connectWs(t, url);
    const { status, headers, body } = await (await rawUpgrade(t, server)).readResponse();
    assert.equal(status, 503);
    assert.equal(headers['retry-after'], '10');
    assert.match(body, /2 connections are open, which is maxConnections/);

    first.close();
    await nextClose(first);
    await eventually(() => sockets.connections.size === 1);
    await connectWs(t, url);
    assert.equal(sockets.connections.size, 2);
  });

  it('counts when an asynchronous decision ends, not when it begins', async (t) => {
    const decisions: Array<(allowed: boolean) => void> = [];
    const { server, sockets } = await serveApp(t, anyFramework, (app, all) => void app.use(all.handler(echo)), {
      maxConnections: 1,
      origin: () => new Promise((resolve) => decisions.push(resolve)),
    });
    const clients = [];
    for (let i = 0; i < 3; i++) {
      clients.push(await rawUpgrade(t, server, { headers: { Origin: 'https://a.example' } }));
      await eventually(() => decisions.length > i);
    }
    for (const decide of decisions) decide(true);
    const statuses = await Promise.all(clients.map(async (client) => (await client.readHead()).status));
    assert.deepEqual(statuses, [101, 503, 503]);
    assert.equal(sockets.connections.size, 1);
  });

  it('refuses for a better reason if there is one', async (t) => {
    const { url, server } = await serveApp(t, anyFramework, (app, all) => void app.use(all.handler(echo)), {
      maxConnections: 1,
      ...refuseAll,
    });
    await connectWs(t, url);
    assert.equal((await (await rawUpgrade(t, server, fromElsewhere)).readResponse()).status, 403);
    const badKey = await rawUpgrade(t, server, { headers: { 'Sec-WebSocket-Key': 'x' } });
    assert.equal((await badKey.readResponse()).status, 400);
  });
});

describe('attach', { timeout: 150_000 }, () => {
  it('serves every instance of the library on that server and app, whoever attached', async (t) => {
    const a = webSockets();
    const b = webSockets();
    const app = anyFramework();
    app.use('/a', a.handler(echo));
    app.use('/b', b.handler(echo));
    const server = await serve(t, app);
    const detachFirst = a.attach(server, app);
    const detachSecond = b.attach(server, app);
    for (const path of ['/a', '/b']) {
      const client = await connectWs(t, webSocketUrlOf(server) + path);
      client.send(path);
      assert.equal(await nextMessage(client), path);
    }
    assert.deepEqual([a.connections.size, b.connections.size], [1, 1]);
    detachFirst();
    detachFirst();
    await connectWs(t, `${webSocketUrlOf(server)}/a`);
    detachSecond();
    assert.equal(server.listenerCount('upgrade'), 0);
  });

  it('leaves requests to others that filter refuses', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    sockets.attach(server, () => assert.fail('filtered out'), { filter: (req) => req.url === '/ours' });
    server.on('upgrade', (_req, socket) => socket.end('HTTP/1.1 418 Mine\r\nContent-Length: 0\r\n\r\n'));
    assert.equal((await (await rawUpgrade(t, server, { path: '/other' })).readHead()).status, 418);
  });

  it('wants a server and an application', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    assert.throws(() => sockets.attach({} as never, () => {}), /no server/);
    assert.throws(() => sockets.attach(server, {} as never), /app is of type object/);
    assert.throws(() => sockets.attach(server, () => {}, { filter: 'x' } as object), /filter is of type string/);
  });

  it('wants options that it knows, as everywhere', async (t) => {
    const sockets = webSockets();
    const server = await serve(t, () => {});
    const wrong: readonly unknown[] = [null, 'x', [], { exlusive: true }, { exclusive: 1 }, { handshakeTimeout: 1 }];
    for (const options of wrong) {
      assert.throws(() => sockets.attach(server, () => {}, options as object), TypeError);
    }
    assert.throws(
      () => sockets.attach(server, () => {}, { path: '/ws' } as object),
      /Cannot use the option path: there is none of that name, must be one of filter, exclusive/,
    );
    assert.equal(server.listenerCount('upgrade'), 0);
    sockets.attach(server, () => {}, { filter: undefined, exclusive: undefined })();
  });
});

describe('a completion callback that throws', { timeout: 150_000 }, () => {
  it('is reported to onError and closes with 1011', async (t) => {
    const { socket, client, errors } = await openWs(t);
    const boom = new Error('callback');
    socket.writeFragment('x', undefined, () => {
      throw boom;
    });
    await once(client, 'close');
    assert.deepEqual(errors, [boom]);
  });
});

describe('compression', { timeout: 150_000 }, () => {
  it('is negotiated where the route has it, and only there', async (t) => {
    const { url } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use('/packed', sockets.handler(echo, { perMessageDeflate: { threshold: 0 } }));
      app.use('/plain', sockets.handler(echo));
    });
    for (const [path, extensions] of [
      ['/packed', 'permessage-deflate'],
      ['/plain', ''],
    ]) {
      const client = await connectWs(t, url + path, [], { perMessageDeflate: true });
      assert.equal(client.extensions, extensions);
      client.send('abc'.repeat(1000));
      assert.equal(await nextMessage(client), 'abc'.repeat(1000));
    }
  });

  it('goes over to ws with the connection', async (t) => {
    const { url } = await serveApp(
      t,
      anyFramework,
      (app, sockets) => {
        app.use(
          sockets.handler(({ ws }) => {
            assert.equal(ws.extensions, 'permessage-deflate');
            ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
          }),
        );
      },
      { perMessageDeflate: { threshold: 0 } },
    );
    const client = await connectWs(t, url, [], { perMessageDeflate: { threshold: 0 } });
    client.send('compressed '.repeat(1000));
    assert.equal(await nextMessage(client), 'compressed '.repeat(1000));
  });
});
