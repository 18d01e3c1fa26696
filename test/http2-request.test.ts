import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { describe, it } from 'node:test';
import { type Http2Upgrade, isWebSocketStream, upgradeRequestOf } from '../src/upgrade/http2-request.js';
import { connectRequest, http2Session } from './support/http2-tunnel.js';
import { listen, type TestContext } from './support/servers.js';

/** The upgrade request of an extended CONNECT with these headers. */
async function requestOf(t: TestContext, headers: OutgoingHttpHeaders): Promise<Http2Upgrade> {
  const server = await listen(t, createServer({ settings: { enableConnectProtocol: true } }));
  const session = await http2Session(t, server);
  const asked = once(server, 'stream');
  connectRequest(session, headers).on('error', () => {});
  const [stream, received] = (await asked) as [ServerHttp2Stream, IncomingHttpHeaders];
  return upgradeRequestOf(stream, received);
}

describe('isWebSocketStream()', () => {
  it('is true for an extended CONNECT that asks for a WebSocket', () => {
    assert.equal(isWebSocketStream({ ':method': 'CONNECT', ':protocol': 'websocket' }), true);
    assert.equal(isWebSocketStream({ ':method': 'CONNECT', ':protocol': 'connect-udp' }), false);
    assert.equal(isWebSocketStream({ ':method': 'CONNECT' }), false);
    assert.equal(isWebSocketStream({ ':method': 'GET' }), false);
  });
});

describe('upgradeRequestOf()', { timeout: 150_000 }, () => {
  it('is a GET that upgrades, with the headers of the client', async (t) => {
    const { req, socket } = await requestOf(t, {
      ':path': '/room?a=1',
      ':authority': 'example.org:8443',
      host: 'elsewhere.example',
      origin: 'https://example.org',
      cookie: ['a=1', 'b=2'],
      'x-many': ['1', '2'],
      constructor: 'no function',
    });
    assert.equal(req.method, 'GET');
    assert.equal(req.url, '/room?a=1');
    assert.deepEqual([req.httpVersion, req.httpVersionMajor, req.httpVersionMinor], ['2.0', 2, 0]);
    assert.deepEqual(req.headers, {
      connection: 'Upgrade',
      upgrade: 'websocket',
      host: 'example.org:8443',
      origin: 'https://example.org',
      cookie: 'a=1; b=2',
      'x-many': '1, 2',
      constructor: 'no function',
    });
    assert.deepEqual(req.rawHeaders.slice(0, 4), ['host', 'example.org:8443', 'connection', 'Upgrade']);
    assert.equal(req.headersDistinct['origin']?.[0], 'https://example.org');
    assert.equal(req.socket, socket);
  });

  it('is complete and has no body', async (t) => {
    const { req } = await requestOf(t, {});
    assert.equal(req.complete, true);
    let text = '';
    for await (const chunk of req) text += chunk;
    assert.equal(text, '');
  });
});
