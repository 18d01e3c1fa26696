import assert from 'node:assert/strict';
import nodeCluster, { type Worker } from 'node:cluster';
import { createHash } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { resolve } from 'node:path';
import { describe, it, type TestContext } from 'node:test';
import { WebSocket as PartySocket } from 'partysocket';
import ReconnectingWebSocket from 'reconnecting-websocket';
import { type ClientOptions, WebSocket } from 'ws';
import type { connect } from '../demo/samples/reconnecting-client.js';
import type { upload as send } from '../demo/samples/upload-client.js';
import { anyFramework, eventually, serveApp } from './support/apps.js';
import { startSample } from './support/demo.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';

// What the how-to pages promise of their samples, and of the packages that they name.

async function roundTrip(socket: WebSocket, message: string): Promise<string> {
  socket.send(message);
  return String(await nextMessage(socket));
}

async function refusal(url: string, options?: ClientOptions): Promise<number | undefined> {
  const [, response] = await once(new WebSocket(url, options), 'unexpected-response');
  return response.statusCode;
}

describe('rooms.ts', () => {
  it('tells each room what its members say, and all what is announced', async (t) => {
    const { url, socketUrl } = await startSample(t, 'rooms');
    const first = await connectWs(t, `${socketUrl}/rooms/42`);
    const second = await connectWs(t, `${socketUrl}/rooms/42`);
    assert.equal(await nextMessage(first), 'somebody came, we are 2');
    const stranger = await connectWs(t, `${socketUrl}/rooms/43`);
    first.send('hello');
    assert.equal(await nextMessage(second), 'hello');
    const announced = await fetch(`${url}/announce`, { method: 'POST', body: 'back in 5 minutes' });
    assert.deepEqual(await announced.json(), { members: 3 });
    for (const client of [second, stranger]) assert.equal(await nextMessage(client), 'back in 5 minutes');
    first.close();
    assert.equal(await nextMessage(second), 'somebody left, we are 1');
    const vanishing = await connectWs(t, `${socketUrl}/rooms/42`);
    assert.equal(await nextMessage(second), 'somebody came, we are 2');
    vanishing.terminate();
    assert.equal(await nextMessage(second), 'somebody left, we are 1');
    assert.equal(await refusal(`${socketUrl}/rooms/${'x'.repeat(300)}`), 400);
    await fetch(`${url}/rooms/42`, { method: 'DELETE' });
    assert.deepEqual(await nextClose(second), { code: 4000, reason: 'This room is closed' });
  });
});

describe('ticker.ts', () => {
  it('sends the rates of all pairs, and the time', async (t) => {
    const { socketUrl } = await startSample(t, 'ticker');
    const client = await connectWs(t, `${socketUrl}/ticker`);
    const seen = new Set<string>();
    while (seen.size < 3) seen.add(JSON.parse(String(await nextMessage(client))).pair ?? 'time');
    assert.deepEqual([...seen].sort(), ['EURUSD', 'GBPUSD', 'time']);
  });
});

describe('rate-limit.ts', () => {
  it('sends away whoever is too fast', async (t) => {
    const { socketUrl } = await startSample(t, 'rate-limit');
    const socket = await connectWs(t, `${socketUrl}/strict`);
    let echoes = 0;
    socket.on('message', () => echoes++);
    for (let i = 0; i < 100; i++) socket.send(String(i));

    assert.deepEqual(await nextClose(socket), { code: 1008, reason: 'At most 10 messages a second' });
    assert.ok(echoes >= 10, `The burst of ten was cut to ${echoes}`);
  });

  it('lets whoever is too fast wait, and loses nothing', async (t) => {
    const { socketUrl } = await startSample(t, 'rate-limit');
    const socket = await connectWs(t, `${socketUrl}/gentle`);
    const began = performance.now();
    for (let i = 0; i < 15; i++) socket.send(String(i));
    for (let i = 0; i < 15; i++) assert.equal(await nextMessage(socket), String(i));
    // The bucket held ten; the others came one every 100 ms
    assert.ok(performance.now() - began > 350);
    socket.close();
    assert.equal((await nextClose(socket)).code, 1005);
  });
});

