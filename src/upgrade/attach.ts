import { AsyncResource } from 'node:async_hooks';
import type { Server as HttpServer, IncomingMessage, ServerResponse } from 'node:http';
import type { Http2SecureServer, Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Server as HttpsServer } from 'node:https';
import { type Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import createError from 'http-errors';
import { typeOf } from '../arguments.js';
import { Deadline } from '../deadline.js';
import { eventLoop } from '../event-loop.js';
import { type AppFunction, type Application, Chain, logError } from './chain.js';
import { isWebSocketRequest } from './handshake.js';
import { isWebSocketStream, upgradeRequestOf } from './http2-request.js';
import { Http2Sessions } from './http2-sessions.js';
import { serveAsPlainHttp, type UpgradeArrival } from './plain-http.js';
import { responsePrototypeOf } from './response-prototype.js';
import { bytesWritten, isRead, UpgradeRequest } from './upgrade-request.js';
import { createUpgradeResponse } from './upgrade-response.js';
import { answerWithError, ignoreError, WaitingRequest } from './waiting-request.js';

/** A server that applications can be attached to. */
export type AttachableServer = HttpServer | HttpsServer | Http2Server | Http2SecureServer;

export interface AttachSettings {
  /** Which requests are the application's business; the others are left to other upgrade listeners. Default: all. */
  readonly filter?: ((req: IncomingMessage) => boolean) | undefined;
  /** Whether no other upgrade listener sees the requests that {@link filter} accepts. Default: false. */
  readonly exclusive?: boolean | undefined;
  /** Milliseconds until a request that has no answer is refused with 503; 0 waits for ever. */
  readonly handshakeTimeout: number;
}

/** One call of `attach`. */
interface Attachment extends Application {
  readonly filter: AttachSettings['filter'];
  readonly exclusive: boolean;
}

// In the global registry, because one process may have two copies of the package; both share what is on a server.
const attached: unique symbol = Symbol.for('websocket-context.attachments');

type Target = Server & {
  [attached]?: Attachments;
  /** Milliseconds that a connection may be idle; 0 for ever. */
  readonly timeout: number;
  /** Only servers of node:http2 have it. */
  readonly updateSettings?: unknown;
  /** Node 24.9 and 22.21 ask it whether to give up parsing HTTP for a request. */
  shouldUpgradeCallback?: (req: IncomingMessage) => boolean;
};

/**
 * How many requests of one connection are parsed again before it has to close: each time, Node and whoever counts the
 * connections of the server leave listeners on the socket.
 */
const REPLAYS = 4;

/** Takes events before anybody sees them. */
interface Claims {
  /** @returns whether the upgrade request is taken */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): boolean;
  /** @returns whether the stream of HTTP/2 is taken */
  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean;
}

/**
 * Stands in front of all listeners of a server, whenever and however they are added: what `claims` take none of
 * them sees. Only `emit` is there to do so: which listeners an event has is settled before the first of them is called.
 */
class Gate {
  readonly #server: Server;
  /** `emit` of the server itself, if it had one. */
  readonly #own: Server['emit'] | undefined;
  readonly #emit: Server['emit'];

