import assert from 'node:assert/strict';
import { execSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { startSample } from './support/demo.js';
import { clientFrame } from './support/frames.js';
import { freePort } from './support/free-port.js';
import { answerTo, endOf, openStream } from './support/http2-site.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { hasProxy, startProxy } from './support/proxies.js';
import { certificate } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

describe('the sample http2-proxy.ts', { timeout: 150_000, skip: !hasProxy('haproxy') }, () => {
  it('serves pages by HTTP/1.1 and WebSockets by HTTP/2, whatever the clients of HAProxy speak', async (t) => {
    const http2Upstream = await freePort();
    const { url } = await startSample(t, 'http2-proxy', { HTTP2_PORT: String(http2Upstream) });
    const upstream = Number(new URL(url).port);
    const { securePort } = await startProxy(t, 'haproxy', { upstream, idleTimeout: 30, http2Upstream });
    const origin = `https://127.0.0.1:${securePort}`;
    const trusting = { rejectUnauthorized: false };

    const client = await connectWs(t, `${origin.replace('https', 'wss')}/echo`, [], { ...trusting, origin });
    client.send('hello');
    assert.equal(await nextMessage(client), 'by HTTP/2.0: hello');
    client.close(4001, 'enough');
    assert.deepEqual(await nextClose(client), { code: 4001, reason: 'enough' });
    for (const [path, from, status] of [
      ['/nowhere', origin, '404'],
      ['/echo', 'https://elsewhere.example', '403'],
    ] as const) {
      const refused = connectWs(t, `${origin.replace('https', 'wss')}${path}`, [], { ...trusting, origin: from });
      await assert.rejects(refused, new RegExp(status));
    }

    const session = connect(origin, trusting);
    t.after(() => session.destroy());
    await once(session, 'remoteSettings');
    assert.equal(String((await endOf((await answerTo(session.request())).stream)).body), 'a page');
    const stream = await openStream(session, '/echo');
    stream.write(clientFrame({ payload: 'hello' }));
    assert.equal(String((await once(stream, 'data'))[0].subarray(2)), 'by HTTP/2.0: hello');
  });
});

describe('the sample http2.ts', { timeout: 150_000 }, () => {
  it('serves WebSockets over HTTP/2 and over HTTP/1.1, and pages', async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'http2-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    writeFileSync(join(folder, 'key.pem'), certificate.key);
    writeFileSync(join(folder, 'cert.pem'), certificate.cert);
    const { url } = await startSample(t, 'http2', {
      TLS_KEY: join(folder, 'key.pem'),
      TLS_CERT: join(folder, 'cert.pem'),
    });
    const session = connect(url.replace('http:', 'https:'), { rejectUnauthorized: false });
    t.after(() => session.destroy());
    await once(session, 'remoteSettings');
    const stream = await openStream(session, '/echo');
    stream.write(clientFrame({ payload: 'by HTTP/2' }));
    assert.equal(String((await once(stream, 'data'))[0].subarray(2)), 'by HTTP/2');
    assert.equal(String((await endOf((await answerTo(session.request())).stream)).body), 'a page\n');

    const client = await connectWs(t, `${url.replace('http:', 'wss:')}/echo`, [], { rejectUnauthorized: false });
    client.send('by HTTP/1.1');
    assert.equal(await nextMessage(client), 'by HTTP/1.1');
  });

  const hasOpenSsl = spawnSync('openssl', ['version']).error === undefined;
  const skip = hasOpenSsl ? false : 'NOT TESTED: openssl is not installed';
  it('takes the certificate that the command on its page makes', { skip }, async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'http2-'));
    t.after(() => rmSync(folder, { recursive: true, force: true }));
    const command = /^```sh\n(.+)\n```$/m.exec(readFileSync('docs/how-to/http2.md', 'utf8'))?.[1] ?? '';
    execSync(command, { cwd: folder, stdio: 'ignore' });
    const { url } = await startSample(t, 'http2', {
      TLS_KEY: join(folder, 'key.pem'),
      TLS_CERT: join(folder, 'cert.pem'),
    });
    const ca = readFileSync(join(folder, 'cert.pem'));

    const client = await connectWs(t, `${url.replace('http:', 'wss:')}/echo`, [], { ca });
    client.send('trusted');
    assert.equal(await nextMessage(client), 'trusted');
  });
});
