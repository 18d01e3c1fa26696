import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type WebSocketContext, WebSocketMessageType, WebSocketState } from '../src/index.js';
import { anyFramework, eventually, type Site, serveApp } from './support/apps.js';
import { failure, Harness, LARGE } from './support/connections.js';
import { deflated, negotiated } from './support/deflate.js';
import { passTurns } from './support/fake-socket.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  clientClose,
  clientFrame,
  type FrameInit,
  PING_FRAME,
  PONG_FRAME,
  parseFrames,
} from './support/frames.js';
import { openRaw } from './support/open-pair.js';
import { rawUpgrade } from './support/raw-client.js';
import type { TestContext } from './support/servers.js';

// The errors that clients provoke are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

const text = (payload: string, more: FrameInit = {}): Buffer => clientFrame({ payload, ...more });
const ping = clientFrame({ opcode: PING_FRAME });

/** A case of the Autobahn test suite, by its number: what is sent in one go, and the messages that must come back. */
type Case = readonly [number: string, sent: Buffer[], echoed: string[], close: number];

const behindMessage = (number: string, bad: Buffer): Case => [
  number,
  [text('Hello, world!'), bad, ping],
  ['Hello, world!'],
  1002,
];

const cases: readonly Case[] = [
  ['3.1', [text('Hello, world!', { rsv: 1 })], [], 1002],
  behindMessage('3.2', text('Hello, world!', { rsv: 2 })),
  behindMessage('3.3', text('Hello, world!', { rsv: 3 })),
  behindMessage('3.4', text('Hello, world!', { rsv: 4 })),
  ['3.6', [clientFrame({ opcode: PING_FRAME, rsv: 6, payload: 'Hello, world!' })], [], 1002],
  ['3.7', [clientFrame({ opcode: CLOSE_FRAME, rsv: 7 })], [], 1002],
  ['4.1.1', [clientFrame({ opcode: 3 })], [], 1002],
  behindMessage('4.1.3', clientFrame({ opcode: 5 })),
  behindMessage('4.1.4', clientFrame({ opcode: 6, payload: 'Hello, world!' })),
  behindMessage('4.1.5', clientFrame({ opcode: 7, payload: 'Hello, world!' })),
  ['4.2.1', [clientFrame({ opcode: 11 })], [], 1002],
  behindMessage('4.2.3', clientFrame({ opcode: 13 })),
  behindMessage('4.2.4', clientFrame({ opcode: 14, payload: 'Hello, world!' })),
  behindMessage('4.2.5', clientFrame({ opcode: 15, payload: 'Hello, world!' })),
  [
    '5.15',
    [
      text('fragment1', { fin: false }),
      text('fragment2', { opcode: CONTINUATION }),
      text('fragment3', { opcode: CONTINUATION, fin: false }),
      text('fragment4'),
    ],
    ['fragment1fragment2'],
    1002,
  ],
];

/** Handlers that answer each message as soon as they have it. */
const echoes: Readonly<Record<string, (socket: WebSocketContext) => Promise<unknown>>> = {
  'for await': async (socket) => {
    for await (const message of socket) await socket.sendAsync(message);
  },
  'several turns of promises': async (socket) => {
    for await (const message of socket) {
      for (let hop = 0; hop < 10; hop++) await Promise.resolve();
      await new Promise<void>((resolve) => process.nextTick(resolve));
      await socket.sendAsync(message);
    }
  },
  receiveMessageAsync: async (socket) => {
    for (;;) {
      const message = await socket.receiveMessageAsync();
      if (message === undefined) return;
      await socket.sendAsync(message);
    }
  },
  receiveAsync: async (socket) => {
    for (;;) {
      const { data, messageType, endOfMessage } = await socket.receiveAsync(new Uint8Array(1024));
      if (messageType === WebSocketMessageType.Close) return;
      await socket.sendAsync(data, { messageType, endOfMessage });
    }
  },
  streams: (socket) => socket.readable.pipeTo(socket.writable),
};