  constructor(server: Server, claims: Claims) {
    const own = Object.hasOwn(server, 'emit') ? server.emit : undefined;
    this.#server = server;
    this.#own = own;
    this.#emit = function emit(this: Server, event: string, ...args: unknown[]): boolean {
      if (event === 'upgrade' && claims.upgrade(...(args as Parameters<Claims['upgrade']>))) return true;
      if (event === 'stream' && claims.stream(...(args as Parameters<Claims['stream']>))) return true;
      return Reflect.apply(own ?? Reflect.get(Object.getPrototypeOf(server), 'emit'), this, [event, ...args]);
    };
    server.emit = this.#emit;
  }

  /** Leaves, unless somebody has put theirs around it. @returns whether it has left */
  lift(): boolean {
    const server = this.#server;
    if (server.emit !== this.#emit) return false;
    if (this.#own !== undefined) server.emit = this.#own;
    else Reflect.deleteProperty(server, 'emit');
    return true;
  }
}

/** The applications that are attached to one server, behind a single upgrade listener. */
class Attachments implements Claims {
  readonly #server: Target;
  /** Copied when it changes: requests that go through it keep it. */
  #list: readonly Attachment[] = [];
  readonly #replays = new WeakMap<Duplex, number>();
  readonly #listener = (req: IncomingMessage, socket: Duplex, head: Buffer): void => this.#receive(req, socket, head);
  /** What the server had before; defined for as long as ours is in its place. */
  #shouldUpgrade: Target['shouldUpgradeCallback'];
  #gate: Gate | undefined;
  /** Of a server of HTTP/2. */
  readonly #sessions: Http2Sessions | undefined;
  /** What filters have said already. */
  readonly #asked = new WeakMap<IncomingMessage, readonly Attachment[]>();

  constructor(server: Target) {
    this.#server = server;
    if (typeof server.updateSettings === 'function') this.#sessions = new Http2Sessions(server);
  }

  add(app: AppFunction, { filter, exclusive = false, handshakeTimeout }: AttachSettings): () => void {
    if (this.#list.length === 0) this.#listen();
    const attachment: Attachment = { app, filter, exclusive, handshakeTimeout };
    this.#list = [...this.#list, attachment];
    this.#guard();
    let detached = false;
    return () => {
      if (detached) return;
      detached = true;
      this.#remove(attachment);
    };
  }

  get isEmpty(): boolean {
    return this.#list.length === 0;
  }

  #remove(attachment: Attachment): void {
    this.#list = this.#list.filter((one) => one !== attachment);
    this.#guard();
    if (this.#list.length > 0) return;
    const server = this.#server;
    server.removeListener('upgrade', this.#listener);
    this.#sessions?.stop();
    // Otherwise somebody else has put theirs around ours, which stays and lets everything pass
    if (this.#shouldUpgrade !== undefined && server.shouldUpgradeCallback === this.#decideUpgrade) {
      server.shouldUpgradeCallback = this.#shouldUpgrade;
      this.#shouldUpgrade = undefined;
    }
  }

  #listen(): void {
    const server = this.#server;
    // First, so that what another listener writes at once is seen, see unlessTaken()
    server.prependListener('upgrade', this.#listener);
    this.#sessions?.start();
    if (typeof server.shouldUpgradeCallback !== 'function' || this.#shouldUpgrade !== undefined) return;
    this.#shouldUpgrade = server.shouldUpgradeCallback;
    server.shouldUpgradeCallback = this.#decideUpgrade;
  }

  /** Stands in front of all listeners for as long as anything is exclusive, or may come by HTTP/2. */
  #guard(): void {
    if (this.#list.some(({ exclusive }) => exclusive || this.#sessions !== undefined)) {
      this.#gate ??= new Gate(this.#server, this);
    } else if (this.#gate?.lift() === true) {
      this.#gate = undefined;
    }
  }

  /** Lets the sessions of HTTP/2 end with the streams that they have. */
  goAway(): void {
    this.#sessions?.goAway();
  }

  readonly #decideUpgrade = (req: IncomingMessage): boolean =>
    (this.#list.length === 0 || isWebSocketRequest(req) || this.#hasCompany()) &&
    this.#shouldUpgrade?.call(this.#server, req) === true;

  /** Whether there are other upgrade listeners than ours. */
  readonly #hasCompany = (): boolean => this.#server.listenerCount('upgrade') > 1;

  /** The applications that want the request, in the order of their attachment. */
  #wanting(req: IncomingMessage): readonly Attachment[] {
    if (!isWebSocketRequest(req)) return [];
    return this.#list.some(hasFilter) ? this.#list.filter(({ filter }) => accepts(filter, req)) : this.#list;
  }

  /** Takes a request that somebody wants for himself. @returns whether it is one */
  upgrade(req: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const wanting = this.#asked.get(req) ?? this.#wanting(req);
    if (!wanting.some(({ exclusive }) => exclusive)) {
      this.#asked.set(req, wanting);
      return false;
    }
    this.#serveInTurn(wanting, { req, socket, head }, hasNone);
    return true;
  }

  /**
   * Turns a stream that somebody wants into an upgrade request of this server, for us and whoever else listens. Any other
   * is as if nothing had been attached.
   */
  stream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): boolean {
    if (stream.session !== undefined) this.#sessions?.add(stream.session);
    if (!isWebSocketStream(headers)) return false;
    const { req, socket } = upgradeRequestOf(stream, headers);
    const wanting = this.#wanting(req);
    if (wanting.length === 0) return false;
    this.#asked.set(req, wanting);
    socket.open();
    this.#server.emit('upgrade', req, socket, NO_BYTES);
    return true;
  }

  #receive(req: IncomingMessage, socket: Duplex, head: Buffer): void {
    const hasCompany = this.#hasCompany();
    const wanting = this.#asked.get(req) ?? this.#wanting(req);
    if (wanting.length === 0) {
      if (!hasCompany) this.#serveWithoutUpgrade({ req, socket, head });
      else if (!isWebSocketRequest(req)) leaveToOthers(socket, longest(this.#list));
      return;
    }
    const arrival = { req, socket, head };
    if (hasCompany) this.#serveUnlessTaken(wanting, arrival);
    else this.#serveInTurn(wanting, arrival, this.#hasCompany);
  }

  #serveUnlessTaken(applications: readonly Application[], arrival: UpgradeArrival): void {
    const { socket } = arrival;
    const serve = guarding(socket, () => this.#serveInTurn(applications, arrival, this.#hasCompany));
    unlessTaken(socket, serve);
  }

  #serveInTurn(applications: readonly Application[], arrival: UpgradeArrival, hasCompany: () => boolean): void {
    // Nearly always there is nothing to wait for
    if (isNext(arrival.socket)) this.#serve(applications, arrival, hasCompany);
    else this.#serveLater(applications, arrival, hasCompany);
  }

  #serveLater(applications: readonly Application[], arrival: UpgradeArrival, hasCompany: () => boolean): void {
    const { socket } = arrival;
    const serve = guarding(socket, () => this.#serve(applications, arrival, hasCompany));
    inTurn(this.#server, socket, serve);
  }

  #serveWithoutUpgrade(arrival: UpgradeArrival): void {
    const { socket } = arrival;
    const serve = guarding(socket, () => {
      const replays = (this.#replays.get(socket) ?? 0) + 1;
      this.#replays.set(socket, replays);
      serveAsPlainHttp(this.#server, arrival, replays >= REPLAYS);
    });
    inTurn(this.#server, socket, serve);
  }

  #serve(applications: readonly Application[], { req, socket, head }: UpgradeArrival, hasCompany: () => boolean): void {
    if (hasBody(req)) {
      socket.on('error', ignoreError);
      // Up to Node 24 the body is in `head`, where it would be taken for frames
      answerWithError(
        req,
        socket,
        createError(400, 'Cannot accept the WebSocket request: it has a body, must have none'),
      );
      return;
    }
    const res = createUpgradeResponse(req, responsePrototypeOf((applications[0] as Application).app));
    res.assignSocket(socket as Socket);
    const upgrade = new UpgradeRequest(req, res, socket, head);
    const chain = new Chain(applications, upgrade, new WaitingRequest(upgrade, this.#server, hasCompany), hasCompany);
    chain.run(this.#server);
  }
}

const NO_BYTES = Buffer.alloc(0);

/** What an exclusive application wants nobody else sees. */
function hasNone(): boolean {
  return false;
}

function hasFilter({ filter }: Attachment): boolean {
  return filter !== undefined;
}

/** A filter that fails has not accepted: an exception here would end the process. */
function accepts(filter: Attachment['filter'], req: IncomingMessage): boolean {
  try {
    return filter === undefined || filter(req);
  } catch (error) {
    logError(error);
    return false;
  }
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) !== 0;
}

/** A socket of Node, with the response that has it: the only sign of earlier requests of its connection. */
type HttpSocket = Duplex & { _httpMessage?: ServerResponse | null };

/** Whether it is a request's turn: the client does not pipeline, and is there. */
function isNext(socket: HttpSocket): boolean {
  return !socket._httpMessage && socket.readable && socket.writable;
}

/**
 * Has errors of the socket ignored until what it returns is called, which goes on with `proceed`: Node has taken its own
 * listener away, and a request that waits has no other yet.
 */
function guarding(socket: Duplex, proceed: () => void): () => void {
  socket.on('error', ignoreError);
  return () => {
    socket.removeListener('error', ignoreError);
    proceed();
  };
}

/** Calls `proceed` when all earlier requests of the connection have their responses. */
function inTurn(server: Target, socket: HttpSocket, proceed: () => void): void {
  const earlier = socket._httpMessage;
  if (earlier && !socket.destroyed) {
    // Node has taken its own 'drain' listener away with the others
    const onDrain = (): boolean => earlier.writableNeedDrain && earlier.emit('drain');
    socket.on('drain', onDrain);
    // The response before ends in the asynchronous context of its own request
    const scope = new AsyncResource('UpgradeRequest');
    const onClose = (): void => {
      socket.removeListener('drain', onDrain);
      // Node takes the connection for an idle one behind the last response that it knows of
      if (socket instanceof Socket) socket.setTimeout(server.timeout);
      inTurn(server, socket, proceed);
    };
    earlier.once('close', () => scope.runInAsyncScope(onClose));
    return;
  }
  if (isNext(socket)) proceed();
  else socket.destroy();
}

/**
 * Lets the upgrade listeners behind ours see the request first: they are called in the same tick, and mostly answer, or
 * begin to read, in it.
 */
function unlessTaken(socket: Duplex, proceed: () => void): void {
  const before = bytesWritten(socket);
  eventLoop.nextTick(() => {
    if (socket.writable && bytesWritten(socket) === before && !isRead(socket)) proceed();
  });
}

/** The time limit of the most patient application; 0, which is none, is more patient than any. */
function longest(attachments: readonly Attachment[]): number {
  const limits = attachments.map(({ handshakeTimeout }) => handshakeTimeout);
  return limits.includes(0) ? 0 : Math.max(...limits);
}

/** Does not let a request stay without an answer for ever that is none of our business, and perhaps of nobody's. */
function leaveToOthers(socket: Duplex, timeout: number): void {
  if (timeout <= 0) return;
  const before = bytesWritten(socket);
  const deadline = new Deadline(() => {
    socket.removeListener('close', onClose);
    if (bytesWritten(socket) === before && !isRead(socket)) socket.destroy();
  }, timeout);
  const onClose = (): void => deadline.clear();
  socket.once('close', onClose);
}

/**
 * Sends the upgrade requests of `server` through `app`, each with a real `ServerResponse`. A request goes to the attached
 * applications whose filters accept it, in the order of their attachment, until one has answered. With no other upgrade listener on the server, requests for other
 * protocols, and those that no filter accepts, are served as ordinary HTTP requests, as if nothing had been attached.
 *
 * @returns detaches; attaching the same application with the same filter again counts, and needs as many detachments
 */
export function attach(server: AttachableServer, app: AppFunction, options: AttachSettings): () => void {
  const target = server as Target;
  if (typeof target?.on !== 'function' || typeof target.listenerCount !== 'function' || typeof target === 'function') {
    throw new TypeError(
      'Cannot attach: the first argument is no server, must be one of node:http, node:https or node:http2',
    );
  }
  if (typeof app !== 'function') {
    throw new TypeError(`Cannot attach: app is ${typeOf(app)}, must be the function that handles requests`);
  }
  target[attached] ??= new Attachments(target);
  return target[attached].add(app, options);
}

/** Whether an application is attached to `server`. */
export function isAttached(server: AttachableServer): boolean {
  return (server as Target)[attached]?.isEmpty === false;
}

/** Sends GOAWAY to the sessions of a server of HTTP/2 that something is attached to; see {@link Http2Sessions.goAway}. */
export function goAway(server: AttachableServer): void {
  (server as Target)[attached]?.goAway();
}
