import assert from 'node:assert/strict';
import { test } from 'node:test';
import { connect, HandshakeRefusedError } from 'websocket-context/testing';
import { app } from './testing-app.js';

const headers = { authorization: 'Bearer 4f0c' };

test('answers a member', async () => {
  await using client = await connect(app, '/members/Ada', { headers });
  assert.equal(await client.receiveAsync(), 'Hello, Ada');
  await client.sendAsync('hi');
  assert.equal(await client.receiveAsync(), 'Ada: hi');
  await client.closeAsync(1000);
  assert.deepEqual(await client.closed, { code: 1000, reason: '', wasClean: true });
});

test('asks every ten seconds whether the member is still there', async (t) => {
  t.mock.timers.enable();
  await using client = await connect(app, '/members/Ada', { headers });
  assert.equal(await client.receiveAsync(), 'Hello, Ada');
  t.mock.timers.tick(10_000);
  assert.equal(await client.receiveAsync(), 'Still there?');
});

test('lets nobody else in', async () => {
  await assert.rejects(connect(app, '/members/Ada'), (error) => {
    assert.ok(error instanceof HandshakeRefusedError);
    assert.equal(error.status, 401);
    assert.match(error.body, /Sign in first/);
    return true;
  });
});
