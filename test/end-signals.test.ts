import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { EndSignals } from '../src/context/end-signals.js';
import { Harness } from './support/connections.js';

describe('EndSignals', () => {
  it('make nothing that nobody has asked for', (t) => {
    const { connection } = new Harness(t);
    const ends = new EndSignals(connection);
    ends.fireClosing();
    ends.fireClosed();
    assert.equal(ends.cancelledBy(undefined), undefined);
  });

  it('tell an error of a signal, or one that it is the cause of, from all others', (t) => {
    const { connection } = new Harness(t);
    const ends = new EndSignals(connection);
    const { signal, closing } = ends;
    assert.equal(ends.cancelledBy(signal.reason), undefined, 'before anything has fired');
    ends.fireClosing();
    assert.equal(ends.cancelledBy(closing.reason), 'closing');
    assert.equal(ends.cancelledBy(new Error('from a timer', { cause: closing.reason })), 'closing');
    ends.fireClosed();
    assert.equal(ends.cancelledBy(signal.reason), 'signal');
    assert.equal(ends.cancelledBy(new Error('another')), undefined);
    assert.equal(ends.cancelledBy('a string'), undefined);
  });

  it('have fired already for who asks after the end', async (t) => {
    const h = new Harness(t);
    const ends = new EndSignals(h.connection);
    h.connection.abort();
    assert.deepEqual([ends.signal.aborted, ends.closing.aborted], [true, true]);
    assert.deepEqual(await ends.closed, { code: 1006, reason: '', wasClean: false });
  });

  it('are the same whenever they are asked for', (t) => {
    const ends = new EndSignals(new Harness(t).connection);
    assert.equal(ends.signal, ends.signal);
    assert.equal(ends.closing, ends.closing);
    assert.equal(ends.closed, ends.closed);
  });
});
