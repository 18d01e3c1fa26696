import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import express, { type ErrorRequestHandler } from 'express';
import { isHttpError } from 'http-errors';
import { WebSocketError } from '../src/errors.js';
import { isWebSocketRequest, performHandshake, requestedProtocols } from '../src/upgrade/handshake.js';
import type { UpgradeRequest } from '../src/upgrade/upgrade-request.js';
import { clientFrame } from './support/frames.js';
import { ACCEPT, type RawRequest, rawUpgrade } from './support/raw-client.js';
import { listen, serve } from './support/servers.js';
import { accept, accepting, assertClean, attached, Deferred, responseTo, terms } from './support/upgrades.js';

const requestWith = (headers: { readonly [name: string]: string }): IncomingMessage => {
  const req = new IncomingMessage(new Socket());
  Object.assign(req.headers, headers);
  return req;
};

describe('isWebSocketRequest()', () => {
  const cases: ReadonlyArray<readonly [connection: string | undefined, upgrade: string | undefined, answer: boolean]> =
    [
      ['Upgrade', 'websocket', true],
      ['upgrade', 'WebSocket', true],
      ['keep-alive, Upgrade', 'websocket', true],
      ['Upgrade,keep-alive', 'h2c , websocket', true],
      ['keep-alive', 'websocket', false],
      ['Upgrade', 'h2c', false],
      ['Upgrade', 'websocketx', false],
      ['Upgradex', 'websocket', false],
      ['Upgrade', 'x-websocket', false],
      ['Upgrade', 'websocket/13', false],
      [undefined, 'websocket', false],
      ['Upgrade', undefined, false],
    ];
  for (const [connection, upgrade, answer] of cases) {
    it(`is ${answer} for Connection: ${connection} and Upgrade: ${upgrade}`, () => {
      const headers = { ...(connection && { connection }), ...(upgrade && { upgrade }) };
      assert.equal(isWebSocketRequest(requestWith(headers)), answer);
    });
  }
});

describe('requestedProtocols()', () => {
  it('lists what the client offers, in its order', () => {
    assert.deepEqual(requestedProtocols(requestWith({ 'sec-websocket-protocol': 'b, a' })), ['b', 'a']);
  });

  it('is empty if the client offers nothing, or an invalid list', () => {
    assert.deepEqual(requestedProtocols(requestWith({})), []);
    assert.deepEqual(requestedProtocols(requestWith({ 'sec-websocket-protocol': 'a, a' })), []);
  });
});

