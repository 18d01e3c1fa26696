import assert from 'node:assert/strict';
import { once } from 'node:events';
import {
  type ClientHttp2Stream,
  type connect,
  constants,
  createSecureServer,
  createServer,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Server } from 'node:net';
import { describe, it } from 'node:test';
import { Http2Socket } from '../src/upgrade/http2-socket.js';
import { eventually } from './support/apps.js';
import { connectRequest, http2Session } from './support/http2-tunnel.js';
import { certificate, listen, type TestContext } from './support/servers.js';

const settings = { enableConnectProtocol: true };

interface Pair {
  readonly socket: Http2Socket;
  /** The stream below the socket. */
  readonly stream: ServerHttp2Stream;
  readonly client: ClientHttp2Stream;
  /** What the socket failed with. */
  readonly errors: Error[];
}

/** A socket over a stream, and the client's end of the stream. */
async function pair(
  t: TestContext,
  {
    server = createServer({ settings }),
    client = {},
  }: { server?: Server; client?: Parameters<typeof connect>[1] } = {},
): Promise<Pair> {
  await listen(t, server);
  const session = await http2Session(t, server, client);
  const asked = once(server, 'stream');
  const stream = connectRequest(session, {});
  stream.on('error', () => {});
  const [below] = (await asked) as [ServerHttp2Stream];
  const socket = new Http2Socket(below);
  socket.open();
  const errors: Error[] = [];
  socket.on('error', (error) => errors.push(error));
  return { socket, stream: below, client: stream, errors };
}

async function headersOf(client: ClientHttp2Stream): Promise<IncomingHttpHeaders> {
  const [headers] = await once(client, 'response');
  return headers as IncomingHttpHeaders;
}

/** What comes until the stream is over, and the code that it is over with. */
async function rest(client: ClientHttp2Stream): Promise<{ body: string; code: number | undefined }> {
  let body = '';
  client.on('data', (chunk: Buffer) => {
    body += chunk.toString('latin1');
  });
  if (!client.destroyed) await once(client, 'close');
  return { body, code: client.rstCode };
}

const accepted = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n';

