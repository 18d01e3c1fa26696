import assert from 'node:assert/strict';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import { WebSocketServer } from 'ws';
import { attach } from '../src/upgrade/attach.js';
import type { AppFunction } from '../src/upgrade/chain.js';
import { emitResults } from './support/emit-results.js';
import { rawConnect, rawUpgrade, requestBytes } from './support/raw-client.js';
import { listen, serve, type TestContext } from './support/servers.js';
import { accept, Deferred, responseTo } from './support/upgrades.js';

type UpgradeListener = (req: IncomingMessage, socket: Duplex, head: Buffer) => void;

const isOurs = ({ url }: IncomingMessage): boolean => url?.startsWith('/ours') === true;
const exclusive = { exclusive: true, filter: isOurs, handshakeTimeout: 5000 } as const;
const accepting: AppFunction = (req) => accept(req);
const notFound: AppFunction = (_req, _res, next) => next();
const theirs: UpgradeListener = (_req, socket) => void socket.end('HTTP/1.1 101 Theirs\r\n\r\n');

const plain = (t: TestContext): Promise<Server> => serve(t, (_req, res) => res.end('plain'));

/** The first line of what comes back. */
async function answerTo(t: TestContext, server: Server, path: string): Promise<string> {
  const { status, reason } = await (await rawUpgrade(t, server, { path })).readHead();
  return `${status} ${reason}`;
}

const OURS = '101 Switching Protocols';
const THEIRS = '101 Theirs';

