/**
 * How groups reach other processes: what `webSockets({ backplane })` takes. `redis()`, `nats()`, `cluster()` and `workers()`
 * make one; so can you. A driver carries bytes on named channels, at most once and in the order of each sender. It decides
 * nothing: subscriptions, time limits and who is there are looked after above it. None of its methods needs to be safe
 * against misuse, and none may throw for the sake of the network; a fault there is a status.
 */
export interface BackplaneDriver {
  /** Most bytes of one message, the envelope of the library included (some 40 bytes). May change while in use. */
  readonly maxMessageSize: number;
  /** Begins to connect, and goes on trying until `close()`. Called once. Nothing waits for it. */
  open(events: BackplaneDriverEvents): unknown;
  /**
   * Resolves when whatever is published to `channel` from now on, by any process, reaches `received`. Called again for
   * every channel after each interruption, whether or not the client has subscribed again by itself.
   *
   * @param channel 1 to 300 bytes of UTF-8, any characters
   */
  subscribe(channel: string): Promise<unknown>;
  /** No more is wanted of `channel`. */
  unsubscribe(channel: string): unknown;
  /**
   * Publishes `bytes`, which nobody changes afterwards. Called while the status is `'ready'` only, except to find out
   * whether a silent broker answers again.
   *
   * @returns true if the client has taken them while it was ready; false if not, and then they must not be sent later
   */
  publish(channel: string, bytes: Uint8Array): Promise<boolean>;
  /** Lets go of everything that `open` has taken. Nothing is reported afterwards. */
  close(): unknown;
}

/** What a driver reports. */
export interface BackplaneDriverEvents {
  /** A message has come; whether the driver reports those of this process too is its own business. */
  received(channel: string, bytes: Uint8Array): void;
  /** `'ready'` when messages can be published and channels subscribed to, `'interrupted'` when no longer or not yet. */
  status(status: 'connecting' | 'ready' | 'interrupted', error?: unknown): void;
}

/** State of a backplane: `'none'` without the option, `'connecting'` until it is first ready or found not to be. */
export type BackplaneStatus = 'none' | 'connecting' | 'ready' | 'interrupted';

/** `sockets.backplane`. */
export interface BackplaneInfo {
  /** Whether messages reach other processes and come from there. */
  readonly status: BackplaneStatus;
  /** How many processes are there, this one included. */
  readonly nodes: number;
  /** Messages that the client has taken. */
  readonly published: number;
  /** Messages that have come from other processes. */
  readonly received: number;
  /** Messages that were not taken, or not within 2 s: {@link GroupSendResult.backplane} was `'unavailable'`. */
  readonly unavailable: number;
  /** What has come and was dropped: of another version of the envelope, damaged, or older than 10 s. */
  readonly invalid: number;
}
