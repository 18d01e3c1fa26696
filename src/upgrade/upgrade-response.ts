import { type IncomingMessage, type ServerResponse, STATUS_CODES, validateHeaderValue } from 'node:http';
import { eventLoop } from '../event-loop.js';
import { addEarly, addLate } from './accessors.js';
import { bareObject } from './bare-object.js';
import { NodeMethod } from './node-method.js';
import { responseWith } from './response-prototype.js';
import { UpgradeRequest } from './upgrade-request.js';

export const SWITCHING_PROTOCOLS = 101;

/** What Express hangs on a response for the application, and methods of Node that its types do not know. */
export type WithLocals = ServerResponse & {
  locals?: unknown;
  /** Beneath all methods that write, in every version. */
  _writeRaw?: unknown;
  /** Node 24.21 and 26 have it. */
  writeInformation?: unknown;
  /** The head as it is on the wire; `headersSent` tells whether there is one. */
  _header?: string | null;
};

/**
 * Calls the method that `res` has beneath its own ones. Looked up each time, because Express replaces the prototype of
 * a response by that of the (sub-)application that handles it.
 */
function inherited(res: ServerResponse, method: string, args: readonly unknown[]): unknown {
  return Reflect.apply(Reflect.get(Object.getPrototypeOf(res), method), res, args);
}

/** What a response belongs to: `attach` makes both at once. */
export function upgradeOf(res: ServerResponse): UpgradeRequest {
  return UpgradeRequest.of(res.req) as UpgradeRequest;
}

/** Whether bytes of `res` may go to the socket now; the first time this decides that the answer is plain HTTP. */
function mayWrite(res: ServerResponse): boolean {
  const upgrade = upgradeOf(res);
  if (!upgrade.isOurs()) return false;
  if (upgrade.phase === 'waiting') upgrade.enter('answering');
  return true;
}

function isFunction(arg: unknown): arg is () => void {
  return typeof arg === 'function';
}

/** Calls back the writer whose bytes go nowhere, as late as it would be for bytes that go somewhere. */
export function callBack(args: readonly unknown[]): void {
  const callback = args.find(isFunction);
  if (callback !== undefined) eventLoop.nextTick(callback);
}

/** Whether the application is being told of the end of a response, which makes it look at that. */
let tellingOfEnd = false;

function tellOfEnd(res: ServerResponse, event: 'finish' | 'close'): void {
  tellingOfEnd = true;
  try {
    res.emit(event);
  } finally {
    tellingOfEnd = false;
  }
}

/** Emits `close` as Node does behind the last byte of a response, or when its connection is lost; once. */
export function emitClose(res: ServerResponse): void {
  if (res.destroyed) return;
  res.destroyed = true;
  tellOfEnd(res, 'close');
}

/** The field of a response in which newer versions of Node keep that it is finished. Only the way through a socket sets it. */
let finishedField: symbol | undefined;

function isFinishedField({ description }: symbol): boolean {
  return description === 'kWritableFinished';
}

function setFinished(res: ServerResponse): void {
  finishedField ??= Object.getOwnPropertySymbols(res).find(isFinishedField);
  if (finishedField !== undefined) (res as object as Record<symbol, unknown>)[finishedField] = true;
  if (!res.writableFinished) Object.defineProperty(res, 'writableFinished', { configurable: true, value: true });
}

/**
 * Completes `res` without a byte. To those who listen (loggers, metrics) it ends like every other response, unless its client
 * is gone.
 */
export function finishSilently(res: ServerResponse): void {
  if (res.finished) return;
  res.finished = true;
  if (res.destroyed || upgradeOf(res).gone) return;
  eventLoop.nextTick(tellSilently, res);
}

function tellSilently(res: ServerResponse): void {
  try {
    if (!res.writableFinished) setFinished(res);
    tellOfEnd(res, 'finish');
    emitClose(res);
  } finally {
    upgradeOf(res).letGo();
  }
}

