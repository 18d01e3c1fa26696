import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { NONE, PendingSend, rejectSends, resolveSends } from '../src/connection/sending/pending-send.js';

function start(): PendingSend {
  return new PendingSend({
    data: 'a',
    text: true,
    endOfMessage: true,
    compress: false,
    close: false,
    ownMessage: false,
    size: 1,
  });
}

describe('PendingSend', () => {
  it('resolves or rejects once', async () => {
    const [first, second] = [start(), start()];
    rejectSends([first], 'why');
    rejectSends([first], 'again');
    resolveSends([first, second]);
    rejectSends([second], 'again');
    await assert.rejects(first.promise, (reason) => reason === 'why');
    await second.promise;
  });

  it('shares an empty list that nobody can fill', () => {
    assert.equal(Object.isFrozen(NONE), true);
    assert.equal(NONE.length, 0);
  });
});
