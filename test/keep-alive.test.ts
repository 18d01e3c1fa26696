import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeepAlive, type KeepAlivePeer } from '../src/connection/keep-alive.js';
import { FakeClock } from './support/fake-clock.js';
import type { TestContext } from './support/servers.js';

class Peer implements KeepAlivePeer {
  lastActivity: number;
  inputPaused = false;
  answers = false;
  canProbe = true;
  readonly probes: number[] = [];
  readonly losses: number[] = [];
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
    this.lastActivity = now();
  }

  probe(): boolean {
    if (!this.canProbe) return false;
    this.probes.push(this.#now());
    if (this.answers) this.lastActivity = this.#now();
    return true;
  }

  onSilence(silence: number): void {
    this.losses.push(silence);
  }
}

function start(t: TestContext) {
  const clock = new FakeClock().install(t);
  const keepAlive = new KeepAlive(clock.now);
  const watch = (interval = 30, timeout = 20): Peer => {
    const peer = new Peer(clock.now);
    keepAlive.watch(peer, interval, timeout);
    return peer;
  };
  return { clock, keepAlive, watch };
}

describe('KeepAlive', () => {
  it('pings after the interval without input and reports a loss after the timeout', (t) => {
    const { clock, watch } = start(t);
    const peer = watch();
    clock.advance(29);
    assert.deepEqual(peer.probes, []);
    clock.advance(1);
    assert.deepEqual(peer.probes, [30]);
    clock.advance(19);
    assert.deepEqual(peer.losses, []);
    clock.advance(1);
    assert.deepEqual(peer.losses, [50]);
    clock.advance(1000);
    assert.equal(clock.pending, 0);
    assert.deepEqual(peer.losses, [50]);
  });

  it('pings every interval, also where the timeout is longer', (t) => {
    const { clock, watch } = start(t);
    const peer = watch(30, 100);
    peer.answers = true;
    for (let at = 0; at < 5; at++) clock.advance(30);
    assert.deepEqual(peer.probes, [30, 60, 90, 120, 150]);

    // A ping that is not answered has all of the timeout, and no other is sent meanwhile.
    peer.answers = false;
    for (let at = 0; at < 12; at++) clock.advance(10);
    assert.deepEqual(peer.probes, [30, 60, 90, 120, 150, 180]);
    assert.deepEqual(peer.losses, []);
    clock.advance(10);
    assert.deepEqual(peer.losses, [130]);
  });

  it('puts the ping off for whatever arrives', (t) => {
    const { clock, watch } = start(t);
    const peer = watch();
    for (let i = 0; i < 10; i++) {
      clock.advance(20);
      peer.lastActivity = clock.now();
    }
    assert.deepEqual(peer.probes, []);
    clock.advance(30);
    assert.deepEqual(peer.probes, [230]);
  });

  it('takes anything for an answer, not only a pong', (t) => {
    const { clock, watch } = start(t);
    const peer = watch();
    clock.advance(45);
    peer.lastActivity = clock.now();
    clock.advance(29);
    assert.deepEqual([peer.probes, peer.losses], [[30], []]);
    clock.advance(1);
    assert.deepEqual(peer.probes, [30, 75]);
  });

  it('forgets a peer that goes in the turn in which its time is up, and keeps one of which something has come', (t) => {
    const { clock, keepAlive } = start(t);
    const looks: Array<() => void> = [];
    t.mock.method(globalThis, 'setImmediate', (look: () => void) => void looks.push(look));
    const peers = [new Peer(clock.now), new Peer(clock.now), new Peer(clock.now)] as const;
    const tickets = peers.map((peer) => keepAlive.watch(peer, 30, 20));
    clock.advance(50);
    keepAlive.unwatch(tickets[0] as object);
    peers[1].lastActivity = clock.now();
    for (const look of looks) look();
    assert.deepEqual(
      peers.map(({ losses }) => losses),
      [[], [], [50]],
    );
    clock.advance(30);
    assert.deepEqual(
      peers.map(({ probes }) => probes.length),
      [1, 2, 1],
    );
  });

  it('never loses a peer whose input is paused, nor one resumed just before its time is up', (t) => {
    const { clock, watch } = start(t);
    const peer = watch();
    peer.inputPaused = true;
    clock.advance(1009);
    assert.deepEqual(peer.losses, []);
    peer.inputPaused = false;
    peer.lastActivity = clock.now();
    clock.advance(49);
    assert.deepEqual(peer.losses, []);
    clock.advance(1);
    assert.deepEqual(peer.losses, [50]);
  });

  it('never loses a peer to which no ping was sent', (t) => {
    const { clock, watch } = start(t);
    const peer = watch();
    peer.canProbe = false;
    clock.advance(1000);
    assert.deepEqual(peer.losses, []);
  });

  it('only pings if the timeout is 0', (t) => {
    const { clock, watch } = start(t);
    const peer = watch(30, 0);
    clock.advance(90);
    assert.deepEqual([peer.probes, peer.losses], [[30, 60, 90], []]);
  });

  it('forgets a peer at once', (t) => {
    const { clock, keepAlive } = start(t);
    const peer = new Peer(clock.now);
    const ticket = keepAlive.watch(peer, 30, 20);
    keepAlive.unwatch(ticket);
    keepAlive.unwatch(ticket);
    clock.advance(1000);
    assert.deepEqual(peer.probes, []);
    assert.equal(clock.pending, 0);
  });

  it('moves its timer forward for a peer that comes due before the others', (t) => {
    const { clock, watch } = start(t);
    const late = watch(1000);
    clock.advance(10);
    const early = watch(30);
    clock.advance(30);
    assert.deepEqual([late.probes, early.probes], [[], [40]]);
  });

  it('watches ten thousand peers with one timer', (t) => {
    const { clock, watch } = start(t);
    const peers = Array.from({ length: 10_000 }, (_, i) => {
      const peer = watch(100 + ((i * 7919) % 1000), 50);
      peer.answers = i % 2 === 0;
      return peer;
    });
    clock.advance(1200);
    assert.equal(clock.mostPending, 1);
    for (const [i, peer] of peers.entries()) {
      const interval = 100 + ((i * 7919) % 1000);
      assert.equal(peer.probes[0], interval);
      assert.deepEqual(peer.losses, peer.answers || interval > 1150 ? [] : [interval + 50]);
    }
  });

  it('does not keep an entry for each of many short connections until it would come due', (t) => {
    const { clock, keepAlive, watch } = start(t);
    const kept = watch(50_000);
    const tickets = Array.from({ length: 3000 }, () => keepAlive.watch(new Peer(clock.now), 100_000, 20));
    for (const ticket of tickets) keepAlive.unwatch(ticket);
    clock.advance(50_000);
    assert.deepEqual(kept.probes, [50_000]);
    clock.advance(100_000);
    assert.equal(clock.pending, 0);
  });

  it('uses a monotonic clock unless told otherwise', () => {
    const { now } = new KeepAlive();
    const before = performance.now();
    assert.ok(now() >= before);
  });
});
