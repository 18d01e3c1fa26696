import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Pings } from '../src/connection/pings.js';
import { observe, rejectsWith } from './support/connections.js';

describe('Pings', () => {
  const ping = (payload: string) => Buffer.from(payload);

  it('has a payload of its own for every ping', () => {
    const pings = new Pings(() => 0);
    assert.deepEqual(
      [pings.nextPayload().toString('hex'), pings.nextPayload().toString('hex')],
      ['0000000000000001', '0000000000000002'],
    );
  });

  it('answers the oldest of several pings with the same payload', async () => {
    let now = 0;
    const pings = new Pings(() => now);
    const [first, second] = [pings.wait(ping('x'), undefined), pings.wait(ping('x'), undefined)];
    now = 3;
    pings.ponged(ping('x'));
    assert.equal(await first, 3);
    now = 5;
    pings.ponged(ping('x'));
    assert.equal(await second, 5);
  });

  it('takes the answer to a later ping for one to those before it', async () => {
    let now = 0;
    const pings = new Pings(() => now);
    const [first, second] = [pings.wait(ping('1'), undefined), pings.wait(ping('2'), new AbortController().signal)];
    const third = observe(pings.wait(ping('3'), undefined));
    now = 7;
    pings.ponged(ping('2'));
    assert.deepEqual(await Promise.all([first, second]), [7, 7]);
    assert.equal(third.outcome, 'pending');
  });

  it('ignores a pong that answers no ping', async () => {
    const pings = new Pings(() => 0);
    const pending = pings.wait(ping('x'), undefined);
    pings.ponged(ping('y'));
    pings.ponged(ping(''));
    pings.fail('over');
    await rejectsWith(pending, 'over');
  });

  it('rejects a cancelled ping and ignores its pong', async () => {
    const pings = new Pings(() => 0);
    const controller = new AbortController();
    const cancelled = pings.wait(ping('x'), controller.signal);
    const other = pings.wait(ping('x'), undefined);
    controller.abort('no');
    await rejectsWith(cancelled, 'no');
    pings.ponged(ping('x'));
    assert.equal(await other, 0);
  });

  it('rejects all pings at the end, once', async () => {
    const pings = new Pings(() => 0);
    const controller = new AbortController();
    const pending = [pings.wait(ping('x'), controller.signal), pings.wait(ping('y'), undefined)];
    pings.fail('over');
    controller.abort('no');
    for (const one of pending) await rejectsWith(one, 'over');
  });
});
