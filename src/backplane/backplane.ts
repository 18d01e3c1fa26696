import { randomBytes } from 'node:crypto';
import { Deferred } from '../connection/deferred.js';
import {
  ALL,
  type BackplaneOutcome,
  type GroupBackplane,
  type GroupBackplaneEvents,
  type GroupKey,
  type GroupMessage,
  type RemoteCount,
} from '../groups/group-backplane.js';
import { groupChannel, inboxChannel, NODES_CHANNEL } from './channels.js';
import type { BackplaneDriver, BackplaneInfo, BackplaneStatus } from './driver.js';
import { type Content, decode, type Envelope, encode, messageSize, NODE_ID_BYTES } from './envelope.js';
import { Nodes } from './nodes.js';
import { Outbox } from './outbox.js';
import { asPromise, Subscriptions } from './subscriptions.js';
import { LIMIT, within } from './within.js';

/** What the backplane reports. None of it may throw. */
export interface BackplaneEvents extends GroupBackplaneEvents {
  /** The status has changed. */
  onStatus(status: BackplaneStatus, error: Error | undefined): void;
}

/** What there is to say without a backplane. */
export const NO_BACKPLANE_INFO: BackplaneInfo = Object.freeze({
  status: 'none',
  nodes: 1,
  published: 0,
  received: 0,
  unavailable: 0,
  invalid: 0,
});

/** A count that is being taken. */
interface Count {
  readonly silent: Set<string>;
  count: number;
  nodes: number;
  readonly finish: () => void;
}

/** Drivers that are in use. */
const used: WeakSet<BackplaneDriver> = new WeakSet();

/** A process shows that it is there every so many ms. */
const HEARTBEAT = 5000;

/** Every so many heartbeats the clocks are compared anew. */
const HEARTBEATS_PER_HELLO = 12;

/** Whoever is there answers a `hello` within so many ms, if at all; a count waits for that. */
const INTRODUCTION = 250;

/** One that has answered something in the last so many ms is slow, but not silent. */
const SILENCE = LIMIT / 2;

/** A broker that has fallen silent is asked every so many ms whether it is there again. */
const PROBE = 1000;

/** What has been under way for longer, in ms, is not delivered: a broker that stood still for a while goes on with it. */
const MAX_AGE = 10_000;

/**
 * Groups in other processes: what is sent to one here comes out of the backplanes there. The driver carries the bytes;
 * this class knows what they mean, who is there, how long anything may take, and whether it works at all.
 *
 * Nothing here waits for a broker longer than 2 s, and nothing rejects.
 */
export class Backplane implements GroupBackplane {
  readonly #driver: BackplaneDriver;
  readonly #events: BackplaneEvents;
  readonly #now: () => number;
  readonly #id: string = randomBytes(NODE_ID_BYTES).toString('hex');
  readonly #nodes: Nodes = new Nodes();
  readonly #subscriptions: Subscriptions;
  readonly #outbox: Outbox;
  /** What the channels that groups want belong to. */
  readonly #groups: Map<string, GroupKey> = new Map();
  readonly #counts: Map<number, Count> = new Map();
  #lastRequest = 0;
  #status: BackplaneStatus = 'connecting';
  #isDriverReady = false;
  /** A message was not answered in time, and nothing has been answered since. */
  #isSilent = false;
  #lastAnswer = Number.NEGATIVE_INFINITY;
  #probe: NodeJS.Timeout | undefined;
  #heartbeat: NodeJS.Timeout | undefined;
  #heartbeats = 0;
  /** When this process last said hello. */
  #helloAt = Number.NEGATIVE_INFINITY;
  #closed: Promise<void> | undefined;
  #published = 0;
  #received = 0;
  #unavailable = 0;
  #invalid = 0;

