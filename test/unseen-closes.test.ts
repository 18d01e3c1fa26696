import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { type WebSocketContext, WebSocketMessageType, WebSocketState } from '../src/index.js';
import { anyFramework, eventually, type Middleware, serveApp } from './support/apps.js';
import { Harness, observe } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';
import { FAULTY_FRAME } from './support/frames.js';
import { connectWs, nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

type Handler = (socket: WebSocketContext) => unknown;

/** How it goes on after the close of a client: what it still gets, and who sends the acknowledgement. */
interface Outcome {
  /** As the page has it. */
  readonly seen:
    | 'its own code, at once'
    | '1000, at once'
    | 'what is still sent, then the acknowledgement'
    | 'its own code, after closeTimeout';
  /** The code that it gets; default: its own. */
  readonly code?: number;
  /** What it gets in all, ticks left out. */
  readonly goodbye?: readonly string[];
  readonly handler?: Handler;
  /** Instead of a handler: what stands behind `app.use(sockets)`. */
  readonly middleware?: (socket: WebSocketContext) => unknown;
}

const AT_ONCE = 'its own code, at once';
const AFTER_GOODBYE = 'what is still sent, then the acknowledgement';
const LATE = 'its own code, after closeTimeout';

const bus = new EventEmitter();

/** Reads to the end. */
async function readAll(socket: WebSocketContext): Promise<void> {
  for await (const _ of socket);
}

async function ticks(socket: WebSocketContext, until: AbortSignal): Promise<void> {
  while (!until.aborted) {
    await socket.sendAsync('tick');
    await delay(5);
  }
}

function over(socket: WebSocketContext): Promise<unknown> {
  return new Promise((resolve) => socket.signal.addEventListener('abort', resolve));
}

/** Natural handlers, by the names that the page about the close handshake gives them. */
const handlers: Readonly<Record<string, Outcome>> = {
  'sends until `signal` fires, never reads': {
    seen: AT_ONCE,
    handler: (socket) => ticks(socket, socket.signal),
  },
  'sends until `closing` fires, never reads': {
    seen: AT_ONCE,
    handler: (socket) => ticks(socket, socket.closing),
  },
  'pipes a source to `socket.writable`, never reads': {
    seen: AT_ONCE,
    handler: async (socket) => {
      const source = new ReadableStream<string>({
        async pull(controller) {
          await delay(5);
          controller.enqueue('tick');
        },
      });
      await source.pipeTo(socket.writable).catch(() => {});
    },
  },
  'subscribes, then `await socket.closed`': {
    seen: AT_ONCE,
    handler: async (socket) => {
      const forward = (message: string): void => void socket.sendAsync(message);
      bus.on('message', forward);
      await socket.closed;
      bus.off('message', forward);
    },
  },
  'subscribes, and unsubscribes on `signal`': {
    seen: AT_ONCE,
    handler: async (socket) => {
      const forward = (message: string): void => void socket.sendAsync(message);
      bus.on('message', forward);
      await over(socket);
      bus.off('message', forward);
    },
  },
  'keeps the connection in a `Set`, behind `app.use(sockets)`': {
    seen: AT_ONCE,
    middleware: (socket) => void new Set().add(socket),
  },
  'reads to the end, returns': {
    seen: AT_ONCE,
    handler: readAll,
  },
  'reads to the end, then `await socket.closed`': {
    seen: AT_ONCE,
    handler: async (socket) => {
      await readAll(socket);
      await socket.closed;
    },
  },
  'reads once, then `await socket.closed`': {
    seen: AT_ONCE,
    handler: async (socket) => {
      await socket.receiveMessageAsync();
      await socket.closed;
    },
  },
  'reads beside `await socket.closed`': {
    seen: AT_ONCE,
    handler: async (socket) => {
      await Promise.all([socket.closed, readAll(socket)]);
    },
  },
  'reads in the background, awaits `socket.closed`': {
    seen: AT_ONCE,
    handler: async (socket) => {
      void readAll(socket);
      await socket.closed;
    },
  },
  'reads once, then sends until `closing` fires': {
    seen: AT_ONCE,
    handler: async (socket) => {
      await socket.receiveMessageAsync();
      await ticks(socket, socket.closing);
    },
  },
  'pipes `socket.readable` to `socket.writable`': {
    seen: '1000, at once',
    goodbye: ['hello'],
    code: 1000,
    handler: (socket) => socket.readable.pipeTo(socket.writable),
  },
  'hands over with `socket.ws`': {
    seen: AT_ONCE,
    handler: (socket) => void socket.ws,
  },
  'reads to the end, then sends what it still has': {
    seen: AFTER_GOODBYE,
    goodbye: ['summary', 'of hello'],
    code: 4002,
    handler: async (socket) => {
      const messages: unknown[] = [];
      for await (const message of socket) messages.push(message);
      await delay(20);
      await socket.sendAsync('summary');
      await delay(20);
      await socket.sendAsync(`of ${messages}`);
      await socket.closeAsync(4002);
    },
  },
  'cleans up on `closed`, reads to the end, then sends what it still has': {
    seen: AFTER_GOODBYE,
    goodbye: ['summary'],
    handler: async (socket) => {
      void socket.closed.then(() => bus.removeAllListeners());
      await readAll(socket);
      await delay(20);
      await socket.sendAsync('summary');
    },
  },
  'answers each message, with work before the answer': {
    seen: AFTER_GOODBYE,
    goodbye: ['done: hello'],
    handler: async (socket) => {
      void socket.closed.then(() => bus.removeAllListeners());
      for await (const message of socket) {
        await delay(40);
        await socket.sendAsync(`done: ${message}`);
      }
    },
  },
  'says goodbye in a listener of `closing`': {
    seen: AFTER_GOODBYE,
    goodbye: ['goodbye'],
    code: 4003,
    handler: async (socket) => {
      await once(socket.closing, 'abort');
      await delay(20);
      await socket.sendAsync('goodbye');
      await socket.closeAsync(4003);
    },
  },
  'says goodbye in a listener of `closing`, awaits `socket.closed`': {
    seen: AFTER_GOODBYE,
    goodbye: ['goodbye'],
    handler: async (socket) => {
      socket.closing.addEventListener('abort', () => void socket.sendAsync('goodbye'));
      await socket.closed;
    },
  },
  '`readFragment` with callbacks, then `sendConnectionClose`': {
    seen: AFTER_GOODBYE,
    goodbye: ['goodbye'],
    code: 4004,
    handler: (socket) =>
      new Promise<void>((resolve) => {
        const next = (): void =>
          socket.readFragment(undefined, (error, _context, _bytes, _utf8, _final, close) => {
            assert.ifError(error);
            if (!close) return next();
            socket.writeFragment('goodbye', undefined, () => socket.sendConnectionClose(4004, '', () => resolve()));
          });
        next();
      }),
  },
  'reads once, then sends until `signal` fires': {
    seen: LATE,
    handler: async (socket) => {
      await socket.receiveMessageAsync();
      await ticks(socket, socket.signal);
    },
  },
  'reads to the end behind `app.use(sockets)`, and does not close': {
    seen: LATE,
    middleware: readAll,
  },
};

const OWN_CODE = 4001;

describe('The close of a client', { timeout: 150_000 }, () => {
  for (const [name, { seen, handler, middleware, goodbye = [], code = OWN_CODE }] of Object.entries(handlers)) {
    it(`whose handler ${name.replaceAll('`', '')} is followed by ${seen}`, async (t) => {
      // Much longer than the test may take, where nobody is to wait for it
      const closeTimeout = seen === LATE ? 200 : 100_000;
      const { url, sockets } = await serveApp(
        t,
        anyFramework,
        (app, all) => {
          if (handler !== undefined) app.use(all.handler(handler));
          if (middleware === undefined) return;
          app.use(all as Middleware);
          app.use(async (req) => middleware((req as { webSocket?: WebSocketContext }).webSocket as WebSocketContext));
        },
        { closeTimeout },
      );
      const client = await connectWs(t, url);
      client.send('hello');
      await eventually(() => sockets.totals.messagesReceived === 1 || name.includes('socket.ws'));
      await delay(20);
      const began = performance.now();
      client.close(OWN_CODE, 'enough');
      const close = await nextClose(client);
      assert.equal(close.code, code);
      assert.equal(close.reason, code === OWN_CODE ? 'enough' : '');
      if (seen === LATE) assert.ok(performance.now() - began >= closeTimeout - 20);
      const answers: unknown[] = [];
      for (;;) {
        const next = observe(nextMessage(client));
        await Promise.resolve();
        if (next.outcome === 'pending') break;
        if (next.outcome !== 'tick') answers.push(next.outcome);
      }
      assert.deepEqual(answers, goodbye);
      await eventually(() => sockets.connections.size === 0);
      assert.deepEqual([sockets.totals.succeeded, sockets.totals.failed], [1, 0]);
    });
  }

  it('is described so in the documentation', () => {
    const page = readFileSync('docs/topics/close-handshake.md', 'utf8');
    const rows = [...page.matchAll(/^\| (.+?) \| (its own code, .+?|1000, at once|what is still sent, .+?) \|$/gm)];
    assert.deepEqual(
      Object.fromEntries(rows.map(([, name, seen]) => [name, seen])),
      Object.fromEntries(Object.entries(handlers).map(([name, { seen }]) => [name, seen])),
    );
  });
});

