import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import { describe, it } from 'node:test';
import type { WebSocket } from 'ws';
import { handOver } from '../src/connection/hand-over.js';
import { Transport } from '../src/connection/transport.js';
import { FakeSocket, passTurns } from './support/fake-socket.js';

describe('handOver() of a connection', () => {
  it('gives the socket and what came from it to ws, and reports what comes and how it ends', async () => {
    const reports: string[] = [];
    const report = (what: string) => (): void => void reports.push(what);
    const socket = new FakeSocket();
    const transport = new Transport(socket, {
      onChunk: () => reports.push('received') < 0,
      onEnd: report('ended'),
      onFlushed: report('flushed'),
      onClose: report('socket closed'),
    });
    transport.open(Buffer.alloc(0), 0);
    const ws = new EventEmitter();
    const opened: unknown[] = [];
    const open = (given: Duplex, head: Buffer): WebSocket => {
      opened.push(given, given.isPaused(), `${head}`);
      return ws as WebSocket;
    };
    const returned = handOver(transport, Buffer.from('early'), open, {
      onActivity: report('heard'),
      slowConsumer: () => new Error('too slow'),
      onWsClose: (code, reason) => reports.push(`${code} ${reason}`),
    });
    assert.equal(returned, ws);
    assert.deepEqual(opened, [socket, true, 'early']);
    socket.arrive(Buffer.from('a'));
    await passTurns();
    ws.emit('error', new Error('nobody else listens'));
    ws.emit('close', 1000, Buffer.from('bye'));
    socket.destroy();
    await passTurns();
    assert.deepEqual(reports, ['heard', '1000 bye']);
  });
});
