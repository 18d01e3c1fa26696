import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type WebSocketError, WebSocketState } from '../src/index.js';
import { eventually } from './support/apps.js';
import { nextClose, nextMessage, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

const MIB = 1 << 20;

describe('limits behind socket.ws', { timeout: 150_000 }, () => {
  it('close with 1009 what is longer than receiveBufferLimit, or than maxPayload', async (t) => {
    for (const limits of [{ receiveBufferLimit: MIB }, { maxPayload: MIB }]) {
      for (const perMessageDeflate of [false, true]) {
        const { socket, client } = await openWs(t, { ...limits, perMessageDeflate }, { client: { perMessageDeflate } });
        socket.ws.on('message', (data: Buffer) => socket.ws.send(`got ${data.length}`));
        client.send(Buffer.alloc(MIB));
        assert.equal(await nextMessage(client), `got ${MIB}`);
        client.send(Buffer.alloc(MIB + 1));
        assert.equal((await nextClose(client)).code, 1009);
      }
    }
  });

  it('abort a client that does not take what is sent, and nobody else', async (t) => {
    const slow = await openWs(t, { sendBufferLimit: MIB });
    const { ws } = slow.socket;
    slow.client.pause();
    const failed: unknown[] = [];
    while (slow.socket.state === WebSocketState.Open) {
      ws.send(Buffer.alloc(MIB), (error) => error && failed.push(error));
      await new Promise(setImmediate);
    }
    assert.equal(slow.socket.state, WebSocketState.Aborted);
    await eventually(() => ws.readyState === ws.CLOSED);
    assert.ok(failed.some((error) => (error as WebSocketError).code === 'ERR_WEBSOCKET_SEND_BUFFER_FULL'));
    assert.deepEqual(await slow.socket.closed, { code: 1006, reason: '', wasClean: false });
  });

  it('let a single large message through', async (t) => {
    const { socket, client } = await openWs(t, { sendBufferLimit: MIB });
    assert.equal(socket.isHandedOver, false);
    socket.ws.send(Buffer.alloc(8 * MIB));
    assert.equal((await nextMessage(client)).length, 8 * MIB);
    assert.equal(socket.isHandedOver, true);
    assert.equal(socket.state, WebSocketState.Open);
  });
});