  /**
   * @param now the monotonic clock
   * @throws Error if another backplane has the driver
   */
  constructor(driver: BackplaneDriver, events: BackplaneEvents, now: () => number = () => performance.now()) {
    if (used.has(driver)) {
      throw new Error(
        'Cannot use the backplane: another webSockets() has it, must be one of its own. Call the function that makes it once for each',
      );
    }
    used.add(driver);
    this.#driver = driver;
    this.#events = events;
    this.#now = now;
    this.#subscriptions = new Subscriptions(driver, {
      onComplete: () => this.#becomeReady(),
      onIncomplete: (error) => this.#interrupt(error),
    });
    this.#outbox = new Outbox({
      get maxMessageSize() {
        return driver.maxMessageSize;
      },
      send: (channel, messages) => this.#send(channel, { kind: 'messages', messages }),
    });
    void this.#subscriptions.join(NODES_CHANNEL);
    void this.#subscriptions.join(inboxChannel(this.#id));
    this.#heartbeat = this.#beatLater();
    asPromise(() =>
      driver.open({
        received: (channel, bytes) => this.#receive(channel, bytes),
        status: (status, error) => this.#driverStatus(status, error),
      }),
    ).catch((error: unknown) => this.#driverStatus('interrupted', error));
  }

  /** State and counts. */
  get info(): BackplaneInfo {
    return {
      status: this.#status,
      nodes: this.#nodes.size + 1,
      published: this.#published,
      received: this.#received,
      unavailable: this.#unavailable,
      invalid: this.#invalid,
    };
  }

  /**
   * A group has its first member here. Resolves when what other processes send to it reaches this one, or when the
   * backplane is interrupted, and then it catches up by itself.
   */
  async join(group: GroupKey): Promise<void> {
    const channel = groupChannel(group);
    this.#groups.set(channel, group);
    if (this.#closed !== undefined) return;
    const reached = this.#subscriptions.join(channel);
    if (this.#status !== 'interrupted') await within(reached, LIMIT, undefined);
  }

  /** A group has lost its last member here. Its channel is left 2 s later. */
  leave(group: GroupKey): void {
    const channel = groupChannel(group);
    this.#groups.delete(channel);
    this.#subscriptions.leave(channel);
  }

  /**
   * Checks that the backplane carries a message.
   *
   * @throws RangeError if it is longer than the driver takes
   */
  assertFits(group: GroupKey, message: GroupMessage): void {
    const size = messageSize(message);
    const limit = this.#driver.maxMessageSize;
    if (size <= limit) return;
    throw new RangeError(
      `Cannot send to ${group === ALL ? 'all' : `the group ${JSON.stringify(group)}`}: the message is ${size} bytes with ` +
        `its envelope, must be at most ${limit} to pass ` +
        'the backplane. Send less, or to the members of this process only with `local: true`',
    );
  }

  /** Sends a message to the members of a group in other processes, together with others of this tick. */
  publish(group: GroupKey, message: GroupMessage): Promise<BackplaneOutcome> {
    return this.#noteOutcome(this.#outbox.put(groupChannel(group), message));
  }

  /** Closes the members of a group in other processes. */
  publishClose(group: GroupKey, status: number, description: string): Promise<BackplaneOutcome> {
    const channel = groupChannel(group);
    this.#outbox.flush(channel);
    return this.#noteOutcome(this.#send(channel, { kind: 'close', status, description }));
  }

  /** Counts the members of a group in other processes, waiting up to `timeout` ms for those that are known. */
  async countAsync(group: GroupKey, timeout: number): Promise<RemoteCount> {
    const introduction = Math.min(this.#helloAt + INTRODUCTION - this.#now(), timeout);
    if (introduction > 0) await new Promise((resolve) => setTimeout(resolve, introduction));
    this.#lastRequest = (this.#lastRequest + 1) >>> 0;
    const request = this.#lastRequest;
    const done = new Deferred<void>();
    const finish = (): void => done.resolve();
    const count: Count = { silent: new Set(this.#nodes.ids), count: 0, nodes: 0, finish };
    if (count.silent.size > 0) {
      this.#counts.set(request, count);
      void this.#send(NODES_CHANNEL, { kind: 'count', request, group }).then((sent) => sent || finish());
      await within(done.promise, timeout, undefined);
      this.#counts.delete(request);
    }
    return { count: count.count, nodes: count.nodes, missing: count.silent.size };
  }

  /** Says goodbye and lets the driver go. A second call joins the first. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#outbox.flushAll();
    const goodbye = this.#send(NODES_CHANNEL, { kind: 'goodbye' });
    this.#status = 'interrupted';
    clearTimeout(this.#heartbeat);
    clearTimeout(this.#probe);
    for (const { finish } of this.#counts.values()) finish();
    await goodbye;
    this.#isDriverReady = false;
    this.#subscriptions.close();
    await within(
      asPromise(() => this.#driver.close()).catch(() => undefined),
      LIMIT,
      undefined,
    );
  }

  async #noteOutcome(sending: Promise<boolean>): Promise<BackplaneOutcome> {
    const sent = await sending;
    if (sent) this.#published++;
    else this.#unavailable++;
    return sent ? 'sent' : 'unavailable';
  }

  /** Publishes while the driver is ready and answers; what is not answered in time counts as not sent. */
  async #send(channel: string, content: Content): Promise<boolean> {
    return this.#isDriverReady && !this.#isSilent && this.#transmit(channel, content);
  }

  async #transmit(channel: string, content: Content): Promise<boolean> {
    const transmission = asPromise(() => this.#driver.publish(channel, encode(this.#id, Date.now(), content)));
    transmission.then((taken) => taken && this.#answered(), ignore);
    try {
      const outcome = await within(transmission, LIMIT, 'late');
      if (outcome === 'late' && this.#now() - this.#lastAnswer > SILENCE) {
        this.#fellSilent(new Error(`Cannot publish: the broker has not answered for ${LIMIT} ms`));
      }
      return outcome === true;
    } catch (error) {
      this.#fellSilent(error);
      return false;
    }
  }

  #answered(): void {
    this.#lastAnswer = this.#now();
    if (!this.#isSilent) return;
    this.#isSilent = false;
    clearTimeout(this.#probe);
    this.#becomeReady();
  }

  /** The driver takes nothing any more, although it has not noticed; it is asked now and then. */
  #fellSilent(error: unknown): void {
    if (this.#isSilent || this.#closed !== undefined || !this.#isDriverReady) return;
    this.#isSilent = true;
    this.#interrupt(error);
    this.#probeLater();
  }

  #probeLater(): void {
    this.#probe = setTimeout(() => {
      void this.#transmit(NODES_CHANNEL, { kind: 'here', asked: 0 }).then(() => this.#isSilent && this.#probeLater());
    }, PROBE).unref();
  }

  #driverStatus(status: 'connecting' | 'ready' | 'interrupted', error: unknown): void {
    if (this.#closed !== undefined) return;
    this.#isSilent = false;
    clearTimeout(this.#probe);
    this.#isDriverReady = status === 'ready';
    if (this.#isDriverReady) {
      this.#subscriptions.connected();
      return;
    }
    this.#subscriptions.disconnected();
    if (status === 'interrupted' || this.#status === 'ready') this.#interrupt(error);
  }

  #becomeReady(): void {
    if (this.#status === 'ready' || !this.#isDriverReady || this.#isSilent || !this.#subscriptions.complete) return;
    this.#helloAt = this.#now();
    this.#become('ready');
    void this.#send(NODES_CHANNEL, { kind: 'hello' });
  }

  #interrupt(error: unknown): void {
    this.#subscriptions.stopWaiting();
    if (this.#status !== 'interrupted') this.#become('interrupted', error);
  }

  #become(status: BackplaneStatus, error?: unknown): void {
    this.#status = status;
    this.#events.onStatus(status, error === undefined || error instanceof Error ? error : new Error(String(error)));
  }

  #beatLater(): NodeJS.Timeout {
    const due = this.#now() + HEARTBEAT;
    return setTimeout(() => {
      const now = this.#now();
      // A process that stood still has heard of nobody, and they may all be there.
      if (now - due < HEARTBEAT) this.#nodes.forgetSilent(now);
      this.#heartbeats++;
      const isHello = this.#heartbeats % HEARTBEATS_PER_HELLO === 0;
      void this.#send(NODES_CHANNEL, isHello ? { kind: 'hello' } : { kind: 'here', asked: 0 });
      this.#heartbeat = this.#beatLater();
    }, HEARTBEAT).unref();
  }

  #receive(channel: string, bytes: Uint8Array): void {
    if (this.#closed !== undefined) return;
    const envelope = decode(bytes);
    if (envelope === undefined) {
      this.#invalid++;
    } else if (envelope.node !== this.#id) {
      this.#meet(envelope);
      this.#take(channel, envelope);
    }
  }

  /** Notes that a process is there, and asks one that was not known for its time. */
  #meet({ node, kind }: Envelope): void {
    if (kind === 'goodbye') this.#nodes.gone(node);
    else if (this.#nodes.noteActivity(node, this.#now())) void this.#send(inboxChannel(node), { kind: 'hello' });
  }

  #take(channel: string, envelope: Envelope): void {
    const { node, time } = envelope;
    switch (envelope.kind) {
      case 'messages':
      case 'close':
        this.#deliver(channel, envelope);
        break;
      case 'hello':
        void this.#send(inboxChannel(node), { kind: 'here', asked: time });
        break;
      case 'here':
        if (envelope.asked > 0) this.#nodes.measured(node, envelope.asked, time, Date.now());
        break;
      case 'count':
        void this.#send(inboxChannel(node), {
          kind: 'counted',
          request: envelope.request,
          count: this.#events.onCount(envelope.group),
        });
        break;
      case 'counted':
        this.#counted(node, envelope.request, envelope.count);
        break;
      case 'goodbye':
        break;
    }
  }

  #deliver(channel: string, envelope: Extract<Envelope, { kind: 'messages' | 'close' }>): void {
    const count = envelope.kind === 'messages' ? envelope.messages.length : 1;
    if (this.#nodes.age(envelope.node, envelope.time, Date.now()) > MAX_AGE) {
      this.#invalid += count;
      return;
    }
    const group = this.#groups.get(channel);
    // The last member has left a moment ago.
    if (group === undefined) return;
    this.#received += count;
    if (envelope.kind === 'close') this.#events.onClose(group, envelope.status, envelope.description);
    else for (const message of envelope.messages) this.#events.onMessage(group, message);
  }

  #counted(node: string, request: number, members: number): void {
    const count = this.#counts.get(request);
    if (count === undefined) return;
    count.silent.delete(node);
    count.count += members;
    count.nodes++;
    if (count.silent.size === 0) count.finish();
  }
}

function ignore(): void {}
