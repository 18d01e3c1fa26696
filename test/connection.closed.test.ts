import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure, Harness, rejectsWith } from './support/connections.js';
import { FakeSocket, settle } from './support/fake-socket.js';

const LARGE = 200 * 1024;

describe('Connection, closed by the peer', () => {
  it('never answers by itself, and can go on sending', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const read = h.receiveText();
    h.arriveClose(4001, 'why');
    assert.equal(await read, 4001);
    assert.equal(connection.state, 4);
    assert.equal(connection.closeStatusDescription, 'why');
    await h.send('more');
    assert.equal(connection.trySend('and more'), true);
    await settle();
    assert.deepEqual(socket.sentText, ['1 more', '1 and more']);
    await h.close(4002);
    assert.deepEqual(socket.sentText.slice(2), ['8 \x0f\xa2']);
    assert.equal(connection.state, 5);
    assert.equal(socket.destroyed, true);
  });

  it('acknowledges on closeOutput as well', async (t) => {
    const { connection, ...h } = new Harness(t);
    h.arriveClose();
    await settle();
    await h.closeOutput();
    assert.equal(connection.state, 5);
    assert.deepEqual(connection.closeInfo, { code: 1005, reason: '', wasClean: true });
  });

  it('delivers what came before the close, and throws it away if the application closes', async (t) => {
    const { ...h } = new Harness(t);
    h.arrive('a', 'b', 'c');
    h.arriveClose(1000);
    assert.deepEqual([await h.receiveText(), await h.message()], ['a', 'b']);
    await h.close();
    assert.equal(await h.receiveText(), 1000);
  });

  for (const [given, sent] of [
    [[4001, 'why'], '8 \x0f\xa1why'],
    [[], '8 '],
  ] as Array<[[code?: number, reason?: string], string]>) {
    it(`acknowledges with the peer's own code, ${given[0] ?? 'none'}, closeTimeout after the last read or write`, async (t) => {
      const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
      h.arrive('a');
      h.arriveClose(...given);
      await settle();
      h.clock.advance(60);
      await h.send('x');
      h.clock.advance(60);
      connection.trySend('y');
      h.clock.advance(60);
      await h.receive();
      h.clock.advance(60);
      assert.equal(connection.state, 4);
      h.clock.advance(40);
      assert.equal(connection.state, 5);
      await settle();
      assert.deepEqual(socket.sentText, ['1 x', '1 y', sent]);
      assert.equal(socket.destroyed, true);
    });
  }

  it('drops the connection if the peer does not take the late acknowledgement either', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
    socket.stall();
    const lost = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))].map((sent) =>
      assert.rejects(sent, failure('ERR_WEBSOCKET_CLOSE_TIMEOUT')),
    );
    h.arriveClose(1000);
    await settle();
    h.clock.advance(100);
    assert.equal(connection.state, 4);
    h.clock.advance(100);
    assert.equal(connection.state, 6);
    await Promise.all(lost);
  });

  it('sends one acknowledgement only when closeTimeout passes behind a close that waits', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    await settle();
    const closed = h.closeOutput();
    h.arriveClose(1000);
    await settle();
    assert.equal(connection.state, 4);
    h.clock.advance(60);
    socket.takeWaiting();
    await settle();
    h.clock.advance(60);
    socket.unstall();
    await Promise.all([...sends, closed]);
    await settle();
    assert.equal(connection.state, 5);
    assert.equal(socket.sent.filter(({ opcode }) => opcode === 8).length, 1);
  });

  it('gives the application its time again when it cancels an acknowledgement that waits', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
    const controller = new AbortController();
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    h.arriveClose(1000);
    await settle();
    const closed = h.closeOutput(1000, controller.signal);
    controller.abort('no');
    await rejectsWith(closed, 'no');
    socket.unstall();
    await Promise.all(sends);
    await h.send('x');
    h.clock.advance(99);
    assert.equal(connection.state, 4);
    h.clock.advance(1);
    assert.equal(connection.state, 5);
  });

  it('resolves the close of a peer that is gone before it takes the acknowledgement', async (t) => {
    const { socket, ...h } = new Harness(t);
    h.arriveClose(1001);
    await settle();
    socket.stall();
    const sent = assert.rejects(h.send(Buffer.alloc(50_000)), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    const closed = h.close();
    await settle();
    assert.equal(h.connection.state, 5);
    socket.reset();
    await closed;
    await sent;
    assert.equal(h.connection.state, 5);
    await settle();
    assert.equal(h.clock.pending, 0);
  });

  it('still acknowledges when the peer has ended its half of TCP', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    h.arriveClose(1000);
    socket.arriveEnd();
    await settle();
    assert.equal(connection.state, 4);
    await h.close();
    assert.equal(socket.sent.length, 1);
    assert.equal(connection.state, 5);
  });

  it('is Aborted when the peer resets before we have acknowledged; the close can still be received', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    h.arrive('last');
    h.arriveClose(1000);
    await settle();
    socket.reset();
    await settle();
    assert.equal(connection.state, 6);
    assert.equal(await h.receiveText(), 'last');
    assert.equal(await h.receiveText(), 1000);
    await assert.rejects(h.close(), failure('ERR_WEBSOCKET_INVALID_STATE'));
  });

  it('ends every read with INVALID_STATE after abort', async (t) => {
    const { connection, ...h } = new Harness(t);
    h.arrive('last');
    h.arriveClose(1000);
    await settle();
    connection.abort();
    await assert.rejects(h.message(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(h.closeOutput(), /Cannot close: state is Aborted, must not be Aborted/);
  });

  it('destroys a stream that has no destroySoon when its last bytes are out', async (t) => {
    const socket = new FakeSocket();
    Object.defineProperty(socket, 'destroySoon', { value: undefined });
    const { ...h } = new Harness(t, {}, socket);
    h.arriveClose(1000);
    await settle();
    await h.close();
    await settle();
    assert.equal(socket.sent.length, 1);
    assert.equal(socket.destroyed, true);
  });
});
