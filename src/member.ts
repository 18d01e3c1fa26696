import type { AsyncResource } from 'node:async_hooks';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { Connection, type ConnectionEvents, type ConnectionParts } from './connection/connection.js';
import { EndSignals } from './context/end-signals.js';
import {
  type ContextHost,
  type ContextOwner,
  type ContextParts,
  WebSocketContext,
} from './context/web-socket-context.js';

/**
 * A connection of an instance. It makes the connection and the context that the application knows it by, is the only one
 * to have both, knows the groups that it is in, and tells each of them of the end.
 */
export class Member implements ConnectionEvents, ContextOwner {
  readonly connection: Connection;
  readonly context: WebSocketContext;
  readonly ends: EndSignals;
  readonly host: MemberHost;
  readonly upgrade: MemberParts['upgrade'];
  readonly items: MemberParts['items'];
  readonly subProtocol: MemberParts['subProtocol'];
  readonly compression: ConnectionParts['compression'];
  /** An array takes more memory than a membership. */
  #groups: JoinedGroup | readonly JoinedGroup[] = NO_GROUPS;

  constructor(parts: MemberParts, connectionParts: MemberConnection) {
    const { host, upgrade, items, subProtocol } = parts;
    this.host = host;
    this.upgrade = upgrade;
    this.items = items;
    this.subProtocol = subProtocol;
    this.compression = connectionParts.compression;
    this.connection = new Connection(connectionParts, this);
    this.ends = new EndSignals(this.connection);
    this.context = new WebSocketContext(this.connection, this);
    this.connection.open(connectionParts.head);
  }

  /** The groups that it is in. Only {@link GroupMemberships} sets them. */
  get groups(): readonly JoinedGroup[] {
    return 'name' in this.#groups ? [this.#groups] : this.#groups;
  }

  set groups(groups: readonly JoinedGroup[]) {
    const [first = NO_GROUPS] = groups;
    this.#groups = groups.length > 1 ? groups : first;
  }

  // ContextOwner

  join(group: string): Promise<void> {
    return this.host.groups.join(this, group);
  }

  leave(group: string): void {
    this.host.groups.leave(this, group);
  }

  handOver(): WebSocket {
    const ws = this.connection.handOver((socket, head, owner) =>
      this.host.openWs(socket, head, this, {
        scope: this.ends,
        onSlowConsumer: (waiting) => owner.slowConsumer(waiting),
      }),
    );
    this.#leaveGroupsUnlessSending();
    return ws;
  }

  // ConnectionEvents

  onClosing(): void {
    // From now on it depends on the message whether it is for this connection too.
    this.connection.leaveCohort();
    this.#leaveGroupsUnlessSending();
    this.ends.fireClosing();
  }

  onTerminated(): void {
    this.#leaveGroupsUnlessSending();
    this.ends.fireClosed();
    this.ends.runInAsyncScope(() => this.host.onTerminated(this));
  }

  #leaveGroupsUnlessSending(): void {
    if (this.#groups !== NO_GROUPS && !this.connection.canSend) this.host.groups.leaveAll(this);
  }
}

/** What the members of a route have in common, and report. */
export interface MemberHost extends ContextHost {
  readonly groups: GroupMemberships;
  openWs(
    socket: Duplex,
    head: Buffer,
    negotiated: Pick<Member, 'subProtocol' | 'compression'>,
    guard: HandOverGuard,
  ): WebSocket;
  /** The connection is Closed or Aborted. */
  onTerminated(member: Member): void;
}

/** Who is in which group. */
export interface GroupMemberships {
  /** Resolves when messages of all processes come, or the backplane is found interrupted. */
  join(member: Member, name: string): Promise<void>;
  leave(member: Member, name: string): void;
  leaveAll(member: Member): void;
}

/** A group that a member is in. */
export interface JoinedGroup {
  readonly name: string;
}

/** What a member is made of, for as long as it lives. */
export interface MemberParts extends ContextParts {
  readonly host: MemberHost;
}

/** What its connection is made of. */
export interface MemberConnection extends ConnectionParts {
  /** Bytes that arrived together with the upgrade request. */
  readonly head: Buffer;
}

/** What watches over a connection behind its hand-over to `ws`. */
interface HandOverGuard {
  /** The asynchronous context in which the events of `ws` run. */
  readonly scope: AsyncResource;
  /** Drops the connection, because `waiting` bytes have not been taken yet; returns the error that says so. */
  onSlowConsumer(waiting: number): Error;
}

const NO_GROUPS: readonly JoinedGroup[] = [];
