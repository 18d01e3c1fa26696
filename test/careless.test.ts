import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { WebSocketContext } from '../src/index.js';
import { WebSocketState } from '../src/index.js';
import { eventually } from './support/apps.js';
import { FAULTY_FRAME } from './support/frames.js';
import { type FramePeer, openRaw } from './support/open-pair.js';
import { unhandledIn } from './support/rejections.js';
import type { TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const PAYLOAD = Buffer.alloc(1 << 20);

/** Everything that may fail for the connection's sake, with nobody who awaits it. */
function doEverything(socket: WebSocketContext, signal?: AbortSignal): void {
  void socket.sendAsync('small');
  void socket.sendAsync(PAYLOAD);
  void socket.sendAsync(PAYLOAD, { signal });
  void socket.writeFragment('small');
  void socket.writeFragment(PAYLOAD);
  void socket.ping();
  void socket.ping('x', { signal });
  void socket.sendConnectionClose(1000);
  void socket.closeOutputAsync(1000);
  void socket.closeOutputAsync(1000, '', { signal });
  void socket.closeAsync(1000);
  void socket.closeAsync(1000, 'again', { signal });
  void socket[Symbol.asyncDispose]();
}

type End = (socket: WebSocketContext, client: FramePeer) => void;

const ends: Readonly<Record<string, End>> = {
  'is aborted': (socket) => socket.abort(),
  'is reset by its client': (_socket, client) => client.raw.reset(),
  'is left without a close': (_socket, client) => void client.raw.socket.end(),
  'is closed by its client': (_socket, client) => client.close(4001),
  'breaks on a fault of its client': (_socket, client) => client.send(FAULTY_FRAME),
  'is ended by closeTcpConnection': (socket) => socket.closeTcpConnection(),
  'has its operations cancelled': (socket) => {
    socket.cancelOutstandingIO();
    socket.abort();
  },
  'is never acknowledged': () => {},
};

async function open(t: TestContext): Promise<{ socket: WebSocketContext; client: FramePeer }> {
  const opened = await openRaw(t, { closeTimeout: 100, sendBufferLimit: 4 << 20 });
  opened.client.raw.socket.pause();
  return opened;
}

describe('an application that awaits nothing', { timeout: 120_000 }, () => {
  for (const [how, end] of Object.entries(ends)) {
    it(`lives on when a connection ${how}`, async (t) => {
      const unhandled = await unhandledIn(async () => {
        for (const signal of [undefined, new AbortController().signal]) {
          const { socket, client } = await open(t);
          doEverything(socket, signal);
          end(socket, client);
          await eventually(() => socket.state >= WebSocketState.Closed);
          doEverything(socket, signal);
        }
      });
      assert.deepEqual(unhandled, []);
    });
  }

  it('lives on when it sends to a client that does not read until that is aborted', async (t) => {
    const { socket } = await open(t);
    const unhandled = await unhandledIn(async () => {
      for (let i = 0; i < 50; i++) {
        void socket.sendAsync(PAYLOAD);
        await new Promise(setImmediate);
      }
    });
    assert.deepEqual(unhandled, []);
    assert.equal(socket.state, WebSocketState.Aborted);
  });

  it('lives on when it uses a connection that has been handed over to ws', async (t) => {
    const { socket } = await open(t);
    assert.ok(socket.ws);
    assert.deepEqual(await unhandledIn(() => doEverything(socket)), []);
  });

  it('hears of wrong arguments and of its own signals', async (t) => {
    const { socket } = await open(t);
    const controller = new AbortController();
    const stop = new Error('stop');
    const unhandled = await unhandledIn(async () => {
      void socket.sendAsync('x', { messageType: 7 as 0 });
      void socket.writeFragment({} as string);
      void socket.closeAsync(1);
      void socket.closeOutputAsync(1000, 'x'.repeat(124));
      void socket.sendConnectionClose(999);
      void socket.ping('x'.repeat(126));
      const { signal } = controller;
      for (let i = 0; i < 4; i++) void socket.sendAsync(PAYLOAD, { signal });
      void socket.ping(undefined, { signal });
      void socket.closeOutputAsync(1000, '', { signal });
      void socket.closeAsync(1000, '', { signal });
      controller.abort(stop);
      void socket.sendAsync('x', { signal });
    });
    const loud = unhandled.map(String).filter((reason) => !reason.includes('stop'));
    assert.deepEqual(
      loud.map((reason) => reason.replace(/Error: .*/, '')),
      ['Range', 'Type', 'Range', 'Range', 'Range', 'Range'],
    );
    const stopped = unhandled.filter((reason) => reason === stop).length;
    assert.ok(stopped >= 6, `${stopped} heard of the signal`);
  });
});