/** The headers of `writeHead(101, ...)`, which Node would write out without remembering them. */
function rememberHeaders(res: ServerResponse, args: readonly unknown[]): void {
  const headers = args.find((arg) => typeof arg === 'object' && arg !== null);
  if (headers === undefined) return;
  const entries: unknown[] = Array.isArray(headers) ? headers : Object.entries(headers).flat();
  // Node takes a flat list of names and values, and pairs
  const flat = Array.isArray(entries[0]) ? entries.flat() : entries;
  for (let i = 0; i < flat.length; i += 2) res.removeHeader(String(flat[i]));
  for (let i = 0; i < flat.length; i += 2) {
    const value = flat[i + 1];
    res.appendHeader(String(flat[i]), Array.isArray(value) ? value.map(String) : String(value));
  }
}

// The following are installed as methods of the response itself: beneath the wrappers that middleware (compression,
// sessions, loggers) puts around them, and above those of Node.

function writeHead(this: ServerResponse, statusCode: number, ...args: unknown[]): ServerResponse {
  if (statusCode === SWITCHING_PROTOCOLS) {
    rememberHeaders(this, args);
    // Node throws if there can be none
    this.removeHeader('Trailer');
    inherited(this, 'writeHead', [statusCode]);
  } else {
    inherited(this, 'writeHead', [statusCode, ...args]);
  }
  return this;
}

function write(this: ServerResponse, ...args: unknown[]): boolean {
  if (mayWrite(this)) return inherited(this, 'write', args) === true;
  callBack(args);
  return true;
}

function end(this: ServerResponse, ...args: unknown[]): ServerResponse {
  if (mayWrite(this)) {
    inherited(this, 'end', args);
  } else {
    callBack(args);
    finishSilently(this);
    upgradeOf(this).conclusion?.reach();
  }
  return this;
}

/** Whether nobody has put anything around the end of `res`. */
export function isEndedBy(res: ServerResponse): boolean {
  return res.end === end;
}

function examine(res: ServerResponse, property: 'headersSent' | 'writableEnded'): unknown {
  const upgrade = upgradeOf(res);
  if (upgrade.afterlife === 'untouched' && !tellingOfEnd) upgrade.afterlife = 'examined';
  return Reflect.get(Object.getPrototypeOf(res), property, res);
}

/** What error handlers look at before they give up: those of Express, Connect and Nest at the first, Fastify at the other. */
const examinedProperties: PropertyDescriptorMap & ThisType<ServerResponse> = {
  headersSent: {
    configurable: true,
    get() {
      return examine(this, 'headersSent');
    },
  },
  writableEnded: {
    configurable: true,
    get() {
      return examine(this, 'writableEnded');
    },
  },
};

/** The response is over, and the chain goes on: it counts whether anybody looks at it. */
export function watchAfterlife(res: ServerResponse): void {
  addLate(res, examinedProperties);
  upgradeOf(res).afterlife = 'untouched';
}

function flushHeaders(this: ServerResponse): void {
  if (mayWrite(this)) inherited(this, 'flushHeaders', []);
}

/**
 * What all methods that write lead to, those included that newer versions of Node add. Bytes that no head belongs to are an
 * interim response: those are optional, and not every WebSocket client expects one.
 */
function writeRaw(this: ServerResponse, ...args: unknown[]): boolean {
  if (this.headersSent && mayWrite(this)) return inherited(this, '_writeRaw', args) === true;
  callBack(args);
  return true;
}

/** Whether headers can still be of use, so that it is worth telling the application that they cannot be set. */
function takesHeaders(res: ServerResponse): boolean {
  const { phase } = upgradeOf(res);
  return phase === 'waiting' || phase === 'answering';
}

function setHeader(this: ServerResponse, ...args: unknown[]): ServerResponse {
  if (!takesHeaders(this)) return this;
  upgradeOf(this).noteHeader(args[0]);
  // Not by its name: this is called for each request, by Express
  Reflect.apply(Object.getPrototypeOf(this).setHeader, this, args);
  return this;
}

function setHeaders(this: ServerResponse, ...args: unknown[]): ServerResponse {
  if (takesHeaders(this)) inherited(this, 'setHeaders', args);
  return this;
}

function appendHeader(this: ServerResponse, ...args: unknown[]): ServerResponse {
  if (takesHeaders(this)) inherited(this, 'appendHeader', args);
  return this;
}

function removeHeader(this: ServerResponse, ...args: unknown[]): void {
  if (takesHeaders(this)) inherited(this, 'removeHeader', args);
}

function addTrailers(this: ServerResponse, ...args: unknown[]): void {
  if (takesHeaders(this)) inherited(this, 'addTrailers', args);
}

