import assert from 'node:assert/strict';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, Socket } from 'node:net';
import { describe, it, type TestContext } from 'node:test';
import { Transport } from '../src/connection/transport.js';
import { FakeClock } from './support/fake-clock.js';
import { FakeSocket, passTurns } from './support/fake-socket.js';

const NO_HEAD = Buffer.alloc(0);
const LONG = 32 * 1024;

/** A transport over a fake socket, and what it reports. */
function start(head = NO_HEAD, keepAliveInterval = 0, socket = new FakeSocket()) {
  const reports: string[] = [];
  const transport = new Transport(socket, {
    onChunk: (chunk) => reports.push(`received ${chunk}`) < 0,
    onEnd: () => reports.push('ended'),
    onFlushed: () => reports.push('flushed'),
    onClose: () => reports.push('closed'),
  });
  return { socket, reports, transport, open: transport.open(head, keepAliveInterval) };
}

/** A socket of a server, paused, and that of its client. */
async function socketPair(t: TestContext): Promise<{ socket: Socket; peer: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const peer = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.after(() => {
    peer.destroy();
    socket.destroy();
    server.close();
  });
  return { socket, peer };
}

/** A batch of text in these pieces. */
function batch(...pieces: string[]) {
  const chunks = pieces.map((piece) => Buffer.from(piece, 'latin1'));
  return { chunks, byteLength: Buffer.concat(chunks).length, blocks: [] };
}

