import { Deferred } from '../connection/deferred.js';
import type { BackplaneDriver } from './driver.js';
import { LIMIT, within } from './within.js';

/** What becomes of the subscriptions. */
export interface SubscriptionEvents {
  /** All channels that are wanted are subscribed to. */
  onComplete(): void;
  /** A channel could not be subscribed to; it will be tried again. */
  onIncomplete(error: unknown): void;
}

/** A channel that is wanted, or was until a moment ago. */
interface Subscription {
  /** Runs while nobody wants the channel any more. */
  leaving: NodeJS.Timeout | undefined;
  /** Resolves when the channel is live, or when there is no point in waiting for it. */
  readonly reached: Promise<void>;
  readonly stopWaiting: () => void;
}

/** A channel is left so long after its last member, in ms: members that reconnect come back at once. */
const LINGER = 2000;

/** What could not be subscribed to is tried again after so many ms. */
const RETRY = 2000;

/**
 * The channels that this process wants, and whether it has them: subscribed with the first who wants one, left a moment
 * after the last, subscribed again whenever the driver is ready again.
 */
export class Subscriptions {
  readonly #driver: BackplaneDriver;
  readonly #events: SubscriptionEvents;
  readonly #channels: Map<string, Subscription> = new Map();
  /** Those of `#channels` that are not live. */
  readonly #missing: Map<string, Subscription> = new Map();
  /** Counts the times that the driver became ready; what was subscribed before means nothing. 0 while it is not. */
  #epoch = 0;
  #lastEpoch = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(driver: BackplaneDriver, events: SubscriptionEvents) {
    this.#driver = driver;
    this.#events = events;
  }

  /** Whether all channels that are wanted are subscribed to. */
  get complete(): boolean {
    return this.#missing.size === 0;
  }

  /** Wants a channel. Resolves when it is subscribed to, or when there is no point in waiting any longer. */
  join(channel: string): Promise<void> {
    const known = this.#channels.get(channel);
    if (known !== undefined) {
      clearTimeout(known.leaving);
      known.leaving = undefined;
      return known.reached;
    }
    const reached = new Deferred<void>();
    const stopWaiting = (): void => reached.resolve();
    const subscription = { leaving: undefined, reached: reached.promise, stopWaiting };
    this.#channels.set(channel, subscription);
    this.#missing.set(channel, subscription);
    if (this.#epoch > 0) this.#subscribe(channel, subscription);
    return reached.promise;
  }

  /** Nobody wants a channel any more. */
  leave(channel: string): void {
    const subscription = this.#channels.get(channel);
    if (subscription === undefined) return;
    clearTimeout(subscription.leaving);
    subscription.leaving = setTimeout(() => {
      this.#forget(channel, subscription);
      if (this.#epoch > 0) void asPromise(() => this.#driver.unsubscribe(channel)).catch(ignore);
    }, LINGER);
    subscription.leaving.unref();
  }

  /** The driver is ready, and has subscribed to nothing. */
  connected(): void {
    this.#lastEpoch++;
    this.#epoch = this.#lastEpoch;
    for (const [channel, subscription] of this.#channels) this.#missing.set(channel, subscription);
    this.#subscribeMissing();
  }

  /** The driver is no longer ready. */
  disconnected(): void {
    this.#epoch = 0;
    clearTimeout(this.#retry);
  }

  /** Nobody is to wait any longer for what is not live. */
  stopWaiting(): void {
    for (const { stopWaiting } of this.#missing.values()) stopWaiting();
  }

  /** Wants nothing any more. */
  close(): void {
    this.disconnected();
    this.stopWaiting();
    for (const { leaving } of this.#channels.values()) clearTimeout(leaving);
    this.#channels.clear();
    this.#missing.clear();
  }

  #subscribeMissing(): void {
    for (const [channel, subscription] of this.#missing) this.#subscribe(channel, subscription);
  }

  #subscribe(channel: string, subscription: Subscription): void {
    const epoch = this.#epoch;
    const isMissing = (): boolean => epoch === this.#epoch && this.#missing.get(channel) === subscription;
    const subscribing = asPromise(() => this.#driver.subscribe(channel));
    // One that comes late is as good as one in time.
    subscribing.then(() => isMissing() && this.#reached(channel, subscription), ignore);
    void within(
      subscribing,
      LIMIT,
      new Error(`Cannot subscribe to the channel ${channel}: there is no answer after ${LIMIT} ms`),
    )
      .catch((error: unknown) => error ?? new Error(`Cannot subscribe to the channel ${channel}`))
      .then((error) => {
        // One that has been reached is not.
        if (!isMissing()) return;
        clearTimeout(this.#retry);
        this.#retry = setTimeout(() => this.#subscribeMissing(), RETRY);
        this.#retry.unref();
        this.#events.onIncomplete(error);
      });
  }

  #reached(channel: string, subscription: Subscription): void {
    subscription.stopWaiting();
    this.#missing.delete(channel);
    if (this.complete) this.#events.onComplete();
  }

  #forget(channel: string, subscription: Subscription): void {
    subscription.stopWaiting();
    this.#channels.delete(channel);
    if (this.#missing.delete(channel) && this.#epoch > 0 && this.complete) this.#events.onComplete();
  }
}

/** Calls a method of a driver, at once; whatever it does is a promise. */
export async function asPromise<T>(method: () => T | Promise<T>): Promise<T> {
  return method();
}

function ignore(): void {}
