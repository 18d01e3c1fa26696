import type { IncomingMessage, ServerResponse } from 'node:http';
import { checkOptions, type OptionNames, typeOf } from './arguments.js';
import { Backplane, NO_BACKPLANE_INFO } from './backplane/backplane.js';
import type { BackplaneInfo } from './backplane/driver.js';
import { reportStatus } from './backplane/status-report.js';
import { type NextFunction, type PerformHandshake, proceed, upgradeRequired, whenOpened } from './behind-handshake.js';
import { KeepAlive } from './connection/keep-alive.js';
import type { Compression } from './connection/receiving/receiver.js';
import {
  AcceptingRoutes,
  ConnectionRegistry,
  type DrainOptions,
  type DrainResult,
  RouteConnections,
  type WebSocketTotals,
} from './connection-registry.js';
import { checkGroupName } from './context/data.js';
import type { WebSocketContext } from './context/web-socket-context.js';
import { publishBackplaneStatus, publishClose, publishOpen, publishRefused, publishStart } from './diagnostics.js';
import type { ExpressRequestOr, ExpressResponseOr } from './express-request.js';
import { ALL, NO_BACKPLANE } from './groups/group-backplane.js';
import { Groups } from './groups/groups.js';
import { WebSocketGroup } from './groups/web-socket-group.js';
import { HandlerRun } from './handler-run.js';
import { Member, type MemberHost } from './member.js';
import {
  type AttachOptions,
  type ResolvedOptions,
  type ResolvedRouteOptions,
  resolveAttachOptions,
  resolveOptions,
  resolveRouteOptions,
  type WebSocketOptions,
  type WebSocketRouteOptions,
} from './options.js';
import { type AttachableServer, attach, goAway } from './upgrade/attach.js';
import type { AppFunction } from './upgrade/chain.js';
import { type ExpressTraces, leaveChain } from './upgrade/express-traces.js';
import { type HandshakeTerms, isWebSocketRequest, performHandshake, requestedProtocols } from './upgrade/handshake.js';
import { UpgradeRequest } from './upgrade/upgrade-request.js';
import { checkBridge, type Handshake, openAsWs, WsBridge } from './upgrade/ws-bridge.js';
import { WsServer } from './ws-server.js';

export type { NextFunction } from './behind-handshake.js';

/** A request of Node's, and what the middleware adds to it. */
export type WebSocketRequest = IncomingMessage & {
  /** The connection, once the handshake has been performed. */
  webSocket?: WebSocketContext | undefined;
};

/** What a handler can count on in a request where there are no types of Express. */
interface ConnectRequest extends IncomingMessage, Express.Request {
  /** Parameters of the route, in Express. */
  readonly params: Record<string, string>;
  /** The URL as the client sent it, in Express and Connect. */
  readonly originalUrl: string;
}

/**
 * The request that a handler gets: Express's `Request`, with all that middleware adds to it, in a project that has the
 * types of Express; otherwise Node's, and what Connect adds to it. Annotate the parameter with another type to see more.
 */
export type HandlerRequest = ExpressRequestOr<ConnectRequest>;

/** The response that a handler gets: Express's `Response`, or Node's. It is over: the connection has taken its place. */
export type HandlerResponse = ExpressResponseOr<ServerResponse>;

declare global {
  namespace Express {
    interface Request {
      /** The WebSocket connection of this request, once the handshake has been performed. */
      webSocket?: WebSocketContext | undefined;
    }
  }
}

/** What `webSockets()` returns: a Connect middleware with the members beside it. */
export interface WebSockets {
  /**
   * Performs the handshake of a WebSocket request here, sets `req.webSocket` and calls `next()`; any other request passes
   * untouched. A refused handshake is an http error given to `next`, and nothing has been written then.
   *
   * @example
   * ```ts
   * app.use('/live', sockets);
   *
   * app.get('/live/ticker', async (req, res, next) => {
   *   const socket = req.webSocket;
   *   if (!socket) return next(); // an ordinary HTTP request
   *   await socket.sendAsync('tick');
   *   await socket.closeAsync(1000, 'done');
   * });
   * ```
   */
  (req: IncomingMessage, res: ServerResponse, next: NextFunction): void;