describe('attach() with exclusive', { timeout: 120_000 }, () => {
  const ways: Readonly<Record<string, (server: Server, listener: UpgradeListener, attachOurs: () => void) => void>> = {
    'added before': (server, listener, attachOurs) => {
      server.on('upgrade', listener);
      attachOurs();
    },
    'added later': (server, listener, attachOurs) => {
      attachOurs();
      server.on('upgrade', listener);
    },
    'put in front': (server, listener, attachOurs) => {
      attachOurs();
      server.prependListener('upgrade', listener);
    },
    'put in front once': (server, listener, attachOurs) => {
      attachOurs();
      server.prependOnceListener('upgrade', listener);
    },
    'put in the place of all': (server, listener, attachOurs) => {
      attachOurs();
      server.removeAllListeners('upgrade');
      server.on('upgrade', listener);
    },
  };
  for (const [name, add] of Object.entries(ways)) {
    it(`hides its requests from a listener that is ${name}, which gets all others`, async (t) => {
      const server = await plain(t);
      const seen: (string | undefined)[] = [];
      add(
        server,
        (req, socket, head) => {
          seen.push(req.url);
          theirs(req, socket, head);
        },
        () => attach(server, accepting, exclusive),
      );
      assert.equal(await answerTo(t, server, '/ours'), OURS);
      assert.equal(await answerTo(t, server, '/theirs'), THEIRS);
      assert.deepEqual(seen, ['/theirs']);
    });
  }

  it('says of what it has taken what emit says of an event with listeners', async (t) => {
    const server = await plain(t);
    attach(server, accepting, exclusive);
    const heard = emitResults(server, 'upgrade');
    assert.equal(await answerTo(t, server, '/ours'), OURS);
    assert.deepEqual(heard, [true]);
  });

  it('leaves the emit of a server alone where nothing is exclusive', async (t) => {
    const server = await plain(t);
    attach(server, accepting, { ...exclusive, exclusive: false });
    assert.equal(Object.hasOwn(server, 'emit'), false);
    const detach = attach(server, accepting, exclusive);
    assert.equal(Object.hasOwn(server, 'emit'), true);
    detach();
    assert.equal(Object.hasOwn(server, 'emit'), false);
  });

  it('survives a connection that breaks while the application decides', async (t) => {
    const server = await plain(t);
    const broken = new Deferred<void>();
    const breaking: AppFunction = ({ socket }) => {
      socket.once('close', () => broken.resolve());
      socket.destroy(new Error('broken'));
    };
    attach(server, breaking, exclusive);
    await rawUpgrade(t, server, { path: '/ours' });
    await broken.promise;
    assert.equal((await responseTo(t, server, { path: '/' })).body, 'plain');
  });

  it('protects from a ws server with a path, which answers 400 to what it does not know', async (t) => {
    const server = await plain(t);
    attach(server, accepting, exclusive);
    const wss = new WebSocketServer({ server, path: '/theirs' });
    t.after(() => wss.close());
    wss.on('connection', (client) => client.terminate());
    assert.equal(await answerTo(t, server, '/ours'), OURS);
    assert.equal(await answerTo(t, server, '/theirs'), OURS);
    assert.equal((await responseTo(t, server, { path: '/nobody' })).status, 400);
  });

  it('has all the time that it allows, whatever is done to sockets beside it', async (t) => {
    const server = await plain(t);
    server.on('upgrade', (_req, socket) => void setTimeout(() => socket.end(), 10));
    const app: AppFunction = async (req) => {
      await new Promise((resolve) => setTimeout(resolve, 40));
      await accept(req);
    };
    attach(server, app, exclusive);
    assert.equal(await answerTo(t, server, '/ours'), OURS);
  });

  it('answers 404 to what its application does not know, and 503 in time, as if it were alone', async (t) => {
    const server = await plain(t);
    server.on('upgrade', () => {});
    attach(server, notFound, exclusive);
    assert.equal((await responseTo(t, server, { path: '/ours' })).status, 404);
    const slow = await plain(t);
    slow.on('upgrade', () => {});
    attach(slow, () => {}, { ...exclusive, handshakeTimeout: 20 });
    assert.equal((await responseTo(t, slow, { path: '/ours' })).status, 503);
  });

  it('bounds what its application has written past the response', async (t) => {
    const server = await plain(t);
    server.on('upgrade', () => {});
    attach(server, (req) => void req.socket.write('HTTP/1.1 100 Continue\r\n\r\n'), {
      ...exclusive,
      handshakeTimeout: 30,
    });
    const client = await rawUpgrade(t, server, { path: '/ours' });
    await client.closed();
  });

  it('takes all WebSockets without a filter, and no other protocol', async (t) => {
    const server = await plain(t);
    server.on('upgrade', theirs);
    attach(server, accepting, { exclusive: true, handshakeTimeout: 5000 });
    assert.equal(await answerTo(t, server, '/anything'), OURS);
    const h2c = await rawUpgrade(t, server, { headers: { Upgrade: 'h2c', Connection: 'Upgrade' } });
    assert.equal((await h2c.readHead()).reason, 'Theirs');
  });

  it('asks applications that are not exclusive too, in their turn, and each filter once', async (t) => {
    const server = await plain(t);
    let asked = 0;
    const counted = { ...exclusive, filter: (req: IncomingMessage) => ++asked > 0 && isOurs(req) };
    server.on('upgrade', theirs);
    attach(
      server,
      (req, res, next) => {
        if (req.url === '/ours/one') res.end('one');
        else next();
      },
      { handshakeTimeout: 5000 },
    );
    attach(server, accepting, counted);
    assert.equal((await responseTo(t, server, { path: '/ours/one' })).body, 'one');
    assert.equal(await answerTo(t, server, '/ours/two'), OURS);
    assert.equal(await answerTo(t, server, '/theirs'), THEIRS);
    assert.equal(asked, 3);
  });

  it('leaves all other events as they are', async (t) => {
    const server = await plain(t);
    attach(server, accepting, exclusive);
    let emitted: unknown[] = [];
    server.once('ours', (...args) => {
      emitted = args;
    });
    assert.equal(server.emit('ours', 1, 2), true);
    assert.deepEqual(emitted, [1, 2]);
    assert.equal(server.emit('nobody listens'), false);
    assert.equal(server.listenerCount('upgrade'), 1);
  });

  it('is over when it is detached, and leaves nothing behind', async (t) => {
    const server = await plain(t);
    const before = Object.keys(server);
    const detach = attach(server, accepting, exclusive);
    const detachAgain = attach(server, accepting, exclusive);
    server.on('upgrade', theirs);
    detach();
    assert.equal(await answerTo(t, server, '/ours'), OURS);
    detachAgain();
    assert.equal(await answerTo(t, server, '/ours'), THEIRS);
    assert.deepEqual(Object.keys(server), before);
  });

  it('puts back an emit that the server had of its own', async (t) => {
    const server = createServer((_req, res) => res.end('plain'));
    const events: (string | symbol)[] = [];
    const own = server.emit;
    const wrapped = function (this: Server, event: string, ...args: unknown[]): boolean {
      events.push(event);
      return Reflect.apply(own, this, [event, ...args]);
    };
    server.emit = wrapped;
    const detach = attach(server, accepting, exclusive);
    await listen(t, server);
    assert.equal(await answerTo(t, server, '/ours'), OURS);
    assert.ok(!events.includes('upgrade'));
    assert.ok(events.includes('request'));
    detach();
    assert.equal(server.emit, wrapped);
  });

  it('stays out of the way when somebody has wrapped emit meanwhile, and can come again', async (t) => {
    const server = await plain(t);
    server.on('upgrade', theirs);
    const detach = attach(server, accepting, exclusive);
    const { emit } = server;
    const wrapped = function (this: Server, event: string, ...args: unknown[]): boolean {
      return Reflect.apply(emit, this, [event, ...args]);
    };
    server.emit = wrapped;
    assert.equal(await answerTo(t, server, '/ours'), OURS);
    detach();
    assert.equal(server.emit, wrapped);
    assert.equal(await answerTo(t, server, '/ours'), THEIRS);
    attach(server, accepting, exclusive);
    assert.equal(server.emit, wrapped);
    assert.equal(await answerTo(t, server, '/ours'), OURS);
  });

  it('takes a filter that throws for one that refuses', async (t) => {
    const server = await plain(t);
    server.on('upgrade', theirs);
    attach(server, accepting, {
      ...exclusive,
      filter: () => {
        throw new Error('filter');
      },
    });
    assert.equal(await answerTo(t, server, '/ours'), THEIRS);
  });

  it('waits for the responses to earlier requests of the connection', async (t) => {
    const release = new Deferred<void>();
    const server = await serve(t, async (_req, res) => {
      await release.promise;
      res.end('first');
    });
    server.on('upgrade', theirs);
    attach(server, accepting, exclusive);
    const client = await rawConnect(t, server);
    client.write(
      Buffer.concat([Buffer.from('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'), requestBytes({ path: '/ours' })]),
    );
    setImmediate(release.resolve);
    assert.equal((await client.readResponse()).body, 'first');
    assert.equal((await client.readHead()).status, 101);
  });
});
