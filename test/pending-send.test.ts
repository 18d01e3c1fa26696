import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NONE, type PendingSend, rejectSends, resolveSends } from '../src/connection/sending/pending-send.js';

function start(outcomes: unknown[]): PendingSend {
  return {
    data: 'a',
    text: true,
    endOfMessage: true,
    compress: false,
    close: false,
    whole: false,
    size: 1,
    phase: 'queued',
    resolve: () => outcomes.push('sent'),
    reject: (reason) => outcomes.push(reason),
  };
}

describe('PendingSend', () => {
  it('resolves or rejects once', () => {
    const outcomes: unknown[] = [];
    const [first, second] = [start(outcomes), start(outcomes)];
    rejectSends([first], 'why');
    rejectSends([first], 'again');
    resolveSends([first, second]);
    rejectSends([second], 'again');
    assert.deepEqual(outcomes, ['why', 'sent']);
  });

  it('shares an empty list that nobody can fill', () => {
    assert.equal(Object.isFrozen(NONE), true);
    assert.equal(NONE.length, 0);
  });
});