  /**
   * Makes a route handler. A plain HTTP request gets 426 through `next`; otherwise the handshake is performed, unless
   * `app.use` has done so, and `fn` has the connection until it returns, which closes it with 1000. If `fn` throws, an
   * http error below 500 closes with 4000 + its status, anything else with 1011.
   *
   * @example
   * ```ts
   * app.get('/rooms/:room', sockets.handler(
   *   async (socket, req) => {
   *     await socket.sendAsync(`Welcome to ${req.params.room}`);
   *     for await (const message of socket) await socket.sendAsync(message);
   *   },
   *   { receiveBufferLimit: 64 * 1024 },
   * ));
   * ```
   */
  handler(
    fn: (socket: WebSocketContext, req: HandlerRequest, res: HandlerResponse) => unknown,
    options?: WebSocketRouteOptions,
  ): (req: IncomingMessage, res: ServerResponse, next: NextFunction) => void;
  /** The same for requests and responses of another type, such as Express's own. */
  handler<Req extends IncomingMessage = IncomingMessage, Res extends ServerResponse = ServerResponse>(
    fn: (socket: WebSocketContext, req: Req, res: Res) => unknown,
    options?: WebSocketRouteOptions,
  ): (req: Req, res: Res, next: NextFunction) => void;

  /**
   * Performs the handshake of a request now. Rejects with an http error if it is refused, if the request is not a
   * WebSocket request (426), has been accepted before, or its response has begun.
   *
   * @example
   * ```ts
   * app.get('/manual', async (req, res, next) => {
   *   if (!sockets.isWebSocketRequest(req)) return next();
   *   if (req.query['key'] !== 'secret') return res.status(401).json({ error: 'Wrong key' });
   *
   *   const socket = await sockets.accept(req, { subProtocols: ['v2.chat', 'v1.chat'] });
   *   await socket.sendAsync(`You speak ${socket.subProtocol ?? 'nothing in particular'}`);
   *   await socket.closeAsync();
   * });
   * ```
   */
  accept(req: IncomingMessage, options?: WebSocketRouteOptions): Promise<WebSocketContext>;

  /** Whether the request arrived by upgrade and asks for `websocket`. */
  isWebSocketRequest(req: IncomingMessage): boolean;

  /**
   * The subprotocols that the client offers, in its order; empty if the header is missing or invalid.
   *
   * @example
   * ```ts
   * app.get('/chat', (req, res, next) => {
   *   if (sockets.requestedProtocols(req).includes('v0.chat')) return res.status(410).send('v0.chat has ended');
   *   next();
   * });
   * ```
   */
  requestedProtocols(req: IncomingMessage): readonly string[];

  /**
   * Routes the server's upgrade requests through `app`, for all instances of the library. Attaching twice is harmless.
   * Several applications are asked in the order of attachment, until one has answered. Requests that `filter` does not accept are
   * left to other upgrade listeners; with `exclusive`, those that it accepts are hidden from them.
   * A server of node:http2 that was made with `settings: { enableConnectProtocol: true }` has WebSockets over HTTP/2 too
   * (RFC 8441); its ordinary requests do not reach `app`.
   *
   * @returns a function that detaches
   * @throws TypeError for what is no server or no application, and for an unknown or invalid option
   *
   * @example
   * ```ts
   * const server = app.listen(8080);
   * sockets.attach(server, app, { filter: (req) => req.url?.startsWith('/live') ?? false, exclusive: true });
   * ```
   */
  attach(server: AttachableServer, app: AppFunction, options?: AttachOptions): () => void;