describe('A close that nobody can see', () => {
  it('is acknowledged at the end of its turn, and what had been sent can still be read', async (t) => {
    const { connection, socket, ...h } = new Harness(t);
    h.arrive('a', 'b');
    h.arriveClose(4001, 'why');
    await passTurns();
    assert.equal(connection.state, WebSocketState.Closed);
    assert.deepEqual(socket.sentText, ['close \x0f\xa1why']);
    assert.deepEqual([await h.message(), await h.receiveText(), await h.message()], ['a', 'b', undefined]);
  });

  it('is acknowledged without a status if it had none', async (t) => {
    const { socket, ...h } = new Harness(t);
    h.arriveClose();
    await passTurns();
    assert.deepEqual(socket.sentText, ['close ']);
  });

  it('is left to whoever begins to read in its turn', async (t) => {
    const { connection, ...h } = new Harness(t);
    h.arrive('a');
    h.arriveClose(4001);
    assert.equal(await h.message(), 'a');
    await passTurns();
    assert.equal(connection.state, WebSocketState.CloseReceived);
    await h.send('answer');
    assert.equal(await h.receiveText(), 4001);
    await h.close(4002);
  });

  it('is acknowledged once, though somebody answers it in its turn', async (t) => {
    for (const answer of ['close', 'closeOutput'] as const) {
      const { connection, socket, ...h } = new Harness(t);
      h.arriveClose(4001);
      await h[answer](4002);
      await passTurns();
      assert.equal(connection.state, WebSocketState.Closed);
      assert.deepEqual(socket.sentText, ['close \x0f\xa2']);
    }
  });

  it('is acknowledged behind what waits to be sent', async (t) => {
    const { connection, socket, ...h } = new Harness(t);
    socket.stall();
    const sends = [h.send(Buffer.alloc(200_000)), h.send(Buffer.alloc(200_000))];
    h.arriveClose(4001);
    await passTurns();
    assert.equal(connection.state, WebSocketState.CloseReceived);
    await assert.rejects(h.send('late'), /a close frame has been queued/);
    socket.unstall();
    await Promise.all(sends);
    await passTurns();
    assert.equal(connection.state, WebSocketState.Closed);
    assert.deepEqual(
      socket.sent.map(({ opcode }) => opcode),
      [2, 2, 8],
    );
  });

  it('is nobody’s concern any more when the peer leaves in its turn', async (t) => {
    for (const leave of ['reset', 'arriveEnd'] as const) {
      const h = new Harness(t);
      const { connection, socket } = h;
      h.arriveClose(4001);
      socket[leave]();
      await passTurns();
      assert.equal(connection.state, leave === 'reset' ? WebSocketState.Aborted : WebSocketState.Closed);
      assert.equal(socket.destroyed, true);
      assert.equal(h.terminated, 1);
      assert.equal(h.clock.pending, 0);
    }
  });

  it('waits closeTimeout on a connection that has been read from, however much is still sent, and warns once', async (t) => {
    const warnings: Error[] = [];
    const onWarning = (warning: Error): void => void warnings.push(warning);
    process.on('warning', onWarning);
    t.after(() => process.off('warning', onWarning));
    Reflect.deleteProperty(globalThis, Symbol.for('websocket-context.WEBSOCKET_LATE_ACKNOWLEDGEMENT'));
    for (let round = 0; round < 2; round++) {
      const { connection, ...h } = new Harness(t, { closeTimeout: 100 });
      await h.readFirst();
      h.arriveClose(4001);
      await passTurns();
      for (let at = 0; at < 9; at++) {
        h.clock.advance(10);
        await h.send('tick');
        assert.equal(connection.trySend('tock'), true);
      }
      assert.equal(connection.state, WebSocketState.CloseReceived);
      h.clock.advance(10);
      assert.equal(connection.state, WebSocketState.Closed);
      await passTurns();
    }
    assert.equal(warnings.length, 1);
    const { name, code } = warnings[0] as NodeJS.ErrnoException;
    assert.deepEqual([name, code], ['WebSocketCloseWarning', 'WEBSOCKET_LATE_ACKNOWLEDGEMENT']);
    assert.match(warnings[0]?.message ?? '', /waited closeTimeout, 100 ms.*socket\.closing/);
  });
});

