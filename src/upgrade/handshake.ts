import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import createError from 'http-errors';
import { WebSocketError } from '../errors.js';
import type { ResolvedRouteOptions } from '../options.js';
import { isThenable } from '../thenable.js';
import { acceptableDeflate } from './extensions.js';
import { isOriginAllowed } from './origin.js';
import { concludeResponse, formerResponse } from './silenced-response.js';
import { parseSubProtocols, selectSubProtocol } from './subprotocol.js';
import { UpgradeRequest } from './upgrade-request.js';
import { finishHead } from './upgrade-response.js';
import type { Handshake, ValidatedRequest, WsBridge } from './ws-bridge.js';

export type { Handshake } from './ws-bridge.js';

/** RFC 6455 section 4.1: the base64 form of 16 bytes. */
const KEY = /^[+/0-9A-Za-z]{22}==$/;

const VERSION = '13';

/** Whether a comma-separated header contains `token`, which is in lower case. */
function hasToken(header: string | undefined, token: string): boolean {
  if (header === undefined) return false;
  return header
    .toLowerCase()
    .split(',')
    .some((item) => item.trim() === token);
}

/** Whether the headers of `req` ask to switch to the WebSocket protocol, however it arrived. */
export function isWebSocketRequest(req: IncomingMessage): boolean {
  const { upgrade, connection } = req.headers;
  // First as nearly all clients write them
  return (
    (upgrade === 'websocket' || hasToken(upgrade, 'websocket')) &&
    (connection === 'Upgrade' || hasToken(connection, 'upgrade'))
  );
}

/** The subprotocols that the client offers, in its order; none if the header is invalid. */
export function requestedProtocols(req: IncomingMessage): readonly string[] {
  return parseSubProtocols(req.headers['sec-websocket-protocol']);
}

/** @throws an http-errors error for a request that no options can make acceptable (RFC 6455 section 4.2.1) */
function validate(req: IncomingMessage): string | undefined {
  const { headers, httpVersion, method } = req;
  if (method !== 'GET') {
    throw createError(405, `Cannot accept the WebSocket request: its method is ${method}, must be GET`, {
      headers: { Allow: 'GET' },
    });
  }
  if (httpVersion === '1.0') {
    throw createError(400, 'Cannot accept the WebSocket request: it uses HTTP/1.0, must be HTTP/1.1');
  }
  // Node insists on it for other requests only; RFC 6455, section 4.2.1 does for these.
  if (headers.host === undefined) {
    throw createError(400, 'Cannot accept the WebSocket request: Host is missing, must name the server');
  }
  if (headers['sec-websocket-version'] !== VERSION) {
    throw createError(
      426,
      `Cannot accept the WebSocket request: Sec-WebSocket-Version is ${headers['sec-websocket-version'] ?? 'missing'}, must be ${VERSION}`,
      { headers: { Upgrade: 'websocket', 'Sec-WebSocket-Version': VERSION } },
    );
  }
  const key = headers['sec-websocket-key'];
  // Over HTTP/2 there is none (RFC 8441, section 5)
  if (req.httpVersionMajor === 2) return undefined;
  if (key === undefined || !KEY.test(key)) {
    throw createError(
      400,
      `Cannot accept the WebSocket request: Sec-WebSocket-Key is ${key === undefined ? 'missing' : 'invalid'}, must be 16 bytes in base64`,
    );
  }
  return key;
}

function forbidden(origin: string | undefined): Error {
  return createError(
    403,
    `Cannot accept the WebSocket request: origin ${origin} is not allowed, allow it with webSockets({ origin: ['${origin}'] })`,
  );
}

function failure(what: string, cause: unknown): Error {
  return createError(500, `Cannot accept the WebSocket request: ${what} failed`, { cause });
}

/** How a handshake is to be performed, and what becomes of it. */
export interface HandshakeTerms<T> {
  readonly options: ResolvedRouteOptions;
  readonly bridge: WsBridge;
  /** Called right behind the 101, in the same breath, so that no byte of the client finds nobody listening. */
  readonly open: (handshake: Handshake, upgrade: UpgradeRequest) => T;
  /**
   * Throws the http-errors error with which a request is to be refused that is acceptable as such. Has the last word, in
   * the tick of the 101: what it counts cannot change while an origin is decided on.
   */
  readonly assertRoom: () => void;
}

/**
 * Validates the request, decides on origin and subprotocol and writes the 101 with the headers of `res`. `open` sets the
 * {@link UpgradeRequest.events}.
 *
 * Synchronous unless the origin is decided by a function that returns a promise.
 *
 * @returns what `open` returned
 * @throws (or rejects with) an http-errors error before anything is written: 426 (not a WebSocket request, or another
 *   version), 405, 400, 403, and 500 for a mistake of the application, which is a {@link WebSocketError} with the code
 *   `ERR_WEBSOCKET_NOT_ATTACHED` (no `attach`) or `ERR_WEBSOCKET_INVALID_STATE` (accepted twice, or `res` has begun).
 *   A client that left: 400 and `ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY`.
 */
