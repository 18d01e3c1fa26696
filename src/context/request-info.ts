import type { IncomingMessage } from 'node:http';
import { parse } from 'cookie';
import { clientHost, clientScheme, isHost, MAX_HOST_LENGTH } from '../client-url.js';

/** What Express and common middleware add to a request, all of it optional. */
interface ExpressRequest extends IncomingMessage {
  readonly originalUrl?: string;
  readonly ip?: string;
  readonly cookies?: Readonly<Record<string, string>>;
  readonly user?: unknown;
  isAuthenticated?(): boolean;
}

/** What `decodeURIComponent` can decode: escapes that are UTF-8 (RFC 3629, section 4), and anything else as it is. */
const DECODABLE =
  /^(?:[^%]|%[0-7][\da-f]|%(?:c[2-9a-f]|d[\da-f]|(?:e0%[ab]|e[1-9a-cef]%[89ab]|ed%[89]|(?:f0%[9ab]|f[1-3]%[89ab]|f4%8)[\da-f]%[89ab])[\da-f])%[89ab][\da-f])*$/i;

/** The scheme and the host of a request in absolute form. */
const ABSOLUTE = /^[a-z][a-z0-9+.-]*:[/\\]*([^/\\?#]*)/i;

/** The URL that the client asked for, with the scheme and host it sees as far as `trust proxy` allows to tell. */
export function requestUri(req: ExpressRequest): URL {
  const host = clientHost(req) ?? '';
  const base = `${clientScheme(req)}://${isHost(host) && URL.canParse(`http://${host}`) ? host : 'localhost'}`;
  const target = req.originalUrl ?? req.url ?? '/';
  // Joined as text: resolved against the base, a target like //elsewhere would name another host. Only the absolute form
  // of a request (RFC 9112 section 3.2.2) brings its own.
  const url = target.startsWith('/') ? base + target : target;
  const named = ABSOLUTE.exec(url)?.[1] ?? '';
  return new URL(named.length <= MAX_HOST_LENGTH && URL.canParse(url) ? url : base);
}

/** Whether the client's connection is encrypted; `trust proxy` of Express is honoured. */
export function isSecureConnection(req: ExpressRequest): boolean {
  return clientScheme(req) === 'https';
}

function withoutMapping(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

/** Whether the TCP peer is on this machine. No proxy header is believed. */
export function isLocal(req: IncomingMessage): boolean {
  const remote = withoutMapping(req.socket.remoteAddress ?? '');
  if (remote === '') return false;
  return remote === '::1' || remote.startsWith('127.') || remote === withoutMapping(req.socket.localAddress ?? '');
}

/** The client's address; `trust proxy` of Express is honoured. */
export function userHostAddress(req: ExpressRequest): string | undefined {
  return req.ip ?? req.socket.remoteAddress;
}

/** Cookies by name: those of cookie-parser if it ran, otherwise parsed from the header. */
export function cookies(req: ExpressRequest): Readonly<Record<string, string | undefined>> {
  return req.cookies ?? parse(req.headers.cookie ?? '', { decode: decodeCookie });
}

/**
 * What `cookie` does by itself, but without an exception for each value that cannot be decoded: thousands of them fit into
 * a header, and each would take the time of a stack trace.
 */
function decodeCookie(value: string): string {
  return DECODABLE.test(value) ? decodeURIComponent(value) : value;
}

/** The user that an authentication middleware such as Passport has found. */
export function user(req: ExpressRequest): unknown {
  return req.user;
}

/** Whether an authentication middleware has authenticated the user. */
export function isAuthenticated(req: ExpressRequest): boolean {
  return req.isAuthenticated?.() ?? req.user != null;
}
