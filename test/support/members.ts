import type { IncomingMessage } from 'node:http';
import type { ConnectionSettings, Traffic } from '../../src/connection/connection.js';
import { KeepAlive } from '../../src/connection/keep-alive.js';
import type { Compression } from '../../src/connection/receiving/receiver.js';
import type { WebSocketContext } from '../../src/context/web-socket-context.js';
import { ALL, type GroupBackplane, type GroupKey, NO_BACKPLANE } from '../../src/groups/group-backplane.js';
import { Groups } from '../../src/groups/groups.js';
import { WebSocketGroup } from '../../src/groups/web-socket-group.js';
import { Member, type MemberHost } from '../../src/member.js';
import { QUIET } from './connections.js';
import { FakeSocket } from './fake-socket.js';
import type { TestContext } from './servers.js';

/** A connection of a {@link Hall}, whose peer and system the test is. */
export interface FakeMember {
  readonly context: WebSocketContext;
  readonly socket: FakeSocket;
  /** What has gone through it so far. */
  traffic(): Traffic;
}

/** An instance of the library without servers: groups, and connections over fake sockets. */
export class Hall {
  readonly #members: Map<WebSocketContext, Member> = new Map();
  readonly groups: Groups;
  readonly all: WebSocketGroup;
  readonly #keepAlive: KeepAlive = new KeepAlive();
  readonly #t: TestContext;

  constructor(t: TestContext, backplane: GroupBackplane = NO_BACKPLANE) {
    this.#t = t;
    this.groups = new Groups(this.#members, backplane);
    this.all = this.group(ALL);
  }

  group(key: GroupKey): WebSocketGroup {
    return new WebSocketGroup(this.groups, key);
  }

  /** A connection has been opened. */
  enter(settings: MemberSettings = {}): FakeMember {
    const socket = new FakeSocket();
    const member = makeMember(
      socket,
      {
        groups: this.groups,
        onTerminated: (gone) => {
          this.#members.delete(gone.context);
          this.groups.closed(gone);
        },
      },
      { ...settings, keepAlive: this.#keepAlive },
    );
    const { context } = member;
    this.#members.set(context, member);
    this.groups.opened(member);
    this.#t.after(() => {
      context.abort();
      socket.destroy();
    });
    return { context, socket, traffic: () => member.connection.traffic };
  }

  /** So many connections that are in a group. */
  enterGroup(name: string, count: number, settings: MemberSettings = {}): FakeMember[] {
    return Array.from({ length: count }, () => {
      const member = this.enter(settings);
      void member.context.addToGroupAsync(name);
      return member;
    });
  }
}

/** Settings of a connection with which otherwise nothing happens by itself. */
type MemberSettings = Partial<ConnectionSettings> & { readonly compression?: Compression };

/** A member over a fake socket, of whose request and route nothing is known but what `host` says. */
export function makeMember(
  socket: FakeSocket,
  host: Pick<MemberHost, 'groups' | 'onTerminated'>,
  { compression, keepAlive = new KeepAlive(), ...limits }: MemberSettings & { readonly keepAlive?: KeepAlive } = {},
): Member {
  return new Member(
    {
      host: {
        requestedProtocols: () => [],
        openWs: () => {
          throw new Error('No ws here');
        },
        onCallbackError: () => {},
        ...host,
      },
      upgrade: { req: { socket } as unknown as IncomingMessage, receivedAt: 0 },
      items: {},
      subProtocol: undefined,
    },
    { socket, head: Buffer.alloc(0), settings: { ...QUIET, ...limits }, keepAlive, compression },
  );
}
