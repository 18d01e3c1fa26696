import createError from 'http-errors';
import { checkTime } from './arguments.js';
import { closePayload } from './connection/closing/close-status.js';
import type { Traffic } from './connection/connection.js';
import { isTerminal } from './connection/state.js';
import { SetView } from './context/set-view.js';
import type { WebSocketContext } from './context/web-socket-context.js';
import { Deadline } from './deadline.js';
import type { Member } from './member.js';
import { farewell } from './upgrade/farewell.js';

/** Options of `close`. */
export interface DrainOptions {
  /** Status of the close frames. Default 1001 (going away). */
  readonly code?: number | undefined;
  /** Description in the close frames, at most 123 bytes of UTF-8. */
  readonly reason?: string | undefined;
  /**
   * How long to wait for the acknowledgements, in ms; 0 aborts at once, `Infinity` waits as long as each connection's own
   * `closeTimeout`. Default: `closeTimeout`.
   */
  readonly timeout?: number | undefined;
}

/** What became of the connections. */
export interface DrainResult {
  /** How many ended with a complete close handshake. */
  readonly closed: number;
  /** How many were dropped, by us or by the peer. */
  readonly aborted: number;
}

/** Counts since an instance was made, as the performance counters of System.Web kept them. */
export interface WebSocketTotals extends Traffic {
  /** Handshakes that were performed. */
  readonly accepted: number;
  /** Handshakes that were refused. */
  readonly refused: number;
  /** Connections that ended with a complete close handshake. */
  readonly succeeded: number;
  /** Connections that ended in any other way. */
  readonly failed: number;
}

type Counts = { -readonly [name in keyof WebSocketTotals]: number };

function addTraffic(totals: Counts, traffic: Traffic): void {
  totals.bytesReceived += traffic.bytesReceived;
  totals.bytesSent += traffic.bytesSent;
  totals.messagesReceived += traffic.messagesReceived;
  totals.messagesSent += traffic.messagesSent;
}

/** The connections of one route, which may have no more than a number of its own. */
export class RouteConnections {
  #count = 0;

  /** @throws an http error 503 if there are `limit` */
  assertRoom(limit: number): void {
    checkLimit(this.#count, limit);
  }

  add(): void {
    this.#count++;
  }

  delete(): void {
    this.#count--;
  }
}

/**
 * The connections of the routes that call `accept`, which is not told where it stands: a route is what Express says it
 * is; elsewhere all calls with the same limit are one.
 */
export class AcceptingRoutes {
  readonly #ofExpress = new WeakMap<object, RouteConnections>();
  readonly #byLimit = new Map<number, RouteConnections>();

  connectionsOf({ route }: { readonly route?: unknown }, limit: number): RouteConnections {
    if (typeof route === 'object' && route !== null) return getOrAdd(this.#ofExpress, route);
    return getOrAdd(this.#byLimit, limit);
  }
}

function getOrAdd<Key>(
  map: { get(key: Key): RouteConnections | undefined; set(key: Key, value: RouteConnections): unknown },
  key: Key,
): RouteConnections {
  let connections = map.get(key);
  if (connections === undefined) {
    connections = new RouteConnections();
    map.set(key, connections);
  }
  return connections;
}

/** The live connections of an instance, and how they are brought to an end. */
export class ConnectionRegistry {
  readonly #limit: number;
  readonly #members: Map<WebSocketContext, Member> = new Map();
  /** The contexts of the live connections. */
  readonly contexts: ReadonlySet<WebSocketContext> = new SetView({
    size: () => this.#members.size,
    has: (context) => this.#members.has(context),
    values: () => this.#members.keys(),
  });
  readonly #totals: Counts = {
    accepted: 0,
    refused: 0,
    succeeded: 0,
    failed: 0,
    bytesReceived: 0,
    bytesSent: 0,
    messagesReceived: 0,
    messagesSent: 0,
  };
  #drain: Promise<DrainResult> | undefined;
  #farewell: { readonly code: number; readonly reason: string } | undefined;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The live connections by their contexts. */
  get members(): ReadonlyMap<WebSocketContext, Member> {
    return this.#members;
  }

  /**
   * Checks that a newcomer may come in.
   *
   * @throws an http error 503 while draining, or when `maxConnections` are open
   */
  assertRoom(): void {
    if (this.#drain !== undefined) throw farewell();
    checkLimit(this.#members.size, this.#limit);
  }

  /** Adds a connection. One that comes while draining, because its handshake had begun before, is asked to go at once. */
  add(member: Member, route: RouteConnections | undefined): void {
    this.#totals.accepted++;
    const { connection, context } = member;
    if (isTerminal(connection.state)) return;
    this.#members.set(context, member);
    route?.add();
    if (this.#farewell !== undefined) connection.closeGracefully(this.#farewell.code, this.#farewell.reason);
  }

  /** A handshake has been refused. */
  countRefusal(): void {
    this.#totals.refused++;
  }

  /** A connection is Closed or Aborted. */
  ended({ connection, context }: Member, route: RouteConnections | undefined): void {
    if (this.#members.delete(context)) route?.delete();
    if (connection.closeInfo.wasClean) this.#totals.succeeded++;
    else this.#totals.failed++;
    addTraffic(this.#totals, connection.traffic);
  }

  /** Totals since the instance was made, live connections included. */
  get totals(): WebSocketTotals {
    const totals = { ...this.#totals };
    for (const { connection } of this.#members.values()) addTraffic(totals, connection.traffic);
    return totals;
  }

  /**
   * Closes all connections, waits for the acknowledgements and aborts the rest. A second call joins the first.
   *
   * @throws TypeError or RangeError for arguments that cannot be sent or waited for, and nothing is closed
   */
  async close(code: number, reason: string, timeout: number): Promise<DrainResult> {
    closePayload(code, reason);
    checkTime(timeout, 'Cannot close: timeout', true);
    this.#drain ??= this.#close(code, reason, timeout);
    return this.#drain;
  }

  async #close(code: number, reason: string, timeout: number): Promise<DrainResult> {
    this.#farewell = { code, reason };
    const leaving = [...this.#members.values()];
    const ends = leaving.map(({ context }) => context.closed);
    for (const { connection } of leaving) connection.closeGracefully(code, reason);
    const abortAll = (): void => {
      for (const { connection } of leaving) {
        connection.abort();
        connection.cutOff();
      }
    };
    const ended = (): number => leaving.filter(({ connection }) => isTerminal(connection.state)).length;
    const deadline = timeout === Number.POSITIVE_INFINITY ? undefined : new Deadline(abortAll, timeout, ended);
    const outcomes = await Promise.all(ends);
    // What is over may still wait for its client to end TCP, which server.close() waits for.
    deadline?.unref();
    const closed = outcomes.filter(({ wasClean }) => wasClean).length;
    return { closed, aborted: outcomes.length - closed };
  }
}

function checkLimit(open: number, limit: number): void {
  if (open < limit) return;
  throw createError(503, `Cannot accept WebSocket: ${limit} connections are open, which is maxConnections`, {
    headers: { 'Retry-After': '10' },
  });
}
