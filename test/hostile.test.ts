import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import express from 'express';
import { WebSocketMessageType } from '../src/index.js';
import { eventually, type Site, serveApp, type TestApp } from './support/apps.js';
import { CLOSE_FRAME, PING_FRAME, PONG_FRAME, parseFrames, TEXT_FRAME } from './support/frames.js';
import { type FrameCase, frameCases, MAX_PAYLOAD, requestCases } from './support/hostile-corpus.js';
import { connectWs, nextMessage } from './support/open-pair.js';
import { type RawClient, rawConnect, rawUpgrade } from './support/raw-client.js';
import { isOverHttp2, type TestContext } from './support/servers.js';

// The errors that clients provoke are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

/** Serves two echoes, one of whole messages and one of fragments as they come. */
function serveEchoes(t: TestContext): Promise<Site> {
  const router = express();
  return serveApp(
    t,
    () => router as TestApp,
    (_app, sockets) => {
      router.get(
        '/decoded/:name',
        sockets.handler(() => {}),
      );
      router.get(
        '/fragments',
        sockets.handler(async (socket) => {
          for (;;) {
            const { data, messageType, endOfMessage } = await socket.receiveAsync();
            if (messageType === WebSocketMessageType.Close) return;
            // A message in pieces is compressed however short it is, and how many pieces zlib makes depends on its threads
            await socket.sendAsync(data, { messageType, endOfMessage, compress: false });
          }
        }),
      );
      router.all(
        '/',
        sockets.handler(async (socket) => {
          for await (const message of socket) await socket.sendAsync(message);
        }),
      );
    },
    { maxPayload: MAX_PAYLOAD, perMessageDeflate: true, closeTimeout: 5000 },
  );
}

/** How a client cuts what it sends. */
const cuts: Readonly<Record<string, (bytes: Buffer) => Iterable<Buffer>>> = {
  'at once': (bytes) => [bytes],
  *'cut at every byte'(bytes: Buffer) {
    // Behind some kilobytes there is nothing new to cut.
    for (let at = 0; at < Math.min(bytes.length, 4096); at++) yield bytes.subarray(at, at + 1);
    if (bytes.length > 4096) yield bytes.subarray(4096);
  },
};