describe('Whoever has been told of the close', () => {
  it('by a read has closeTimeout from each read and write, and as many of them as he likes', async (t) => {
    const { connection, ...h } = new Harness(t, { closeTimeout: 100 });
    const read = h.receiveText();
    h.arriveClose(4001);
    assert.equal(await read, 4001);
    for (let at = 0; at < 20; at++) {
      h.clock.advance(99);
      await h.send('still here');
    }
    assert.equal(connection.state, WebSocketState.CloseReceived);
    await h.close(4002);
  });

  it('by closing has the same', async (t) => {
    const { connection, ...h } = new Harness(t, { closeTimeout: 100 });
    connection.listenForClose();
    h.arriveClose(4001);
    await passTurns();
    for (let at = 0; at < 20; at++) {
      h.clock.advance(99);
      connection.trySend('still here');
    }
    assert.equal(connection.state, WebSocketState.CloseReceived);
    h.clock.advance(100);
    assert.equal(connection.state, WebSocketState.Closed);
  });
});

describe('closed', { timeout: 150_000 }, () => {
  it('is a promise like any other, and what is derived from it as well', async (t) => {
    const { socket } = await openWs(t);
    const { closed } = socket;
    assert(closed instanceof Promise);
    const derived = closed.then(({ code }) => code);
    assert.equal(Object.getPrototypeOf(derived), Promise.prototype);
    const finished = closed.finally(() => {});
    socket.abort();
    assert.equal(await derived, 1006);
    assert.equal((await finished).code, 1006);
    assert.equal((await closed.catch(() => undefined))?.code, 1006);
    assert.equal((await socket.closed).code, 1006);
  });

  it('acknowledges nothing while nobody awaits it', async (t) => {
    const { socket, client } = await openRaw(t);
    const read = socket.receiveMessageAsync();
    const { closed } = socket;
    client.close(4001);
    assert.equal(await read, undefined);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(socket.state, WebSocketState.CloseReceived);
    assert.deepEqual(await closed, { code: 4001, reason: '', wasClean: true });
    assert.equal((await client.nextClose()).code, 4001);
  });

  it('says nothing against reads that come later', async (t) => {
    const { socket, client } = await openRaw(t);
    void socket.closed.then(() => {});
    const read = socket.receiveAsync();
    client.close(4001);
    const { messageType } = await read;
    assert.equal(messageType, WebSocketMessageType.Close);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(socket.state, WebSocketState.CloseReceived);
    await socket.closeAsync(4002);
    assert.equal((await client.nextClose()).code, 4002);
  });
});

