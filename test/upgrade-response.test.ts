import assert from 'node:assert/strict';
import { type IncomingMessage, ServerResponse } from 'node:http';
import { Stream } from 'node:stream';
import { describe, it } from 'node:test';
import compression from 'compression';
import connect from 'connect';
import cookieParser from 'cookie-parser';
import cors from 'cors';
import express from 'express';
import session, { MemoryStore } from 'express-session';
import express4 from 'express4';
import helmet from 'helmet';
import createError from 'http-errors';
import morgan from 'morgan';
import responseTime from 'response-time';
import { ACCEPT, rawUpgrade } from './support/raw-client.js';
import { accept, assertClean, attached, Deferred, responseTo } from './support/upgrades.js';

describe('the headers of the response', () => {
  it('go out with the 101, in their case and order, each cookie on a line of its own', async (t) => {
    const server = await attached(t, (req, res) => {
      res.setHeader('X-CamelCase', 'kept');
      res.setHeader('Set-Cookie', ['a=1; HttpOnly', 'b=2']);
      res.setHeader('Content-Security-Policy', "default-src 'none'");
      res.setHeader('X-Number', 42);
      return accept(req);
    });
    const { lines } = await (await rawUpgrade(t, server)).readHead();
    assert.deepEqual(lines.slice(3), [
      ['X-CamelCase', 'kept'],
      ['Set-Cookie', 'a=1; HttpOnly'],
      ['Set-Cookie', 'b=2'],
      ['Content-Security-Policy', "default-src 'none'"],
      ['X-Number', '42'],
    ]);
  });

  it('all go out, whichever of them was set last and however', async (t) => {
    const ways: ReadonlyArray<readonly [expected: string, set: (res: ServerResponse) => unknown]> = [
      [
        'X-First: 2, X-Second: 1',
        (res) => res.setHeader('X-First', '1').setHeader('X-Second', '1').setHeader('X-First', '2'),
      ],
      [
        'X-Second: 1',
        (res) => {
          res.setHeader('X-First', '1').removeHeader('X-First');
          res.appendHeader('X-Second', '1');
        },
      ],
      ['', (res) => res.setHeader('X-First', '1').removeHeader('X-First')],
    ];
    for (const [expected, set] of ways) {
      const server = await attached(t, (req, res) => {
        set(res);
        return accept(req);
      });
      const { lines } = await (await rawUpgrade(t, server)).readHead();
      assert.equal(
        lines
          .slice(3)
          .map((line) => line.join(': '))
          .join(', '),
        expected,
      );
    }
  });

  it('do not go out where they would speak of a connection or a body', async (t) => {
    const server = await attached(t, (req, res) => {
      for (const name of [
        'Connection',
        'Keep-Alive',
        'Proxy-Connection',
        'TE',
        'Trailer',
        'Upgrade',
        'Content-Type',
        'Content-Encoding',
        'Content-Range',
        'Sec-WebSocket-Accept',
        'Sec-WebSocket-Protocol',
        'Sec-WebSocket-Extensions',
        'sec-websocket-anything',
      ]) {
        res.setHeader(name, 'x');
      }
      res.setHeader('Content-Length', 5);
      res.setHeader('X-Kept', '1');
      return accept(req);
    });
    const client = await rawUpgrade(t, server);
    const { lines } = await client.readHead();
    assert.deepEqual(lines, [
      ['Upgrade', 'websocket'],
      ['Connection', 'Upgrade'],
      ['Sec-WebSocket-Accept', ACCEPT],
      ['X-Kept', '1'],
    ]);
    await assertClean(client);
  });

  it('do not go out with chunked encoding', async (t) => {
    const server = await attached(t, (req, res) => {
      res.setHeader('Transfer-Encoding', 'chunked');
      return accept(req);
    });
    const client = await rawUpgrade(t, server);
    assert.equal((await client.readHead()).headers['transfer-encoding'], undefined);
    await assertClean(client);
  });

  it('are those of the 101, and the response says so, whether or not anybody waits for its head', async (t) => {
    const seen: unknown[] = [];
    for (const isAwaited of [false, true]) {
      const server = await attached(t, (req, res) => {
        const { writeHead } = res;
        if (isAwaited) res.writeHead = (status: number) => Reflect.apply(writeHead, res, [status]);
        res.setHeader('Trailer', 'X-Sum');
        res.setHeader('X-Kept', '1');
        void accept(req);
        seen.push([res.statusCode, res.statusMessage, res.headersSent, res.getHeader('X-Kept')]);
      });
      const { lines } = await (await rawUpgrade(t, server)).readHead();
      assert.deepEqual(lines.slice(3), [['X-Kept', '1']]);
    }
    const expected = [101, 'Switching Protocols', true, '1'];
    assert.deepEqual(seen, [expected, expected]);
  });

  it('include those that somebody adds who has put a wrapper around writeHead of all responses, before and after', async (t) => {
    const server = await attached(t, (req) => accept(req));
    const { writeHead } = ServerResponse.prototype;
    t.after(() => {
      ServerResponse.prototype.writeHead = writeHead;
    });
    const added: (string | undefined)[] = [];
    for (const wrap of [false, true, false]) {
      ServerResponse.prototype.writeHead = wrap
        ? function (this: ServerResponse, ...args: unknown[]) {
            this.setHeader('X-Added', '1');
            return Reflect.apply(writeHead, this, args);
          }
        : writeHead;
      added.push((await (await rawUpgrade(t, server)).readHead()).headers['x-added']);
    }
    assert.deepEqual(added, [undefined, '1', undefined]);
  });

  it('go out with the bytes that Node would send', async (t) => {
    const server = await attached(t, (req, res) => {
      res.setHeader('X-Latin', '\u00e9\u00ff');
      return accept(req);
    });
    assert.equal((await (await rawUpgrade(t, server)).readHead()).headers['x-latin'], '\u00e9\u00ff');
  });

  it('include those that a wrapper of writeHead adds, in each form that Node takes', async (t) => {
    for (const [headers, expected] of [
      [
        { 'X-Added': '1', 'Set-Cookie': ['a', 'b'] },
        [
          ['X-Added', '1'],
          ['Set-Cookie', 'a'],
          ['Set-Cookie', 'b'],
        ],
      ],
      [
        ['X-Added', '1', 'X-Added', '2'],
        [
          ['X-Added', '1'],
          ['X-Added', '2'],
        ],
      ],
      [
        [
          ['X-Added', '1'],
          ['X-Other', '2'],
        ],
        [
          ['X-Added', '1'],
          ['X-Other', '2'],
        ],
      ],
      [undefined, [['X-Added', '0']]],
      [null, [['X-Added', '0']]],
    ] as const) {
      const server = await attached(t, (req, res) => {
        const inner = res.writeHead;
        res.setHeader('X-Added', '0');
        res.writeHead = (status: number) => Reflect.apply(inner, res, [status, 'Reason', headers]);
        return accept(req);
      });
      const { lines } = await (await rawUpgrade(t, server)).readHead();
      assert.deepEqual(lines.slice(3), expected);
    }
  });

  it('go out with any other status as Node writes them', async (t) => {
    const server = await attached(t, (_req, res) => res.writeHead(402, 'Pay First', { 'X-Price': '1' }).end('pay'));
    const response = await responseTo(t, server);
    assert.deepEqual([response.status, response.reason, response.headers['x-price']], [402, 'Pay First', '1']);
  });

  it('cannot smuggle in a line, though a list be changed behind the back of Node', async (t) => {
    const errors: unknown[] = [];
    const server = await attached(t, (req, res) => {
      const cookies = ['a=1'];
      res.setHeader('Set-Cookie', cookies);
      cookies[0] = 'a=1\r\nX-Evil: 1';
      try {
        void accept(req);
      } catch (error) {
        errors.push(error);
        req.socket.destroy();
      }
    });
    const client = await rawUpgrade(t, server);
    await client.closed();
    assert.equal(client.received.length, 0);
    assert.equal(Reflect.get(Object(errors[0]), 'code'), 'ERR_INVALID_CHAR');
  });

  it('are decided by hooks, and one that fails leaves the response as it was', async (t) => {
    const server = await attached(t, (req, res, next) => {
      const inner = res.writeHead;
      res.writeHead = () => {
        throw new Error('hook');
      };
      try {
        void accept(req);
      } catch (error) {
        res.writeHead = inner;
        assert.equal(res.statusCode, 200);
        next(error);
      }
    });
    const response = await responseTo(t, server, {});
    assert.equal(response.status, 500);
    assert.match(response.body, /hook/);
  });
});

