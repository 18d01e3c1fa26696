import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import type { OpenWs } from '../src/connection/hand-over.js';
import { WebSocketState } from '../src/connection/state.js';
import { openAsWs } from '../src/upgrade/ws-bridge.js';
import { handOverOptions } from './support/bridging.js';
import { failure, Harness, LARGE, observe } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';
import { BINARY_FRAME, FAULTY_FRAME, PING_FRAME, PONG_FRAME } from './support/frames.js';

describe('Connection, hand-over to ws', () => {
  const open: OpenWs = (socket, head, owner) =>
    openAsWs(
      socket,
      head,
      handOverOptions({
        maxPayload: 1000,
        closeTimeout: 1000,
        sendBufferLimit: 1000,
        onSlowConsumer: (waiting) => owner.slowConsumer(waiting),
      }),
    );

  /** A stand-in for ws, with what the connection uses of it. */
  class FakeWs extends EventEmitter {
    readonly calls: string[] = [];
    bufferedAmount = 7;
    close(code?: number, reason?: string): void {
      this.calls.push(`close ${code} ${reason}`);
    }
    ping(): void {
      this.calls.push('ping');
    }
    terminate(): void {
      this.calls.push('terminate');
    }
  }

  it('gives ws all input since the handshake as it came, behind what was sent before', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    h.arrive('one', 'two');
    await passTurns();
    socket.stall();
    await h.send('before');
    await passTurns();
    await h.send('also before');
    const messages: string[] = [];
    const ws = connection.handOver(open);
    ws.on('message', (data) => messages.push(String(data)));
    assert.ok(ws instanceof WebSocket);
    assert.equal(connection.ws, ws);
    ws.send('from ws');
    socket.unstall();
    h.arrive('three');
    await passTurns(10);
    assert.deepEqual(messages, ['one', 'two', 'three']);
    assert.deepEqual(socket.sentText, ['text before', 'text also before', 'text from ws']);
    assert.equal(connection.bufferedAmount, 0);
    await assert.rejects(h.receive(), /it has been handed over to ws/);
    await assert.rejects(h.send('x'), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(h.close(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(h.closeOutput(), failure('ERR_WEBSOCKET_INVALID_STATE'));
    await assert.rejects(connection.ping(undefined, undefined), failure('ERR_WEBSOCKET_INVALID_STATE'));
    assert.equal(connection.trySend('x'), false);
  });

  it('refuses after a read, after a close, within a message and while a send is pending', async (t) => {
    const read = new Harness(t);
    const pending = assert.rejects(read.receive());
    assert.throws(() => read.connection.handOver(open), /it has been read from, must be Open/);
    read.connection.abort();
    await pending;
    assert.throws(() => read.connection.handOver(open), failure('ERR_WEBSOCKET_INVALID_STATE'));

    const within = new Harness(t);
    await within.send('begun', { more: true });
    assert.throws(() => within.connection.handOver(open), /a message is not finished/);
    await within.send('end');

    within.socket.stall();
    const sends = [within.send(Buffer.alloc(LARGE)), within.send(Buffer.alloc(LARGE))];
    assert.throws(() => within.connection.handOver(open), /a send is pending/);
    within.socket.unstall();
    await Promise.all(sends);
    await within.closeOutput();
    assert.throws(() => within.connection.handOver(open), failure('ERR_WEBSOCKET_INVALID_STATE'));
  });

  it('refuses behind a close frame that still waits, and once too much has come for a connection that only sends', async (t) => {
    const closing = new Harness(t);
    closing.socket.stall();
    const sent = closing.send(Buffer.alloc(LARGE));
    const closed = closing.closeOutput();
    assert.equal(closing.connection.state, WebSocketState.Open);
    assert.throws(() => closing.connection.handOver(open), /: a close frame has been queued, must be Open/);
    closing.socket.unstall();
    await Promise.all([sent, closed]);

    const sending = new Harness(t);
    await sending.send('news');
    sending.arrive({ opcode: BINARY_FRAME, payload: Buffer.alloc(LARGE) });
    await passTurns();
    assert.throws(() => sending.connection.handOver(open), /: more has come than is kept for it, must be Open/);
  });

  it('follows the end of ws', async (t) => {
    for (const [code, state, info] of [
      [1000, 5, { code: 1000, reason: 'bye', wasClean: true }],
      [1006, 6, { code: 1006, reason: '', wasClean: false }],
    ] as const) {
      const h = new Harness(t);
      const ws = new FakeWs();
      h.connection.handOver(() => ws as EventEmitter as WebSocket);
      ws.emit('error', new Error('somebody else listens'));
      ws.emit('close', code, Buffer.from('bye'));
      assert.equal(h.connection.state, state);
      assert.deepEqual(h.connection.closeInfo, info);
      assert.equal(h.terminated, 1);
      assert.equal(h.clock.pending, 0);
    }
  });

  it('is refused in the turn of a fault', async (t) => {
    const { socket, connection, ...h } = new Harness(t);
    let refused: (() => void) | undefined;
    socket.once('data', () => {
      refused = () => assert.throws(() => connection.handOver(open), /the peer has broken the protocol/);
      refused();
    });
    h.arrive(FAULTY_FRAME);
    await passTurns();
    assert.ok(refused);
    refused();
    assert.equal(connection.state, WebSocketState.Aborted);
  });

  it('asks ws to close, to ping and to terminate', async (t) => {
    const { connection, ...h } = new Harness(t, { keepAliveInterval: 30_000, keepAliveTimeout: 20_000 });
    const ws = new FakeWs();
    connection.handOver(() => ws as EventEmitter as WebSocket);
    assert.equal(connection.bufferedAmount, 7);
    connection.closeGracefully(1001, 'going');
    connection.closeGracefully(1005, '');
    h.clock.advance(30_000);
    h.arrive('a sign of life');
    await passTurns();
    h.clock.advance(20_000);
    assert.equal(connection.state, WebSocketState.Open);
    connection.closeTcp();
    connection.abort();
    assert.deepEqual(ws.calls, ['close 1001 going', 'close undefined undefined', 'ping', 'terminate']);
  });

  it('keeps data for ws and stops the sender meanwhile, until somebody reads', async (t) => {
    const { connection, ...h } = new Harness(t);
    h.arrive({ opcode: BINARY_FRAME, payload: Buffer.alloc(70_000) });
    await passTurns();
    assert.equal(connection.inputPaused, true);
    const { count } = await h.receive();
    assert.equal(count, 70_000);
    assert.equal(connection.inputPaused, false);
  });

  it('goes on listening to a peer of which nobody reads, however many control frames come', async (t) => {
    const { connection, ...h } = new Harness(t);
    for (let i = 0; i < 10_000; i++) h.arrive({ opcode: PONG_FRAME, payload: 'pong' });
    await passTurns();
    h.arrive('a word');
    for (let i = 0; i < 10_000; i++) h.arrive({ opcode: PING_FRAME, payload: 'ping' });
    await passTurns();
    assert.equal(connection.inputPaused, false);
    assert.throws(() => connection.handOver(open), failure('ERR_WEBSOCKET_INVALID_STATE'));
    h.arriveClose(1000);
    await passTurns();
    assert.equal(connection.state, WebSocketState.Closed);
  });

  it('can be handed over after any number of control frames', async (t) => {
    const { connection, ...h } = new Harness(t);
    for (let i = 0; i < 10_000; i++) h.arrive({ opcode: PONG_FRAME, payload: 'pong' });
    h.arrive('first message');
    await passTurns();
    const message = observe(
      new Promise((resolve) => connection.handOver(open).on('message', (data) => resolve(String(data)))),
    );
    await passTurns();
    assert.equal(message.outcome, 'first message');
  });
});
