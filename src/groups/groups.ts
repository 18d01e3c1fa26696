import { closePayload } from '../connection/closing/close-status.js';
import { SharedMessage } from '../connection/sending/shared-message.js';
import { whenSlicesAreDone } from '../connection/sending/slices.js';
import {
  connectionOf,
  type GroupMemberships,
  groupsOf,
  setGroups,
  type WebSocketContext,
} from '../context/web-socket-context.js';
import { Group } from './group.js';
import {
  ALL,
  type BackplaneOutcome,
  type GroupBackplane,
  type GroupBackplaneEvents,
  type GroupKey,
  type GroupMessage,
  type RemoteCount,
} from './group-backplane.js';

/** What became of a message to a group. */
export interface GroupSendResult {
  /** How many members of this process were given the message. It says nothing about delivery. */
  readonly members: number;
  /** How many members of this process a `volatile` message has passed over, because they are slow. */
  readonly skipped: number;
  /** Whether it has gone to other processes: `'none'` without a backplane, and with `local: true`. */
  readonly backplane: BackplaneOutcome;
}

/** A message to a group, whose data the caller may reuse. */
export interface OutgoingMessage extends Omit<GroupMessage, 'data'> {
  readonly data: string | Uint8Array;
  readonly except: ReadonlySet<WebSocketContext>;
  /** Not to other processes. */
  readonly local: boolean;
}

/** What became of a message in this process. */
interface Given {
  readonly members: number;
  readonly skipped: number;
}

/** The groups of an instance: who is in them, and how messages reach them. */
export class Groups implements GroupMemberships, GroupBackplaneEvents {
  readonly #connections: ReadonlySet<WebSocketContext>;
  readonly #backplane: GroupBackplane;
  readonly #groups: Map<GroupKey, Group> = new Map();
  #hasConnections = false;

  constructor(connections: ReadonlySet<WebSocketContext>, backplane: GroupBackplane) {
    this.#connections = connections;
    this.#backplane = backplane;
  }

  // GroupMemberships

  join(context: WebSocketContext, name: string): Promise<void> {
    let group = this.#groups.get(name);
    const joined = groupsOf(context);
    if (group === undefined) {
      group = this.#open(name, context);
    } else if (!joined.includes(group)) {
      group.add(context);
    }
    if (!joined.includes(group)) setGroups(context, joined.concat(group));
    return group.joining ?? Promise.resolve();
  }

  leave(context: WebSocketContext, name: string): void {
    const group = this.#groups.get(name);
    const joined = groupsOf(context);
    if (group === undefined || !joined.includes(group)) return;
    setGroups(
      context,
      joined.filter((other) => other !== group),
    );
    this.#remove(context, group);
  }

  leaveAll(context: WebSocketContext): void {
    const joined = groupsOf(context);
    setGroups(context, []);
    for (const { name } of joined) this.#remove(context, this.#groups.get(name) as Group);
  }