describe('upload-progress.ts', () => {
  it('tells how much it has dealt with, and when it is done', async (t) => {
    const { socketUrl } = await startSample(t, 'upload-progress');
    const socket = await connectWs(t, `${socketUrl}/upload?name=zeros`);
    const size = 5_000_000;
    const reports: { name: string; received: number; done: boolean; sha256?: string }[] = [];
    socket.send(Buffer.alloc(size));
    while (!reports.at(-1)?.done) reports.push(JSON.parse(String(await nextMessage(socket))));

    assert.ok(reports.length >= 4);
    assert.ok(reports.every(({ received }, i) => received > (reports[i - 1]?.received ?? 0)));
    const sha256 = createHash('sha256').update(Buffer.alloc(size)).digest('hex');
    assert.deepEqual(reports.at(-1), { name: 'zeros', received: size, done: true, sha256 });
  });
});

describe('upload-client.ts', () => {
  const sample: string = '../demo/samples/upload-client.js';

  it('sends a file as one message, and tells how much has arrived', async (t) => {
    const { socketUrl } = await startSample(t, 'upload-progress');
    const { upload } = (await import(sample)) as { upload: typeof send };
    const { size } = await stat('package-lock.json');
    const progress: number[] = [];
    await upload(`${socketUrl}/upload`, 'package-lock.json', (received) => progress.push(received));

    assert.equal(progress.at(-1), size);
  });

  it('rejects when the connection ends before', async (t) => {
    const { url } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use(sockets.handler((socket) => socket.closeAsync(4000)));
    });
    const { upload } = (await import(sample)) as { upload: typeof send };

    await assert.rejects(
      upload(url, 'package-lock.json', () => {}),
      /ended with 4000 before all had arrived|not open/,
    );
  });
});

describe('members.ts', () => {
  it('says who is in the group, by name', async (t) => {
    const { url, socketUrl } = await startSample(t, 'members');
    const ada = await connectWs(t, `${socketUrl}/room?name=Ada`);
    await connectWs(t, `${socketUrl}/room?name=Grace`);
    const members = async () => (await fetch(`${url}/members`)).json();
    assert.deepEqual(await members(), ['Ada', 'Grace']);
    ada.close();
    await nextClose(ada);
    assert.deepEqual(await members(), ['Grace']);
  });
});

describe('ecosystem.config.cjs', { timeout: 120_000 }, () => {
  it('gives the servers of a cluster the time to drain, as pm2 ends them', async (t) => {
    const { apps } = createRequire(import.meta.url)(resolve('demo/samples/ecosystem.config.cjs'));
    assert.deepEqual(apps.length, 1);
    const { script, instances, exec_mode, kill_timeout } = apps[0];
    assert.deepEqual([script, instances, exec_mode], ['server.js', 'max', 'cluster']);
    // What pm2 does in this mode: its processes are workers of node:cluster
    nodeCluster.setupPrimary({ exec: resolve('.demo-build/samples/drain.js'), silent: true });
    const workers = [1, 2].map(() => nodeCluster.fork({ PORT: '0', NODE_V8_COVERAGE: undefined }));
    t.after(() => {
      for (const worker of workers) worker.process.kill('SIGKILL');
    });
    const [port] = await Promise.all(workers.map(portOfWorker));
    const clients = [
      await connectWs(t, `ws://localhost:${port}/echo`),
      await connectWs(t, `ws://localhost:${port}/echo`),
    ];

    const began = performance.now();
    const ends = workers.map((worker) => once(worker, 'exit'));
    for (const worker of workers) worker.process.kill('SIGINT');

    for (const client of clients) assert.equal((await nextClose(client)).code, 1001);
    assert.deepEqual(await Promise.all(ends), [
      [0, null],
      [0, null],
    ]);
    assert.ok(performance.now() - began < kill_timeout);
  });
});

async function portOfWorker(worker: Worker): Promise<number> {
  const [{ port }] = await once(worker, 'listening');
  return port;
}

