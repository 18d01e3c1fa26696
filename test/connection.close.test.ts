import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocketState } from '../src/connection/state.js';
import { failure, Harness, LARGE, observe } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';
import { BINARY_FRAME, CONTINUATION } from './support/frames.js';

const OK = '\x03\xe8';

describe('Connection, closing from our side', () => {
  it('closes: sends the frame, discards what still arrives, resolves when the peer has acknowledged, ends TCP', async (t) => {
    const h = new Harness(t);
    const { socket, connection } = h;
    h.arrive('unread');
    const closed = observe(h.close());
    assert.equal(connection.state, WebSocketState.CloseSent);
    await passTurns();
    h.arrive('late');
    await passTurns();
    assert.equal(closed.outcome, 'pending');
    assert.equal(connection.closeStatus, undefined);
    h.arriveClose(1001, 'bye');
    await passTurns();
    assert.equal(closed.outcome, undefined);
    assert.equal(connection.state, WebSocketState.Closed);
    assert.deepEqual(connection.closeInfo, { code: 1001, reason: 'bye', wasClean: true });
    assert.deepEqual(socket.sentText, [`close ${OK}`]);
    assert.equal(h.terminated, 1);
    assert.deepEqual([socket.finSent, socket.destroyed], [true, false]);
    socket.arriveEnd();
    await passTurns();
    assert.equal(socket.destroyed, true);
    assert.equal(h.clock.pending, 0);
    assert.equal(await h.receiveText(), 1001);
    await assert.rejects(h.receiveText(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await h.close();
    await h.closeOutput();
    connection.abort();
    connection.closeTcp();
    connection.closeGracefully(1001, '');
    assert.equal(connection.state, WebSocketState.Closed);
  });

  it('gives a pending read what still arrives, then the close', async (t) => {
    const { ...h } = new Harness(t);
    const read = h.receiveText();
    const closed = h.close();
    h.arrive('first', 'second');
    assert.equal(await read, 'first');
    const next = h.receiveText();
    h.arrive('third');
    h.arriveClose();
    assert.equal(await next, 1005);
    await closed;
  });

  it('gives a pending reader of messages a whole message, not one that lacks its beginning', async (t) => {
    const { ...h } = new Harness(t);
    const read = h.message();
    h.arrive({ payload: 'begin', fin: false });
    await passTurns();
    const closed = h.close();
    h.arrive({ opcode: CONTINUATION, payload: 'ning', fin: false }, { opcode: CONTINUATION, payload: ', end' });
    assert.equal(await read, 'beginning, end');
    const next = h.message();
    h.arrive('more');
    h.arriveClose();
    assert.equal(await next, undefined);
    await closed;
  });

  it('does not wait for as long as the peer finds readers for what it sends', async (t) => {
    const { ...h } = new Harness(t, { closeTimeout: 100 });
    await h.closeOutput();
    for (let i = 0; i < 5; i++) {
      h.clock.advance(60);
      h.arrive('x');
      assert.equal(await h.receiveText(), 'x');
    }
    const closed = assert.rejects(h.close(), failure('ERR_WEBSOCKET_CLOSE_TIMEOUT'));
    h.clock.advance(60);
    const read = assert.rejects(h.receive(), failure('ERR_WEBSOCKET_CLOSE_TIMEOUT'));
    h.clock.advance(60);
    await Promise.all([closed, read]);
    assert.equal(h.connection.state, WebSocketState.Aborted);
  });

  it('closes a connection whose input is paused', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { receiveBufferLimit: 1000 });
    const read = h.receive();
    h.arrive('x', { payload: Buffer.alloc(2000), opcode: BINARY_FRAME });
    await read;
    h.arriveClose(1000);
    await passTurns();
    assert.equal(connection.inputPaused, true);
    assert.equal(connection.state, WebSocketState.Open);
    await h.close();
    assert.equal(connection.state, WebSocketState.Closed);
    assert.equal(socket.finSent, true);
  });

  it('closes when neither side would read before the other one has', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { receiveBufferLimit: 1000 });
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))];
    h.arrive({ payload: Buffer.alloc(2000), opcode: BINARY_FRAME });
    await passTurns();
    h.arrive({ payload: Buffer.alloc(2000), opcode: BINARY_FRAME });
    assert.equal(connection.inputPaused, true);
    const closed = h.close();
    assert.equal(connection.inputPaused, false);
    socket.unstall();
    await Promise.all(sends);
    h.arriveClose(1000);
    await closed;
  });

  it('reports a message that is too big to whoever reads it when the connection is over', async (t) => {
    const h = new Harness(t, { receiveBufferLimit: 1000 });
    await h.closeOutput();
    h.arrive('x'.repeat(1001));
    let read: Promise<void> | undefined;
    h.onTerminated = () => {
      read = assert.rejects(h.message(), failure('ERR_WEBSOCKET_MESSAGE_TOO_BIG'));
    };
    h.connection.closeGracefully(1001, '');
    h.arriveClose(1000);
    await passTurns();
    await read;
    assert.equal(await h.message(), undefined);
    assert.equal(h.connection.state, WebSocketState.Closed);
  });

  it('drains: lets readers finish, drops what nobody reads beyond the limit, and sees the peer close', async (t) => {
    const { connection, ...h } = new Harness(t, { receiveBufferLimit: 1000 });
    const read = h.message();
    h.arrive('x', 'y'.repeat(1200), 'z');
    await read;
    assert.equal(connection.inputPaused, true);
    connection.closeGracefully(1001, 'going');
    assert.equal(connection.inputPaused, false);
    h.arrive('w');
    h.arriveClose(1001);
    await passTurns();
    assert.equal(connection.state, WebSocketState.Closed);
    await assert.rejects(h.message(), failure('ERR_WEBSOCKET_MESSAGE_TOO_BIG'));
    await assert.rejects(h.message(), failure('ERR_WEBSOCKET_INVALID_STATE'));
  });

  it('drains a peer that is lost before it takes the close frame', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    socket.stall();
    connection.closeGracefully(1001, 'going');
    await passTurns();
    socket.reset();
    await passTurns();
    assert.equal(connection.state, WebSocketState.Aborted);
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
  });

  it('drains without a hole in a message that readers get', async (t) => {
    const { connection, ...h } = new Harness(t, { receiveBufferLimit: 1000 });
    await assert.doesNotReject(h.closeOutput());
    connection.closeGracefully(1005, 'ignored');
    h.arrive({ payload: 'a'.repeat(400), fin: false }, { opcode: CONTINUATION, payload: 'b'.repeat(500), fin: false });
    h.arrive({ opcode: CONTINUATION, payload: 'lost', fin: false });
    await passTurns();
    assert.equal((await h.receiveText()) as string, `${'a'.repeat(400)}+`);
    assert.equal((await h.receiveText()) as string, `${'b'.repeat(500)}+`);
    h.arrive({ opcode: CONTINUATION, payload: 'end' });
    h.arriveClose(1000);
    assert.equal(await h.receiveText(), 1000);
  });

  it('goes on delivering after closeOutput, then reports the close', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    await h.closeOutput(4000);
    await h.closeOutput(4001);
    h.arrive('a', 'b');
    assert.deepEqual([await h.receiveText(), await h.receiveText()], ['a', 'b']);
    const end = h.receiveText();
    h.arriveClose(4000);
    assert.equal(await end, 4000);
    assert.equal(connection.state, WebSocketState.Closed);
    assert.deepEqual(socket.sentText, ['close \x0f\xa0']);
  });

  it('completes when both sides close at once', async (t) => {
    const { connection, ...h } = new Harness(t);
    h.arriveClose(1001);
    const closed = h.close();
    await closed;
    assert.equal(connection.state, WebSocketState.Closed);
    assert.equal(connection.closeStatus, 1001);
  });

  it('aborts when the peer does not even take the close frame within closeTimeout', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    socket.stall();
    const timedOut = failure('ERR_WEBSOCKET_CLOSE_TIMEOUT');
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE))].map((s) => observe(s));
    await passTurns();
    const closed = assert.rejects(h.close(), timedOut);
    h.clock.advance(9_000);
    socket.takeWaiting();
    await passTurns();
    h.clock.advance(9_000);
    assert.equal(connection.state, WebSocketState.Open);
    h.clock.advance(1_000);
    await closed;
    await passTurns();
    assert.equal(sends[0]?.outcome, undefined);
    assert.equal(connection.state, WebSocketState.Aborted);
  });

  it('ends TCP without a close frame on closeTcp, once what was sent is out', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    socket.stall();
    await h.send('first');
    await passTurns();
    await h.send('second');
    const pending = [h.send(Buffer.alloc(LARGE)), h.receive()].map((one) =>
      assert.rejects(one, failure('ERR_WEBSOCKET_OPERATION_ABORTED', { hresult: 0x800703e3 })),
    );
    connection.closeTcp();
    connection.closeTcp();
    await Promise.all(pending);
    assert.equal(connection.state, WebSocketState.Aborted);
    assert.equal(socket.finSent, false);
    socket.unstall();
    await passTurns();
    assert.deepEqual(socket.sentText, ['text first', 'text second']);
    assert.equal(socket.finSent, true);
    assert.equal(socket.destroyed, false);
    h.arrive('ignored');
    socket.arriveEnd();
    await passTurns();
    assert.equal(socket.destroyed, true);
  });

  it('does not wait for ever for a peer that takes nothing any more, even without closeTimeout', async (t) => {
    const { socket, connection, ...h } = new Harness(t, { closeTimeout: 0 });
    socket.stall();
    h.arriveClose(1000);
    await passTurns();
    const closed = h.close();
    assert.equal(connection.state, WebSocketState.Closed);
    h.clock.advance(10_000);
    assert.equal(socket.destroyed, true);
    await closed;
  });

  it('waits for ever for the acknowledgement if closeTimeout is 0', async (t) => {
    const { connection, ...h } = new Harness(t, { closeTimeout: 0 });
    const closed = h.close();
    h.clock.advance(1e9);
    assert.equal(connection.state, WebSocketState.CloseSent);
    h.arriveClose();
    await closed;
  });
});