describe('the middleware of Express', () => {
  for (const [name, make] of [
    ['Express 5', express],
    ['Express 4', express4],
    ['Connect', connect],
  ] as const) {
    it(`has its say on the 101, its sessions stored and its request logged (${name})`, async (t) => {
      const store = new MemoryStore();
      const stored = new Deferred<unknown>();
      const set = store.set.bind(store);
      store.set = (id, data, callback) =>
        set(id, data, (error) => {
          stored.resolve(data);
          callback?.(error);
        });
      const logged = new Deferred<string>();
      const app = make() as ReturnType<typeof connect>;
      app.use(morgan('tiny', { stream: { write: logged.resolve } }) as connect.NextHandleFunction);
      app.use(responseTime() as connect.NextHandleFunction);
      app.use(compression({ threshold: 0, filter: () => true }) as connect.NextHandleFunction);
      app.use(helmet() as connect.NextHandleFunction);
      app.use(cors() as connect.NextHandleFunction);
      app.use(cookieParser() as connect.NextHandleFunction);
      app.use(session({ store, secret: 's', resave: false, saveUninitialized: false }) as connect.NextHandleFunction);
      app.use((req: IncomingMessage & { session?: { views?: number } }, _res, next) => {
        if (req.session) req.session.views = 1;
        next();
      });
      app.use('/ws', (req) => void accept(req));
      const server = await attached(t, app);

      const client = await rawUpgrade(t, server, { path: '/ws?x=1' });
      const { status, headers } = await client.readHead();

      assert.equal(status, 101);
      assert.match(headers['set-cookie'] ?? '', /^connect\.sid=/);
      assert.equal(headers['access-control-allow-origin'], '*');
      assert.match(headers['content-security-policy'] ?? '', /default-src/);
      assert.match(headers['x-response-time'] ?? '', /ms$/);
      assert.equal(headers['content-encoding'], undefined);
      assert.deepEqual(Reflect.get(Object(await stored.promise), 'views'), 1);
      assert.match(await logged.promise, /^GET \/ws\?x=1 101 - - [\d.]+ ms\n$/);
      await assertClean(client);
    });
  }
});