  /** Tells the backplane of the first connection of the instance, and of the end of the last one. */
  connectionsChanged(): void {
    const hasConnections = this.#connections.size > 0;
    if (hasConnections === this.#hasConnections) return;
    this.#hasConnections = hasConnections;
    if (hasConnections) void this.#backplane.join(ALL);
    else this.#backplane.leave(ALL);
  }

  // Members

  size(key: GroupKey): number {
    if (key === ALL) return this.members(ALL).length;
    return this.#groups.get(key)?.size ?? 0;
  }

  has(key: GroupKey, context: WebSocketContext): boolean {
    if (key === ALL) return this.#connections.has(context) && connectionOf(context).isOpen;
    return this.#groups.get(key)?.has(context) === true;
  }

  members(key: GroupKey): readonly WebSocketContext[] {
    if (key === ALL) return [...this.#connections].filter((context) => connectionOf(context).isOpen);
    return [...(this.#groups.get(key)?.members ?? NOBODY)];
  }

  // Messages

  /** @returns rejects with a RangeError if the message is longer than the backplane takes; nobody has got anything then */
  async send(key: GroupKey, outgoing: OutgoingMessage): Promise<GroupSendResult> {
    const { text, compress, volatile, latest, except, local } = outgoing;
    const shared = sharedMessage(key, outgoing);
    const message = { text, data: shared.data, compress, volatile, latest };
    if (!local) this.#backplane.assertFits(key, message);
    const given = this.#give(key, shared, except);
    const published = local ? 'none' : this.#backplane.publish(key, message);
    await shared.whenReady();
    await whenSlicesAreDone();
    return { ...given, backplane: await published };
  }

  async close(
    key: GroupKey,
    status: number,
    description: string,
    except: ReadonlySet<WebSocketContext>,
  ): Promise<GroupSendResult> {
    const backplane = this.#backplane.publishClose(key, status, description);
    const members = this.#close(key, status, description, except);
    await whenSlicesAreDone();
    return { members, skipped: 0, backplane: await backplane };
  }

  /** Counts the members elsewhere. */
  countElsewhere(key: GroupKey, timeout: number): Promise<RemoteCount> {
    return this.#backplane.countAsync(key, timeout);
  }

  // GroupBackplaneEvents

  onMessage(key: GroupKey, message: GroupMessage): void {
    this.#give(key, sharedMessage(key, message), NOBODY_EXCEPTED);
  }

  onClose(key: GroupKey, status: number, description: string): void {
    this.#close(key, status, description, NOBODY_EXCEPTED);
  }

  onCount(key: GroupKey): number {
    return this.size(key);
  }

  #give(key: GroupKey, message: SharedMessage, except: ReadonlySet<WebSocketContext>): Given {
    let members = 0;
    let skipped = 0;
    let overloaded: WebSocketContext[] | undefined;
    for (const context of this.#recipients(key)) {
      if (except.size > 0 && except.has(context)) continue;
      const connection = connectionOf(context);
      if (!connection.canSend || (key === ALL && !connection.isOpen)) continue;
      if (connection.isOverloaded) {
        overloaded ??= [];
        overloaded.push(context);
      }
      if (connection.sendShared(message)) members++;
      else skipped++;
    }
    // When all have their place in the order: an abort tells the application, which may send at once.
    for (const context of overloaded ?? NOBODY) {
      if (connectionOf(context).abortIfOverloaded(message.size)) members--;
    }
    return { members, skipped };
  }

  #close(key: GroupKey, status: number, description: string, except: ReadonlySet<WebSocketContext>): number {
    const payload = closePayload(status, description);
    let members = 0;
    // A copy: each of them leaves its groups.
    for (const context of this.members(key)) {
      if (except.has(context) || !connectionOf(context).canSend) continue;
      connectionOf(context).closeOutputInSlices(payload);
      members++;
    }
    return members;
  }

  #recipients(key: GroupKey): Iterable<WebSocketContext> {
    return key === ALL ? this.#connections : (this.#groups.get(key)?.members ?? NOBODY);
  }

  #open(name: string, first: WebSocketContext): Group {
    const group = new Group(name, first);
    this.#groups.set(name, group);
    const joining = this.#backplane.join(name).then(() => {
      if (group.joining === joining) group.joining = undefined;
    });
    group.joining = joining;
    return group;
  }

  #remove(context: WebSocketContext, group: Group): void {
    if (group.size > 1) {
      group.remove(context);
      return;
    }
    this.#groups.delete(group.name);
    this.#backplane.leave(group.name);
  }
}

const NOBODY: readonly WebSocketContext[] = [];
const NOBODY_EXCEPTED: ReadonlySet<WebSocketContext> = new Set();

function sharedMessage(
  key: GroupKey,
  { data, text, compress, volatile, latest }: Omit<GroupMessage, 'data'> & { readonly data: string | Uint8Array },
): SharedMessage {
  // The length keeps a group's key apart from that of another whose name begins with its own.
  const slot = latest === undefined ? undefined : `${key.length}:${key}${latest}`;
  return new SharedMessage(data, { text, compress, volatile, slot });
}
