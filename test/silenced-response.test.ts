import assert from 'node:assert/strict';
import { type IncomingMessage, ServerResponse } from 'node:http';
import { describe, it } from 'node:test';
import { inspect } from 'node:util';
import { rawUpgrade } from './support/raw-client.js';
import type { TestContext } from './support/servers.js';
import { accept, attached, Deferred } from './support/upgrades.js';

/** What stands for the response of an accepted request on `req.res`, and that response. */
async function former(t: TestContext): Promise<[ServerResponse, ServerResponse]> {
  const found = new Deferred<[ServerResponse, ServerResponse]>();
  const server = await attached(t, (req: IncomingMessage & { res?: ServerResponse }, res) => {
    void accept(req);
    setImmediate(() => found.resolve([req.res as ServerResponse, res]));
  });
  await rawUpgrade(t, server);
  return found.promise;
}

describe('what stands for a response that has been let go of', () => {
  it('is a response that is over', async (t) => {
    const [stand, res] = await former(t);
    assert.notEqual(stand, res);
    assert.ok(stand instanceof ServerResponse);
    assert.deepEqual([stand.headersSent, stand.writableEnded, stand.statusCode], [true, true, 101]);
    assert.equal('setHeader' in stand, true);
    assert.ok(Object.keys(stand).includes('statusCode'));
    assert.equal(stand.end(), stand);
  });

  it('tells whoever waits for its end', async (t) => {
    const [stand] = await former(t);
    const events: string[] = [];
    for (const event of ['finish', 'close']) stand.on(event, () => events.push(event));
    await new Promise(setImmediate);
    assert.deepEqual(events, ['finish', 'close']);
    assert.equal(stand.writableFinished, true);
    assert.ok(Object.getOwnPropertyDescriptors(stand));
  });

  it('keeps what is put on it', async (t) => {
    const [stand] = await former(t);
    const other: ServerResponse & { user?: string } = stand;
    other.user = 'Ada';
    assert.deepEqual(Object.getOwnPropertyDescriptor(stand, 'user'), {
      value: 'Ada',
      configurable: true,
      enumerable: true,
      writable: true,
    });
    delete other.user;
    assert.equal(other.user, undefined);
    Object.defineProperty(stand, 'user', { value: 'Grace' });
    assert.equal(other.user, 'Grace');
    assert.ok(Object.getOwnPropertyDescriptors(stand));
    const prototype = Object.create(ServerResponse.prototype, { user: { value: 'Hedy' } });
    delete other.user;
    Object.setPrototypeOf(stand, prototype);
    assert.equal(other.user, 'Hedy');
  });

  it('is not made for who only prints it', async (t) => {
    const [stand] = await former(t);
    assert.match(inspect(stand), /FormerResponse {}/);
  });
});