describe('properties of a response that are looked at', () => {
  it('can be defined anew', async (t) => {
    const server = await attached(t, (_req, res) => {
      for (const name of ['headersSent', 'writableEnded']) {
        const get = (): unknown => Reflect.get(Object.getPrototypeOf(res), name, res);
        Object.defineProperty(res, name, { configurable: true, get });
      }
      res.end('as ever');
    });
    assert.equal((await responseTo(t, server)).body, 'as ever');
  });
});

describe('methods of a response that write', () => {
  /** What a newer version of Node might add. */
  const future = {
    writeFuture(this: object, head: string, callback?: () => void): unknown {
      return Reflect.apply(Reflect.get(this, '_writeRaw'), this, [head, 'ascii', callback]);
    },
    writeNothing(this: object, head: string): unknown {
      return Reflect.apply(Reflect.get(this, '_writeRaw'), this, [head]);
    },
  };

  const names = (prototype: object | null): string[] =>
    prototype === null || prototype === Stream.prototype
      ? []
      : [...Object.getOwnPropertyNames(prototype), ...names(Object.getPrototypeOf(prototype))];

  const call = (res: ServerResponse, name: string, args: readonly unknown[]): void => {
    try {
      Reflect.apply(Reflect.get(res, name), res, args);
    } catch {
      // As Node does with arguments that it does not like
    }
  };

  it('do not touch the socket before the 101, whichever this version of Node has', async (t) => {
    const writing = names(ServerResponse.prototype).filter((name) => /^_?write(?!Head|$|able)/.test(name));
    assert.ok(writing.includes('writeContinue') && writing.includes('_writeRaw'), writing.join());
    for (const name of [...writing, 'writeInformation', 'writeFuture', 'writeNothing']) {
      const server = await attached(t, (req, res) => {
        Object.assign(res, future);
        for (const args of [
          [{ link: '</a.css>; rel=preload' }],
          [103, { link: '</a.css>; rel=preload' }],
          ['HTTP/1.1 103 Early Hints\r\n\r\n'],
          [],
        ]) {
          call(res, name, args);
        }
        return accept(req);
      });
      const client = await rawUpgrade(t, server);
      assert.equal((await client.readHead()).status, 101, name);
      await assertClean(client);
    }
  });

  it('call back as if they had written', async (t) => {
    const server = await attached(t, async (req, res) => {
      Object.assign(res, future);
      await new Promise((resolve) => call(res, 'writeFuture', ['HTTP/1.1 103 Early Hints\r\n\r\n', resolve]));
      await new Promise((resolve) => call(res, 'writeInformation', [103, {}, resolve]));
      return accept(req);
    });
    assert.equal((await (await rawUpgrade(t, server)).readHead()).status, 101);
  });

  it('answer behind a head, and write nothing where somebody else has written', async (t) => {
    const answering = await attached(t, (_req, res) => {
      Object.assign(res, future);
      res.writeHead(401, { 'Content-Length': '2' });
      call(res, '_send', ['no']);
      res.end();
    });
    const { status, body } = await responseTo(t, answering);
    assert.deepEqual([status, body], [401, 'no']);

    const yielding = await attached(t, (req, res) => {
      res.writeHead(401, { 'Content-Length': '2' });
      req.socket.write('raw');
      call(res, '_send', ['no']);
      req.socket.end();
    });
    assert.equal((await (await rawUpgrade(t, yielding)).readToEnd()).toString(), 'raw');
  });

  it('do nothing behind the 101', async (t) => {
    const done = new Deferred<void>();
    const server = await attached(t, async (req, res) => {
      Object.assign(res, future);
      await accept(req);
      for (const name of ['writeInformation', 'writeFuture']) call(res, name, ['HTTP/1.1 103 Early Hints\r\n\r\n']);
      done.resolve();
    });
    const client = await rawUpgrade(t, server);
    assert.equal((await client.readHead()).status, 101);
    await done.promise;
    await assertClean(client);
  });
});