function serveEchoes(t: TestContext): Promise<Site> {
  return serveApp(t, anyFramework, (app, sockets) => {
    for (const [name, echo] of Object.entries(echoes)) {
      app.use(`/${encodeURIComponent(name)}`, sockets.handler(echo));
    }
  });
}

/** Sends the pieces as chunks of their own, and takes all that comes back until FIN. */
async function converse(t: TestContext, { server, sockets }: Site, path: string, pieces: readonly Buffer[]) {
  const client = await rawUpgrade(t, server, { path });
  await client.readHead();
  client.socket.setNoDelay(true);
  let sent = sockets.totals.bytesReceived;
  for (const piece of pieces) {
    client.write(piece);
    sent += piece.length;
    await eventually(() => sockets.totals.bytesReceived === sent || sockets.connections.size === 0);
  }
  const { frames, rest } = parseFrames(await client.readToEnd());
  client.end();
  await eventually(() => sockets.connections.size === 0);
  assert.equal(rest.length, 0);
  return frames;
}

/** Asserts that nothing but the messages came, then the close frame. */
function assertStrict(
  frames: ReturnType<typeof parseFrames>['frames'],
  [number, , echoed, close]: Case,
  how: string,
): void {
  const name = `${number}, ${how}`;
  const last = frames.at(-1);
  assert.equal(last?.opcode, CLOSE_FRAME, name);
  assert.equal(last.payload.readUInt16BE(0), close, name);
  const data = frames.slice(0, -1);
  assert.ok(
    data.every(({ opcode }) => opcode < CLOSE_FRAME),
    name,
  );
  assert.equal(data.map(({ payload }) => payload).join(''), echoed.join(''), name);
  assert.equal(data.filter(({ fin }) => fin).length, echoed.length, name);
}

describe('A fault comes in its order, as the Autobahn test suite wants strictly', { timeout: 120_000 }, () => {
  for (const name of Object.keys(echoes)) {
    it(`when all is sent at once (${name})`, async (t) => {
      const site = await serveEchoes(t);
      for (const one of cases) {
        const frames = await converse(t, site, `/${encodeURIComponent(name)}`, [Buffer.concat(one[1])]);
        assertStrict(frames, one, name);
      }
    });
  }

  it('octet by octet', async (t) => {
    const site = await serveEchoes(t);
    for (const one of cases) {
      const octets = Array.from(Buffer.concat(one[1]), (octet) => Buffer.of(octet));
      assertStrict(await converse(t, site, '/receiveAsync', octets), one, 'octets');
      assertStrict(await converse(t, site, '/receiveMessageAsync', octets), one, 'octets');
    }
  });

  it('cut in two at each octet', async (t) => {
    const site = await serveEchoes(t);
    for (const one of cases) {
      const bytes = Buffer.concat(one[1]);
      for (let at = 1; at < bytes.length; at++) {
        const pieces = [bytes.subarray(0, at), bytes.subarray(at)].map((piece) => Buffer.from(piece));
        assertStrict(await converse(t, site, '/for%20await', pieces), one, `cut at ${at}`);
      }
    }
  });

  it('except that impossible text fails at its first impossible octet, long before the message ends (6.4)', async (t) => {
    for (const [valid, impossible] of [
      [Buffer.from('κόσμε'), Buffer.of(0xf4, 0x90)],
      [Buffer.from('κόσμε'), Buffer.of(0xed, 0xa0)],
    ] as const) {
      const { client } = await openRaw(t);
      client.send({ payload: valid, fin: false });
      const head = clientFrame({
        opcode: CONTINUATION,
        payload: Buffer.concat([impossible, Buffer.alloc(1000)]),
        mask: Buffer.alloc(4),
      });
      // Header of 8 octets
      client.raw.write(head.subarray(0, 9));
      client.raw.write(head.subarray(9, 10));
      assert.equal((await client.nextClose()).code, 1007);
    }
  });
});

