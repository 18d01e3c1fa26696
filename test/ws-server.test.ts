import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { describe, it, type TestContext } from 'node:test';
import { WebSocket, type WebSocketServer } from 'ws';
import type { WebSocketRouteOptions, WsServer } from '../src/index.js';
import { anyFramework, eventually, serveApp } from './support/apps.js';

/** A site with a `wsServer()` at `/ws`. */
async function serveWsServer(t: TestContext, options?: WebSocketRouteOptions) {
  let wss: WsServer | undefined;
  const site = await serveApp(t, anyFramework, (app, sockets) => {
    wss = sockets.wsServer(options);
    app.use('/ws', wss.handler);
  });
  assert.ok(wss);
  return { ...site, wss, url: `${site.url}/ws` };
}

async function connect(t: TestContext, url: string, protocols: string[] = []): Promise<WebSocket> {
  const client = new WebSocket(url, protocols);
  t.after(() => client.terminate());
  await once(client, 'open');
  return client;
}

/** Status of the answer to a handshake that is refused. */
async function refusal(url: string): Promise<number | undefined> {
  const client = new WebSocket(url);
  const [, response] = await once(client, 'unexpected-response');
  return response.statusCode;
}

const closed = (wss: WsServer) =>
  new Promise<Error | undefined>((resolve) => {
    wss.close(resolve);
  });

describe('wsServer()', () => {
  it('is what libraries take for a WebSocketServer', async (t) => {
    const { wss } = await serveWsServer(t);
    const asWebSocketServer: WebSocketServer = wss;

    assert.equal(asWebSocketServer.address(), null);
    assert.equal(asWebSocketServer.path, '');
    assert.equal(wss.shouldHandle(), true);
    assert.throws(() => Reflect.apply(wss.handleUpgrade, wss, []), /mount its handler/);
  });

  it('emits a connection with an open WebSocket of ws and the request', async (t) => {
    const { wss, url } = await serveWsServer(t);
    wss.on('connection', (ws, req) => {
      ws.on('message', (data) => ws.send(`${req.originalUrl} ${data}`));
    });
    const client = await connect(t, `${url}?a=1`);
    client.send('hello');
    const [message] = await once(client, 'message');

    assert.equal(String(message), '/ws?a=1 hello');
    assert.equal(wss.clients.size, 1);
    assert.ok([...wss.clients].every((ws) => ws instanceof WebSocket && ws.readyState === WebSocket.OPEN));
    client.close();
    await once(client, 'close');
    await eventually(() => wss.clients.size === 0);
  });

  it('answers an ordinary request with 426', async (t) => {
    const { url } = await serveWsServer(t);

    assert.equal((await fetch(url.replace('ws:', 'http:'))).status, 426);
  });

  it('tells onError what a listener throws, and closes with 1011', async (t) => {
    const { wss, url, errors } = await serveWsServer(t);
    const fault = new Error('in a listener');
    wss.on('connection', () => {
      throw fault;
    });
    const [code] = await once(await connect(t, url), 'close');

    assert.equal(code, 1011);
    assert.deepEqual(errors, [fault]);
  });
});

describe('options.handleProtocols of a wsServer()', () => {
  const last = (protocols: Set<string>) => [...protocols].at(-1) ?? false;

  it('chooses the subprotocol once a library has set it', async (t) => {
    const { wss, url } = await serveWsServer(t);

    await assert.rejects(connect(t, url, ['a', 'b']), /no subprotocol/);
    wss.options.handleProtocols = last;
    assert.equal((await connect(t, url, ['a', 'b'])).protocol, 'b');
    wss.options.handleProtocols = () => false;
    await assert.rejects(connect(t, url, ['a', 'b']), /no subprotocol/);
  });

  it('has no say where the route has subProtocols', async (t) => {
    for (const subProtocols of [['a'], () => 'a']) {
      const { wss, url } = await serveWsServer(t, { subProtocols });
      wss.options.handleProtocols = last;

      assert.equal((await connect(t, url, ['a', 'b'])).protocol, 'a');
    }
  });
});

describe('close() of a wsServer()', () => {
  it('lets nobody in any more, and calls back when the last client has left', async (t) => {
    const { wss, url, sockets } = await serveWsServer(t);
    const client = await connect(t, url);
    let events = 0;
    wss.on('close', () => events++);
    const results = Promise.all([closed(wss), closed(wss)]);

    assert.equal(await refusal(url), 503);
    assert.equal(wss.shouldHandle(), false);
    assert.equal((await fetch(url.replace('ws:', 'http:'))).status, 426);
    assert.equal(client.readyState, WebSocket.OPEN);
    assert.equal(events, 0);
    client.close();
    assert.deepEqual(await results, [undefined, undefined]);
    assert.equal(events, 1);
    assert.equal(sockets.connectionCount, 0);
  });

  it('calls back at once without clients, although the listeners have been removed', async (t) => {
    const { wss } = await serveWsServer(t);
    wss.removeAllListeners();

    assert.equal(await closed(wss), undefined);
    assert.match((await closed(wss))?.message ?? '', /has been closed/);
    wss.close();
  });

  it('sends away whoever was being decided on meanwhile', async (t) => {
    const asked = new EventEmitter();
    const origin = () => new Promise<boolean>((decide) => asked.emit('asked', decide));
    const { wss, url } = await serveWsServer(t, { origin });
    wss.on('connection', () => assert.fail('There was none'));
    const client = new WebSocket(url, { origin: 'http://example.com' });
    t.after(() => client.terminate());
    const [decide] = await once(asked, 'asked');
    const done = closed(wss);
    decide(true);
    const [code] = await once(client, 'close');

    assert.equal(code, 1001);
    assert.equal(await done, undefined);
  });

  it('ends its clients by the close of the instance', async (t) => {
    const { wss, url, sockets } = await serveWsServer(t);
    const client = await connect(t, url);
    const [[code], result] = await Promise.all([once(client, 'close'), sockets.close()]);

    assert.equal(code, 1001);
    assert.deepEqual(result, { closed: 1, aborted: 0 });
    assert.equal(await closed(wss), undefined);
  });
});