/** Sends pieces as chunks of their own, as far as that is in the hands of a sender. */
async function sendPieces(client: RawClient, pieces: Iterable<Buffer>): Promise<void> {
  let sent = 0;
  client.socket.setNoDelay(true);
  for (const piece of pieces) {
    if (client.socket.destroyed || client.ended) return;
    client.write(piece);
    if (++sent % 16 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** All frames that the server sends until it ends TCP: messages joined, control frames but pongs as they are. */
async function conversation(client: RawClient): Promise<{ messages: string[]; close: number | undefined }> {
  const { frames, rest } = parseFrames(await client.readToEnd());
  assert.equal(rest.length, 0, 'The last frame is complete');
  const messages: string[] = [];
  let close: number | undefined;
  let parts: Buffer[] = [];
  for (const { opcode, fin, payload } of frames) {
    assert.equal(close, undefined, 'Nothing comes behind a close frame');
    if (opcode === CLOSE_FRAME) close = payload.length === 0 ? 1005 : payload.readUInt16BE(0);
    else if (opcode < CLOSE_FRAME) parts.push(payload);
    if (opcode < CLOSE_FRAME && fin) {
      messages.push(Buffer.concat(parts).toString());
      parts = [];
    }
  }
  return { messages, close };
}

/** Has a connection of its own send a case, cut into pieces. */
async function play(
  t: TestContext,
  { server }: Site,
  path: string,
  { pieces, compressed }: Pick<FrameCase, 'compressed'> & { readonly pieces: Iterable<Buffer> },
) {
  const headers = compressed ? { 'Sec-WebSocket-Extensions': 'permessage-deflate' } : {};
  const client = await rawUpgrade(t, server, { path, headers });
  assert.equal((await client.readHead()).status, 101);
  await sendPieces(client, pieces);
  const result = await conversation(client);
  client.end();
  return result;
}

describe('hostile input', { timeout: 150_000 }, () => {
  for (const [how, cut] of Object.entries(cuts)) {
    for (const path of ['/', '/fragments']) {
      it(`is answered as RFC 6455 wants, and nobody else notices (frames, ${how}, ${path})`, async (t) => {
        const site = await serveEchoes(t);
        const bystander = await connectWs(t, `${site.url}/`);
        for (const one of frameCases) {
          const { messages, close } = await play(t, site, path, { pieces: cut(one.bytes), compressed: one.compressed });
          assert.equal(close, one.close, one.name);
          assert.deepEqual(messages, one.echoed, one.name);
          bystander.send(one.name);
          assert.equal(await nextMessage(bystander), one.name);
        }

        await eventually(() => site.sockets.connectionCount === 1);
        for (const error of site.errors) assert.match(String((error as { code?: string }).code), /^ERR_WEBSOCKET_/);
      });
    }

    // Requests that only HTTP/1.1 knows
    const skip = isOverHttp2();
    it(`instead of a handshake gets an answer with a status, and nobody else notices (${how})`, { skip }, async (t) => {
      const site = await serveEchoes(t);
      const bystander = await connectWs(t, `${site.url}/`);
      for (const { name, bytes, status, byParser } of requestCases) {
        const client = await rawConnect(t, site.server);
        await sendPieces(client, cut(bytes));
        const answer = await client.readHead().then(
          (head) => head.status,
          () => 0,
        );
        // Node hangs up at once, and a client that goes on sending may lose the answer to the reset.
        if (!byParser || answer !== 0) assert.equal(answer, status, name);
        if (status === 101) client.reset();
        else await client.closed();
        bystander.send(name);
        assert.equal(await nextMessage(bystander), name);
      }

      await eventually(() => site.sockets.connectionCount === 1);
    });
  }

  it('of which nothing is known beforehand neither hangs nor harms', async (t) => {
    const site = await serveEchoes(t);
    const bystander = await connectWs(t, `${site.url}/`);
    // As random as the corpus is not, and the same in every run (Park and Miller's generator).
    let seed = 20_260_101;
    const random = (below: number): number => {
      seed = (seed * 48_271) % 0x7fffffff;
      return seed % below;
    };
    for (let round = 0; round < 150; round++) {
      const one = frameCases[random(frameCases.length)] as FrameCase;
      const mutated = Buffer.from(one.bytes);
      for (let at = random(8); at >= 0; at--) mutated[random(mutated.length)] = random(256);
      const pieces: Buffer[] = [];
      for (let at = 0; at < mutated.length; ) {
        const length = 1 + random(Math.max(64, mutated.length >> 3));
        pieces.push(mutated.subarray(at, at + length));
        at += length;
      }
      const headers = one.compressed ? { 'Sec-WebSocket-Extensions': 'permessage-deflate' } : {};
      const client = await rawUpgrade(t, site.server, { path: random(2) === 0 ? '/' : '/fragments', headers });
      await client.readHead();
      await sendPieces(client, pieces);
      // Waits for more, or has closed: in both cases this ends it.
      client.end();
      // Over HTTP/2 who leaves without a close frame gets a reset
      if (isOverHttp2()) await client.closed();
      const { frames } = parseFrames(isOverHttp2() ? client.received : await client.readToEnd());
      for (const { opcode, rsv, masked } of frames) {
        assert.ok([0, TEXT_FRAME, 2, CLOSE_FRAME, PING_FRAME, PONG_FRAME].includes(opcode));
        assert.ok(!masked && (rsv & 3) === 0);
      }
    }
    bystander.send('unharmed');

    assert.equal(await nextMessage(bystander), 'unharmed');
    await eventually(() => site.sockets.connectionCount === 1);
  });
});