describe('cork() of a response', () => {
  const middleware: Readonly<Record<string, (req: IncomingMessage, res: ServerResponse) => unknown>> = {
    once: (_req, res) => res.cork(),
    'many times': (_req, res) => {
      for (let i = 0; i < 1000; i++) res.cork();
    },
    'until the next tick': (_req, res) => {
      res.cork();
      process.nextTick(() => res.uncork());
    },
    'after headers were set': (_req, res) => {
      res.setHeader('X', '1');
      res.cork();
    },
    'through the socket of the request': (req) => req.socket.cork(),
    'from a hook that has the last say on the head': (_req, res) => {
      const { writeHead } = res;
      res.writeHead = (...args: unknown[]) => {
        res.cork();
        return Reflect.apply(writeHead, res, args);
      };
    },
    'from a hook that sees the end': (_req, res) => {
      const { end } = res;
      res.end = (...args: unknown[]) => {
        res.cork();
        return Reflect.apply(end, res, args);
      };
    },
  };
  for (const [how, cork] of Object.entries(middleware)) {
    it(`does not swallow a 101, nor what comes behind it (${how})`, async (t) => {
      const server = await attached(t, (req, res) => {
        cork(req, res);
        return accept(req);
      });
      const client = await rawUpgrade(t, server);
      assert.equal((await client.readHead()).status, 101);
      await assertClean(client);
    });

    it(`does not swallow a refusal (${how})`, async (t) => {
      for (const late of [false, true]) {
        const server = await attached(t, async (req, res, next) => {
          cork(req, res);
          if (late) await new Promise(setImmediate);
          next(createError(401, 'no'));
        });
        assert.equal((await responseTo(t, server)).status, 401);
      }
    });

    it(`does not swallow the 503 of a request whose time is up (${how})`, async (t) => {
      const server = await attached(t, (req, res) => void cork(req, res), { handshakeTimeout: 10 });
      assert.equal((await responseTo(t, server)).status, 503);
    });
  }

  it('does not swallow what somebody else writes who takes the socket over', async (t) => {
    const server = await attached(t, (req, res, next) => {
      res.cork();
      req.socket.write('raw');
      next(new Error('seen'));
      req.socket.pipe(req.socket);
    });
    const client = await rawUpgrade(t, server);
    assert.equal(await client.readUntil('raw'), 'raw');
    await assertClean(client);
  });

  it('means nothing behind the 101', async (t) => {
    const done = new Deferred<void>();
    const server = await attached(t, async (req, res) => {
      const { socket } = await accept(req);
      res.cork();
      assert.equal(socket.writableCorked, 0);
      res.uncork();
      done.resolve();
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    await done.promise;
    await assertClean(client);
  });
});