describe('Http2Socket', { timeout: 150_000 }, () => {
  it('makes 200 of a 101 and leaves out what only HTTP/1.1 has, however the head is cut', async (t) => {
    const { socket, client } = await pair(t);
    const head = `${accepted}Sec-WebSocket-Accept: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: 1\r\nx-a: 2\r\nX-A: 3\r\nX-B: \u00fc\r\n\r\n`;
    for (const byte of Buffer.from(head, 'latin1')) socket.write(Buffer.of(byte));
    const headers = await headersOf(client);
    assert.equal(headers[':status'], 200);
    assert.deepEqual(headers['set-cookie'], ['a=1', 'b=2']);
    assert.equal(headers['x-a'], '1, 2, 3');
    assert.equal(headers['x-b'], '\u00fc');
    for (const name of ['upgrade', 'connection', 'sec-websocket-accept']) assert.equal(headers[name], undefined);
  });

  it('carries bytes in both directions and counts them', async (t) => {
    const { socket, client } = await pair(t);
    socket.write(`${accepted}\r\nwith the head`);
    await headersOf(client);
    const [first] = await once(client, 'data');
    assert.equal(String(first), 'with the head');
    const before = socket.bytesWritten;
    socket.cork();
    socket.write('one ');
    socket.write('two');
    socket.uncork();
    assert.equal(socket.bytesWritten, before + 7);
    socket.write('three');
    assert.equal(socket.bytesWritten, before + 12);
    let body = '';
    client.on('data', (chunk: Buffer) => {
      body += chunk;
    });
    await eventually(() => body === 'one twothree');
    assert.equal(socket.bytesWritten, before + 12);
    client.write('back');
    assert.equal(String((await once(socket, 'data'))[0]), 'back');
    assert.equal(socket.bytesRead, 4);
  });

  it('sends interim responses ahead', async (t) => {
    const { socket, client } = await pair(t);
    const interim = once(client, 'headers');
    socket.write(`HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n${accepted}\r\n`);
    const [headers] = (await interim) as [IncomingHttpHeaders];
    assert.equal(headers[':status'], 103);
    assert.equal(headers['link'], '</a>');
    assert.equal((await headersOf(client))[':status'], 200);
  });

  it('takes the chunks out of a chunked refusal, and sends its trailers', async (t) => {
    const { socket, client } = await pair(t);
    const trailers = once(client, 'trailers');
    socket.write('HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\nTrailer: x-sum\r\n\r\n4\r\nand ');
    socket.write('\r\n');
    socket.write('4\r\nmore\r\n');
    socket.end('0\r\nX-Sum: 8\r\n\r\n');
    assert.equal((await headersOf(client))['transfer-encoding'], undefined);
    assert.deepEqual(await rest(client), { body: 'and more', code: constants.NGHTTP2_NO_ERROR });
    assert.equal(((await trailers) as [IncomingHttpHeaders])[0]['x-sum'], '8');
  });

  it('takes the chunks out of what was corked', async (t) => {
    const { socket, client } = await pair(t);
    socket.write('HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n');
    socket.cork();
    socket.write('5\r\n');
    socket.write('hello\r\n');
    socket.end('0\r\n\r\n');
    assert.equal((await rest(client)).body, 'hello');
  });

  it('resets the stream if what is written is no response', async (t) => {
    for (const [what, message] of [
      [['HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\nno size\r\n'], /^The size of a chunk/],
      [['HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked\r\n\r\n', 'no size\r\n'], /^The size of a chunk/],
      [['x'.repeat((1 << 20) + 1)], /^The head of the response is too long/],
      [['HTTP/1.1 700 Unknown\r\n\r\n'], /status/i],
    ] as const) {
      const { socket, client, errors } = await pair(t);
      for (const piece of what) socket.write(piece);
      assert.notEqual((await rest(client)).code, undefined);
      await eventually(() => socket.destroyed);
      assert.equal(client.rstCode, constants.NGHTTP2_CANCEL);
      assert.match(String(errors[0]?.message), message);
    }
  });

  it('ends a refusal without a body with its head', async (t) => {
    const { socket, client } = await pair(t);
    socket.write('HTTP/1.1 304 Not Modified\r\n\r\n');
    socket.end();
    assert.equal((await headersOf(client))[':status'], 304);
    assert.deepEqual(await rest(client), { body: '', code: constants.NGHTTP2_NO_ERROR });
  });

  it('refuses with 400 what the application answers with a page, for any 2xx would accept it', async (t) => {
    for (const status of ['200 OK', '204 No Content', '299 Whatever']) {
      const { socket, client } = await pair(t);
      socket.end(`HTTP/1.1 ${status}\r\nX-A: 1\r\n\r\npage`);
      const headers = await headersOf(client);
      assert.deepEqual([headers[':status'], headers['x-a']], [400, '1']);
      assert.deepEqual(await rest(client), { body: 'page', code: constants.NGHTTP2_NO_ERROR });
    }
  });

  it('has no place for a body behind a status that has none', async (t) => {
    const { socket, client } = await pair(t);
    socket.end('HTTP/1.1 304 Not Modified\r\n\r\nbody');
    assert.deepEqual(await rest(client), { body: '', code: constants.NGHTTP2_NO_ERROR });
  });

  it('resets a stream that was ended before it was answered', async (t) => {
    const { socket, client } = await pair(t);
    socket.end();
    assert.equal((await rest(client)).code, constants.NGHTTP2_CANCEL);
  });

  it('delivers a refusal that was destroyed right behind, as TCP does', async (t) => {
    const { socket, client } = await pair(t);
    socket.write('HTTP/1.1 401 Unauthorized\r\n\r\nwho are you');
    socket.destroy();
    assert.equal((await headersOf(client))[':status'], 401);
    assert.deepEqual(await rest(client), { body: 'who are you', code: constants.NGHTTP2_NO_ERROR });
  });

  it('does not wait for ever for a client that does not take such a refusal', async (t) => {
    const { socket, client, stream } = await pair(t);
    t.mock.timers.enable({ apis: ['setTimeout'] });
    socket.write(`HTTP/1.1 401 Unauthorized\r\n\r\n${'x'.repeat(1 << 20)}`);
    await headersOf(client);
    socket.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(stream.destroyed, false);
    t.mock.timers.tick(2000);
    await eventually(() => stream.destroyed);
    assert.equal(stream.rstCode, constants.NGHTTP2_CANCEL);
  });

  it('ends the stream by end(), and resets it with CANCEL by destroy()', async (t) => {
    const one = await pair(t);
    one.socket.write(`${accepted}\r\n`);
    one.client.on('end', () => one.client.end()).resume();
    one.socket.end('last');
    one.socket.resume();
    assert.deepEqual(await rest(one.client), { body: 'last', code: constants.NGHTTP2_NO_ERROR });
    await eventually(() => one.socket.destroyed);

    const other = await pair(t);
    other.socket.write(`${accepted}\r\n`);
    await headersOf(other.client);
    other.socket.destroy();
    assert.equal((await rest(other.client)).code, constants.NGHTTP2_CANCEL);
  });

  it('destroySoon() waits for what was written, and for nothing else', async (t) => {
    const one = await pair(t);
    one.socket.write(`${accepted}\r\n`);
    one.socket.write('last');
    one.socket.destroySoon();
    assert.deepEqual(await rest(one.client), { body: 'last', code: constants.NGHTTP2_NO_ERROR });

    const other = await pair(t);
    other.socket.end(`${accepted}\r\n`);
    await once(other.socket, 'finish');
    other.socket.destroySoon();
    assert.equal(other.socket.destroyed, true);
    assert.equal((await rest(other.client)).code, constants.NGHTTP2_NO_ERROR);
  });

  it('throws away what comes when it is destroyed, so that the stream does not wait for somebody to read it', async (t) => {
    for (const end of ['end', 'destroy'] as const) {
      const { socket, client, stream } = await pair(t);
      socket.write(`${accepted}\r\n`);
      client.resume();
      // The whole window of the stream
      client.write(Buffer.alloc(65_535));
      await eventually(() => stream.readableLength > 0);
      if (end === 'end') await new Promise((resolve) => void socket.end(resolve));
      socket.destroy();
      await eventually(() => stream.destroyed && client.destroyed);
    }
  });

  it('keeps what came in good order until it is read, though the stream is over', async (t) => {
    const { socket, client, stream } = await pair(t);
    socket.end(`${accepted}\r\n`);
    client.end('last words');
    client.resume();
    // Read into the buffer of the socket, where it waits
    socket.read(0);
    await eventually(() => stream.destroyed);
    assert.equal(socket.destroyed, false);
    let text = '';
    for await (const chunk of socket) text += chunk;
    assert.equal(text, 'last words');
    assert.equal(socket.destroyed, true);
  });

  it('is destroyed with the stream: without an error by CANCEL, with one by other codes', async (t) => {
    for (const code of [constants.NGHTTP2_CANCEL, constants.NGHTTP2_INTERNAL_ERROR]) {
      const { socket, client, errors } = await pair(t);
      socket.write(`${accepted}\r\n`);
      await headersOf(client);
      let ended = false;
      socket.on('end', () => {
        ended = true;
      });
      socket.resume();
      client.close(code);
      await eventually(() => socket.destroyed);
      assert.equal(ended, false);
      assert.equal(errors.length, code === constants.NGHTTP2_CANCEL ? 0 : 1);
    }
  });

  it('has no other error than that of the reset when much waits to be sent', async (t) => {
    for (const [code, expected] of [
      [constants.NGHTTP2_CANCEL, []],
      [constants.NGHTTP2_INTERNAL_ERROR, ['ERR_HTTP2_STREAM_ERROR']],
    ] as const) {
      const { socket, client, errors } = await pair(t);
      socket.write(`${accepted}\r\n`);
      await headersOf(client);
      let failed = false;
      socket.write(Buffer.alloc(4 << 20), (error) => {
        failed = error instanceof Error;
      });
      await new Promise((resolve) => setImmediate(resolve));
      client.close(code);
      await eventually(() => socket.destroyed && failed);
      assert.deepEqual(
        errors.map((error) => 'code' in error && error.code),
        expected,
      );
    }
  });

  it('stops the client that nobody reads, and is stopped by one that does not read', async (t) => {
    const { socket, client } = await pair(t);
    socket.write(`${accepted}\r\n`);
    await headersOf(client);
    const much = Buffer.alloc(4 << 20);
    client.write(much);
    socket.read(0);
    let before = -1;
    await eventually(() => {
      const stands = before === socket.bytesRead && before > 0;
      before = socket.bytesRead;
      return stands;
    });
    assert.ok(socket.bytesRead < 1 << 20);
    assert.equal(socket.write(much), false);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(socket.writableLength > 0);
    client.resume();
    socket.resume();
    await eventually(() => socket.writableLength === 0 && socket.bytesRead === much.length);
  });

  it('emits timeout when nothing happens on the stream', async (t) => {
    const { socket } = await pair(t);
    const told = new Promise<void>((resolve) => void socket.setTimeout(10, resolve));
    await told;
    assert.equal(socket.setTimeout(0), socket);
  });

  it('has the options of a TCP socket, which mean nothing here', async (t) => {
    const { socket } = await pair(t);
    for (const name of ['setNoDelay', 'setKeepAlive', 'ref', 'unref'] as const) assert.equal(socket[name](), socket);
  });

  it('knows both addresses, of a connection that is over too', async (t) => {
    const { socket, client } = await pair(t);
    client.session?.destroy();
    await eventually(() => socket.destroyed);
    assert.equal(socket.remoteAddress, '127.0.0.1');
    assert.equal(socket.localAddress, '127.0.0.1');
    assert.deepEqual(socket.address(), { address: '127.0.0.1', family: 'IPv4', port: socket.localPort });
    assert.equal(socket.remoteFamily, 'IPv4');
    assert.equal(typeof socket.remotePort, 'number');
    assert.equal(typeof socket.localPort, 'number');
    assert.equal(socket.encrypted, false);
    assert.equal(socket.authorized, false);
    assert.equal(socket.getPeerCertificate(), undefined);
  });

  it('knows the certificate of the client and what TLS has agreed on', async (t) => {
    const server = createSecureServer({ ...certificate, ca: certificate.cert, requestCert: true, settings });
    const { socket } = await pair(t, { server, client: { ...certificate, servername: 'localhost' } });
    assert.equal(socket.encrypted, true);
    assert.equal(socket.authorized, true);
    assert.equal(socket.authorizationError ?? null, null);
    assert.equal(socket.servername, 'localhost');
    assert.equal((socket.getPeerCertificate() as { subject: { CN: string } }).subject.CN, 'localhost');
    assert.match(String(socket.getProtocol()), /^TLSv1/);
    assert.equal(typeof socket.getCipher()?.name, 'string');
  });
});
