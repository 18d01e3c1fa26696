import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocketState } from '../src/connection/state.js';
import { failure, Harness } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';

describe('Connection, closed by the peer', () => {
  it('never answers by itself, and can go on sending', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    const read = h.receiveText();
    h.arriveClose(4001, 'why');
    assert.equal(await read, 4001);
    assert.equal(connection.state, WebSocketState.CloseReceived);
    assert.equal(connection.closeStatusDescription, 'why');
    await h.send('more');
    assert.equal(connection.trySend('and more'), true);
    await passTurns();
    assert.deepEqual(socket.sentText, ['text more', 'text and more']);
    await h.close(4002);
    assert.deepEqual(socket.sentText.slice(2), ['close \x0f\xa2']);
    assert.equal(connection.state, WebSocketState.Closed);
    assert.equal(socket.finSent, true);
  });

  it('acknowledges on closeOutput as well', async (t) => {
    const { connection, ...h } = new Harness(t);
    await h.readFirst();
    h.arriveClose();
    await passTurns();
    await h.closeOutput();
    assert.equal(connection.state, WebSocketState.Closed);
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

  it('still acknowledges when the peer has ended its half of TCP', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    await h.readFirst();
    h.arriveClose(1000);
    socket.arriveEnd();
    await passTurns();
    assert.equal(connection.state, WebSocketState.CloseReceived);
    await h.close();
    assert.equal(socket.sent.length, 1);
    assert.equal(connection.state, WebSocketState.Closed);
  });

  it('is Aborted when the peer resets before we have acknowledged; the close can still be received', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    await h.readFirst();
    h.arrive('last');
    h.arriveClose(1000);
    await passTurns();
    socket.reset();
    await passTurns();
    assert.equal(connection.state, WebSocketState.Aborted);
    assert.equal(await h.receiveText(), 'last');
    assert.equal(await h.receiveText(), 1000);
    await assert.rejects(h.close(), failure('ERR_WEBSOCKET_INVALID_STATE'));
  });

  it('ends every read with INVALID_STATE after abort', async (t) => {
    const { connection, ...h } = new Harness(t);
    await h.readFirst();
    h.arrive('last');
    h.arriveClose(1000);
    await passTurns();
    connection.abort();
    await assert.rejects(h.message(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(h.receive(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(h.closeOutput(), /Cannot close: state is Aborted, must not be Aborted/);
  });
});
