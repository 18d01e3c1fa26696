import assert from 'node:assert/strict';
import { type Channel, channel } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import express from 'express';
import { WebSocket } from 'ws';
import { cluster, relay, workers } from '../src/cluster.js';
import {
  type BackplaneDriver,
  type BackplaneDriverEvents,
  type WebSocketContext,
  type WebSocketOptions,
  type WebSockets,
  webSockets,
} from '../src/index.js';
import { listen, makeServer, type TestContext, webSocketUrlOf } from './support/servers.js';

let lastPrefix = 0;

/** A driver that does what a test says. */
class FakeDriver implements BackplaneDriver {
  maxMessageSize = 1000;
  events: BackplaneDriverEvents | undefined;
  readonly published: string[] = [];
  isClosed = false;

  open(events: BackplaneDriverEvents): void {
    this.events = events;
  }
  async subscribe(): Promise<void> {}
  unsubscribe(): void {}
  async publish(channelName: string): Promise<boolean> {
    this.published.push(channelName);
    return true;
  }
  close(): void {
    this.isClosed = true;
  }
}

interface Running {
  readonly sockets: WebSockets;
  /** Opens a connection: both of its ends. */
  open(): Promise<{ context: WebSocketContext; client: WebSocket }>;
}

/** An instance that accepts every connection, with a server of its own. */
async function run(t: TestContext, options: WebSocketOptions): Promise<Running> {
  const sockets = webSockets(options);
  t.after(async () => void (await sockets.close({ timeout: 0 })));
  const accepted: ((context: WebSocketContext) => void)[] = [];
  const app = express();
  app.get(
    '/',
    sockets.handler(async (context) => {
      accepted.shift()?.(context);
      await context.closed;
    }),
  );
  const server = await listen(t, makeServer(app));
  sockets.attach(server, app);
  const open = async (): Promise<{ context: WebSocketContext; client: WebSocket }> => {
    const context = new Promise<WebSocketContext>((resolve) => accepted.push(resolve));
    const client = new WebSocket(webSocketUrlOf(server));
    t.after(() => client.terminate());
    await once(client, 'open');
    return { context: await context, client };
  };
  return { sockets, open };
}

/** Two instances that hear of each other. */
async function runTwo(t: TestContext): Promise<[Running, Running]> {
  lastPrefix++;
  const prefix = `sockets${lastPrefix}`;
  const two = await Promise.all([1, 2].map(() => run(t, { backplane: workers({ prefix }) })));
  return two as [Running, Running];
}

async function nextMessage(client: WebSocket): Promise<string> {
  const [data] = await once(client, 'message');
  return String(data);
}