describe('Transport', () => {
  it('reports what had come before, what comes, and the end', async () => {
    const { socket, reports, transport, open } = start(Buffer.from('head'), 1000);
    assert.equal(open, true);
    socket.arrive(Buffer.from('more'));
    await passTurns();
    assert.equal(transport.isPeerConnected, true);
    socket.arriveEnd();
    await passTurns();
    assert.equal(transport.isPeerConnected, false);
    transport.linger(1000);
    await passTurns();
    assert.equal(socket.destroyed, true);
    assert.deepEqual(reports, ['received head', 'received more', 'ended']);
    assert.equal(transport.error, undefined);
  });

  it('says so if the peer has left already', async () => {
    const gone = new FakeSocket();
    gone.destroy();
    assert.equal(start(NO_HEAD, 1000, gone).open, false);
    assert.equal(gone.tcpKeepAlive, undefined);
  });

  it('keeps the error with which TCP fails', async () => {
    const { socket, reports, transport } = start();
    socket.reset();
    await passTurns();
    assert.match(String(transport.error), /ECONNRESET/);
    assert.deepEqual(reports, ['closed']);
  });

  it('lets TCP look for the peer as soon as it is not read from, or is somebody else’s', () => {
    for (const stop of ['pause', 'leave'] as const) {
      const { socket, transport } = start(NO_HEAD, 1000);
      assert.equal(socket.tcpKeepAlive, undefined);
      transport[stop]();
      assert.equal(socket.tcpKeepAlive, 1000);
      socket.tcpKeepAlive = undefined;
      transport.pause();
      assert.equal(socket.tcpKeepAlive, undefined);
    }
    const { socket, transport } = start(NO_HEAD, 0);
    transport.pause();
    assert.equal(socket.tcpKeepAlive, undefined);
  });

  it('stops and starts the flow', async () => {
    const { socket, reports, transport } = start();
    transport.pause();
    assert.equal(transport.isPaused, true);
    socket.arrive(Buffer.from('a'));
    await passTurns();
    assert.deepEqual(reports, []);
    transport.resume();
    assert.equal(transport.isPaused, false);
    await passTurns();
    assert.deepEqual(reports, ['received a']);
  });

  it('writes a batch of several pieces in one call, and says whether the system has taken it', async () => {
    const { socket, reports, transport } = start();
    assert.equal(transport.write(batch('\x81\x01', 'a', '\x81\x00')), true);
    assert.deepEqual([socket.writes, socket.sentText], [1, ['text a', 'text ']]);
    await passTurns();
    assert.deepEqual(reports, []);
    socket.stall();
    assert.equal(transport.write(batch('\x81\x00')), false);
    await passTurns();
    assert.deepEqual(reports, []);
    socket.unstall();
    await passTurns();
    assert.deepEqual(reports, ['flushed']);
  });

  it('knows of a socket of the system when that has taken what it did not take at once, and is not told otherwise', async (t) => {
    const { socket, peer } = await socketPair(t);
    const events = new EventEmitter();
    const flushed = once(events, 'flushed');
    const transport = new Transport(socket, {
      onChunk: () => false,
      onEnd: () => {},
      onFlushed: () => events.emit('flushed'),
      onClose: () => {},
    });
    const write = t.mock.method(socket, 'write');

    assert.equal(transport.write(batch('a', 'b')), true);
    assert.deepEqual(
      write.mock.calls.map(({ arguments: [, done] }) => done),
      [undefined, undefined],
    );
    const size = 64 * 1024 * 1024;
    assert.equal(transport.write({ chunks: [Buffer.alloc(size)], byteLength: size, blocks: [] }), false);
    let bytes = 0;
    peer.on('data', (chunk) => {
      bytes += chunk.length;
    });
    await flushed;
    assert.ok(bytes > 0);
    assert.equal(transport.write(batch('c')), true);
  });

  it('reports several batches as taken when the last one is', async () => {
    const { socket, reports, transport } = start();
    socket.stall();
    transport.write(batch('a'));
    transport.write(batch('b'));
    socket.takeWaiting();
    await passTurns();
    assert.deepEqual(reports, []);
    socket.unstall();
    await passTurns();
    assert.deepEqual(reports, ['flushed']);
  });

  it('never reports as taken what a socket has dropped, and gives it nothing more', async () => {
    for (const end of [
      (socket: FakeSocket) => socket.failWrite(new Error('write EPIPE')),
      (socket: FakeSocket) => socket.destroy(),
    ]) {
      const { socket, reports, transport } = start();
      socket.stall();
      transport.write(batch('a'));
      end(socket);
      await passTurns();
      assert.deepEqual(reports, ['closed']);
      assert.equal(transport.write(batch('b')), false);
      assert.equal(socket.writes, 1);
    }
  });

  it('lingers: ends our half, takes and reports nothing more, and throws away what still comes until the peer ends', async (t) => {
    const clock = new FakeClock().install(t);
    const { socket, reports, transport } = start();
    transport.pause();
    transport.linger(1000);
    assert.equal(transport.write(batch('a')), false);
    socket.arrive(Buffer.from('late'));
    await passTurns();
    assert.deepEqual([socket.finSent, socket.destroyed, socket.readableLength], [true, false, 0]);
    socket.arriveEnd();
    await passTurns();
    assert.equal(socket.destroyed, true);
    assert.deepEqual(reports, []);
    assert.equal(clock.pending, 0);
  });

  it('lingers no longer than it may, and not at all on a socket that is gone', async (t) => {
    const clock = new FakeClock().install(t);
    const { socket, transport } = start();
    transport.linger(1000);
    clock.advance(999);
    assert.equal(socket.destroyed, false);
    clock.advance(1);
    assert.equal(socket.destroyed, true);
    await passTurns();
    transport.linger(1000);
    assert.equal(clock.pending, 0);
  });

  for (const [what, adapt] of [
    ['a socket', () => {}],
    [
      'a stream that has no destroySoon',
      (socket: FakeSocket) => Object.defineProperty(socket, 'destroySoon', { value: undefined }),
    ],
  ] as const) {
    it(`destroys ${what} whose peer has ended when our last bytes are out, or at once`, async () => {
      const { socket, transport } = start();
      adapt(socket);
      socket.stall();
      transport.write(batch('\x81\x01a'));
      socket.arriveEnd();
      await passTurns();
      transport.linger(1000);
      await passTurns();
      assert.equal(socket.destroyed, false);
      socket.unstall();
      await passTurns();
      assert.equal(socket.destroyed, true);
      assert.deepEqual(socket.sentText, ['text a']);

      const another = start();
      another.transport.destroy();
      assert.equal(another.socket.destroyed, true);
    });
  }

  it('leaves a socket without a listener, paused, and still reports what was written to it', async () => {
    const { socket, reports, transport } = start();
    const before = new FakeSocket();
    socket.stall();
    transport.write(batch('a'));
    assert.equal(transport.leave(), socket);
    assert.equal(socket.isPaused(), true);
    for (const event of ['data', 'end', 'close', 'error']) {
      assert.equal(socket.listenerCount(event), before.listenerCount(event), event);
    }
    socket.unstall();
    await passTurns();
    assert.deepEqual(reports, ['flushed']);
  });

  it('reports nothing of a socket that it leaves while the event is on its way to it', async () => {
    const reports: string[] = [];
    const socket = new FakeSocket();
    const report = (): boolean => reports.push('report') < 0;
    const transport = new Transport(socket, { onChunk: report, onEnd: report, onFlushed: report, onClose: report });
    for (const event of ['data', 'end', 'close', 'error']) socket.prependListener(event, () => transport.leave());
    for (const event of ['data', 'end', 'close', 'error']) {
      transport.open(NO_HEAD, 0);
      socket.emit(event, Buffer.from('a'));
    }
    assert.deepEqual(reports, []);
    assert.equal(transport.error, undefined);
  });

  describe('with what has arrived', () => {
    /** Whether the first chunk of so many bytes has lost its memory when the next one comes. */
    async function isReleased(
      t: TestContext,
      {
        size = LONG,
        isNeeded = false,
        isSpent = false,
        neighbour,
      }: { size?: number; isNeeded?: boolean; isSpent?: boolean; neighbour?: () => void },
    ): Promise<boolean> {
      const { socket, peer } = await socketPair(t);
      const chunks: Buffer[] = [];
      const events = new EventEmitter();
      const transport = new Transport(socket, {
        onChunk: (chunk) => {
          chunks.push(chunk);
          setImmediate(() => events.emit('chunk'));
          return isNeeded;
        },
        onEnd: () => {},
        onFlushed: () => {},
        onClose: () => {},
      });
      transport.open(NO_HEAD, 0);
      transport.resume();
      if (neighbour !== undefined) socket.once('data', neighbour);
      const arrived = once(events, 'chunk');
      peer.write(Buffer.alloc(size));
      await arrived;
      if (isSpent) transport.spent(chunks[0] as Buffer);
      return chunks[0]?.length === 0;
    }

    it('gives the memory of a chunk that nobody needs back', async (t) => {
      assert.equal(await isReleased(t, {}), true);
      assert.equal(await isReleased(t, { isNeeded: true, isSpent: true }), true);
    });

    it('leaves a chunk alone that is needed, is short, or that somebody else on the socket has got too', async (t) => {
      assert.equal(await isReleased(t, { isNeeded: true }), false);
      assert.equal(await isReleased(t, { size: 100 }), false);
      assert.equal(await isReleased(t, { neighbour: () => {} }), false);
      assert.equal(await isReleased(t, { isNeeded: true, isSpent: true, neighbour: () => {} }), false);
      assert.equal(await isReleased(t, { isNeeded: true, isSpent: true, size: 100 }), false);
    });

    it('leaves a chunk alone that is a part of a buffer, or that a stream of the application brings', () => {
      const part = Buffer.alloc(2 * LONG).subarray(LONG);
      const whole = Buffer.alloc(LONG);
      for (const [socket, chunk] of [
        [new Socket(), part],
        [new FakeSocket(), whole],
      ] as const) {
        new Transport(socket, { onChunk: () => false, onEnd() {}, onFlushed() {}, onClose() {} }).received(chunk);
        assert.equal(chunk.length, LONG);
      }
    });
  });
});
