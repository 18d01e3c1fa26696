import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { CloseWait } from '../src/connection/closing/close-wait.js';
import { failure, observe, rejectsWith } from './support/connections.js';
import { FakeClock } from './support/fake-clock.js';
import { passTurns } from './support/fake-socket.js';
import type { TestContext } from './support/servers.js';

function start(t: TestContext, timeout = 100, bytesReceived = () => 0) {
  const clock = new FakeClock().install(t);
  const calls: unknown[] = [];
  const handshake = new CloseWait(
    {
      get bytesReceived() {
        return bytesReceived();
      },
      onApplicationTimeout: () => calls.push('acknowledge'),
      onPeerTimeout: (error) => calls.push(error),
      onFlushTimeout: () => calls.push('linger'),
    },
    timeout,
  );
  return { clock, calls, handshake };
}

describe('CloseWait', () => {
  it('has the application acknowledge closeTimeout after its last read or write', (t) => {
    const { clock, calls, handshake } = start(t);
    handshake.awaitApplication();
    clock.advance(60);
    handshake.noteActivity();
    handshake.noteProgress();
    clock.advance(99);
    assert.deepEqual(calls, []);
    clock.advance(1);
    assert.deepEqual(calls, ['acknowledge']);
  });

  it('gives the peer closeTimeout, and again whenever it takes something or somebody reads', (t) => {
    const { clock, calls, handshake } = start(t);
    handshake.awaitPeer();
    for (const progress of ['noteActivity', 'noteProgress', 'awaitPeer'] as const) {
      clock.advance(60);
      handshake[progress]();
    }
    clock.advance(99);
    assert.deepEqual(calls, []);
    clock.advance(1);
    assert.equal(calls.length, 1);
    assert.throws(() => {
      throw calls[0];
    }, failure('ERR_WEBSOCKET_CLOSE_TIMEOUT'));
  });

  it('does not let reads put off the end once somebody waits for it', (t) => {
    const { clock, calls, handshake } = start(t);
    handshake.awaitPeer();
    clock.advance(60);
    observe(handshake.wait());
    clock.advance(60);
    handshake.noteActivity();
    clock.advance(40);
    assert.equal(calls.length, 1);
  });

  it('lets reads put off the end again when nobody waits for it any more', async (t) => {
    const { clock, calls, handshake } = start(t);
    handshake.awaitPeer();
    let leave: (reason: unknown) => void = () => {};
    const waiting = handshake.wait((stop) => {
      leave = stop;
    });
    leave('no');
    await rejectsWith(waiting, 'no');
    clock.advance(60);
    handshake.noteActivity();
    clock.advance(60);
    assert.deepEqual(calls, []);
  });

  it('lets nothing put off the time for what does not depend on it', (t) => {
    const acknowledging = start(t);
    acknowledging.handshake.awaitApplication();
    acknowledging.clock.advance(60);
    acknowledging.handshake.noteProgress();
    acknowledging.clock.advance(40);
    assert.deepEqual(acknowledging.calls, ['acknowledge'], 'the peer takes what was sent');

    const flushing = start(t);
    flushing.handshake.complete();
    flushing.clock.advance(60);
    flushing.handshake.noteActivity();
    flushing.handshake.noteProgress();
    flushing.clock.advance(40);
    assert.deepEqual(flushing.calls, ['linger'], 'the handshake is complete');
  });

  it('looks at all that has come before it gives the peer up', (t) => {
    const arriving = [0, 10, 20, 20];
    const { clock, calls, handshake } = start(t, 100, () => arriving.shift() ?? 20);
    handshake.awaitPeer();
    clock.advance(100);
    assert.deepEqual([calls.length, arriving], [1, []]);
  });

  it('resolves or rejects all who wait, and those who come later', async (t) => {
    const { handshake } = start(t);
    const waiting = [handshake.wait(), handshake.wait()];
    handshake.complete();
    await Promise.all([...waiting, handshake.wait()]);

    const other = start(t).handshake;
    const pending = [other.wait(), other.wait()];
    other.fail('lost');
    for (const one of [...pending, other.wait()]) await rejectsWith(one, 'lost');
  });

  it('lets one who waits leave', async (t) => {
    const { handshake } = start(t);
    let leave: (reason: unknown) => void = () => {};
    const left = handshake.wait((stop) => {
      leave = stop;
    });
    const other = observe(handshake.wait());
    leave('no');
    await rejectsWith(left, 'no');
    assert.equal(other.outcome, 'pending');
    handshake.complete();
    leave('again');
    await passTurns();
    assert.equal(other.outcome, undefined);
  });

  it('bounds the time that TCP may take to end, also without closeTimeout, and leaves no timer behind', (t) => {
    for (const [timeout, linger] of [
      [100, 100],
      [0, 10_000],
    ] as const) {
      const { clock, calls, handshake } = start(t, timeout);
      handshake.complete();
      clock.advance(linger - 1);
      assert.deepEqual(calls, []);
      clock.advance(1);
      assert.deepEqual(calls, ['linger']);
      handshake.fail('over');
      handshake.stop();
      assert.equal(clock.pending, 0);
    }
  });

  it('waits for ever with closeTimeout 0, and after a close that was taken back', (t) => {
    const { clock, calls, handshake } = start(t, 0);
    handshake.awaitPeer();
    handshake.noteActivity();
    handshake.noteProgress();
    handshake.awaitApplication();
    clock.advance(1e9);
    const other = start(t);
    other.handshake.awaitPeer();
    other.handshake.idle();
    other.clock.advance(1e9);
    assert.deepEqual([...calls, ...other.calls], []);
  });
});
