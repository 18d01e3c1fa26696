import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { type WebSocketContext, type WebSocketOptions, WebSocketState } from '../src/index.js';
import { anyFramework, eventually, type Site, serveApp } from './support/apps.js';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  clientClose,
  clientFrame,
  FAULTY_FRAME,
  PING_FRAME,
  parseFrames,
} from './support/frames.js';
import { collectGarbage } from './support/memory.js';
import { openRaw } from './support/open-pair.js';
import { type RawClient, rawUpgrade } from './support/raw-client.js';
import { isOverHttp2, type TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

const MIB = 1024 * 1024;
/** Less than what is taken on its way to a client that reads nothing: by TCP, or into the first window of a stream of HTTP/2. */
const ON_THE_WAY = isOverHttp2() ? 60_000 : MIB;
const OK = Buffer.of(0x88, 0x02, 0x03, 0xe8);

/** A server that echoes, and a client of it that reads nothing behind its 101 for now. */
async function lateReader(t: TestContext, options: WebSocketOptions = {}): Promise<Site & { client: RawClient }> {
  const site = await serveApp(
    t,
    anyFramework,
    (app, sockets) => {
      app.use(
        sockets.handler(async (socket) => {
          for await (const message of socket) await socket.sendAsync(message);
        }),
      );
    },
    options,
  );
  const client = await rawUpgrade(t, site.server);
  await client.readHead();
  client.socket.pause();
  return { ...site, client };
}

/** The length of a frame, not masked, with so many bytes. */
function serverFrameLength(payload: number): number {
  return payload + (payload < 65_536 ? 4 : 10);
}

/** Waits until the only connection of a site is over. */
async function over({ sockets }: Site): Promise<void> {
  await eventually(() => sockets.connections.size === 1);
  await eventually(() => sockets.connections.size === 0);
}

describe('Behind the close frames, a client that reads late', { timeout: 150_000 }, () => {
  for (const [what, late] of [
    ['does nothing more', []],
    ['still pings', [clientFrame({ opcode: PING_FRAME })]],
    ['still sends, more than fits anywhere', Array.from({ length: 16 }, () => Buffer.alloc(MIB, 7))],
  ] as Array<[string, Buffer[]]>) {
    it(`and ${what} gets all that was sent to it, and FIN`, async (t) => {
      const site = await lateReader(t);
      const { client } = site;
      const payload = Buffer.alloc(ON_THE_WAY, 7);
      client.write(Buffer.concat([clientFrame({ opcode: BINARY_FRAME, payload }), clientClose(1000)]));
      await over(site);
      for (const bytes of late) client.write(bytes);
      // Behind everything that the server could have answered it with
      await new Promise((resolve) => client.socket.write(Buffer.alloc(1), resolve));
      client.socket.resume();
      const received = await client.readToEnd();
      assert.equal(received.length, serverFrameLength(ON_THE_WAY) + OK.length);
      assert.ok(received.subarray(-4).equals(OK));
      client.end();
      await once(client.socket, 'close');
      assert.equal(client.error, undefined);
    });
  }

  for (const [what, code, bad] of [
    ['breaks the protocol', 1002, clientFrame(FAULTY_FRAME)],
    ['sends what is not UTF-8', 1007, clientFrame({ payload: Buffer.of(0xc0) })],
    ['sends a message that is too long', 1009, clientFrame({ payload: 'x'.repeat(MIB + 1) })],
  ] as const) {
    it(`after it ${what} and goes on sending gets the close frame, and FIN`, async (t) => {
      const site = await lateReader(t, { maxPayload: MIB });
      const { client } = site;
      const payload = Buffer.alloc(ON_THE_WAY, 7);
      client.write(clientFrame({ opcode: BINARY_FRAME, payload }));
      await eventually(() => site.sockets.totals.messagesSent === 1);
      client.write(bad);
      await eventually(() => site.sockets.connections.size === 0);
      for (let at = 0; at < 8; at++) client.write(payload);
      client.socket.resume();
      const received = await client.readToEnd();
      const last = parseFrames(received).frames.at(-1);
      assert.equal(last?.opcode, CLOSE_FRAME);
      assert.equal(last.payload.readUInt16BE(0), code);
      client.end();
      await once(client.socket, 'close');
      assert.equal(client.error, undefined);
    });
  }
});

describe('While TCP lingers', { timeout: 150_000 }, () => {
  it('the connection is over for everybody: closed, signal and the registry', async (t) => {
    const { socket, sockets, client } = await openRaw(t);
    const { signal, closed } = socket;
    const closing = socket.closeAsync();
    await client.nextClose();
    client.close(1000);
    await closing;
    assert.deepEqual(await closed, { code: 1000, reason: '', wasClean: true });
    assert.deepEqual([socket.state, signal.aborted, sockets.connections.size], [WebSocketState.Closed, true, 0]);
    await client.raw.readToEnd();
    assert.equal(client.raw.socket.destroyed, false);
  });

  it('a client behind TLS still gets what it has not read, though it goes on sending', async (t) => {
    const { socket, client } = await openRaw(t, {}, { secure: true });
    client.raw.socket.pause();
    const sent = socket.sendAsync(Buffer.alloc(MIB));
    const closing = socket.closeAsync();
    client.close(1000);
    for (let at = 0; at < 4; at++) client.raw.write(Buffer.alloc(MIB));
    client.raw.socket.resume();
    const received = await client.raw.readToEnd();
    assert.equal(received.length, MIB + 14);
    assert.ok(received.subarray(-4).equals(OK));
    await Promise.all([sent, closing]);
    client.raw.end();
    await eventually(() => client.raw.socket.destroyed);
    assert.equal(client.raw.error, undefined);
  });

  it('a client that never ends it is dropped after closeTimeout, however much it sends', async (t) => {
    const { socket, client } = await openRaw(t, { closeTimeout: 100 });
    const closing = socket.closeAsync();
    await client.nextClose();
    client.close(1000);
    await closing;
    const chatter = setInterval(() => client.raw.write(Buffer.alloc(1000)), 5);
    t.after(() => clearInterval(chatter));
    await eventually(() => client.raw.socket.destroyed);
  });

  it('nothing of the connection is kept', async (t) => {
    const refs: Array<WeakRef<WebSocketContext>> = [];
    const { server } = await serveApp(t, anyFramework, (app, sockets) => {
      app.use(sockets.handler((socket) => void refs.push(new WeakRef(socket))));
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    client.write(Buffer.concat([clientFrame({ payload: 'x'.repeat(100_000) }), clientClose(1000)]));
    await client.readToEnd();
    assert.equal(refs.length, 1);
    await eventually(() => {
      collectGarbage();
      return refs[0]?.deref() === undefined;
    });
    assert.equal(client.socket.destroyed, false);
  });
});
