import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Backplane } from '../src/backplane/backplane.js';
import type { BackplaneDriver, BackplaneDriverEvents, BackplaneStatus } from '../src/backplane/driver.js';
import { type Content, decode, encode } from '../src/backplane/envelope.js';
import { FakeClock } from './support/fake-clock.js';

const OTHER = 'ab'.repeat(16);

/** A broker that answers when the test says so. */
class FakeDriver implements BackplaneDriver {
  readonly maxMessageSize = 1000;
  events: BackplaneDriverEvents = { received: () => {}, status: () => {} };
  readonly published: { channel: string; content: Content }[] = [];
  readonly unsubscribed: string[] = [];
  answer: () => Promise<boolean> = async () => true;
  subscription: (channel: string) => Promise<void> = async () => {};

  open(events: BackplaneDriverEvents): void {
    this.events = events;
  }
  subscribe(channel: string): Promise<void> {
    return this.subscription(channel);
  }
  unsubscribe(channel: string): void {
    this.unsubscribed.push(channel);
  }
  publish(channel: string, bytes: Uint8Array): Promise<boolean> {
    this.published.push({ channel, content: decode(bytes) as Content });
    return this.answer();
  }
  close(): void {}
}

/** Lets promises and what they lead to go on. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
}

async function ready(driver = new FakeDriver(), now?: () => number) {
  const heard: string[] = [];
  const statuses: (BackplaneStatus | string)[] = [];
  const backplane = new Backplane(
    driver,
    {
      onMessage: (group, { data }) => heard.push(`${group}: ${Buffer.from(data)}`),
      onClose: (group, status) => heard.push(`${group} closes with ${status}`),
      onCount: () => 3,
      onStatus: (status, error) => statuses.push(error === undefined ? status : `${status}: ${error.message}`),
    },
    now,
  );
  driver.events.status('ready');
  await settled();
  return { driver, backplane, heard, statuses };
}

const message = (text: string): Content => ({ kind: 'messages', messages: [{ text: true, data: Buffer.from(text) }] });

describe('Backplane', () => {
  it('drops what is of another version, damaged, not text, or cannot be sent, and counts it', async () => {
    const { driver, backplane, heard } = await ready();
    await backplane.join('room');
    const good = encode(OTHER, Date.now(), message('good'));
    const ofVersion2 = Buffer.from(good).fill(2, 0, 1);
    const ofNoKind = Buffer.from(good).fill(99, 1, 2);
    const notText = encode(OTHER, Date.now(), { kind: 'messages', messages: [{ text: true, data: Buffer.of(0xff) }] });
    const noClose = encode(OTHER, Date.now(), { kind: 'close', status: 1006, description: '' });
    const cut = ([...['message', 'close', 'here', 'count', 'counted']] as const).map((_, index) =>
      Buffer.from(good.subarray(0, 26)).fill([0, 1, 3, 5, 6][index] ?? 0, 1, 2),
    );
    const longKey = Buffer.from(good);
    longKey.writeUInt32BE(9999, 27);

    const bad = [Buffer.alloc(0), ofVersion2, ofNoKind, notText, noClose, longKey, ...cut];
    for (const bytes of bad) driver.events.received('group:room', bytes);
    driver.events.received('group:room', good);

    assert.deepEqual(heard, ['room: good']);
    assert.equal(backplane.info.invalid, bad.length);
    await backplane.close();
  });

  it('drops what is older than 10 s by the clock of its sender', async (t) => {
    t.mock.timers.enable({ apis: ['Date'], now: Date.now() });
    const { driver, backplane, heard } = await ready();
    await backplane.join('room');
    driver.events.received('group:room', encode(OTHER, Date.now() - 10_001, message('late')));
    driver.events.received('group:room', encode(OTHER, Date.now() - 10_000, message('in time')));
    // The other process turns out to be an hour behind.
    const hour = 3_600_000;
    driver.events.received('node:x', encode(OTHER, Date.now() - hour, { kind: 'here', asked: Date.now() }));
    driver.events.received('group:room', encode(OTHER, Date.now() - hour, message('behind')));
    driver.events.received('group:room', encode(OTHER, Date.now() - hour - 11_000, message('behind and late')));

    assert.deepEqual(heard, ['room: in time', 'room: behind']);
    assert.equal(backplane.info.invalid, 2);
    await backplane.close();
  });

  it('publishes the messages of a tick together, a close behind them, and counts each', async () => {
    const { driver, backplane, heard } = await ready();
    await backplane.join('room');
    driver.published.length = 0;
    const say = (text: string): Promise<unknown> => backplane.publish('room', { text: true, data: Buffer.from(text) });
    const outcomes = Promise.all([say('one'), say('two'), backplane.publishClose('room', 1000, ''), say('three')]);
    await settled();
    assert.deepEqual(await outcomes, ['sent', 'sent', 'sent', 'sent']);
    assert.deepEqual(
      driver.published.map(({ channel, content }) => [
        channel,
        content.kind === 'messages' ? content.messages.map(({ data }) => String(data)) : content.kind,
      ]),
      [
        ['group:room', ['one', 'two']],
        ['group:room', 'close'],
        ['group:room', ['three']],
      ],
    );
    assert.equal(backplane.info.published, 4);
    for (const age of [0, 10_001]) {
      for (const { channel, content } of [...driver.published]) {
        driver.events.received(channel, encode(OTHER, Date.now() - age, content));
      }
    }
    assert.deepEqual(heard, ['room: one', 'room: two', 'room closes with 1000', 'room: three']);
    assert.deepEqual([backplane.info.received, backplane.info.invalid], [4, 4]);
    driver.answer = async () => false;
    assert.deepEqual(await Promise.all([say('lost'), say('too')]), ['unavailable', 'unavailable']);
    assert.equal(backplane.info.unavailable, 2);
    await backplane.close();
  });

  it('publishes before it is closed what was said in the same tick', async () => {
    const { driver, backplane } = await ready();
    const said = backplane.publish('room', { text: true, data: Buffer.from('last words') });
    await backplane.close();
    assert.equal(await said, 'sent');
    assert.deepEqual(
      driver.published.slice(-2).map(({ content }) => content.kind),
      ['messages', 'goodbye'],
    );
  });

  it('answers hello at once, and introduces itself to those it did not know', async () => {
    const { driver, backplane } = await ready();
    driver.published.length = 0;

    driver.events.received('nodes', encode(OTHER, 1234, { kind: 'hello' }));
    driver.events.received('nodes', encode(OTHER, Date.now(), { kind: 'count', request: 7, group: 'room' }));
    await settled();

    const inbox = driver.published.filter(({ channel }) => channel === `node:${OTHER}`).map(({ content }) => content);
    assert.deepEqual(
      inbox.map(({ kind }) => kind),
      ['hello', 'here', 'counted'],
    );
    assert.equal(inbox[1]?.kind === 'here' && inbox[1].asked, 1234);
    assert.equal(backplane.info.nodes, 2);
    driver.events.received('nodes', encode(OTHER, Date.now(), { kind: 'goodbye' }));
    driver.events.received('nodes', encode(OTHER, Date.now(), { kind: 'counted', request: 99, count: 1 }));
    await backplane.close();
  });

  it('forgets who has been silent for 15 s, and shows itself every 5 s', async (t) => {
    const clock = new FakeClock().install(t);
    const { driver, backplane } = await ready(new FakeDriver(), clock.now);
    driver.events.received('nodes', encode(OTHER, Date.now(), { kind: 'here', asked: 0 }));
    driver.published.length = 0;

    clock.advance(15_000);
    assert.equal(backplane.info.nodes, 2);
    clock.advance(5000);

    assert.equal(backplane.info.nodes, 1);
    clock.advance(40_000);
    const signs = driver.published.filter(({ channel }) => channel === 'nodes').map(({ content }) => content.kind);
    assert.deepEqual(signs, [...Array.from({ length: 11 }, () => 'here'), 'hello']);
  });

  it('ends a count when it is closed, and says who has not answered', async (t) => {
    const clock = new FakeClock().install(t);
    const { driver, backplane } = await ready(new FakeDriver(), clock.now);
    driver.events.received('nodes', encode(OTHER, Date.now(), { kind: 'here', asked: 0 }));
    clock.advance(1000);

    const counted = backplane.countAsync('room', 60_000);
    await backplane.close();

    assert.deepEqual(await counted, { count: 0, nodes: 0, missing: 1 });
  });

  it('calls a driver that throws or rejects interrupted, and asks it until it takes something', async (t) => {
    const clock = new FakeClock().install(t);
    const { driver, backplane, statuses } = await ready(new FakeDriver(), clock.now);
    driver.answer = () => Promise.reject(new Error('no permission'));

    assert.equal(await backplane.publish('room', { text: true, data: Buffer.of(65) }), 'unavailable');
    assert.equal(await backplane.publish('room', { text: true, data: Buffer.of(65) }), 'unavailable');
    clock.advance(1000);
    await settled();
    driver.answer = async () => true;
    clock.advance(1000);
    await settled();

    assert.deepEqual(statuses, ['ready', 'interrupted: no permission', 'ready']);
    assert.equal(await backplane.publishClose('room', 1000, ''), 'sent');
  });

  it('is interrupted by a channel that cannot be subscribed to, and tries it again', async (t) => {
    const clock = new FakeClock().install(t);
    const { driver, backplane, statuses } = await ready(new FakeDriver(), clock.now);
    driver.subscription = () => Promise.reject(new Error('not allowed'));

    await backplane.join('room');
    await settled();
    driver.subscription = async () => {};
    clock.advance(2000);
    await settled();

    assert.deepEqual(statuses, ['ready', 'interrupted: not allowed', 'ready']);
    backplane.leave('room');
    clock.advance(2000);
    backplane.leave('never joined');
    assert.deepEqual(driver.unsubscribed, ['group:room']);
  });

  it('is interrupted by a driver that cannot be opened', async () => {
    const driver = new FakeDriver();
    driver.open = () => {
      throw new Error('cannot open');
    };
    const { statuses } = await ready(driver);

    assert.deepEqual(statuses, ['interrupted: cannot open']);
  });

  it('hears nothing after it has been closed', async () => {
    const { driver, backplane, heard, statuses } = await ready();
    await backplane.join('room');
    await Promise.all([backplane.close(), backplane.close()]);

    driver.events.received('group:room', encode(OTHER, Date.now(), message('late')));
    driver.events.status('interrupted');
    await backplane.join('another');

    assert.deepEqual([heard, statuses], [[], ['ready']]);
    assert.equal(driver.published.at(-1)?.content.kind, 'goodbye');
  });
});
