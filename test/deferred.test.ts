import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Deferred, derive, rejected } from '../src/connection/deferred.js';
import { WebSocketError } from '../src/index.js';
import { unhandledIn } from './support/rejections.js';

const gone = new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 'gone');
const wrong = new TypeError('wrong');

describe('Deferred', () => {
  it('settles once, with what comes first', async () => {
    const [first, second, third] = [new Deferred<number>(), new Deferred<number>(), new Deferred<number>()];
    assert.equal(first.isSettled, false);
    first.resolve(1);
    first.resolve(2);
    first.reject(wrong);
    second.reject(gone);
    second.reject(wrong);
    second.resolve(3);
    third.reject(undefined);
    assert.equal(first.isSettled && second.isSettled && third.isSettled, true);
    assert.equal(await first.promise, 1);
    await assert.rejects(second.promise, (error) => error === gone);
    await assert.rejects(third.promise, (error) => error === undefined);
  });

  it('counts a WebSocketError as handled, and leaves every other reason loud', async () => {
    const unhandled = await unhandledIn(() => {
      new Deferred().reject(gone);
      new Deferred().reject(wrong);
    });
    assert.deepEqual(unhandled, [wrong]);
  });
});

describe('rejected()', () => {
  it('is the same for what cannot be done, and lets the process do other work before', async () => {
    const unhandled = await unhandledIn(() => {
      void rejected(gone);
      void rejected(wrong);
    });
    assert.deepEqual(unhandled, [wrong]);
    const order: string[] = [];
    const rejecting = rejected(gone).catch(() => order.push('rejected'));
    for (let hop = 0; hop < 10; hop++) await Promise.resolve();
    process.nextTick(() => order.push('tick'));
    await assert.rejects(rejected(gone), (error) => error === gone);
    await rejecting;
    assert.deepEqual(order, ['tick', 'rejected']);
  });
});

describe('derive()', () => {
  it('is the same for what becomes of another promise', async () => {
    const unhandled = await unhandledIn(() => {
      void derive(rejected(gone), String);
      void derive(rejected(wrong), String);
      void derive(Promise.resolve(1), () => assert.fail('a mistake of its own'));
    });
    assert.deepEqual(unhandled.map(String).sort(), [
      'AssertionError [ERR_ASSERTION]: a mistake of its own',
      'TypeError: wrong',
    ]);
  });

  it('changes values and reasons', async () => {
    assert.equal(await derive(Promise.resolve(1), String), '1');
    assert.equal(await derive(rejected(gone), String, () => 'forgiven'), 'forgiven');
    await assert.rejects(derive(rejected(gone), String), (error) => error === gone);
  });
});