  /**
   * Makes a route in the shape of a `WebSocketServer` of `ws`, for libraries that take one: mount its `handler`, give it to
   * the library. A library that sets `options.handleProtocols` chooses the subprotocol, unless there are `subProtocols`.
   *
   * @throws TypeError or RangeError for an unknown or invalid option
   *
   * @example
   * ```ts
   * const wss = sockets.wsServer({ maxConnections: 100 });
   * app.get('/legacy', wss.handler);
   *
   * wss.on('connection', (ws) => {
   *   ws.on('message', (data, isBinary) => ws.send(data, { binary: isBinary }));
   * });
   * ```
   */
  wsServer(options?: WebSocketRouteOptions): WsServer;

  /** The live connections. */
  readonly connections: ReadonlySet<WebSocketContext>;

  /**
   * The group of a name. It need not have members, and costs nothing without.
   *
   * @param name 1 to 256 bytes of UTF-8; case matters
   * @throws TypeError or RangeError for a wrong name
   *
   * @example
   * ```ts
   * app.post('/rooms/:room/messages', express.text(), async (req, res) => {
   *   const { members } = await sockets.group(`room:${req.params.room}`).sendAsync(req.body);
   *   res.json({ members });
   * });
   * ```
   */
  group(name: string): WebSocketGroup;

  /**
   * All open connections as a group; those that are closing or handed over to `ws` are not in it.
   *
   * @example
   * ```ts
   * await sockets.all.sendAsync('maintenance in 5 minutes');
   * ```
   */
  readonly all: WebSocketGroup;

  /** How many connections are live. `AspNetWebSocketContext.ConnectionCount`. */
  readonly connectionCount: number;

  /** Counts since the instance was made: handshakes, outcomes, bytes and messages in both directions. */
  readonly totals: WebSocketTotals;

  /** State of the backplane, which carries messages of groups to other processes, and counts since the instance was made. */
  readonly backplane: BackplaneInfo;

  /**
   * Shuts down gracefully: newcomers get 503, every connection gets a close frame, acknowledgements are awaited up to
   * `timeout` ms, the rest is aborted, and the backplane is left. At the end the sessions of attached servers of HTTP/2 get GOAWAY, and end with the
   * responses that are under way. `server.close()` completes after it.
   *
   * @example
   * ```ts
   * process.once('SIGTERM', async () => {
   *   const { closed, aborted } = await sockets.close({ timeout: 5000 });
   *   console.log(`${closed} closed, ${aborted} aborted`);
   *   server.close();
   * });
   * ```
   */
  close(options?: DrainOptions): Promise<DrainResult>;
}

/** The options of a route, and what the members made there have in common. */
interface Route {
  readonly settings: ResolvedRouteOptions;
  readonly host: MemberHost;
  /** Its connections, if it has a limit of its own. */
  readonly connections: RouteConnections | undefined;
  /** Whether a handler gets each connection, so that the chain ends there. */
  readonly isHandled: boolean;
}

/**
 * Makes a middleware that performs WebSocket handshakes where it stands in the chain. One instance is one policy and one
 * registry of connections.
 *
 * @throws TypeError or RangeError for an unknown or invalid option, Error in a runtime that has something else in the place of `ws`
 *
 * @example
 * ```ts
 * import express from 'express';
 * import { webSockets } from 'websocket-context';
 *
 * const app = express();
 * const sockets = webSockets({ maxConnections: 10_000 });
 *
 * app.get('/echo', sockets.handler(async (socket) => {
 *   for await (const message of socket) await socket.sendAsync(message);
 * }));
 *
 * sockets.attach(app.listen(8080), app);
 * ```
 */
