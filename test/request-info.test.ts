import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import cookieParser from 'cookie-parser';
import express from 'express';
import express4 from 'express4';
import * as info from '../src/context/request-info.js';
import { type WebSocketContext, webSockets } from '../src/index.js';
import { eventually } from './support/apps.js';
import { openRaw } from './support/open-pair.js';
import { KEY, type RawRequest, rawUpgrade } from './support/raw-client.js';
import { serve, type TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** A request that never came over a wire. */
const request = (facts: object = {}, socket: object = {}): IncomingMessage => {
  const req = new IncomingMessage(new Socket());
  Object.defineProperty(req, 'socket', { value: socket });
  return Object.assign(req, { url: '/' }, facts);
};

/** The facts of a handshake in an Express application with cookie-parser, seen from the context. */
const inExpress = async (
  t: TestContext,
  rawRequest: RawRequest,
  { trustProxy = false, create = express }: { trustProxy?: unknown; create?: () => express.Express } = {},
): Promise<WebSocketContext> => {
  const sockets = webSockets();
  const app = create();
  app.set('trust proxy', trustProxy);
  const router = express.Router();
  const accepted = new Promise<WebSocketContext>((resolve, reject) => {
    router.get('/room/:id', async (req, res) => {
      res.locals['from'] = 'middleware';
      sockets.accept(req).then(resolve, reject);
    });
  });
  app.use(cookieParser(), (req, _res, next) => {
    Object.assign(req, { user: { name: 'ada' } });
    next();
  });
  app.use('/mounted', router);
  const server = await serve(t, app);
  sockets.attach(server, app);
  const raw = await rawUpgrade(t, server, { path: '/mounted/room/7?q=1', ...rawRequest });
  assert.equal((await raw.readHead()).status, 101);
  return accepted;
};

describe('requestUri', () => {
  const uri = (facts: object, socket: object = {}): string => info.requestUri(request(facts, socket)).href;

  it('is what the client asked for', () => {
    assert.equal(uri({ url: '/a/b?c=d', headers: { host: 'example.com:8080' } }), 'http://example.com:8080/a/b?c=d');
    assert.equal(uri({ headers: { host: 'example.com' } }, { encrypted: true }), 'https://example.com/');
  });

  it('takes the URL that Express keeps while it mounts', () => {
    assert.equal(uri({ url: '/b', originalUrl: '/a/b', headers: { host: 'x' } }), 'http://x/a/b');
  });

  it('takes the authority of an absolute target', () => {
    assert.equal(uri({ url: 'http://other.example/x', headers: { host: 'x' } }), 'http://other.example/x');
  });

  it('is that of localhost where a host is longer than any name can be', () => {
    const long = 'a'.repeat(1025);
    assert.equal(uri({ url: '/x', headers: { host: long } }), 'http://localhost/x');
    for (const url of [`http://${long}/x`, `http:${long}`, `http:\\\\${long}`]) {
      assert.equal(uri({ url, headers: { host: 'x' } }), 'http://x/', url);
    }
    assert.equal(uri({ url: '*', headers: { host: 'x' } }), 'http://x/');
  });

  it('does not let a path name another host', () => {
    assert.equal(
      uri({ url: '//evil.example/x', headers: { host: 'good.example' } }),
      'http://good.example//evil.example/x',
    );
  });

  it('is that of localhost where Host is missing or none', () => {
    for (const host of [undefined, '', 'a/b', 'user@host', 'a b', 'a:99999', '[::1', '#']) {
      assert.equal(uri({ url: '/x', headers: { host } }), 'http://localhost/x');
    }
    assert.equal(uri({ headers: { host: '[::1]:80' } }), 'http://[::1]/');
  });

  it('falls back to the root for a target that is no URL', () => {
    assert.equal(uri({ url: '*', headers: { host: 'x' } }), 'http://x/');
    assert.equal(uri({ url: undefined, headers: { host: 'x' } }), 'http://x/');
  });
});

describe('isLocal', () => {
  it('believes the addresses of the connection only', () => {
    const isLocal = (remoteAddress?: string, localAddress?: string): boolean =>
      info.isLocal(request({ headers: { 'x-forwarded-for': '127.0.0.1' } }, { remoteAddress, localAddress }));
    assert(isLocal('127.0.0.1'));
    assert(isLocal('127.8.9.10'));
    assert(isLocal('::1'));
    assert(isLocal('::ffff:127.0.0.1'));
    assert(isLocal('192.0.2.1', '192.0.2.1'));
    assert(isLocal('::ffff:192.0.2.1', '192.0.2.1'));
    assert(!isLocal('192.0.2.1', '192.0.2.2'));
    assert(!isLocal('192.0.2.1'));
    assert(!isLocal());
  });
});

describe('cookies', () => {
  it('are decoded where that is possible, and left alone where it is not', () => {
    const cookie = 'a=%e2%82%ACx%20; b=%e2%82; c=%ff%20; d=%4; e=%zz; f=%C0%80; g=%ED%A0%80; h=%20%ff; i=1%; j="%41"';
    assert.deepEqual(
      { ...info.cookies(request({ headers: { cookie } })) },
      {
        a: '€x ',
        b: '%e2%82',
        c: '%ff%20',
        d: '%4',
        e: '%zz',
        f: '%C0%80',
        g: '%ED%A0%80',
        h: '%20%ff',
        i: '1%',
        j: '"A"',
      },
    );
  });

  it('are parsed from the header where nobody has', () => {
    assert.deepEqual(
      { ...info.cookies(request({ headers: { cookie: 'a=1; b=%20; c=%' } })) },
      { a: '1', b: ' ', c: '%' },
    );
    assert.deepEqual({ ...info.cookies(request({ headers: {} })) }, {});
  });

  it('are decoded where decodeURIComponent could, byte by byte', () => {
    const decoded = (value: string): string => {
      try {
        return decodeURIComponent(value);
      } catch {
        return value;
      }
    };
    // Every lead, with the bounds of what may follow it (RFC 3629, section 4)
    const bounds = ['', '%7F', '%80', '%8F', '%90', '%9F', '%A0', '%BF', '%C0'];
    for (let lead = 0; lead < 256; lead++) {
      const first = `%${lead.toString(16).padStart(2, '0')}`;
      for (const second of bounds) {
        for (const rest of ['', '%80', '%80%BF', '%7F%80', '%80%C0', 'x%41']) {
          const value = first + second + rest;
          assert.equal(info.cookies(request({ headers: { cookie: `a=${value}` } }))['a'], decoded(value), value);
        }
      }
    }
  });

  it('are those of cookie-parser if it ran', () => {
    const cookies = { a: 'parsed' };
    assert.equal(info.cookies(request({ headers: { cookie: 'a=raw' }, cookies })), cookies);
  });

  it('have no properties but their own', () => {
    assert.equal(info.cookies(request({ headers: {} }))['constructor'], undefined);
  });
});

describe('user and isAuthenticated', () => {
  it('are what authentication middleware has set', () => {
    const user = { name: 'ada' };
    assert.equal(info.user(request({ user })), user);
    assert.equal(info.user(request()), undefined);
    assert(info.isAuthenticated(request({ user })));
    assert(!info.isAuthenticated(request({ user: null })));
    assert(!info.isAuthenticated(request()));
  });

  it('believe isAuthenticated() where there is one', () => {
    assert(!info.isAuthenticated(request({ user: {}, isAuthenticated: () => false })));
    assert(info.isAuthenticated(request({ isAuthenticated: () => true })));
  });
});

describe('userHostAddress', () => {
  it('is req.ip where there is one, and otherwise the peer', () => {
    assert.equal(info.userHostAddress(request({ ip: '192.0.2.9' }, { remoteAddress: '192.0.2.1' })), '192.0.2.9');
    assert.equal(info.userHostAddress(request({}, { remoteAddress: '192.0.2.1' })), '192.0.2.1');
  });
});

for (const [name, create] of [
  ['Express 5', express],
  ['Express 4', express4 as never as typeof express],
] as const) {
  describe(`the facts of a handshake in ${name}`, { timeout: 150_000 }, () => {
    it('are getters of the context', async (t) => {
      const before = Date.now();
      const socket = await inExpress(
        t,
        {
          headers: {
            Host: 'localhost:1234',
            Origin: 'http://localhost:1234',
            Cookie: 'sid=abc',
            'User-Agent': 'tester',
            'Sec-WebSocket-Protocol': 'v2, v1',
          },
        },
        { create },
      );
      assert.equal(socket.origin, 'http://localhost:1234');
      assert.equal(socket.secWebSocketKey, KEY);
      assert.equal(socket.secWebSocketVersion, '13');
      assert.deepEqual(socket.secWebSocketProtocols, ['v2', 'v1']);
      assert.equal(socket.subProtocol, undefined);
      assert.equal(socket.requestUri.href, 'http://localhost:1234/mounted/room/7?q=1');
      assert.equal(socket.isSecureConnection, false);
      assert.equal(socket.isLocal, true);
      assert.equal(socket.isClientConnected, true);
      assert.equal(socket.userHostAddress, '127.0.0.1');
      assert.equal(socket.userAgent, 'tester');
      assert.equal(socket.cookies['sid'], 'abc');
      assert.deepEqual({ ...socket.items }, { from: 'middleware' });
      assert.deepEqual(socket.user, { name: 'ada' });
      assert.equal(socket.isAuthenticated, true);
      assert(socket.timestamp instanceof Date);
      assert(socket.timestamp.getTime() >= before && socket.timestamp.getTime() <= Date.now());
    });

    const proxied: RawRequest = {
      headers: {
        Host: 'backend:3000',
        'X-Forwarded-For': '203.0.113.5',
        'X-Forwarded-Proto': 'https',
        'X-Forwarded-Host': 'www.example.com',
      },
    };

    it('believe a proxy that trust proxy trusts', async (t) => {
      const socket = await inExpress(t, proxied, { create, trustProxy: 'loopback' });
      assert.equal(socket.requestUri.href, 'https://www.example.com/mounted/room/7?q=1');
      assert.equal(socket.isSecureConnection, true);
      assert.equal(socket.userHostAddress, '203.0.113.5');
      assert.equal(socket.isLocal, true);
    });

    it('believe no proxy otherwise', async (t) => {
      const socket = await inExpress(t, proxied, { create });
      assert.equal(socket.requestUri.href, 'http://backend:3000/mounted/room/7?q=1');
      assert.equal(socket.isSecureConnection, false);
      assert.equal(socket.userHostAddress, '127.0.0.1');
    });
  });
}

describe('the facts of a handshake', { timeout: 150_000 }, () => {
  it('are there without any framework', async (t) => {
    const { socket } = await openRaw(t);
    assert.equal(socket.origin, undefined);
    assert.equal(socket.userAgent, undefined);
    assert.equal(socket.user, undefined);
    assert.equal(socket.isAuthenticated, false);
    assert.deepEqual({ ...socket.items }, {});
    assert.deepEqual({ ...socket.cookies }, {});
    assert.deepEqual(socket.secWebSocketProtocols, []);
    assert.equal(socket.userHostAddress, '127.0.0.1');
    assert.equal(socket.requestUri.pathname, '/');
  });

  it('tell of TLS', async (t) => {
    const { socket } = await openRaw(t, {}, { secure: true });
    assert.equal(socket.isSecureConnection, true);
    assert.equal(socket.requestUri.protocol, 'https:');
  });

  it('stay when the connection has gone', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.reset();
    await socket.closed;
    await eventually(() => socket.request.socket.destroyed);
    assert.equal(socket.isClientConnected, false);
    assert.equal(socket.userHostAddress, '127.0.0.1');
    assert.equal(socket.isLocal, true);
    assert.equal(socket.secWebSocketKey, KEY);
  });

  it('are empty where a request lost its headers', async (t) => {
    const { socket } = await openRaw(t);
    Object.defineProperty(socket.request, 'headers', { value: {} });
    assert.equal(socket.secWebSocketKey, undefined);
    assert.equal(socket.secWebSocketVersion, '');
  });
});
