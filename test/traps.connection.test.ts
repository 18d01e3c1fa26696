import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { WebSocketState } from '../src/index.js';
import { eventually } from './support/apps.js';
import { failure, observe } from './support/connections.js';
import { BINARY_FRAME, CONTINUATION, clientFrame } from './support/frames.js';
import { watchMemory } from './support/memory.js';
import { nextClose, nextMessage, openRaw, openWs } from './support/open-pair.js';

const MIB = 1024 * 1024;

describe('a connection', { timeout: 150_000 }, () => {
  it('delivers not one message more than is read, and stops the sender', async (t) => {
    const { socket, client, req } = await openRaw(t, { receiveBufferLimit: 64 * 1024 });
    const message = clientFrame({ opcode: BINARY_FRAME, payload: Buffer.alloc(1024, 1) });
    const chunk = Buffer.concat(Array<Buffer>(1024).fill(message));
    let written = 0;
    while (client.raw.socket.write(chunk) || written === 0) written++;
    // Far more than the buffers of both kernels hold.
    for (let more = 0; more < 32; more++) client.raw.socket.write(chunk);
    await eventually(() => req.socket.isPaused());
    const arrived = req.socket.bytesRead;

    assert.ok(arrived < 1024 * 1024, `${arrived} bytes were read that nobody wanted`);
    const total = (written + 33) * 1024;
    let count = 0;
    for await (const { length } of socket) {
      assert.equal(length, 1024);
      if (++count === total) break;
    }
    assert.equal(count, total);
  });

  it('sees the close of a peer whose messages nobody reads, once somebody does', async (t) => {
    const { socket, client } = await openRaw(t, { receiveBufferLimit: 1024 });
    for (let at = 0; at < 8; at++) client.send({ payload: 'x'.repeat(1024) });
    client.close(4000, 'unread');
    let count = 0;
    for await (const _ of socket) count++;

    assert.equal(count, 8);
    assert.equal(socket.closeStatus, 4000);
  });

  it('can be closed while it is paused, without waiting for closeTimeout', async (t) => {
    const { socket, client, req } = await openWs(t, { receiveBufferLimit: 16 * 1024 });
    for (let at = 0; at < 64; at++) client.send(Buffer.alloc(MIB / 16));
    await eventually(() => req.socket.isPaused());
    await socket.closeAsync(1000, 'enough');

    assert.equal(socket.state, WebSocketState.Closed);
    assert.deepEqual(await nextClose(client), { code: 1000, reason: 'enough' });
  });

  it('goes on sending for as long as it likes after the close of its peer', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close(1000);
    assert.equal(await socket.receiveMessageAsync(), undefined);
    assert.equal(socket.state, WebSocketState.CloseReceived);
    for (let at = 0; at < 3; at++) {
      await socket.sendAsync(`late ${at}`);
      assert.equal((await client.next()).payload.toString(), `late ${at}`);
    }
    await socket.closeAsync();

    assert.equal((await client.nextClose()).code, 1000);
  });

  it('holds little of a message that never ends, however it is read', async (t) => {
    const { socket, client } = await openRaw(t);
    const piece = Buffer.alloc(256 * 1024, 1);
    const first = clientFrame({ fin: false, opcode: BINARY_FRAME, payload: piece });
    const next = clientFrame({ fin: false, opcode: CONTINUATION, payload: piece });
    const send = async (frame: Buffer): Promise<void> => {
      if (!client.raw.socket.write(frame)) await once(client.raw.socket, 'drain');
    };
    let received = 0;
    const total = 128 * MIB;
    const reading = (async () => {
      while (received < total) {
        const { count, endOfMessage } = await socket.receiveAsync();
        received += count;
        assert.equal(endOfMessage, false);
      }
    })();
    const growth = watchMemory(t);
    await send(first);
    for (let sent = piece.length; sent < total; sent += piece.length) await send(next);
    await reading;

    const held = growth();
    // Client and server share the process, and its garbage.
    assert.ok(held < 32 * MIB, `${Math.round(held / MIB)} MiB were held`);
  });

  it('refuses a message that never ends where whole messages are read', async (t) => {
    const { socket, client } = await openRaw(t, { receiveBufferLimit: 64 * 1024 });
    const message = observe(socket.receiveMessageAsync());
    client.send({ fin: false, payload: 'x'.repeat(32 * 1024) });
    client.send({ fin: false, opcode: CONTINUATION, payload: 'x'.repeat(32 * 1024) });
    client.send({ fin: false, opcode: CONTINUATION, payload: 'x' });

    assert.equal((await client.nextClose()).code, 1009);
    await eventually(() => message.outcome !== 'pending');
    assert.equal((message.outcome as { code?: string }).code, 'ERR_WEBSOCKET_MESSAGE_TOO_BIG');
  });

  it('never mixes a message that is sent in fragments with another', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.sendAsync('one ', { endOfMessage: false });
    const other = socket.writable.getWriter().write('OTHER');
    const pong = once(client, 'ping');
    void socket.ping(Buffer.from('between')).catch(() => {});
    assert.equal(String((await pong)[0]), 'between');
    await socket.sendAsync('message', { endOfMessage: true });
    await other;

    assert.deepEqual([await nextMessage(client), await nextMessage(client)], ['one message', 'OTHER']);
  });

  it('does not report as sent what was dropped', async (t) => {
    const { socket, client } = await openRaw(t, { sendBufferLimit: Number.POSITIVE_INFINITY });
    client.raw.socket.pause();
    // More than the kernels take, so that the system has not taken all of it.
    const send = observe(socket.sendAsync(Buffer.alloc(64 * MIB)));
    const queued = observe(socket.sendAsync('behind it'));
    await eventually(() => socket.bufferedAmount > 0);
    socket.abort();
    await eventually(() => send.outcome !== 'pending' && queued.outcome !== 'pending');

    for (const { outcome } of [send, queued])
      assert.equal((outcome as { code?: string }).code, 'ERR_WEBSOCKET_OPERATION_ABORTED');
  });

  it('ends a peer that breaks the protocol, and nothing else', async (t) => {
    const { socket, client, sockets, errors } = await openRaw(t);
    // What crashes the process of every peer that leaves the 'error' event of ws to its users
    client.raw.write(Buffer.from([0x81, 0x01, 0x61]));

    assert.equal((await client.nextClose()).code, 1002);
    await assert.rejects(socket.receiveAsync(), failure('ERR_WEBSOCKET_FAULTED'));
    await eventually(() => sockets.connectionCount === 0);
    assert.deepEqual(errors, []);
  });

  it('stays open when it is told to close with what cannot be sent', async (t) => {
    const { socket, client } = await openWs(t);
    for (const [code, reason] of [
      [1004],
      [1006],
      [1015],
      [2999],
      [5000],
      [1000, 'ü'.repeat(62)],
      [1005, 'x'],
    ] as const) {
      await assert.rejects(socket.closeAsync(code, reason), RangeError);
      assert.equal(socket.state, WebSocketState.Open);
    }
    await socket.sendAsync('still here');

    assert.equal(await nextMessage(client), 'still here');
  });

  it('leaves nothing that keeps a process alive, though its timers be long', async () => {
    // A client that has acknowledged and does not end TCP, one that is aborted, and one that closed and was not answered.
    const program = `
      import { createServer } from 'node:http';
      import { WebSocket } from 'ws';
      import { webSockets } from '${new URL('../src/index.js', import.meta.url)}';
      const sockets = webSockets({ closeTimeout: 600_000, keepAliveInterval: 600_000, handshakeTimeout: 600_000 });
      const server = createServer();
      sockets.attach(server, sockets.handler(async (socket, req) => {
        if (req.url === '/abort') return socket.abort();
        if (req.url === '/leave') return await socket.closed;
        if (req.url === '/break') throw new Error('Broken');
        for await (const message of socket) await socket.sendAsync(message);
      }));
      process.env.NODE_ENV = 'test';
      server.listen(0, '127.0.0.1', async () => {
        const closed = ['/echo', '/abort', '/leave', '/break'].map((path) => new Promise((resolve) => {
          const client = new WebSocket('ws://127.0.0.1:' + server.address().port + path);
          client.on('open', () => path === '/leave' ? client.terminate() : client.close());
          client.on('error', () => {}).on('close', resolve);
        }));
        await Promise.all(closed);
        server.close();
        console.log('done');
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: 100_000,
    });
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);

    assert.equal(output, 'done\n');
    assert.equal(code, 0);
  });
});
