import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { describe, it, type TestContext } from 'node:test';
import { HocuspocusProvider, HocuspocusProviderWebsocket } from '@hocuspocus/provider';
import { Client as StompClient } from '@stomp/stompjs';
import { createTRPCClient, createWSClient, wsLink } from '@trpc/client';
import { initTRPC } from '@trpc/server';
import { applyWSSHandler } from '@trpc/server/adapters/ws';
import { createBirpc } from 'birpc';
import { buildSchema } from 'graphql';
import { createClient } from 'graphql-ws';
import { useServer } from 'graphql-ws/use/ws';
import { JSONRPCClient } from 'json-rpc-2.0';
import { connectAsync } from 'mqtt';
import { Client as RpcClient } from 'rpc-websockets';
import { createWebSocketConnection } from 'vscode-ws-jsonrpc';
import { WebSocket } from 'ws';
import { WebsocketProvider } from 'y-websocket';
import { Doc } from 'yjs';
import type { ClientFunctions, ServerFunctions } from '../demo/samples/acknowledge.js';
import type { Router } from '../demo/samples/trpc.js';
import { anyFramework, serveApp } from './support/apps.js';
import { startSample } from './support/demo.js';

describe('the page for libraries', () => {
  it('installs the versions that are tested', async () => {
    const page = await readFile('docs/how-to/libraries.md', 'utf8');
    const { dependencies, devDependencies } = JSON.parse(await readFile('package.json', 'utf8'));
    const tested: Record<string, string> = { ...dependencies, ...devDependencies };
    const lines = [...page.matchAll(/^npm install (.+)$/gm)].map(([, names = '']) => names.split(' '));

    assert.equal(lines.length, 9);
    for (const [, name = '', version = ''] of lines.flat().map((spec) => /^(.+)@(.+)$/.exec(spec) ?? [])) {
      assert.ok(tested[name]?.replace('^', '').startsWith(version), `${name}@${version}`);
    }
  });
});

// Each library with its own client, as its users have them: none of them knows of us.

async function open(t: TestContext, url: string, protocols: string[] = []): Promise<WebSocket> {
  const socket = new WebSocket(url, protocols);
  t.after(() => socket.terminate());
  await once(socket, 'open');
  return socket;
}

/** Two documents that are the same at last. */
async function converge(one: Doc, other: Doc): Promise<void> {
  one.getText('body').insert(0, 'hello');
  while (other.getText('body').toString() !== 'hello') {
    await new Promise<void>((resolve) => other.once('update', () => resolve()));
  }
}

describe('wsServer() works unchanged with', () => {
  it('graphql-ws', async (t) => {
    const { socketUrl } = await startSample(t, 'graphql');
    const client = createClient({ url: `${socketUrl}/graphql`, webSocketImpl: WebSocket });
    t.after(() => client.dispose());
    const results: unknown[] = [];
    for await (const { data } of client.iterate({ query: '{ hello }' })) results.push({ ...data });
    for await (const { data } of client.iterate({ query: 'subscription { countdown(from: 2) }' })) {
      results.push({ ...data });
    }

    assert.deepEqual(results, [{ hello: 'world' }, { countdown: 2 }, { countdown: 1 }, { countdown: 0 }]);
  });

  it('graphql-ws, whose dispose() closes clients with 1001 and resolves', async (t) => {
    let dispose = async (): Promise<void> => {};
    const { url, sockets } = await serveApp(t, anyFramework, (app, instance) => {
      const wss = instance.wsServer();
      ({ dispose } = useServer({ schema: buildSchema('type Query { hello: String }') }, wss) as never);
      app.use('/graphql', wss.handler);
    });
    const client = await open(t, `${url}/graphql`, ['graphql-transport-ws']);
    const closed = once(client, 'close');
    await dispose();

    assert.equal((await closed)[0], 1001);
    assert.equal(sockets.connectionCount, 0);
  });

  it('tRPC', async (t) => {
    const { socketUrl } = await startSample(t, 'trpc');
    const wsClient = createWSClient({ url: `${socketUrl}/trpc`, WebSocket: WebSocket as never });
    t.after(() => wsClient.close());
    const client = createTRPCClient<Router>({ links: [wsLink({ client: wsClient })] });
    const ticks: unknown[] = [];

    assert.equal(await client.hello.query(), 'world');
    await new Promise<void>((resolve, reject) => {
      client.ticks.subscribe(undefined, { onData: (tick) => ticks.push(tick), onComplete: resolve, onError: reject });
    });
    assert.deepEqual(ticks, [1, 2, 3]);
  });

  it('tRPC, whose broadcasts reach the clients', async (t) => {
    let broadcast = (): void => {};
    const { url } = await serveApp(t, anyFramework, (app, instance) => {
      const wss = instance.wsServer();
      broadcast = applyWSSHandler({ wss, router: initTRPC.create().router({}) }).broadcastReconnectNotification;
      app.use('/trpc', wss.handler);
    });
    const client = await open(t, `${url}/trpc`);
    const message = once(client, 'message');
    broadcast();

    assert.deepEqual(JSON.parse(String((await message)[0])), { id: null, method: 'reconnect' });
  });

  it('y-websocket', async (t) => {
    const { socketUrl } = await startSample(t, 'yjs');
    const docs = [new Doc(), new Doc()] as const;
    for (const doc of docs) {
      const provider = new WebsocketProvider(`${socketUrl}/documents`, 'room', doc, {
        WebSocketPolyfill: WebSocket as never,
        disableBc: true,
      });
      t.after(() => {
        provider.destroy();
        doc.destroy();
      });
    }
    await converge(...docs);
  });

  it("rpc-websockets, when 'connection' is passed on to its wss", async (t) => {
    const { socketUrl } = await startSample(t, 'rpc-websockets');
    const client = new RpcClient(`${socketUrl}/rpc`, { reconnect: false });
    t.after(() => client.close());
    await once(client as never, 'open');

    assert.equal(await client.call('sum', [1, 2]), 3);
  });
});

