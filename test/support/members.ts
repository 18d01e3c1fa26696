import type { IncomingMessage } from 'node:http';
import type { ConnectionSettings } from '../../src/connection/connection.js';
import { KeepAlive } from '../../src/connection/keep-alive.js';
import type { Compression } from '../../src/connection/receiving/receiver.js';
import { WebSocketContext } from '../../src/context/web-socket-context.js';
import { ALL, type GroupBackplane, type GroupKey, NO_BACKPLANE } from '../../src/groups/group-backplane.js';
import { Groups } from '../../src/groups/groups.js';
import { WebSocketGroup } from '../../src/groups/web-socket-group.js';
import { QUIET } from './connections.js';
import { FakeSocket } from './fake-socket.js';
import type { TestContext } from './servers.js';

/** A connection of a {@link Hall}, whose peer and system the test is. */
export interface Member {
  readonly context: WebSocketContext;
  readonly socket: FakeSocket;
}

/** An instance of the library without servers: groups, and connections over fake sockets. */
export class Hall {
  readonly connections: Set<WebSocketContext> = new Set();
  readonly groups: Groups;
  readonly all: WebSocketGroup;
  readonly #keepAlive: KeepAlive = new KeepAlive();
  readonly #t: TestContext;

  constructor(t: TestContext, backplane: GroupBackplane = NO_BACKPLANE) {
    this.#t = t;
    this.groups = new Groups(this.connections, backplane);
    this.all = this.group(ALL);
  }

  group(key: GroupKey): WebSocketGroup {
    return new WebSocketGroup(this.groups, key);
  }

  /** A connection has been opened. */
  enter(settings: Partial<ConnectionSettings> & { readonly compression?: Compression } = {}): Member {
    const { compression, ...limits } = settings;
    const socket = new FakeSocket();
    const context = new WebSocketContext(
      {
        host: {
          requestedProtocols: () => [],
          openWs: () => {
            throw new Error('No ws here');
          },
          terminated: (gone) => {
            this.connections.delete(gone);
            this.groups.connectionsChanged();
          },
          failed: () => {},
          groups: this.groups,
        },
        request: { socket } as unknown as IncomingMessage,
        items: {},
        receivedAt: 0,
        subProtocol: undefined,
        compression,
      },
      { socket, head: Buffer.alloc(0), settings: { ...QUIET, ...limits }, keepAlive: this.#keepAlive },
    );
    this.#t.after(() => {
      context.abort();
      socket.destroy();
    });
    this.connections.add(context);
    this.groups.connectionsChanged();
    return { context, socket };
  }

  /** So many connections that are in a group. */
  enterGroup(name: string, count: number, settings: Parameters<Hall['enter']>[0] = {}): Member[] {
    return Array.from({ length: count }, () => {
      const member = this.enter(settings);
      void member.context.addToGroupAsync(name);
      return member;
    });
  }
}
