import assert from 'node:assert/strict';
import nodeCluster from 'node:cluster';
import { describe, it } from 'node:test';
import { cluster, workers } from '../src/cluster.js';

describe('cluster()', () => {
  it('is for workers of node:cluster only', (t) => {
    assert.throws(() => cluster(), /this process is no worker of node:cluster/);
    const before = nodeCluster.isWorker;
    t.after(() => void Object.assign(nodeCluster, { isWorker: before }));
    Object.assign(nodeCluster, { isWorker: true });

    assert.equal(typeof cluster({ prefix: 'shop:' }).publish, 'function');
  });
});

describe('workers()', () => {
  it('subscribes to a channel once, takes bytes only, and reports nothing behind its close', async (t) => {
    const [one, other] = [workers({ prefix: 'test:' }), workers({ prefix: 'test:' })];
    t.after(() => {
      one.close();
      other.close();
    });
    const received: string[] = [];
    const statuses: string[] = [];
    one.open({
      received: (channel, bytes) => received.push(`${channel} ${Buffer.from(bytes)}`),
      status: (status) => statuses.push(status),
    });
    await one.subscribe('room');
    await one.subscribe('room');
    await other.publish('room', Buffer.from('hello'));
    const stray = new BroadcastChannel('test:room');
    stray.postMessage('no bytes');
    stray.close();
    while (received.length === 0) await new Promise(setImmediate);
    await new Promise(setImmediate);
    assert.deepEqual([received, statuses], [['room hello'], ['ready']]);

    const closed = workers();
    closed.open({ received: () => assert.fail('closed'), status: () => statuses.push('too late') });
    closed.close();
    await new Promise(setImmediate);
    assert.deepEqual(statuses, ['ready']);
  });
});
