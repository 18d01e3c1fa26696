import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Connection } from '../src/connection/connection.js';
import { WebSocketState } from '../src/connection/state.js';
import { failure, Harness, LARGE, observe, rejectsWith } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';
import { CLOSE_FRAME } from './support/frames.js';

/** The close of the peer has been read, in the turn in which it has come. */
async function untilClosedByPeer(connection: Connection): Promise<void> {
  while (connection.state === WebSocketState.Open) await new Promise<void>((resolve) => process.nextTick(resolve));
}

describe('OurClose', () => {
  it('joins a second close to the first', async (t) => {
    const { socket, ...h } = new Harness(t);
    const both = [h.close(4000), h.close(4001)];
    h.arriveClose(1000);
    await Promise.all(both);
    await h.close(4002);
    assert.equal(socket.sent.length, 1);
  });

  it('takes back the frame of a cancelled close that waits, and loses no input', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const controller = new AbortController();
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    h.arrive('unread');
    await passTurns();
    const closed = h.close(1000, controller.signal);
    controller.abort('no');
    await rejectsWith(closed, 'no');
    socket.unstall();
    await Promise.all(sends);
    await h.send('still open');
    assert.equal(await h.receiveText(), 'unread');
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ opcode }) => opcode),
      [2, 2, 1],
    );
    assert.equal(connection.state, WebSocketState.Open);
    assert.equal(h.clock.pending, 0);
  });

  it('leaves the frame for others who close when the first of them cancels', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const [first, third] = [new AbortController(), new AbortController()];
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    await passTurns();
    const cancelled = h.close(4000, first.signal);
    const closed = h.close(4001);
    const alsoCancelled = h.close(4002, third.signal);
    third.abort('third');
    first.abort('first');
    await rejectsWith(cancelled, 'first');
    await rejectsWith(alsoCancelled, 'third');
    assert.equal(connection.state, WebSocketState.Open);
    socket.unstall();
    await Promise.all(sends);
    h.arriveClose(1000);
    await closed;
  });

  it('aborts when a close is cancelled whose frame is out', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const controller = new AbortController();
    const closed = h.close(1000, controller.signal);
    await passTurns();
    controller.abort('no');
    await rejectsWith(closed, 'no');
    assert.equal(connection.state, WebSocketState.Aborted);
    assert.equal(socket.destroyed, true);
    assert.deepEqual(connection.closeInfo, { code: 1006, reason: '', wasClean: false });
  });

  it('does nothing for a signal that has fired', async (t) => {
    const { socket, ...h } = new Harness(t);
    await rejectsWith(h.close(1000, AbortSignal.abort('no')), 'no');
    await rejectsWith(h.closeOutput(1000, AbortSignal.abort('no')), 'no');
    await passTurns();
    assert.deepEqual(socket.sentText, []);
    assert.equal(h.connection.state, WebSocketState.Open);
  });

  it('withdraws a cancelled closeOutput that waits, and rejects one that does not get out', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const [first, second] = [new AbortController(), new AbortController()];
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    await passTurns();
    const withdrawn = h.closeOutput(1000, first.signal);
    first.abort('first');
    await rejectsWith(withdrawn, 'first');
    socket.takeWaiting();
    await passTurns();
    const rejected = h.closeOutput(1000, second.signal);
    assert.equal(connection.state, WebSocketState.CloseSent);
    second.abort('second');
    await rejectsWith(rejected, 'second');
    socket.unstall();
    await Promise.all(sends);
    await passTurns();
    assert.equal(socket.sent.at(-1)?.opcode, CLOSE_FRAME);
  });

  it('aborts when the peer does not acknowledge within closeTimeout', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const rejected = assert.rejects(h.close(), failure('ERR_WEBSOCKET_CLOSE_TIMEOUT', { hresult: 0x800705b4 }));
    await passTurns();
    h.clock.advance(9_999);
    assert.equal(connection.state, WebSocketState.CloseSent);
    h.clock.advance(1);
    await rejected;
    assert.equal(connection.state, WebSocketState.Aborted);
    assert.equal(socket.destroyed, true);
    await passTurns();
    assert.equal(h.clock.pending, 0);
  });

  it('destroys the socket after closeTimeout if the peer does not end TCP after closeTcp', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    connection.closeTcp();
    await passTurns();
    h.clock.advance(9_999);
    assert.equal(socket.destroyed, false);
    h.clock.advance(1);
    assert.equal(socket.destroyed, true);
  });

  it('leaves what is unread where it is when the connection is Closed already', async (t) => {
    const { ...h } = new Harness(t);
    await h.readFirst();
    h.arrive('unread');
    h.arriveClose(1000);
    await h.closeOutput();
    assert.equal(h.connection.state, WebSocketState.Closed);
    await h.close();
    await h.close(1000, AbortSignal.abort('too late'));
    assert.equal(await h.receiveText(), 'unread');
  });

  it('throws unread input away once the frame of a close that can be cancelled is out, not before', async (t) => {
    const { ...h } = new Harness(t);
    await h.readFirst();
    h.arrive('unread');
    const closed = h.close(1000, new AbortController().signal);
    await passTurns();
    h.arrive('more');
    h.arriveClose(1000);
    await closed;
    assert.equal(await h.receiveText(), 1000);
  });

  it('keeps unread input when a cancelled close is followed by one that keeps it', async (t) => {
    const { socket, ...h } = new Harness(t);
    const controller = new AbortController();
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    await h.readFirst();
    h.arrive('unread');
    const cancelled = h.close(1000, controller.signal);
    controller.abort('no');
    await rejectsWith(cancelled, 'no');
    const sent = h.closeOutput();
    socket.unstall();
    await Promise.all([...sends, sent]);
    assert.equal(await h.receiveText(), 'unread');
  });

  it('is certain as soon as somebody relies on it who cannot take it back, or who joins', async (t) => {
    for (const [signal, others] of [
      [undefined, 0],
      [new AbortController().signal, 1],
    ] as const) {
      const { socket, connection, ...h } = new Harness(t);
      const first = new AbortController();
      socket.stall();
      const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
      await h.readFirst();
      h.arrive('unread');
      const cancelled = others === 0 ? undefined : h.close(4000, first.signal);
      assert.equal(connection.isClosing, false);
      const closed = h.close(4001, signal);
      assert.equal(connection.isClosing, true);
      first.abort('no');
      if (cancelled !== undefined) await rejectsWith(cancelled, 'no');
      socket.unstall();
      await Promise.all(sends);
      await passTurns();
      assert.equal(socket.sent.at(-1)?.opcode, CLOSE_FRAME);
      h.arriveClose(1000);
      await closed;
      assert.equal(await h.receiveText(), 1000, 'what was unread is gone');
    }
  });

  it('does not let one who reads again what he has been told put the acknowledgement off', async (t) => {
    t.mock.method(process, 'emitWarning', () => {});
    const { socket, clock, ...h } = new Harness(t);
    await h.readFirst();
    h.arriveClose(1000);
    assert.equal(await h.message(), undefined);
    clock.advance(6_000);
    assert.equal(await h.message(), undefined);
    clock.advance(4_000);
    await passTurns();
    assert.equal(socket.sent.at(-1)?.opcode, CLOSE_FRAME);
  });

  it('rejects when the connection is lost before its frame is out', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    for (const sending of [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))]) observe(sending);
    await passTurns();
    const sent = assert.rejects(h.closeOutput(), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    socket.destroy();
    await sent;
  });

  it('looks at all that has come before it gives the peer up', async (t) => {
    const { connection, clock, ...h } = new Harness(t);
    const arriving = [0, 10, 20, 20];
    Object.defineProperty(connection, 'bytesReceived', { get: () => arriving.shift() ?? 20 });
    const rejected = assert.rejects(h.close(), failure('ERR_WEBSOCKET_CLOSE_TIMEOUT'));
    await passTurns();
    clock.advance(10_000);
    await rejected;
    assert.deepEqual(arriving, []);
  });

  it('leaves the answer to one who awaits the end and then closes or reads in the turn of the close', async (t) => {
    const closing = new Harness(t);
    closing.socket.stall();
    const sends = [closing.send(Buffer.alloc(LARGE)), closing.send(Buffer.alloc(LARGE))];
    closing.connection.awaitEnd();
    closing.arriveClose(1000);
    await untilClosedByPeer(closing.connection);
    const closed = closing.closeOutput(4000);
    await passTurns();
    closing.socket.unstall();
    await Promise.all([...sends, closed]);
    assert.deepEqual(closing.socket.sentText.slice(2), ['close \x0f\xa0']);

    const reading = new Harness(t);
    reading.connection.awaitEnd();
    reading.arrive('last');
    reading.arriveClose(1000);
    await untilClosedByPeer(reading.connection);
    assert.equal(await reading.message(), 'last');
    await passTurns();
    assert.deepEqual(reading.socket.sentText, []);
    assert.equal(reading.connection.state, WebSocketState.CloseReceived);

    const aborting = new Harness(t);
    aborting.connection.awaitEnd();
    aborting.arriveClose(1000);
    await untilClosedByPeer(aborting.connection);
    aborting.connection.abort();
    const { closing: told } = aborting;
    await passTurns();
    assert.deepEqual([aborting.socket.sentText, aborting.closing], [[], told]);
  });

  it('acknowledges for one who awaits the end behind the close of the peer, though he reads what is left', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    await h.readFirst();
    h.arrive('left');
    h.arriveClose(1000);
    connection.awaitEnd();
    assert.equal(await h.message(), 'left');
    await passTurns();
    assert.deepEqual(socket.sentText, ['close \x03\xe8']);
  });

  it('waits for the peer only in a closeAsync after closeOutput', async (t) => {
    const { socket, ...h } = new Harness(t);
    await h.closeOutput(4000);
    await h.closeOutput(4001);
    const closed = h.close(4002);
    h.arriveClose();
    await closed;
    assert.equal(socket.sent.length, 1);
  });

  for (const [given, sent] of [
    [[4001, 'why'], 'close \x0f\xa1why'],
    [[], 'close '],
  ] as Array<[[code?: number, reason?: string], string]>) {
    it(`acknowledges with the peer's own code, ${given[0] ?? 'none'}, closeTimeout after the last read or write`, async (t) => {
      const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
      await h.readFirst();
      h.arrive('a');
      h.arriveClose(...given);
      await passTurns();
      h.clock.advance(60);
      await h.receive();
      h.clock.advance(60);
      await h.receive();
      h.clock.advance(60);
      await h.send('x');
      h.clock.advance(60);
      connection.trySend('y');
      h.clock.advance(60);
      assert.equal(connection.state, WebSocketState.CloseReceived);
      h.clock.advance(40);
      assert.equal(connection.state, WebSocketState.Closed);
      await passTurns();
      assert.deepEqual(socket.sentText, ['text x', 'text y', sent]);
      assert.equal(socket.finSent, true);
    });
  }

  it('drops the connection if the peer does not take the late acknowledgement either', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
    await h.readFirst();
    socket.stall();
    const lost = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))].map((sent) =>
      assert.rejects(sent, failure('ERR_WEBSOCKET_CLOSE_TIMEOUT')),
    );
    h.arriveClose(1000);
    await passTurns();
    h.clock.advance(100);
    assert.equal(connection.state, WebSocketState.CloseReceived);
    h.clock.advance(100);
    assert.equal(connection.state, WebSocketState.Aborted);
    await Promise.all(lost);
  });

  it('sends one acknowledgement only when closeTimeout passes behind a close that waits', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    await passTurns();
    const closed = h.closeOutput();
    h.arriveClose(1000);
    await passTurns();
    assert.equal(connection.state, WebSocketState.CloseReceived);
    h.clock.advance(60);
    socket.takeWaiting();
    await passTurns();
    h.clock.advance(60);
    socket.unstall();
    await Promise.all([...sends, closed]);
    await passTurns();
    assert.equal(connection.state, WebSocketState.Closed);
    assert.equal(socket.sent.filter(({ opcode }) => opcode === CLOSE_FRAME).length, 1);
  });

  it('gives the application its time again when it cancels an acknowledgement that waits', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { closeTimeout: 100 });
    const controller = new AbortController();
    await h.readFirst();
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    h.arriveClose(1000);
    await passTurns();
    const closed = h.closeOutput(1000, controller.signal);
    controller.abort('no');
    await rejectsWith(closed, 'no');
    socket.unstall();
    await Promise.all(sends);
    await h.send('x');
    h.clock.advance(99);
    assert.equal(connection.state, WebSocketState.CloseReceived);
    h.clock.advance(1);
    assert.equal(connection.state, WebSocketState.Closed);
  });

  it('resolves the close of a peer that is gone before it takes the acknowledgement', async (t) => {
    const { socket, ...h } = new Harness(t);
    await h.readFirst();
    h.arriveClose(1001);
    await passTurns();
    socket.stall();
    const sent = assert.rejects(h.send(Buffer.alloc(50_000)), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    const closed = h.close();
    await passTurns();
    assert.equal(h.connection.state, WebSocketState.Closed);
    socket.reset();
    await closed;
    await sent;
    assert.equal(h.connection.state, WebSocketState.Closed);
    await passTurns();
    assert.equal(h.clock.pending, 0);
  });
});