describe('In the turn of a fault', () => {
  const bad = { opcode: 3 };
  const FAULT = 'close \x03\xea';

  /** What was sent, without the reasons of close frames. */
  function sentOf({ socket }: Harness): string[] {
    return socket.sentText.map((one) => (one.startsWith('close ') ? one.slice(0, 8) : one));
  }

  it('nothing that is behind it is seen: no message, no ping, no close', async (t) => {
    const h = new Harness(t);
    const read = h.message();
    h.arrive('a', bad, 'b', { opcode: PING_FRAME });
    h.arriveClose(1000);
    assert.equal(await read, 'a');
    assert.equal(h.connection.state, WebSocketState.Open);
    await h.send('answer');
    const next = assert.rejects(h.message(), failure('ERR_WEBSOCKET_FAULTED'));
    await passTurns();
    await next;
    assert.deepEqual(sentOf(h), ['text answer', FAULT]);
    assert.equal(h.connection.state, WebSocketState.Aborted);
    assert.equal(h.connection.closeStatus, undefined);
  });

  it('answers of any size go out before the close frame, for as long as the peer takes them', async (t) => {
    const h = new Harness(t);
    const { socket, connection } = h;
    socket.stall();
    const read = h.message();
    h.arrive('a', bad);
    await read;
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE)), h.send('last')];
    await passTurns();
    assert.equal(connection.state, WebSocketState.Aborted);
    await assert.rejects(h.send('late'), failure('ERR_WEBSOCKET_INVALID_STATE'));
    socket.unstall();
    await Promise.all(sends);
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ opcode }) => opcode),
      [2, 2, 1, 8],
    );
    assert.equal(socket.finSent, true);
  });

  it('answers that are compressed go out as well', async (t) => {
    const h = new Harness(t, { compression: { negotiated: negotiated(), options: {} } });
    const read = h.message();
    h.arrive('a', bad);
    await read;
    const sent = h.send('x'.repeat(5000));
    await passTurns();
    assert.equal(h.connection.state, WebSocketState.Aborted);
    await sent;
    await passTurns();
    const [answer, close] = h.socket.sent;
    assert.equal(answer?.rsv, 4);
    assert.equal(close?.opcode, CLOSE_FRAME);
    assert.equal(h.socket.finSent, true);
  });

  it('a peer that takes nothing is given up after closeTimeout, with all that waits for it', async (t) => {
    const h = new Harness(t);
    h.socket.stall();
    const read = h.message();
    h.arrive('a', bad);
    await read;
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))].map((sent) =>
      assert.rejects(sent, failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY')),
    );
    await passTurns();
    h.clock.advance(9_999);
    assert.equal(h.socket.destroyed, false);
    h.clock.advance(1);
    await Promise.all(sends);
    assert.equal(h.socket.destroyed, true);
    await passTurns();
    assert.equal(h.clock.pending, 0);
  });

  it('the ping that the peer has not taken the answer of is answered', async (t) => {
    const h = new Harness(t);
    h.socket.stall();
    await h.send('x');
    await passTurns();
    h.arrive({ opcode: PING_FRAME, payload: 'p' }, bad);
    await passTurns();
    h.socket.unstall();
    await passTurns();
    assert.deepEqual(
      h.socket.sent.map(({ opcode }) => opcode),
      [1, PONG_FRAME, CLOSE_FRAME],
    );
  });

  it('signal, closed and the state follow when it is over, once, whether or not anybody reads', async (t) => {
    for (const reads of [true, false]) {
      const { socket, client, sockets } = await openRaw(t);
      const read = reads ? assert.rejects(socket.receiveMessageAsync(), failure('ERR_WEBSOCKET_FAULTED')) : undefined;
      const { signal, closed } = socket;
      client.send({ opcode: 3 });
      assert.equal((await client.nextClose()).code, 1002);
      await read;
      assert.deepEqual(await closed, { code: 1006, reason: '', wasClean: false });
      assert.deepEqual([signal.aborted, socket.state, sockets.connections.size], [true, WebSocketState.Aborted, 0]);
    }
  });

  for (const [what, leave, sent] of [
    ['ends TCP', (h: Harness) => h.socket.arriveEnd(), [FAULT]],
    ['resets', (h: Harness) => h.socket.reset(), []],
  ] as const) {
    it(`a peer that ${what} has broken the protocol all the same`, async (t) => {
      const h = new Harness(t);
      const read = assert.rejects(h.message(), failure('ERR_WEBSOCKET_FAULTED'));
      h.arrive(bad);
      leave(h);
      await read;
      await passTurns();
      assert.equal(h.connection.state, WebSocketState.Aborted);
      assert.deepEqual(sentOf(h), sent);
      assert.equal(h.socket.destroyed, true);
      assert.equal(h.terminated, 1);
    });
  }

  it('whoever closes sends his own close frame, and whoever aborts none', async (t) => {
    const closing = new Harness(t);
    closing.arrive(bad);
    const closed = assert.rejects(closing.close(1000), failure('ERR_WEBSOCKET_FAULTED'));
    await passTurns();
    await closed;
    assert.deepEqual(sentOf(closing), ['close \x03\xe8']);

    const queued = new Harness(t);
    queued.socket.stall();
    const sends = [queued.send(Buffer.alloc(LARGE)), queued.send(Buffer.alloc(LARGE))];
    queued.arrive(bad);
    const half = queued.closeOutput(1000);
    await passTurns();
    assert.equal(queued.connection.state, WebSocketState.Aborted);
    queued.socket.unstall();
    await Promise.all([...sends, half]);
    assert.deepEqual(queued.socket.sent.at(-1)?.payload, Buffer.of(3, 0xe8));

    const aborted = new Harness(t);
    aborted.arrive(bad);
    aborted.connection.abort();
    await passTurns();
    assert.deepEqual(sentOf(aborted), []);
    assert.equal(aborted.terminated, 1);
  });

  it('messages that were compressed are delivered and answered first', async (t) => {
    const h = new Harness(t, { compression: { negotiated: negotiated(), options: {} } });
    const answers = (async () => {
      for (;;) await h.send((await h.message()) ?? '');
    })();
    const rejected = assert.rejects(answers, failure('ERR_WEBSOCKET_FAULTED'));
    h.arrive({ rsv: 4, payload: deflated('one') }, { rsv: 4, payload: deflated('two') }, bad);
    await rejected;
    await passTurns();
    assert.deepEqual(sentOf(h), ['text one', 'text two', FAULT]);
  });

  it('a message that is too big for its reader fails, and what stood before it is answered', async (t) => {
    const h = new Harness(t, { receiveBufferLimit: 1000 });
    const answers = (async () => {
      for (;;) await h.send((await h.message()) ?? '');
    })();
    const rejected = assert.rejects(answers, failure('ERR_WEBSOCKET_MESSAGE_TOO_BIG'));
    h.arrive('small', { opcode: BINARY_FRAME, payload: Buffer.alloc(1001) });
    await rejected;
    await passTurns();
    assert.deepEqual(sentOf(h), ['text small', 'close \x03\xf1']);
  });
});

describe('A flood of faults', { timeout: 120_000 }, () => {
  it('leaves nothing behind', async (t) => {
    const site = await serveEchoes(t);
    const bytes = Buffer.concat([text('a'), clientFrame({ opcode: 3 }), clientClose(1000)]);
    for (let round = 0; round < 20; round++) {
      const all = await Promise.all(
        Array.from({ length: 20 }, async () => {
          const client = await rawUpgrade(t, site.server, { path: '/for%20await', tail: bytes });
          await client.readHead();
          const { frames } = parseFrames(await client.readToEnd());
          client.end();
          return frames.map(({ opcode }) => opcode);
        }),
      );
      for (const opcodes of all) assert.deepEqual(opcodes, [1, CLOSE_FRAME]);
    }
    await eventually(() => site.sockets.connections.size === 0);
    assert.equal(site.sockets.totals.failed, 400);
  });
});
