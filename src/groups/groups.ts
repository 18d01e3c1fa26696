import { closePayload } from '../connection/closing/close-status.js';
import { Cohort } from '../connection/sending/cohort.js';
import { SharedMessage } from '../connection/sending/shared-message.js';
import { whenSlicesAreDone } from '../connection/sending/slices.js';
import type { WebSocketContext } from '../context/web-socket-context.js';
import { eventLoop } from '../event-loop.js';
import type { GroupMemberships, Member } from '../member.js';
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

/** The members of a group as the last message to all of them has left them. */
interface KnownMembers {
  /** Those who stand alike. */
  readonly cohort: Cohort;
  readonly others: readonly Member[];
}

/** The groups of an instance: who is in them, and how messages reach them. */
export class Groups implements GroupMemberships, GroupBackplaneEvents {
  readonly #members: ReadonlyMap<WebSocketContext, Member>;
  readonly #backplane: GroupBackplane;
  readonly #groups: Map<GroupKey, Group> = new Map();
  #hasConnections = false;
  /** What is known of groups in this turn of the event loop, until somebody joins, leaves or begins to close. */
  readonly #known: Map<GroupKey, KnownMembers> = new Map();
  /** Resolves when all that has been given to members so far is compressed: what is not waits behind what is. */
  #compressed: Promise<void> = Promise.resolve();

  /** @param members all connections of the instance by their contexts, at any moment */
  constructor(members: ReadonlyMap<WebSocketContext, Member>, backplane: GroupBackplane) {
    this.#members = members;
    this.#backplane = backplane;
  }

  // GroupMemberships

  join(member: Member, name: string): Promise<void> {
    const known = this.#groups.get(name);
    const group = known ?? this.#open(name, member);
    const joined = member.groups;
    if (!joined.includes(group)) {
      known?.add(member);
      member.groups = joined.concat(group);
      this.#forgetMembers();
    }
    return group.joining ?? Promise.resolve();
  }

  leave(member: Member, name: string): void {
    const joined = member.groups;
    const others = joined.filter((group) => group.name !== name);
    if (others.length === joined.length) return;
    member.groups = others;
    this.#remove(member, name);
  }

  leaveAll(member: Member): void {
    const joined = member.groups;
    member.groups = [];
    for (const { name } of joined) this.#remove(member, name);
  }

  closing(): void {
    this.#forgetMembers();
  }

  /** Tells the backplane of the first connection of the instance, and of the end of the last one. */
  connectionsChanged(): void {
    this.#forgetMembers();
    const hasConnections = this.#members.size > 0;
    if (hasConnections === this.#hasConnections) return;
    this.#hasConnections = hasConnections;
    if (hasConnections) void this.#backplane.join(ALL);
    else this.#backplane.leave(ALL);
  }

  // Members

  size(key: GroupKey): number {
    if (key === ALL) return this.#current(ALL).length;
    return this.#groups.get(key)?.size ?? 0;
  }

  has(key: GroupKey, context: WebSocketContext): boolean {
    const member = this.#members.get(context);
    if (member === undefined) return false;
    return key === ALL ? member.connection.isOpen : this.#groups.get(key)?.has(member) === true;
  }

  contexts(key: GroupKey): readonly WebSocketContext[] {
    return this.#current(key).map(({ context }) => context);
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
    await this.#compressed;
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
    const known = except.size === 0 ? this.#known.get(key) : undefined;
    const isKnown = known?.cohort.trySend(message) === true;
    const cohort = isKnown || except.size > 0 ? undefined : new Cohort(message);
    const others: Member[] = [];
    let members = isKnown ? known.cohort.size : 0;
    let skipped = 0;
    let overloaded: Member[] | undefined;
    for (const member of isKnown ? known.others : this.#recipients(key)) {
      if (except.size > 0 && except.has(member.context)) continue;
      const { connection } = member;
      const before = cohort?.size;
      if (connection.canSend && (key !== ALL || connection.isOpen)) {
        if (connection.isOverloaded) {
          overloaded ??= [];
          overloaded.push(member);
        }
        if (connection.sendShared(message, cohort)) members++;
        else skipped++;
      }
      if (cohort !== undefined && cohort.size === before) others.push(member);
    }
    if (cohort !== undefined && cohort.size > 1) this.#remember(key, { cohort, others });
    // When all have their place in the order: an abort tells the application, which may send at once.
    for (const { connection } of overloaded ?? NOBODY) {
      if (connection.abortIfOverloaded(message.size)) members--;
    }
    this.#compressed = this.#compressed.then(() => message.whenReady());
    return { members, skipped };
  }

  /** Keeps for further messages of this turn what one to all members has found. */
  #remember(key: GroupKey, members: KnownMembers): void {
    if (this.#known.size === 0) eventLoop.setImmediate(() => this.#forgetMembers());
    this.#known.set(key, members);
  }

  #forgetMembers(): void {
    // V8 makes a new table of an empty one.
    if (this.#known.size > 0) this.#known.clear();
  }

  #close(key: GroupKey, status: number, description: string, except: ReadonlySet<WebSocketContext>): number {
    const payload = closePayload(status, description);
    let members = 0;
    // A copy: each of them leaves its groups.
    for (const { connection, context } of this.#current(key)) {
      if (except.has(context) || !connection.canSend) continue;
      connection.closeOutputInSlices(payload);
      members++;
    }
    return members;
  }

  /** The members as they are now, which may leave meanwhile. */
  #current(key: GroupKey): readonly Member[] {
    const members = [...this.#recipients(key)];
    return key === ALL ? members.filter(({ connection }) => connection.isOpen) : members;
  }

  #recipients(key: GroupKey): Iterable<Member> {
    return key === ALL ? this.#members.values() : (this.#groups.get(key)?.members ?? NOBODY);
  }

  #open(name: string, first: Member): Group {
    const group = new Group(name, first);
    this.#groups.set(name, group);
    group.joining = this.#backplane.join(name).then(() => {
      group.joining = undefined;
    });
    return group;
  }

  /** A member has left a group that it was in. */
  #remove(member: Member, name: string): void {
    this.#forgetMembers();
    const group = this.#groups.get(name) as Group;
    if (group.size > 1) {
      group.remove(member);
      return;
    }
    this.#groups.delete(name);
    this.#backplane.leave(name);
  }
}

const NOBODY: readonly Member[] = [];
const NOBODY_EXCEPTED: ReadonlySet<WebSocketContext> = new Set();

function sharedMessage(
  key: GroupKey,
  { data, text, compress, volatile, latest }: Omit<GroupMessage, 'data'> & { readonly data: string | Uint8Array },
): SharedMessage {
  // The length keeps a group's key apart from that of another whose name begins with its own.
  const slot = latest === undefined ? undefined : `${key.length}:${key}${latest}`;
  return new SharedMessage(data, { text, compress, volatile, slot });
}