export function performHandshake<T>(req: IncomingMessage, terms: HandshakeTerms<T>): T | Promise<T> {
  if (!isWebSocketRequest(req)) {
    throw createError(426, 'Cannot accept the request: it does not ask for a WebSocket, connect with ws:// or wss://', {
      headers: { Upgrade: 'websocket' },
    });
  }
  const upgrade = UpgradeRequest.of(req);
  if (upgrade === undefined) {
    throw createError(
      500,
      new WebSocketError(
        'ERR_WEBSOCKET_NOT_ATTACHED',
        'Cannot accept the WebSocket request: it did not come through attach(), call attach(server, app) for the server that listens',
      ),
    );
  }
  assertAcceptable(upgrade);
  const key = validate(req);
  let allowed: boolean | Promise<boolean>;
  try {
    allowed = isOriginAllowed(req, terms.options.origin);
  } catch (error) {
    throw failure('the origin function', error);
  }
  if (isThenable(allowed)) return decideLater(upgrade, key, allowed, terms);
  if (allowed !== true) throw forbidden(req.headers.origin);
  return complete(upgrade, key, terms);
}

async function decideLater<T>(
  upgrade: UpgradeRequest,
  key: string | undefined,
  decision: Promise<boolean>,
  terms: HandshakeTerms<T>,
): Promise<T> {
  const allowed = await upgrade.whileWaiting(
    decision.then(undefined, (error: unknown) => {
      throw failure('the origin function', error);
    }),
    terms.options.handshakeTimeout,
  );
  assertAcceptable(upgrade);
  if (allowed !== true) throw forbidden(upgrade.req.headers.origin);
  return complete(upgrade, key, terms);
}

function complete<T>(upgrade: UpgradeRequest, key: string | undefined, terms: HandshakeTerms<T>): T {
  const { options, bridge, assertRoom } = terms;
  const { req } = upgrade;
  const { perMessageDeflate } = options;
  const offered = req.headers['sec-websocket-extensions'];
  const extensions =
    offered === undefined || perMessageDeflate === false ? undefined : acceptableDeflate(offered, perMessageDeflate);
  let subProtocol: string | undefined;
  try {
    subProtocol = selectSubProtocol(requestedProtocols(req), options.subProtocols, req);
  } catch (error) {
    throw failure('the choice of the subprotocol', error);
  }
  // The application's functions may have answered, or accepted, by themselves
  if (typeof options.origin === 'function' || typeof options.subProtocols === 'function') assertAcceptable(upgrade);
  assertRoom();
  return bridge.writeHandshake(new AcceptableRequest(upgrade, terms, key, subProtocol, extensions), openAccepted<T>);
}

/** A request behind all checks but those of `ws`. */
class AcceptableRequest<T> implements ValidatedRequest {
  readonly upgrade: UpgradeRequest;
  readonly terms: HandshakeTerms<T>;
  readonly key: string | undefined;
  readonly subProtocol: string | undefined;
  readonly extensions: string | undefined;
  readonly socket: Duplex;
  readonly head: Buffer;

  constructor(
    upgrade: UpgradeRequest,
    terms: HandshakeTerms<T>,
    key: string | undefined,
    subProtocol: string | undefined,
    extensions: string | undefined,
  ) {
    this.upgrade = upgrade;
    this.terms = terms;
    this.key = key;
    this.subProtocol = subProtocol;
    this.extensions = extensions;
    this.socket = upgrade.socket;
    this.head = upgrade.head;
  }

  get perMessageDeflate(): ResolvedRouteOptions['perMessageDeflate'] {
    return this.terms.options.perMessageDeflate;
  }

  headerLines(): string {
    return finishHead(this.upgrade.res);
  }
}

function openAccepted<T>(handshake: Handshake, { upgrade, terms }: AcceptableRequest<T>): T {
  const { res, socket } = upgrade;
  upgrade.enter('accepted');
  let opened: T;
  try {
    opened = terms.open(handshake, upgrade);
  } catch (error) {
    // Nobody will ever read from it
    socket.destroy();
    concludeResponse(res, upgrade);
    throw error;
  }
  concludeResponse(res, upgrade);
  upgrade.dropResponse(formerResponse(res));
  return opened;
}

/** @throws an http-errors error unless the request still waits for its answer and nobody else is about to give it */
function assertAcceptable(upgrade: UpgradeRequest): void {
  const { socket } = upgrade;
  if (upgrade.phase === 'waiting' && !(socket.readable && socket.writable)) upgrade.enter('gone');
  // Also what has failed before its head was out has begun to answer, and its end hangs up
  if (upgrade.isDeciding || upgrade.res.headersSent || upgrade.phase === 'answering' || !upgrade.isOurs()) {
    throw upgrade.notAcceptable();
  }
}