describe('aspnet-echo.ts', () => {
  it('echoes fragments, and the close', async (t) => {
    const { socketUrl } = await startSample(t, 'aspnet-echo');
    const socket = await connectWs(t, `${socketUrl}/echo`);

    assert.equal(await roundTrip(socket, 'x'.repeat(10_000)), 'x'.repeat(10_000));
    socket.close(4001, 'bye');
    assert.deepEqual(await nextClose(socket), { code: 4001, reason: 'bye' });
  });

  it('echoes a close without a status', async (t) => {
    const { socketUrl } = await startSample(t, 'aspnet-echo');
    const socket = await connectWs(t, `${socketUrl}/echo`);
    socket.close();

    assert.equal((await nextClose(socket)).code, 1005);
  });
});

describe('before and after', () => {
  it('before-express-ws.ts accepts first, and refuses only then', async (t) => {
    const { socketUrl } = await startSample(t, 'before-express-ws');
    const socket = await connectWs(t, `${socketUrl}/chat/42`);
    assert.equal((await nextClose(socket)).code, 1008);
    assert.equal(await roundTrip(await connectWs(t, `${socketUrl}/chat/42?key=secret`), 'hello'), '42: hello');
  });

  it('after-express-ws.ts refuses with 401, and its rooms are rooms', async (t) => {
    const { socketUrl } = await startSample(t, 'after-express-ws');
    assert.equal(await refusal(`${socketUrl}/chat/42`), 401);
    const stranger = await connectWs(t, `${socketUrl}/chat/43?key=secret`);
    const member = await connectWs(t, `${socketUrl}/chat/42?key=secret`);
    assert.equal(await roundTrip(await connectWs(t, `${socketUrl}/chat/42?key=secret`), 'hello'), '42: hello');
    assert.equal(await nextMessage(member), '42: hello');
    assert.equal(await roundTrip(stranger, 'alone'), '43: alone');
  });

  it('without-express.ts echoes, and refuses with 401, 403, 404 and 426', async (t) => {
    const { url, socketUrl } = await startSample(t, 'without-express');
    assert.equal(await roundTrip(await connectWs(t, `${socketUrl}/echo?key=secret`), 'hello'), 'hello');
    assert.equal(await refusal(`${socketUrl}/echo`), 401);
    assert.equal(await refusal(`${socketUrl}/echo?key=secret`, { origin: 'http://example.com' }), 403);
    assert.equal(await refusal(`${socketUrl}/nowhere`), 404);
    assert.equal((await fetch(`${url}/echo?key=secret`)).status, 426);
  });

  for (const name of ['before-ws', 'after-ws']) {
    it(`${name}.ts echoes, refuses with 401 and 404, and drains`, async (t) => {
      const sample = await startSample(t, name);
      const url = `${sample.socketUrl}/echo`;
      const socket = await connectWs(t, `${url}?key=secret`);

      assert.equal(await roundTrip(socket, 'hello'), 'hello');
      assert.equal(await refusal(url), 401);
      assert.equal(await refusal(`${sample.socketUrl}/nowhere`), 404);
      const ended = await sample.stop('SIGTERM');
      assert.equal((await nextClose(socket)).code, 1001);
      assert.equal(ended.signal, null);
    });
  }
});

