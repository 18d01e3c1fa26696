import assert from 'node:assert/strict';
import { once } from 'node:events';
import { constants } from 'node:http2';
import { describe, it } from 'node:test';
import { eventually } from './support/apps.js';
import { clientFrame } from './support/frames.js';
import { ask, echo, openStream, site } from './support/http2-site.js';
import { http2Session } from './support/http2-tunnel.js';

process.env['NODE_ENV'] = 'test';

describe('WebSockets over HTTP/2, hostile', { timeout: 30_000 }, () => {
  it('survive a client that opens and resets streams as fast as it can', async (t) => {
    const { server, session, sockets } = await site(t, (app, instance) => void app.use(instance.handler(echo)));
    const bystander = await openStream(session);
    const attacker = await http2Session(t, server);
    for (let i = 0; i < 2000 && !attacker.destroyed && !attacker.closed; i++) {
      ask(attacker).close(constants.NGHTTP2_CANCEL);
      if (i % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    attacker.destroy();
    await eventually(() => sockets.connectionCount === 1);
    bystander.write(clientFrame({ payload: 'unharmed' }));
    assert.equal(String((await once(bystander, 'data'))[0].subarray(2)), 'unharmed');
  });
});