describe('socket.ws works with', () => {
  it('Hocuspocus', async (t) => {
    // Before their server ends, or they would go on trying to reach it
    const providers: { destroy(): void }[] = [];
    t.after(() => {
      for (const provider of providers) provider.destroy();
    });
    const { socketUrl } = await startSample(t, 'hocuspocus');
    const docs = [new Doc(), new Doc()] as const;
    for (const document of docs) {
      const websocketProvider = new HocuspocusProviderWebsocket({
        url: `${socketUrl}/collaboration`,
        WebSocketPolyfill: WebSocket,
      });
      const provider = new HocuspocusProvider({ websocketProvider, name: 'doc', document });
      provider.attach();
      providers.push(provider, websocketProvider, document);
    }
    await converge(...docs);
  });

  // With a server of ws alone the client gets no CONNACK there either
  const skip = Number(process.versions.node.split('.')[0]) >= 26 && 'aedes or mqtt does not work on Node 26 yet';

  it('MQTT, through createWebSocketStream', { skip }, async (t) => {
    const { socketUrl } = await startSample(t, 'mqtt');
    const client = await connectAsync(`${socketUrl}/mqtt`);
    t.after(() => client.endAsync(true));
    await client.subscribeAsync('greetings');
    const message = new Promise((resolve) => {
      client.once('message', (topic, payload) => resolve([topic, String(payload)]));
    });
    await client.publishAsync('greetings', 'hello');

    assert.deepEqual(await message, ['greetings', 'hello']);
  });

  it('the JSON-RPC of language servers', async (t) => {
    const { socketUrl } = await startSample(t, 'language-server');
    const ws = await open(t, `${socketUrl}/language-server`);
    const connection = createWebSocketConnection(
      {
        send: (content) => ws.send(content),
        onMessage: (callback) => void ws.on('message', (data) => callback(String(data))),
        onError: (callback) => void ws.on('error', callback),
        onClose: (callback) => void ws.on('close', (code, reason) => callback(code, String(reason))),
        dispose: () => ws.close(),
      },
      { error() {}, warn() {}, info() {}, log() {} },
    );
    t.after(() => connection.dispose());
    connection.listen();

    assert.deepEqual(await connection.sendRequest('textDocument/hover', {}), { contents: 'a hint' });
  });
});

describe('messages carry', () => {
  it('JSON-RPC 2.0', async (t) => {
    const { socketUrl } = await startSample(t, 'json-rpc');
    const socket = await open(t, `${socketUrl}/rpc`);
    const client = new JSONRPCClient((request) => socket.send(JSON.stringify(request)));
    socket.on('message', (data) => client.receive(JSON.parse(String(data))));
    client.notify('add', [1, 1]);

    assert.equal(await client.request('add', [1, 2]), 3);
  });

  it('acknowledgements in both directions, with birpc', async (t) => {
    const { socketUrl } = await startSample(t, 'acknowledge');
    const socket = await open(t, `${socketUrl}/files`);
    const server = createBirpc<ServerFunctions, ClientFunctions>(
      { confirm: async (question) => question === 'Remove old.txt?' },
      {
        post: (message) => socket.send(message),
        on: (listener) => void socket.on('message', (data) => listener(String(data))),
        serialize: JSON.stringify,
        deserialize: JSON.parse,
      },
    );

    assert.equal(await server.remove('old.txt'), 'removed');
    assert.equal(await server.remove('new.txt'), 'kept');
  });

  it('STOMP, by its subprotocol', async (t) => {
    const { socketUrl } = await startSample(t, 'stomp');
    const client = new StompClient({
      webSocketFactory: () => new WebSocket(`${socketUrl}/stomp`, ['v12.stomp']),
      reconnectDelay: 0,
    });
    t.after(() => client.deactivate());
    const body = await new Promise<string>((resolve, reject) => {
      client.onConnect = () => {
        client.subscribe('/news', (message) => resolve(message.body));
        client.publish({ destination: '/news', body: 'hello' });
      };
      client.onWebSocketError = reject;
      client.activate();
    });

    assert.equal(body, 'hello');
  });
});