describe('webSockets() with a backplane', () => {
  it('sends to the members of a group in all processes, once', async (t) => {
    const [here, there] = await runTwo(t);
    const [a, b] = [await here.open(), await there.open()];
    await Promise.all([a.context.addToGroupAsync('room'), b.context.addToGroupAsync('room')]);
    const messages = [nextMessage(a.client), nextMessage(b.client)];

    const result = await here.sockets.group('room').sendAsync('hello');

    assert.deepEqual(result, { members: 1, skipped: 0, backplane: 'sent' });
    assert.deepEqual(await Promise.all(messages), ['hello', 'hello']);
    assert.deepEqual(await there.sockets.group('room').countAsync({ timeout: 60_000 }), {
      count: 2,
      nodes: 2,
      missing: 0,
    });
    assert.deepEqual([here.sockets.backplane.published, there.sockets.backplane.received], [1, 1]);
  });

  it('sends to all connections of all processes', async (t) => {
    const [here, there] = await runTwo(t);
    const { client } = await there.open();
    while (here.sockets.backplane.nodes < 2) await new Promise(setImmediate);
    const message = nextMessage(client);

    const { members, backplane } = await here.sockets.all.sendAsync('maintenance');

    assert.deepEqual([members, backplane, await message], [0, 'sent', 'maintenance']);
  });

  it('closes the members of a group in all processes', async (t) => {
    const [here, there] = await runTwo(t);
    const { client, context } = await there.open();
    await context.addToGroupAsync('room');
    const closed = once(client, 'close');

    await here.sockets.group('room').closeAsync(4001, 'closing time');

    const [code, reason] = await closed;
    assert.deepEqual([code, String(reason)], [4001, 'closing time']);
  });

  it('keeps what is local in this process', async (t) => {
    const driver = new FakeDriver();
    const { sockets, open } = await run(t, { backplane: driver });
    driver.events?.status('ready');
    while (sockets.backplane.status !== 'ready') await new Promise(setImmediate);
    const { client, context } = await open();
    await context.addToGroupAsync('room');
    const message = nextMessage(client);

    const result = await sockets.group('room').sendAsync('x'.repeat(2000), { local: true });

    assert.deepEqual(result, { members: 1, skipped: 0, backplane: 'none' });
    assert.equal((await message).length, 2000);
    assert.ok(!driver.published.includes('group:room'));
  });

  it('rejects what is too long for the backplane before anybody has got it', async (t) => {
    const driver = new FakeDriver();
    const { sockets, open } = await run(t, { backplane: driver });
    const { client, context } = await open();
    await context.addToGroupAsync('room');
    const message = nextMessage(client);

    await assert.rejects(sockets.group('room').sendAsync('x'.repeat(2000)), RangeError);
    await sockets.group('room').sendAsync('short');

    assert.equal(await message, 'short');
  });

  it('serves local members while the backplane is interrupted, and says so', async (t) => {
    const told: unknown[] = [];
    const published: unknown[] = [];
    const statuses: Channel = channel('websocket-context:backplane:status');
    const listener = (message: unknown): void => void published.push(message);
    statuses.subscribe(listener);
    t.after(() => void statuses.unsubscribe(listener));
    const driver = new FakeDriver();
    const { sockets, open } = await run(t, { backplane: driver, onBackplane: (...args) => told.push(args) });
    const { client, context } = await open();
    assert.equal(sockets.backplane.status, 'connecting');
    const error = new Error('no broker');
    driver.events?.status('interrupted', error);
    await context.addToGroupAsync('room');
    const message = nextMessage(client);

    const { members, backplane } = await sockets.group('room').sendAsync('hello');

    assert.deepEqual([members, backplane, await message], [1, 'unavailable', 'hello']);
    assert.deepEqual(told, [['interrupted', error]]);
    assert.deepEqual(published, [{ status: 'interrupted', error }]);
    assert.deepEqual(sockets.backplane, {
      status: 'interrupted',
      nodes: 1,
      published: 0,
      received: 0,
      unavailable: 1,
      invalid: 0,
    });
  });

  it('warns of an interruption that nobody listens for, and of a listener that fails', async (t) => {
    const drivers = [new FakeDriver(), new FakeDriver(), new FakeDriver()];
    await run(t, { backplane: drivers[0] });
    const fails = () => {
      throw new Error('mine');
    };
    await run(t, { backplane: drivers[1], onBackplane: fails });
    await run(t, { backplane: drivers[2] });

    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    t.after(() => void process.removeListener('warning', onWarning));
    drivers[0]?.events?.status('interrupted', 'no broker');
    drivers[1]?.events?.status('interrupted');
    drivers[2]?.events?.status('interrupted');
    while (warnings.length < 3) await new Promise(setImmediate);

    assert.deepEqual([...new Set(warnings.map(({ name }) => name))], ['WebSocketBackplaneWarning']);
    assert.match(
      warnings.map(({ message }) => message).join('\n'),
      /interrupted: no broker[\s\S]*failed: Error: mine[\s\S]*the cause is not known/,
    );
  });

  it('lets the driver go when it is closed, after the last connection has left', async (t) => {
    const driver = new FakeDriver();
    const { sockets, open } = await run(t, { backplane: driver });
    const { context } = await open();
    const wasClosed = context.closed.then(() => driver.isClosed);

    assert.deepEqual(await sockets.close(), { closed: 1, aborted: 0 });

    assert.deepEqual([await wasClosed, driver.isClosed], [false, true]);
    assert.equal((await sockets.all.sendAsync('x')).backplane, 'unavailable');
  });

  it('refuses what is no driver, and one that another instance has', () => {
    assert.throws(
      () => webSockets({ backplane: null as never }),
      /^TypeError: Cannot use the option backplane: it is null, must be a driver, such as redis/,
    );
    assert.throws(
      () => webSockets({ backplane: { open() {} } as never }),
      /it is an object without subscribe\(\), unsubscribe\(\), publish\(\), close\(\)/,
    );
    assert.throws(
      () => webSockets({ backplane: Object.assign(new FakeDriver(), { maxMessageSize: 0 }) }),
      /without maxMessageSize/,
    );
    assert.throws(() => webSockets({ onBackplane: 1 as never }), /the option onBackplane: it is 1, must be a function/);
    assert.throws(() => webSockets().handler(() => {}, { backplane: 1 } as never), /backplane for a single route/);
    const driver = new FakeDriver();
    webSockets({ backplane: driver });
    assert.throws(
      () => webSockets({ backplane: driver }),
      /^Error: Cannot use the backplane: another webSockets\(\) has it/,
    );
  });

  it('has no status without one', () => {
    assert.deepEqual(webSockets().backplane, {
      status: 'none',
      nodes: 1,
      published: 0,
      received: 0,
      unavailable: 0,
      invalid: 0,
    });
  });
});

describe('cluster()', () => {
  it('says what to do where there is no worker', () => {
    assert.throws(
      () => cluster(),
      /^Error: Cannot use cluster\(\): this process is no worker of node:cluster, must be one/,
    );
  });
});

describe('relay()', () => {
  it('takes a positive bufferLimit', () => {
    assert.throws(
      () => relay({ bufferLimit: 0 }),
      /^RangeError: Cannot use the option bufferLimit of relay\(\): it is 0/,
    );
    assert.throws(() => relay({ bufferLimit: '1' as never }), /^TypeError: .*of type string/);
  });
});
