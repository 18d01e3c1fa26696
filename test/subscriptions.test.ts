import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { BackplaneDriver } from '../src/backplane/driver.js';
import { Subscriptions } from '../src/backplane/subscriptions.js';
import { Deferred } from '../src/connection/deferred.js';
import { FakeClock } from './support/fake-clock.js';

/** A channel is left so long after its last member. */
const LINGER_MS = 2000;

/** A broker that has not answered for so long is not waited for. */
const LIMIT_MS = 2000;

/** What could not be subscribed to is tried again after so long. */
const RETRY_MS = 2000;

function subscriptions(t: TestContext, answers: (channel: string) => Promise<void>) {
  const clock = new FakeClock().install(t);
  const asked: string[] = [];
  const unsubscribed: string[] = [];
  const events: string[] = [];
  const driver: BackplaneDriver = {
    maxMessageSize: 100,
    open: () => {},
    subscribe: (channel) => {
      asked.push(channel);
      return answers(channel);
    },
    unsubscribe: (channel) => void unsubscribed.push(channel),
    publish: async () => true,
    close: () => {},
  };
  const subject = new Subscriptions(driver, {
    onComplete: () => events.push('complete'),
    onIncomplete: (error) => events.push(String(error)),
  });
  return { subject, clock, events, asked, unsubscribed };
}

const never = (): Promise<void> => new Promise(() => {});

/** Answers that come when the test says so. */
function answersByHand() {
  const given: Deferred<void>[] = [];
  const answer = (): Promise<void> => {
    const deferred = new Deferred<void>();
    given.push(deferred);
    return deferred.promise;
  };
  return { given, answer };
}

/** Lets promises go on; the clock stands still meanwhile. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

/** Of two answers that are awaited, the first changes nothing, and the second completes all. */
async function areCompleteWithTheSecond(
  [first, second]: readonly Deferred<void>[],
  { subject, events }: Pick<ReturnType<typeof subscriptions>, 'subject' | 'events'>,
): Promise<void> {
  first?.resolve();
  await settled();
  assert.deepEqual([events, subject.complete], [[], false]);
  second?.resolve();
  await settled();
  assert.deepEqual([events, subject.complete], [['complete'], true]);
  subject.close();
}

describe('Subscriptions', () => {
  it('are complete with the last missing channel that nobody wants any more', (t) => {
    const { subject, clock, events, unsubscribed } = subscriptions(t, never);
    void subject.join('one');
    void subject.join('other');
    subject.connected();

    subject.leave('one');
    clock.advance(LINGER_MS);
    assert.deepEqual(events, []);
    subject.leave('other');
    clock.advance(LINGER_MS);

    assert.deepEqual(events, ['complete']);
    assert.deepEqual(unsubscribed, ['one', 'other']);
    subject.close();
  });

  it('leave nothing that nobody has joined', (t) => {
    const { subject, clock, unsubscribed } = subscriptions(t, never);
    subject.connected();

    subject.leave('room');
    clock.advance(LINGER_MS);

    assert.deepEqual(unsubscribed, []);
    assert.equal(clock.pending, 0);
  });

  it('are not complete while the driver is not ready, whoever leaves', (t) => {
    const { subject, clock, events, unsubscribed } = subscriptions(t, never);
    void subject.join('room');

    subject.leave('room');
    clock.advance(LINGER_MS);

    assert.deepEqual(events, []);
    assert.deepEqual(unsubscribed, []);
    assert.ok(subject.complete);
  });

  it('keep a channel whose members come back at once', (t) => {
    const { subject, clock, unsubscribed } = subscriptions(t, never);
    void subject.join('room');
    subject.connected();

    subject.leave('room');
    clock.advance(LINGER_MS - 1);
    void subject.join('room');
    clock.advance(LINGER_MS);

    assert.deepEqual(unsubscribed, []);
    subject.close();
  });

  it('ask for nothing before the driver is ready, and then for all at once', (t) => {
    const { subject, asked } = subscriptions(t, never);
    void subject.join('one');
    void subject.join('other');
    assert.deepEqual(asked, []);

    subject.connected();
    assert.deepEqual(asked, ['one', 'other']);
    void subject.join('third');
    assert.deepEqual(asked, ['one', 'other', 'third']);

    subject.disconnected();
    void subject.join('fourth');
    assert.equal(asked.length, 3);
    subject.close();
  });

  it('are complete with the last answer, and not before', async (t) => {
    const { given, answer } = answersByHand();
    const { subject, events } = subscriptions(t, answer);
    void subject.join('one');
    void subject.join('other');
    subject.connected();

    await areCompleteWithTheSecond(given, { subject, events });
  });

  it('ask anew for all when the driver is ready again', async (t) => {
    const { subject, events, asked } = subscriptions(t, async () => {});
    void subject.join('room');
    subject.connected();
    await settled();
    subject.disconnected();

    subject.connected();
    assert.equal(subject.complete, false);
    await settled();
    assert.deepEqual(asked, ['room', 'room']);
    assert.deepEqual(events, ['complete', 'complete']);
    subject.close();
  });

  it('believe no answer that a driver gives to what it was asked before it was ready again', async (t) => {
    const { given, answer } = answersByHand();
    const { subject, events } = subscriptions(t, answer);
    void subject.join('room');
    subject.connected();
    subject.disconnected();
    subject.connected();

    await areCompleteWithTheSecond(given, { subject, events });
  });

  it('try again what failed, which is complete once, whichever answer comes first', async (t) => {
    const { given, answer } = answersByHand();
    const { subject, clock, events, asked } = subscriptions(t, answer);
    void subject.join('room');
    subject.connected();
    clock.advance(LIMIT_MS);
    await settled();
    assert.match(String(events), /^Error: Cannot subscribe to the channel room/);

    clock.advance(RETRY_MS - 1);
    assert.equal(asked.length, 1);
    clock.advance(1);
    assert.equal(asked.length, 2);
    for (const deferred of given) deferred.resolve();
    await settled();
    assert.deepEqual(events.slice(1), ['complete']);
    subject.close();
  });

  it('try nothing again while the driver is not ready', async (t) => {
    const { subject, clock, events, asked } = subscriptions(t, () => Promise.reject(new Error('not allowed')));
    void subject.join('room');
    subject.connected();
    await settled();
    assert.deepEqual(events, ['Error: not allowed']);

    subject.disconnected();
    clock.advance(RETRY_MS);
    await settled();
    assert.deepEqual([asked, events.length], [['room'], 1]);
  });

  it('do not complain of a channel that nobody wants any more', async (t) => {
    const { given, answer } = answersByHand();
    const { subject, clock, events } = subscriptions(t, answer);
    void subject.join('room');
    subject.connected();
    subject.leave('room');
    clock.advance(LINGER_MS);
    assert.deepEqual(events, ['complete']);

    given[0]?.reject(new Error('not allowed'));
    await settled();
    assert.deepEqual(events, ['complete']);
    subject.close();
  });

  it('let go who waits when they are closed, and do nothing any more', async (t) => {
    const { given, answer } = answersByHand();
    const { subject, clock, events, asked, unsubscribed } = subscriptions(t, answer);
    const waiting = Promise.all([subject.join('one'), subject.join('other')]);
    subject.connected();
    given[0]?.reject(new Error('not allowed'));
    await settled();
    subject.leave('other');
    assert.equal(events.length, 1);

    subject.close();
    await waiting;
    given[1]?.resolve();
    clock.advance(RETRY_MS + LINGER_MS);
    await settled();
    assert.deepEqual([asked.length, events.length, unsubscribed], [2, 1, []]);
    assert.equal(clock.pending, 0);
  });
});