describe('performHandshake()', () => {
  it('answers with the 101 of RFC 6455 section 4.2.2', async (t) => {
    const client = await rawUpgrade(t, await accepting(t));
    const { status, reason, lines } = await client.readHead();

    assert.equal(status, 101);
    assert.equal(reason, 'Switching Protocols');
    assert.deepEqual(lines, [
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
      ['Sec-WebSocket-Accept', ACCEPT],
    ]);
    await assertClean(client);
  });

  it('works over TLS', async (t) => {
    const server = await attached(t, (req) => accept(req), { secure: true });
    const client = await rawUpgrade(t, server, { headers: { Origin: 'https://localhost' } });
    assert.equal((await client.readHead()).status, 101);
    await assertClean(client);
  });

  it('is synchronous and calls open before anything can arrive', async (t) => {
    const seen: string[] = [];
    const server = await attached(t, (req) => {
      const result = performHandshake(
        req,
        terms(({ socket }, upgrade) => {
          seen.push(`accepted ${upgrade.accepted}, flowing ${socket.readableFlowing}`);
          return 'opened';
        }),
      );
      seen.push(String(result));
    });
    await (await rawUpgrade(t, server)).readHead();
    assert.deepEqual(seen, ['accepted true, flowing null', 'opened']);
  });

  it('tells open everything about the upgrade request', async (t) => {
    let seen: UpgradeRequest | undefined;
    const before = Date.now();
    const server = await attached(
      t,
      (req, res) =>
        void performHandshake(
          req,
          terms(({ socket, head }, upgrade) => {
            seen = upgrade;
            assert.equal(upgrade.req, req);
            assert.equal(upgrade.res, res);
            assert.equal(upgrade.socket, socket);
            assert.equal(upgrade.head, head);
            assert.equal(upgrade.events, undefined);
          }),
        ),
    );
    await (await rawUpgrade(t, server)).readHead();
    assert.ok(seen?.accepted);
    assert.equal(seen.gone, false);
    assert.ok(seen.receivedAt >= before && seen.receivedAt <= Date.now());
  });

  for (const [when, wait] of [
    ['at once', false],
    ['late', true],
  ] as const) {
    it(`loses no byte that the client sent with the request or behind it (${when} accepted)`, async (t) => {
      const server = await attached(t, async (req) => {
        if (wait) await once(req.socket, 'readable-in-vain', { signal: AbortSignal.timeout(60) }).catch(() => {});
        await accept(req);
      });
      const frame = clientFrame({ payload: 'early' });
      const client = await rawUpgrade(t, server, { tail: frame });
      client.write('later');
      await client.readHead();
      assert.deepEqual(await client.read(frame.length + 5), Buffer.concat([frame, Buffer.from('later')]));
    });
  }

  describe('refuses', () => {
    const refused: ReadonlyArray<
      readonly [what: string, request: RawRequest, status: number, message: RegExp, headers?: Record<string, string>]
    > = [
      ['another method', { method: 'POST' }, 405, /its method is POST, must be GET/, { allow: 'GET' }],
      ['a request without a host', { headers: { Host: undefined } }, 400, /Host is missing/],
      ['HTTP/1.0', { version: '1.0' }, 400, /it uses HTTP\/1\.0, must be HTTP\/1\.1/],
      [
        'a request without a version',
        { headers: { 'Sec-WebSocket-Version': undefined } },
        426,
        /Sec-WebSocket-Version is missing, must be 13/,
        { 'sec-websocket-version': '13', upgrade: 'websocket' },
      ],
      ...['8', '7', '14', '013', '13.0', 'x', '13, 13'].map(
        (version) =>
          [
            `version ${version}`,
            { headers: { 'Sec-WebSocket-Version': version } },
            426,
            new RegExp(`Sec-WebSocket-Version is ${version}, must be 13`),
            { 'sec-websocket-version': '13', upgrade: 'websocket' },
          ] as const,
      ),
      ['a request without a key', { headers: { 'Sec-WebSocket-Key': undefined } }, 400, /Sec-WebSocket-Key is missing/],
      ...['', 'short', 'dGhlIHNhbXBsZSBub25jZQ=', 'dGhlIHNhbXBsZSBub25jZQ==x', 'dGhlIHNhbXBsZSBub2!jZQ=='].map(
        (key) =>
          [
            `the key ${JSON.stringify(key)}`,
            { headers: { 'Sec-WebSocket-Key': key } },
            400,
            /Sec-WebSocket-Key is invalid, must be 16 bytes in base64/,
          ] as const,
      ),
      [
        'two keys',
        { headers: { 'Sec-WebSocket-Key': ['dGhlIHNhbXBsZSBub25jZQ==', 'dGhlIHNhbXBsZSBub25jZQ=='] } },
        400,
        /Sec-WebSocket-Key is invalid/,
      ],
    ];
    for (const [what, request, status, message, headers = {}] of refused) {
      it(`${what} with ${status}`, async (t) => {
        const response = await responseTo(t, await accepting(t), request);
        assert.equal(response.status, status);
        assert.match(response.body, message);
        assert.equal(response.headers['connection'], 'close');
        for (const [name, value] of Object.entries(headers)) assert.equal(response.headers[name], value);
      });
    }

    it('with http errors that error middleware can render', async (t) => {
      const app = express();
      app.use((req, _res, next) => void Promise.resolve(accept(req)).then(() => next(), next));
      app.use(((error, _req, res, _next) => {
        assert.ok(isHttpError(error));
        res.status(error.status).json({ error: error.message });
      }) satisfies ErrorRequestHandler);
      const server = await attached(t, app);
      const response = await responseTo(t, server, { headers: { Origin: 'http://evil.example' } });
      assert.equal(response.status, 403);
      assert.equal(response.headers['content-type'], 'application/json; charset=utf-8');
      assert.match(JSON.parse(response.body).error, /origin http:\/\/evil.example is not allowed/);
    });
  });

  it('understands lists and any case in Upgrade and Connection, and several lines', async (t) => {
    const server = await accepting(t);
    for (const headers of [
      { Upgrade: 'h2c, WebSocket' },
      { Upgrade: ['foo', 'websocket'] },
      { UPGRADE: 'WEBSOCKET', CONNECTION: 'UPGRADE' },
      { Connection: 'keep-alive, upgrade' },
      { Connection: ['keep-alive', 'Upgrade'] },
    ]) {
      const client = await rawUpgrade(t, server, { headers });
      assert.equal((await client.readHead()).status, 101, JSON.stringify(headers));
      await assertClean(client);
    }
  });

  it('throws 426 for a request that does not ask for a WebSocket', async (t) => {
    const server = await serve(t, (req, res) => {
      try {
        void accept(req);
      } catch (error) {
        assert.ok(isHttpError(error));
        res.writeHead(error.status, error.headers).end(error.message);
      }
    });
    const response = await responseTo(t, server, { headers: { Upgrade: undefined, Connection: 'close' } });
    assert.equal(response.status, 426);
    assert.equal(response.headers['upgrade'], 'websocket');
    assert.match(response.body, /does not ask for a WebSocket, connect with ws:\/\/ or wss:\/\//);
  });

  it('throws an error that names attach() if the request did not come through it', async (t) => {
    let seen: unknown;
    const server = await serve(t, (req, res) => {
      try {
        void accept(req);
      } catch (error) {
        seen = error;
        res.end();
      }
    });
    await responseTo(t, server, {});
    assert.ok(seen instanceof WebSocketError && isHttpError(seen));
    assert.equal(seen.code, 'ERR_WEBSOCKET_NOT_ATTACHED');
    assert.equal(seen.status, 500);
    assert.match(seen.message, /call attach\(server, app\)/);
  });

  it('throws it too for an upgrade that somebody else dispatches', async (t) => {
    const codes: unknown[] = [];
    const server = createServer();
    server.on('upgrade', (req, socket) => {
      try {
        void accept(req);
      } catch (error) {
        codes.push(error instanceof WebSocketError && error.code);
        socket.end('HTTP/1.1 500 No\r\n\r\n');
      }
    });
    await listen(t, server);
    await responseTo(t, server, {});
    assert.deepEqual(codes, ['ERR_WEBSOCKET_NOT_ATTACHED']);
  });

  describe('subprotocol', () => {
    const offering = (protocols: string): RawRequest => ({ headers: { 'Sec-WebSocket-Protocol': protocols } });

    it('is confirmed by the preference of the server', async (t) => {
      const server = await accepting(t, { subProtocols: ['v2', 'v1'] });
      const { headers } = await (await rawUpgrade(t, server, offering('v1, v2, token-42'))).readHead();
      assert.equal(headers['sec-websocket-protocol'], 'v2');
    });

    it('is never one that the server does not list', async (t) => {
      for (const subProtocols of [['v1'], []]) {
        const server = await accepting(t, { subProtocols });
        const { headers, status } = await (await rawUpgrade(t, server, offering('secret-token, other'))).readHead();
        assert.equal(status, 101);
        assert.equal(headers['sec-websocket-protocol'], undefined);
      }
    });

    it('does not fail the handshake if the list is invalid', async (t) => {
      const server = await accepting(t, { subProtocols: ['a'] });
      for (const list of ['a, a', 'a,,b c', '"a"', '']) {
        const { headers, status } = await (await rawUpgrade(t, server, offering(list))).readHead();
        assert.equal(status, 101, list);
        assert.equal(headers['sec-websocket-protocol'], undefined, list);
      }
    });

    it('is refused with 500 and the cause if the chooser chooses what was not offered', async (t) => {
      const server = await accepting(t, { subProtocols: () => 'x\r\nSet-Cookie: evil=1' });
      const response = await responseTo(t, server, offering('a'));
      assert.equal(response.status, 500);
      assert.equal(response.headers['set-cookie'], undefined);
    });
  });

  it('is performed once, though a function that decides on it accepts by itself', async (t) => {
    for (const option of ['origin', 'subProtocols']) {
      const errors: unknown[] = [];
      const server = await attached(t, (req) => {
        const acceptingItself = (): true | undefined => {
          void accept(req, { origin: 'any' });
          return option === 'origin' ? true : undefined;
        };
        try {
          void accept(req, { origin: 'any', [option]: acceptingItself });
        } catch (error) {
          errors.push(error);
        }
      });
      const client = await rawUpgrade(t, server, { headers: { Origin: 'http://a.example' } });
      assert.equal((await client.readHead()).status, 101);
      assert.match(String(errors[0]), /it has been accepted already/);
      await assertClean(client);
    }
  });

  describe('extensions', () => {
    const offering = (extensions: string): RawRequest => ({ headers: { 'Sec-WebSocket-Extensions': extensions } });

    it('are negotiated as the route wants them', async (t) => {
      const offer = offering('permessage-deflate; client_max_window_bits');
      const on = await (await rawUpgrade(t, await accepting(t, { perMessageDeflate: true }), offer)).readHead();
      assert.equal(
        on.headers['sec-websocket-extensions'],
        'permessage-deflate; server_no_context_takeover; client_no_context_takeover',
      );
      const off = await (await rawUpgrade(t, await accepting(t), offer)).readHead();
      assert.equal(off.headers['sec-websocket-extensions'], undefined);
    });

    it('are declined where they cannot be agreed to, and another offer of the list is taken', async (t) => {
      const server = await accepting(t, { perMessageDeflate: true });
      const agreed = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
      for (const [offer, extensions] of [
        ['permessage-deflate; client_max_window_bits=16', undefined],
        ['permessage-deflate; foo, permessage-deflate', agreed],
        ['permessage-deflate; client_no_context_takeover=1', undefined],
        ['x-other; a=1', undefined],
        ['x-other; a="1", permessage-deflate; server_max_window_bits="8", permessage-deflate', agreed],
      ] as const) {
        const client = await rawUpgrade(t, server, offering(offer));
        const { status, headers } = await client.readHead();
        assert.deepEqual([status, headers['sec-websocket-extensions']], [101, extensions], offer);
      }
    });

    it('are refused with 400 if they are malformed, in a complete response', async (t) => {
      const server = await accepting(t, { perMessageDeflate: true });
      const response = await responseTo(t, server, offering('permessage-deflate; =='));
      assert.equal(response.status, 400);
      assert.match(response.body, /Sec-WebSocket-Extensions is malformed at character 19, must have a parameter there/);
    });

    it('are not looked at where there is nothing to agree on', async (t) => {
      const client = await rawUpgrade(t, await accepting(t), offering('permessage-deflate; =='));
      assert.equal((await client.readHead()).status, 101);
    });
  });

  it('closes the connection and throws if open throws, also if nothing can end the response', async (t) => {
    const cause = new Error('open');
    const errors: unknown[] = [];
    const server = await attached(t, (req, res, next) => {
      res.end = () => {
        throw new Error('end');
      };
      try {
        void performHandshake(
          req,
          terms(() => {
            throw cause;
          }),
        );
      } catch (error) {
        errors.push(error);
        next(error);
      }
    });
    const client = await rawUpgrade(t, server);
    await client.closed();
    assert.equal(errors[0], cause);
    assert.match(client.received.toString(), /^HTTP\/1\.1 101 [\s\S]*\r\n\r\n$/);
  });

  for (const [when, wait] of [
    ['at once', false],
    ['late', true],
  ] as const) {
    it(`leaves nothing of its own on the socket (${when} accepted)`, async (t) => {
      const events = ['error', 'close', 'drain', 'data', 'readable', 'end'];
      const seen = new Deferred<unknown>();
      const server = await attached(t, async (req) => {
        const { socket } = req;
        const ofNode = socket.listenerCount('end');
        if (wait) await new Promise(setImmediate);
        void performHandshake(
          req,
          terms(() => {}),
        );
        await new Promise(setImmediate);
        seen.resolve([...events.map((event) => socket.listenerCount(event)), ofNode]);
      });
      await (await rawUpgrade(t, server)).readHead();
      const [error, close, drain, data, readable, end, ofNode] = (await seen.promise) as number[];
      // The one 'close' listener is that of the server of the test
      assert.deepEqual([error, close, drain, data, readable, end], [0, 1, 0, 0, 0, ofNode]);
    });
  }
});
