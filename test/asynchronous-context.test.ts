import assert from 'node:assert/strict';
import { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';
import { describe, it } from 'node:test';
import express from 'express';
import type { WebSocket } from 'ws';
import { type ConnectionCloseMessage, type WebSocketContext, type WebSocketOptions, webSockets } from '../src/index.js';
import { outsideRequests } from '../src/outside-requests.js';
import { eventually } from './support/apps.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { serve, type TestContext, webSocketUrlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const user = new AsyncLocalStorage<string>();

/** A server that keeps the user of each request in an `AsyncLocalStorage`, and what it has noticed of whom, in whose. */
async function start(t: TestContext, options: WebSocketOptions, handle: (socket: WebSocketContext) => unknown) {
  const app = express();
  const noticed: string[] = [];
  const contexts = new Map<string, WebSocketContext>();
  const note = (what: string, whose: string): void => void noticed.push(`${what} of ${whose}: ${user.getStore()}`);
  const nameOf = (url: string | undefined): string => (url ?? '').slice(1);
  const sockets = webSockets({ onError: (_error, _socket, req) => note('error', nameOf(req.url)), ...options });
  app.use((req, _res, next) => user.run(nameOf(req.url), next));
  app.get(
    '/:user',
    sockets.handler(async (socket, req) => {
      const name = nameOf(req.url);
      contexts.set(name, socket);
      socket.signal.addEventListener('abort', () => note('signal', name));
      socket.closing.addEventListener('abort', () => note('closing', name));
      await handle(socket);
    }),
  );
  const onClose = (message: unknown): void => {
    const { socket, req } = message as ConnectionCloseMessage;
    // The channel is that of the process: connections of the test before may end now.
    if ([...contexts.values()].includes(socket)) note('close', nameOf(req.url));
  };
  const closes = channel('websocket-context:connection:close');
  closes.subscribe(onClose);
  t.after(() => closes.unsubscribe(onClose));
  const server = await serve(t, app);
  sockets.attach(server, app);
  const open = async (name: string): Promise<WebSocket> => {
    const client = await connectWs(t, `${webSocketUrlOf(server)}/${name}`);
    await eventually(() => contexts.has(name));
    return client;
  };
  const of = (name: string): WebSocketContext => contexts.get(name) as WebSocketContext;
  return { noticed, open, of, sockets };
}

const untilItEnds = async (socket: WebSocketContext): Promise<void> => {
  for await (const message of socket) void message;
};

describe('the asynchronous context of listeners', { timeout: 120_000 }, () => {
  const ofBob = ['closing of bob: bob', 'signal of bob: bob', 'close of bob: bob'];

  it('is that of the own request when the timer of keep-alive, armed for another, ends a connection', async (t) => {
    const { noticed, open, of } = await start(
      t,
      { keepAliveInterval: 50, keepAliveTimeout: 50, onError: () => {} },
      untilItEnds,
    );
    await open('alice');
    (await open('bob')).pause();
    await of('bob').closed;
    // On a machine that stands still for a moment, alice is late with her pong as well.
    assert.deepEqual(
      noticed.filter((one) => !one.includes('of alice')),
      ofBob,
    );
  });

  it('is that of the own request when another one ends the connection', async (t) => {
    for (const end of [
      (bob: WebSocketContext) => bob.abort(),
      (bob: WebSocketContext) => bob.closeTcpConnection(),
      (bob: WebSocketContext) => void bob.closeAsync(),
    ]) {
      const { noticed, open, of } = await start(t, { onError: () => {} }, untilItEnds);
      await open('bob');
      user.run('alice', () => end(of('bob')));
      await of('bob').closed;
      assert.deepEqual(noticed, ofBob);
    }
  });

  it('is that of the own request when a connection ends in the flush that all share', async (t) => {
    const { noticed, open, of } = await start(t, {}, () => new Promise(() => {}));
    await Promise.all([open('alice'), open('bob')]);
    const bob = of('bob').request.socket;
    bob.write = () => {
      throw new Error('a stream that throws');
    };
    user.run('alice', () => void of('alice').sendAsync('armed by alice'));
    user.run('mallory', () => void of('bob').sendAsync('and used by bob'));
    await of('bob').closed;
    assert.deepEqual(noticed, ofBob);
  });

  it('is that of the own request when the instance drains', async (t) => {
    const { noticed, open, sockets } = await start(t, {}, untilItEnds);
    await open('bob');
    await user.run('admin', () => sockets.close());
    assert.deepEqual(noticed, ofBob);
  });

  it('is that of the own request in onError, also for a completion callback that another one has given', async (t) => {
    const { noticed, open, of } = await start(t, {}, () => new Promise(() => {}));
    const client = await open('bob');
    user.run('alice', () =>
      of('bob').writeFragment('x', undefined, () => {
        throw new Error('a mistake of alice');
      }),
    );
    await nextClose(client);
    assert.deepEqual(noticed[1], 'error of bob: bob');
    assert.deepEqual(noticed[0], ofBob[0]);
  });
});

describe('the asynchronous context behind socket.ws', { timeout: 120_000 }, () => {
  it('is that of the own request in its events, compressed or not, and in the end of the connection', async (t) => {
    for (const perMessageDeflate of [false, { threshold: 0, concurrencyLimit: 1 }]) {
      const { noticed, open } = await start(t, { perMessageDeflate }, ({ ws }) => {
        ws.on('message', () => ws.send(`message in the context of ${user.getStore()}`));
        ws.addEventListener('close', () => noticed.push(`ws of bob: ${user.getStore()}`));
      });
      const client = await open('bob');
      client.send('x'.repeat(1000));
      assert.equal(await nextMessage(client), 'message in the context of bob');
      client.close();
      await nextClose(client);
      await eventually(() => noticed.length === 4);
      assert.deepEqual(
        noticed.toSorted(),
        ['close of bob: bob', 'closing of bob: bob', 'signal of bob: bob', 'ws of bob: bob'].toSorted(),
      );
    }
  });

  it('is that of the caller in the callbacks of send', async (t) => {
    const { open, of } = await start(t, {}, ({ ws }) => void ws.on('message', () => {}));
    await open('bob');
    const told = await new Promise((resolve) => {
      user.run('alice', () => of('bob').ws.send('x', () => resolve(user.getStore())));
    });
    assert.equal(told, 'alice');
  });
});

describe('outsideRequests()', () => {
  it('leaves the context of the request that comes first', async () => {
    const stores = await user.run('alice', () =>
      outsideRequests(async () => {
        const at = user.getStore();
        await new Promise((resolve) => setImmediate(resolve));
        return [at, user.getStore()];
      }),
    );
    assert.deepEqual(stores, [undefined, undefined]);
  });
});