export function webSockets(options?: WebSocketOptions): WebSockets {
  const settings = resolveOptions(options);
  const registry = new ConnectionRegistry(settings.maxConnections);
  const backplane = openBackplane(settings, () => groups);
  const groups: Groups = new Groups(registry.members, backplane ?? NO_BACKPLANE);
  const all = new WebSocketGroup(groups, ALL);
  const keepAlive = new KeepAlive();
  const acceptingRoutes = new AcceptingRoutes();
  const bridge = new WsBridge();
  checkBridge(bridge);
  /** What has been attached and not been detached. */
  const attachments = new Set<{ readonly server: AttachableServer }>();

  /** @param connectionsOf gives what a limit of the route's own bounds */
  function routeOf(
    options: WebSocketRouteOptions | undefined,
    isHandled: boolean,
    connectionsOf: (limit: number) => RouteConnections = () => new RouteConnections(),
  ): Route {
    const route = resolveRouteOptions(settings, options);
    const ofRoute = options?.maxConnections === undefined ? undefined : connectionsOf(route.maxConnections);
    const host: MemberHost = {
      requestedProtocols,
      openWs: (socket, head, { subProtocol, compression }, guard) =>
        openAsWs(socket, head, { ...route, ...guard, subProtocol, perMessageDeflate: compression?.negotiated }),
      onTerminated: (member) => {
        registry.ended(member, ofRoute);
        groups.closed(member);
        publishClose(member);
      },
      onCallbackError: (context, error) => runOf(context.request)?.fail(error),
      groups,
    };
    return { settings: route, host, connections: ofRoute, isHandled };
  }
  const everywhere = routeOf(undefined, false);

  /**
   * The connection of a request that this instance has accepted before. What another one has accepted is not taken over:
   * its origins, limits and registry are others.
   */
  function runOf(req: IncomingMessage): HandlerRun | undefined {
    const events = UpgradeRequest.of(req)?.events;
    return events instanceof HandlerRun && events.owner === settings ? events : undefined;
  }

  /** Makes the member of a handshake whose 101 has just been written. */
  function open(handshake: Handshake, upgrade: UpgradeRequest, route: Route): HandlerRun {
    const { socket, head, subProtocol, perMessageDeflate } = handshake;
    const { res } = upgrade;
    const member = new Member(
      {
        host: route.host,
        upgrade,
        items: (res as ServerResponse & { locals?: Record<string, unknown> }).locals ?? {},
        subProtocol,
      },
      {
        socket,
        head,
        settings: route.settings,
        keepAlive,
        compression: compressionOf(perMessageDeflate, route.settings),
      },
    );
    const { isHandled } = route;
    const run = new HandlerRun(member, { owner: settings, onError: route.settings.onError, isHandled });
    upgrade.events = run;
    registry.add(member, route.connections);
    groups.opened(member);
    publishOpen(member.context);
    return run;
  }

  function assertRoom(route: Route): void {
    registry.assertRoom();
    route.connections?.assertRoom(route.settings.maxConnections);
  }

  function rejectHandshake(req: IncomingMessage, error: unknown): never {
    registry.countRefusal();
    publishRefused(req, error);
    throw error;
  }

  /** How handshakes of a route are performed, at once if nothing asynchronous is to be asked. */
  function handshakesOf(route: Route): PerformHandshake {
    const terms: HandshakeTerms<HandlerRun> = {
      options: route.settings,
      bridge,
      open: (done, upgrade) => open(done, upgrade, route),
      assertRoom: () => assertRoom(route),
    };
    return (req) => {
      publishStart(req);
      try {
        const run = performHandshake(req, terms);
        return run instanceof Promise ? run.catch((error: unknown) => rejectHandshake(req, error)) : run;
      } catch (error) {
        return rejectHandshake(req, error);
      }
    };
  }
  const handshakeEverywhere = handshakesOf(everywhere);

  function middleware(req: IncomingMessage, res: ServerResponse, next: NextFunction): void {
    // Standing in the chain twice is as good as once.
    if (!isWebSocketRequest(req) || runOf(req) !== undefined) {
      next();
      return;
    }
    whenOpened(handshakeEverywhere, proceed, req, res, next);
  }

  function handler<Req extends IncomingMessage, Res extends ServerResponse>(
    fn: (socket: WebSocketContext, req: Req, res: Res) => unknown,
    routeOptions?: WebSocketRouteOptions,
  ): (req: Req, res: Res, next: NextFunction) => void {
    if (typeof fn !== 'function') throw new TypeError(`Cannot make a handler: fn is ${typeOf(fn)}, must be a function`);
    const route = routeOf(routeOptions, true);
    const handshake = handshakesOf(route);
    const begin = (run: HandlerRun, req: Req & ExpressTraces, res: Res): void => {
      leaveChain(req);
      run.run(fn, req, res);
    };
    return (req: Req & ExpressTraces, res, next) => {
      const run = runOf(req);
      if (run !== undefined) {
        run.onError = route.settings.onError;
        begin(run, req, res);
      } else if (isWebSocketRequest(req)) {
        whenOpened(handshake, begin, req, res, next);
      } else {
        upgradeRequired(res, next);
      }
    };
  }

  async function accept(
    req: IncomingMessage & ExpressTraces,
    routeOptions?: WebSocketRouteOptions,
  ): Promise<WebSocketContext> {
    const route = routeOf(routeOptions, false, (limit) => acceptingRoutes.connectionsOf(req, limit));
    const run = await handshakesOf(route)(req);
    return run.claim();
  }

  function wsServer(routeOptions?: WebSocketRouteOptions): WsServer {
    return new WsServer((fn, chooseProtocol) => {
      const { subProtocols } = resolveRouteOptions(settings, routeOptions);
      const isListed = typeof subProtocols === 'function' || subProtocols.length > 0;
      return handler<IncomingMessage, ServerResponse>(
        fn,
        isListed ? routeOptions : { ...routeOptions, subProtocols: chooseProtocol },
      );
    });
  }

  async function close(options?: DrainOptions): Promise<DrainResult> {
    checkOptions(options, drainOptions, 'close');
    if (options === null) throw new TypeError('Cannot close: options is null, must be an object or undefined');
    // Without a closeTimeout there is none to abort the last connection after.
    const { code = 1001, reason = '', timeout = settings.closeTimeout || Number.POSITIVE_INFINITY } = options ?? {};
    const result = await registry.close(code, reason, timeout);
    for (const { server } of attachments) goAway(server);
    await backplane?.close();
    return result;
  }

  function attachTo(server: AttachableServer, app: AppFunction, attachOptions?: AttachOptions): () => void {
    const detach = attach(server, app, {
      ...resolveAttachOptions(attachOptions),
      handshakeTimeout: settings.handshakeTimeout,
    });
    const attachment = { server };
    attachments.add(attachment);
    return () => {
      attachments.delete(attachment);
      detach();
    };
  }

  const members = Object.assign(middleware, {
    handler,
    accept,
    isWebSocketRequest,
    requestedProtocols,
    wsServer,
    attach: attachTo,
    connections: registry.contexts,
    group: (name: string) => new WebSocketGroup(groups, checkGroupName(name, 'find a group')),
    all,
    connectionCount: 0,
    totals: registry.totals,
    backplane: NO_BACKPLANE_INFO,
    close,
  });
  return Object.defineProperties(members, {
    name: { value: 'webSockets' },
    connectionCount: { get: () => registry.contexts.size },
    totals: { get: () => registry.totals },
    backplane: { get: () => backplane?.info ?? NO_BACKPLANE_INFO },
  });
}

const drainOptions: OptionNames<DrainOptions> = { code: true, reason: true, timeout: true };

/** Connects the groups of an instance, which need it themselves, to those of other processes. */
function openBackplane({ backplane, onBackplane }: ResolvedOptions, groups: () => Groups): Backplane | undefined {
  if (backplane === undefined) return undefined;
  return new Backplane(backplane, {
    onMessage: (group, message) => groups().onMessage(group, message),
    onClose: (group, status, description) => groups().onClose(group, status, description),
    onCount: (group) => groups().onCount(group),
    onStatus: (status, error) => {
      publishBackplaneStatus(status, error);
      void reportStatus(onBackplane, status, error);
    },
  });
}

/** permessage-deflate as negotiated, with the options that led to it. */
function compressionOf(
  negotiated: Handshake['perMessageDeflate'],
  route: ResolvedRouteOptions,
): Compression | undefined {
  const options = route.perMessageDeflate;
  return negotiated === undefined || options === false ? undefined : { negotiated, options };
}