describe('a client comes back behind a restart', () => {
  // Echoes, and restarts on demand: whoever is connected hears 1012.
  async function serveEcho(t: TestContext) {
    return serveApp(t, anyFramework, (app, sockets) => {
      app.use(
        '/final',
        sockets.handler(() => {}),
      );
      app.use(
        sockets.handler(async (socket) => {
          for await (const message of socket) await socket.sendAsync(message);
        }),
      );
    });
  }

  // Made for browsers: it takes the WebSocket of the platform
  async function connectAgain(...args: Parameters<typeof connect>): Promise<ReturnType<typeof connect>> {
    Object.assign(globalThis, { WebSocket });
    const sample: string = '../demo/samples/reconnecting-client.js';
    return ((await import(sample)) as { connect: typeof connect }).connect(...args);
  }

  it('with reconnecting-client.ts, and what was sent meanwhile is not lost', async (t) => {
    const { url, sockets } = await serveEcho(t);
    const messages: string[] = [];
    const ended = new EventEmitter();
    const client = await connectAgain(
      url,
      (message) => messages.push(message),
      (code) => ended.emit('end', code),
    );
    client.send('one');
    await eventually(() => messages.length === 1);
    for (const socket of sockets.connections) await socket.closeAsync(1012);
    client.send('two');
    await eventually(() => messages.length === 2);
    const end = once(ended, 'end');
    client.close();

    assert.deepEqual(messages, ['one', 'two']);
    assert.deepEqual(await end, [1000]);
  });

  it('with reconnecting-client.ts, after longer waits each time, until a connection has held', async (t) => {
    const opened: Overloaded[] = [];
    class Overloaded {
      readonly readyState = 1;
      onopen = () => {};
      onclose = (_event: { code: number }) => {};
      constructor() {
        opened.push(this);
      }
    }
    t.mock.method(Math, 'random', () => 1);
    t.mock.timers.enable({ apis: ['setTimeout', 'Date'] });
    Object.assign(globalThis, { WebSocket: Overloaded });
    const sample: string = '../demo/samples/reconnecting-client.js';
    const client = (await import(sample)) as { connect: typeof connect };
    client.connect(
      'ws://localhost',
      () => {},
      () => {},
    );
    const attempts: { held: number; wait: number }[] = [
      { held: 0, wait: 500 },
      { held: 100, wait: 1000 },
      { held: 100, wait: 2000 },
      { held: 6000, wait: 500 },
    ];

    for (const [index, { held, wait }] of attempts.entries()) {
      opened.at(-1)?.onopen();
      t.mock.timers.tick(held);
      opened.at(-1)?.onclose({ code: 1013 });
      t.mock.timers.tick(wait - 1);
      assert.equal(opened.length, index + 1);
      t.mock.timers.tick(1);
      assert.equal(opened.length, index + 2);
    }
  });

  it('with reconnecting-client.ts, unless it is closed meanwhile: it ends at once, and leaves no timer', async (t) => {
    let opened = 0;
    class Refused {
      readyState = 3;
      onclose = (_event: { code: number }) => {};
      close = () => {};
      constructor() {
        opened++;
        setImmediate(() => this.onclose({ code: 1006 }));
      }
    }
    t.mock.timers.enable({ apis: ['setTimeout'] });
    Object.assign(globalThis, { WebSocket: Refused });
    const sample: string = '../demo/samples/reconnecting-client.js';
    const ends: number[] = [];
    const client = ((await import(sample)) as { connect: typeof connect }).connect(
      'ws://localhost',
      () => {},
      (code) => ends.push(code),
    );
    await new Promise((resolve) => setImmediate(resolve));
    client.send('kept');
    client.close();
    client.close();
    t.mock.timers.tick(60_000);

    assert.equal(opened, 1);
    assert.deepEqual(ends, [1000]);
    assert.throws(() => client.send('too late'), /^Error: Cannot send: the connection has ended for good$/);
  });

  it('with reconnecting-client.ts, unless the server has said that it is over', async (t) => {
    const { url, sockets } = await serveEcho(t);
    const code = await new Promise((resolve) => void connectAgain(`${url}/final`, () => {}, resolve));

    assert.equal(code, 1000);
    assert.equal(sockets.totals.accepted, 1);
  });

  const clients = {
    partysocket: PartySocket as unknown as typeof ReconnectingWebSocket.default,
    'reconnecting-websocket': ReconnectingWebSocket as unknown as typeof ReconnectingWebSocket.default,
  };
  for (const [name, Client] of Object.entries(clients)) {
    it(`with ${name}`, async (t) => {
      const { url, sockets } = await serveEcho(t);
      const client = new Client(url, [], { WebSocket, minReconnectionDelay: 1, maxReconnectionDelay: 10 });
      const messages: unknown[] = [];
      client.addEventListener('message', ({ data }) => void messages.push(data));
      client.send('one');
      await eventually(() => messages.length === 1);
      for (const socket of sockets.connections) await socket.closeAsync(1012);
      client.send('two');
      await eventually(() => messages.length === 2);
      client.close();

      assert.deepEqual(messages, ['one', 'two']);
    });
  }
});
