import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { inspect } from 'node:util';
import express from 'express';
import { webSockets } from '../src/index.js';
import { bareObject } from '../src/upgrade/bare-object.js';
import { hasFastProperties } from './support/layouts.js';
import { rawUpgrade } from './support/raw-client.js';
import { serve } from './support/servers.js';

async function site(t: TestContext) {
  const app = express();
  const server = await serve(t, app);
  const sockets = webSockets({ onError: assert.ifError });
  sockets.attach(server, app);
  return { app, sockets, server };
}

describe('an object without a prototype', () => {
  it('is to everybody what Object.create(null) is', () => {
    assert.deepEqual(bareObject(), Object.create(null));
    assert.equal(inspect(bareObject()), inspect(Object.create(null)));
    assert.deepEqual(bareObject({ id: '7' }), Object.assign(Object.create(null), { id: '7' }));
  });

  it('has every property that the other has, whatever its name', () => {
    const properties = Object.assign(Object.create(null), { ['__proto__']: 'a', constructor: 'b' });
    const bare = bareObject(properties);
    assert.deepEqual(Object.entries(bare), [
      ['__proto__', 'a'],
      ['constructor', 'b'],
    ]);
    assert.equal(Object.getPrototypeOf(bare), null);
  });

  it('is no hash table', () => {
    assert.ok(!hasFastProperties(Object.create(null)));
    assert.ok(hasFastProperties(bareObject()));
    assert.ok(hasFastProperties(bareObject({ id: '7' })));
  });

  it('is what a handler gets for res.locals and req.params, with all that is in them', async (t) => {
    const { app, sockets, server } = await site(t);
    const seen: object[] = [];
    app.use((_req, res, next) => {
      res.locals['user'] = 'Ada';
      next();
    });
    app.get(
      '/:room/:seat',
      sockets.handler((_socket, { params }, { locals }) => void seen.push(params, locals)),
    );
    const client = await rawUpgrade(t, server, { path: '/opera/12' });
    await client.readHead();
    assert.deepEqual(seen, [
      Object.assign(Object.create(null), { room: 'opera', seat: '12' }),
      Object.assign(Object.create(null), { user: 'Ada' }),
    ]);
    assert.deepEqual(seen.map(hasFastProperties), [true, true]);
  });

  it('does not become of parameters that are something else', async (t) => {
    const { app, sockets, server } = await site(t);
    const seen: unknown[] = [];
    const others = [null, undefined, { id: 1 }, 'text'];
    const handler = sockets.handler((_socket, { params }) => void seen.push(params));
    app.get('/:number', (req, res, next) => {
      req.params = others[Number(req.params.number)] as never;
      handler(req as never, res, next);
    });
    for (const at of others.keys()) await (await rawUpgrade(t, server, { path: `/${at}` })).readHead();
    assert.deepEqual(seen, others);
    assert.equal(seen[2], others[2]);
  });
});
