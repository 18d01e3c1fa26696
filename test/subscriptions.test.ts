import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import type { BackplaneDriver } from '../src/backplane/driver.js';
import { Subscriptions } from '../src/backplane/subscriptions.js';
import { FakeClock } from './support/fake-clock.js';

/** A channel is left so long after its last member. */
const LINGER_MS = 2000;

function subscriptions(t: TestContext, answers: (channel: string) => Promise<void>) {
  const clock = new FakeClock().install(t);
  const unsubscribed: string[] = [];
  const events: string[] = [];
  const driver: BackplaneDriver = {
    maxMessageSize: 100,
    open: () => {},
    subscribe: answers,
    unsubscribe: (channel) => void unsubscribed.push(channel),
    publish: async () => true,
    close: () => {},
  };
  const subject = new Subscriptions(driver, {
    onComplete: () => events.push('complete'),
    onIncomplete: (error) => events.push(String(error)),
  });
  return { subject, clock, events, unsubscribed };
}

const never = (): Promise<void> => new Promise(() => {});

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
});
