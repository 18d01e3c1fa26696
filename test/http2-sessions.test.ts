import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer, type Http2Session } from 'node:http2';
import { describe, it } from 'node:test';
import { Http2Sessions } from '../src/upgrade/http2-sessions.js';
import { http2Session } from './support/http2-tunnel.js';
import { listen } from './support/servers.js';

const settings = { enableConnectProtocol: true };

describe('Http2Sessions', { timeout: 150_000 }, () => {
  it('sends GOAWAY to the sessions that came while it watched, and to those that were added', async (t) => {
    const server = await listen(t, createServer({ settings }));
    const sessions = new Http2Sessions(server);
    const before = once(server, 'session');
    const early = await http2Session(t, server);
    const [added] = (await before) as [Http2Session];
    sessions.add(added);
    sessions.add(added);
    sessions.start();
    const noticed = await http2Session(t, server);
    sessions.stop();
    const late = await http2Session(t, server);
    const closed = Promise.all([once(early, 'close'), once(noticed, 'close')]);
    sessions.goAway();
    await closed;
    assert.equal(late.closed, false);
  });

  it('sends away who was on the way in when the server stopped listening, and nobody while it listens', async (t) => {
    const server = await listen(t, createServer({ settings }));
    const sessions = new Http2Sessions(server);
    sessions.goAway();
    const early = once(server, 'session');
    const stays = await http2Session(t, server);
    sessions.add((await early)[0] as Http2Session);
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(stays.closed, false);
    const first = once(server, 'session');
    const client = http2Session(t, server);
    const [session] = (await first) as [Http2Session];
    const stopped = new Promise((resolve) => server.close(resolve));
    sessions.add(session);
    await once(await client, 'close');
    stays.close();
    await stopped;
  });
});