describe('closing', { timeout: 150_000 }, () => {
  const beginnings: Readonly<Record<string, (pair: Awaited<ReturnType<typeof openRaw>>) => unknown>> = {
    'the client closes': ({ client }) => client.close(1000),
    'the server closes': ({ socket }) => void socket.closeAsync(),
    'the server closes its half': ({ socket }) => void socket.closeOutputAsync(),
    'the server drains': ({ sockets }) => void sockets.close({ timeout: 0 }),
    'the server drains what ws has': ({ socket, sockets }) => {
      assert.ok(socket.ws);
      void sockets.close({ timeout: 1000 });
    },
    'the server aborts': ({ socket }) => socket.abort(),
    'the client breaks the protocol': ({ client }) => client.send(FAULTY_FRAME),
    'the client is lost': ({ client }) => client.raw.reset(),
  };
  for (const [what, begin] of Object.entries(beginnings)) {
    it(`fires when ${what}, once, asked before or after, not later than signal`, async (t) => {
      const pair = await openRaw(t);
      const { closing, signal } = pair.socket;
      const order: string[] = [];
      closing.addEventListener('abort', () => order.push('closing'));
      signal.addEventListener('abort', () => order.push('signal'));
      assert.equal(closing.aborted, false);
      assert.equal(pair.socket.closing, closing);
      await begin(pair);
      await eventually(() => closing.aborted);

      const late = await openRaw(t);
      await begin(late);
      await eventually(() => late.socket.closing.aborted);
      pair.client.close(1000);
      pair.socket.abort();
      await eventually(() => signal.aborted);
      assert.deepEqual(order, ['closing', 'signal']);
    });
  }

  it('fires at once for a close that waits, but not for one that can be taken back', async (t) => {
    const h = new Harness(t);
    const { connection, socket } = h;
    socket.stall();
    const sends = [h.send(Buffer.alloc(200_000)), h.send(Buffer.alloc(200_000))];
    await passTurns();
    const controller = new AbortController();
    const withdrawn = assert.rejects(h.close(1000, controller.signal), (reason) => reason === 'no');
    assert.deepEqual([h.closing, connection.isClosing], [0, false]);
    controller.abort('no');
    await withdrawn;
    void h.closeOutput(1000);
    assert.deepEqual([h.closing, connection.state, connection.isClosing], [1, WebSocketState.Open, true]);
    socket.unstall();
    await Promise.all(sends);
    h.arriveClose(1000);
    await passTurns();
    assert.equal(connection.state, WebSocketState.Closed);
  });

  it('fires when somebody relies on a close that could be taken back', async (t) => {
    const { connection, socket, ...h } = new Harness(t);
    socket.stall();
    void h.send(Buffer.alloc(200_000));
    void h.send(Buffer.alloc(200_000));
    await passTurns();
    const first = h.closeOutput(1000, new AbortController().signal);
    assert.equal(connection.isClosing, false);
    await h.closeOutput(1001);
    assert.equal(connection.isClosing, true);
    socket.unstall();
    await first;
  });

  it('lets its listeners close, abort and send', async (t) => {
    for (const [what, code] of [
      ['close', 4002],
      ['abort', undefined],
      ['send', 4001],
    ] as const) {
      const { socket, client } = await openRaw(t);
      socket.closing.addEventListener('abort', () => {
        if (what === 'close') void socket.closeAsync(4002);
        else if (what === 'abort') socket.abort();
        else void socket.sendAsync('goodbye');
      });
      if (what === 'send') void socket.closed.then(() => {});
      client.close(4001);
      if (what === 'abort') {
        await client.raw.closed();
        continue;
      }
      if (what === 'send') assert.equal(String((await client.next()).payload), 'goodbye');
      assert.equal((await client.nextClose()).code, code);
    }
  });
});
