/** What groups ask of the other processes. */
export interface GroupBackplane {
  /**
   * A group has its first member in this process. Resolves when messages of all processes reach it, or when the backplane
   * is found interrupted, at the latest after 2 s; never rejects.
   */
  join(group: GroupKey): Promise<void>;
  /** A group has lost its last member in this process. */
  leave(group: GroupKey): void;
  /** @throws RangeError if the message is longer than the backplane takes */
  assertFits(group: GroupKey, message: GroupMessage): void;
  /** Sends a message to the members elsewhere. Never rejects. */
  publish(group: GroupKey, message: GroupMessage): Promise<BackplaneOutcome>;
  /** Closes the connections of the members elsewhere. Never rejects. */
  publishClose(group: GroupKey, status: number, description: string): Promise<BackplaneOutcome>;
  /** Counts the members elsewhere; waits `timeout` ms for the others. Never rejects. */
  countAsync(group: GroupKey, timeout: number): Promise<RemoteCount>;
}

/** What the other processes ask of groups. */
export interface GroupBackplaneEvents {
  onMessage(group: GroupKey, message: GroupMessage): void;
  onClose(group: GroupKey, status: number, description: string): void;
  /** @returns how many members the group has in this process */
  onCount(group: GroupKey): number;
}

/** The name of a group, or {@link ALL}. */
export type GroupKey = string;

/** Stands for all connections; no group can have this name. */
export const ALL: GroupKey = '';

/** A message to a group, as it travels between processes. */
export interface GroupMessage {
  readonly text: boolean;
  /** UTF-8 if it is text. Does not change any more. */
  readonly data: Uint8Array;
  readonly compress?: boolean | undefined;
  readonly volatile?: boolean | undefined;
  readonly latest?: string | undefined;
}

/**
 * Whether a message has gone to the other processes: `'none'` if there is no backplane, `'sent'` if the backplane's client
 * has taken it while it was ready, `'unavailable'` otherwise.
 */
export type BackplaneOutcome = 'none' | 'sent' | 'unavailable';

/** Members in other processes. */
export interface RemoteCount {
  /** Members of those that have answered. */
  readonly count: number;
  /** How many have answered. */
  readonly nodes: number;
  /** How many have not. */
  readonly missing: number;
}

/** One process: there are no others. */
export const NO_BACKPLANE: GroupBackplane = {
  join() {
    return Promise.resolve();
  },
  leave() {},
  assertFits() {},
  publish() {
    return Promise.resolve('none');
  },
  publishClose() {
    return Promise.resolve('none');
  },
  countAsync() {
    return Promise.resolve({ count: 0, nodes: 0, missing: 0 });
  },
};
