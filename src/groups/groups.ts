import { closePayload } from '../connection/closing/close-status.js';
import { SharedMessage } from '../connection/sending/shared-message.js';
import { whenSlicesAreDone } from '../connection/sending/slices.js';
import type { WebSocketContext } from '../context/web-socket-context.js';
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
import { Seating } from './seating.js';

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
  readonly #members: ReadonlyMap<WebSocketContext, Member>;
  readonly #backplane: GroupBackplane;
  readonly #groups: Map<GroupKey, Group> = new Map();
  #hasConnections = false;
  /** Of the groups that a message to several members has gone to. */
  readonly #seatings: Map<GroupKey, Seating> = new Map();
  /** Resolves when all that has been given to members so far is compressed; `undefined` when it is. */
  #compressed: Promise<void> | undefined;

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
      this.#seatings.get(name)?.add(member);
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

  /** A connection of the instance has been opened, and may be gone again. */
  opened(member: Member): void {
    if (this.#members.has(member.context)) this.#seatings.get(ALL)?.add(member);
    this.#connectionsChanged();
  }

  /** A connection of the instance is over. */
  closed(member: Member): void {
    this.#seatings.get(ALL)?.delete(member);
    this.#connectionsChanged();
  }

  /** Tells the backplane of the first connection of the instance, and of the end of the last one. */
  #connectionsChanged(): void {
    const hasConnections = this.#members.size > 0;
    if (hasConnections === this.#hasConnections) return;
    this.#hasConnections = hasConnections;
    if (hasConnections) void this.#backplane.join(ALL);
    else this.#backplane.leave(ALL);
  }

  // Members

  size(key: GroupKey): number {
    return key === ALL ? this.#current(ALL).length : this.#count(key);
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
    const seating = this.#seatingFor(key, except);
    const seated = seating !== undefined && this.#trySend(key, seating, message, except) ? seating : undefined;
    let members = seated === undefined ? 0 : seated.size;
    let skipped = 0;
    let overloaded: Member[] | undefined;
    for (const member of seated === undefined ? this.#recipients(key) : seated.others) {
      const { connection, context } = member;
      if (except.size > 0 && except.has(context)) continue;
      if (!connection.canSend || (key === ALL && !connection.isOpen)) continue;
      if (connection.isOverloaded) {
        overloaded ??= [];
        overloaded.push(member);
      }
      const isGiven = seated?.give(member, message) ?? connection.sendShared(message, undefined, member);
      if (isGiven) members++;
      else skipped++;
    }
    // When all have their place in the order: an abort tells the application, which may send at once.
    for (const { connection } of overloaded ?? NOBODY) {
      if (connection.abortIfOverloaded(message.size)) members--;
    }
    this.#expectCompressed(message);
    return { members, skipped };
  }

  #expectCompressed(message: SharedMessage): void {
    const before = this.#compressed;
    // What is not compressed, or nobody has asked for yet, waits behind what is.
    if (before === undefined && !message.isBeingCompressed) return;
    const compressed = Promise.resolve(before)
      .then(() => message.whenReady())
      .then(() => {
        if (this.#compressed === compressed) this.#compressed = undefined;
      });
    this.#compressed = compressed;
  }

  /** Sends a message to those who are seated, without those who are excepted; false if all have to be looked at. */
  #trySend(key: GroupKey, seating: Seating, message: SharedMessage, except: ReadonlySet<WebSocketContext>): boolean {
    // To look at more than there are would be the longer way.
    if (except.size > this.#count(key)) return false;
    for (const context of except) {
      const member = this.#members.get(context);
      if (member !== undefined) seating.leaveCohort(member);
    }
    return seating.trySend(message);
  }

  /** Where members are seated, of a group to several of whom messages go. */
  #seatingFor(key: GroupKey, except: ReadonlySet<WebSocketContext>): Seating | undefined {
    const known = this.#seatings.get(key);
    if (known !== undefined || this.#count(key) - except.size < 2) return known;
    const seating = new Seating(this.#recipients(key));
    this.#seatings.set(key, seating);
    return seating;
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

  /** How many members there are, or may be. */
  #count(key: GroupKey): number {
    return key === ALL ? this.#members.size : (this.#groups.get(key)?.size ?? 0);
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
    this.#seatings.get(name)?.delete(member);
    const group = this.#groups.get(name) as Group;
    if (group.size > 1) {
      group.remove(member);
      return;
    }
    this.#groups.delete(name);
    this.#seatings.delete(name);
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