function ignoreAndCallBack(this: ServerResponse, ...args: unknown[]): boolean {
  callBack(args);
  return true;
}

/**
 * The response of an upgrade request: a real `ServerResponse`, guarded so that no byte of it reaches a socket that is
 * not, or no longer, an HTTP one. It still has to be assigned to the socket.
 *
 * @param prototype that of the responses of the application that gets it
 */
export function createUpgradeResponse(req: IncomingMessage, prototype: object): ServerResponse {
  const res: WithLocals = responseWith(prototype, req);
  // Nobody parses a further request from an upgraded socket
  res.shouldKeepAlive = false;
  res.setHeader = setHeader;
  res.setHeaders = setHeaders;
  res.appendHeader = appendHeader;
  res.removeHeader = removeHeader;
  res.addTrailers = addTrailers;
  res.writeHead = writeHead;
  res.write = write;
  res.end = end;
  res.flushHeaders = flushHeaders;
  res._writeRaw = writeRaw;
  // Interim responses mean nothing at any time, so they do not throw behind the 101 either
  res.writeContinue = ignoreAndCallBack;
  res.writeProcessing = ignoreAndCallBack;
  res.writeEarlyHints = ignoreAndCallBack;
  res.writeInformation = ignoreAndCallBack;
  // What Express (locals) and Node (the others) are about to set is there before a mounted application changes the
  // prototype, see layout.ts.
  addEarly(res, examinedProperties);
  res.locals = bareObject();
  res.statusCode = 200;
  res.statusMessage = '';
  return res;
}

/** A method of every `OutgoingMessage` that `@types/node` knows only of requests. */
interface RawHeaderNames {
  getRawHeaderNames(): string[];
}

const writeHeadOfNode = new NodeMethod('this._storeHeader(');

/** Whether somebody has put something around the head of `res`, or of all responses. */
function isHeadAwaited(res: ServerResponse): boolean {
  return res.writeHead !== writeHead || !writeHeadOfNode.is(Reflect.get(Object.getPrototypeOf(res), 'writeHead'));
}

/** The names of the headers of `res` as they were written. */
function headerNames(res: ServerResponse): string[] {
  const [only, another] = res.getHeaderNames();
  const { headerName } = upgradeOf(res);
  // That of Express, mostly; to collect them takes Node 500 bytes
  if (headerName !== undefined && another === undefined && headerName.toLowerCase() === only) return [headerName];
  return (res as ServerResponse & RawHeaderNames).getRawHeaderNames();
}

/** What a response has for a head if Node does not put it together; neighbours look whether there is one. */
const HEAD = `HTTP/1.1 ${SWITCHING_PROTOCOLS} ${STATUS_CODES[SWITCHING_PROTOCOLS]}\r\n\r\n`;

/** Header fields of `res` that say something about a connection or a body that the 101 does not have. */
const unfit: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'content-length',
  'content-type',
  'content-encoding',
  'content-range',
]);

/**
 * Lets everyone who waits for the head of the response (`on-headers`: sessions, rate limits, timings) have a last say
 * on it as a 101.
 *
 * @returns the header lines that the 101 takes over from `res`, each behind a line break
 */
export function finishHead(res: ServerResponse): string {
  const { statusCode } = res;
  res.statusCode = SWITCHING_PROTOCOLS;
  if (isHeadAwaited(res)) {
    try {
      res.writeHead(SWITCHING_PROTOCOLS);
    } catch (error) {
      res.statusCode = statusCode;
      throw error;
    }
  } else {
    // Node would put together a head that nobody sees
    res.statusMessage ||= STATUS_CODES[SWITCHING_PROTOCOLS] as string;
    (res as WithLocals)._header = HEAD;
  }
  let lines = '';
  for (const name of headerNames(res)) {
    const key = name.toLowerCase();
    if (unfit.has(key) || key.startsWith('sec-websocket-')) continue;
    const value = res.getHeader(name);
    if (Array.isArray(value)) {
      for (const item of value) {
        // Node has checked it when it was set, but it may have been changed since
        validateHeaderValue(name, item);
        lines += `\r\n${name}: ${item}`;
      }
    } else {
      lines += `\r\n${name}: ${value}`;
    }
  }
  return lines;
}
