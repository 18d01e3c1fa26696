import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { failure, Harness, LARGE, rejectsWith } from './support/connections.js';
import { passTurns } from './support/fake-socket.js';
import { PING_FRAME, PONG_FRAME } from './support/frames.js';

describe('Connection, pings', () => {
  it('answers pings with their payload', async (t) => {
    const { socket, ...h } = new Harness(t);
    h.arrive({ opcode: PING_FRAME, payload: 'a' }, { opcode: PING_FRAME });
    await passTurns();
    assert.deepEqual(socket.sentText, ['pong a', 'pong ']);
  });

  it('answers only the latest ping of a peer that floods and does not read', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    h.arrive({ opcode: PING_FRAME, payload: 'first' });
    await passTurns();
    for (let i = 0; i < 1000; i++) h.arrive({ opcode: PING_FRAME, payload: `${i}` });
    await passTurns();
    assert.ok(h.connection.bufferedAmount < 200);
    socket.unstall();
    await passTurns();
    assert.deepEqual(socket.sentText, ['pong first', 'pong 999']);
  });

  it('answers pings while its close frame waits behind data', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const sends = [h.send(Buffer.alloc(LARGE)), h.send(Buffer.alloc(LARGE)), h.closeOutput()];
    await passTurns();
    h.arrive({ opcode: PING_FRAME, payload: 'p' });
    await passTurns();
    socket.takeWaiting();
    await passTurns();
    socket.unstall();
    await Promise.all(sends);
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ opcode }) => opcode),
      [2, 10, 2, 8],
    );
  });

  it('answers no ping after its close frame', async (t) => {
    const { socket, ...h } = new Harness(t);
    socket.stall();
    const sent = h.send(Buffer.alloc(LARGE));
    await passTurns();
    h.arrive({ opcode: PING_FRAME, payload: 'p' });
    await passTurns();
    const closed = h.closeOutput();
    socket.unstall();
    await Promise.all([sent, closed]);
    h.arrive({ opcode: PING_FRAME, payload: 'q' });
    await passTurns();
    assert.deepEqual(
      socket.sent.map(({ opcode }) => opcode),
      [2, 8],
    );
  });

  it('measures the round trip of a ping, also of several with the same payload', async (t) => {
    const { socket, ...h } = new Harness(t);
    const first = h.connection.ping(Buffer.from('x'), undefined);
    h.clock.advance(5);
    const second = h.connection.ping(Buffer.from('x'), undefined);
    h.clock.advance(10);
    h.arrive({ opcode: PONG_FRAME, payload: 'x' });
    assert.equal(await first, 15);
    h.clock.advance(1);
    h.arrive({ opcode: PONG_FRAME, payload: 'x' });
    assert.equal(await second, 11);
    const third = h.connection.ping(undefined, undefined);
    await passTurns();
    h.arrive({ opcode: PONG_FRAME, payload: socket.sent[2]?.payload ?? '' });
    assert.equal(await third, 0);
  });

  it('puts no ping on the wire for a signal that has fired, and rejects a ping when the connection ends', async (t) => {
    const { socket, ...h } = new Harness(t);
    await rejectsWith(h.connection.ping(undefined, AbortSignal.abort('no')), 'no');
    const pending = h.connection.ping(undefined, undefined);
    h.connection.abort();
    await assert.rejects(pending, failure('ERR_WEBSOCKET_OPERATION_ABORTED'));
    await passTurns();
    assert.deepEqual(socket.sentText, []);
  });

  it('rejects a ping when the connection is closed without its pong', async (t) => {
    const h = new Harness(t);
    const rejected = assert.rejects(
      h.connection.ping(undefined, undefined),
      failure('ERR_WEBSOCKET_OPERATION_ABORTED'),
    );
    const closed = h.close();
    h.arriveClose(1000);
    await closed;
    await rejected;
  });
});
