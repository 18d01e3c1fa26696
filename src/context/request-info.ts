import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { parse } from 'cookie';

/** What Express and common middleware add to a request, all of it optional. */
interface ExpressRequest extends IncomingMessage {
  readonly originalUrl?: string;
  readonly protocol?: string;
  readonly host?: string;
  readonly secure?: boolean;
  readonly ip?: string;
  readonly cookies?: Readonly<Record<string, string>>;
  readonly user?: unknown;
  isAuthenticated?(): boolean;
}

/** The URL that the client asked for, with the scheme and host it sees as far as `trust proxy` allows to tell. */
export function requestUri(req: ExpressRequest): URL {
  const scheme = isSecureConnection(req) ? 'https' : 'http';
  // An absolute-form target brings its own authority; a malformed Host leaves the local address.
  const target = req.originalUrl ?? req.url ?? '/';
  const host = req.headers.host ?? 'localhost';
  return URL.canParse(target, `${scheme}://${host}`)
    ? new URL(target, `${scheme}://${host}`)
    : new URL('/', `${scheme}://localhost`);
}

/** Whether the client's connection is encrypted; `trust proxy` of Express is honoured. */
export function isSecureConnection(req: ExpressRequest): boolean {
  return req.secure ?? (req.socket as TLSSocket).encrypted === true;
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
  return req.cookies ?? parse(req.headers.cookie ?? '');
}

/** The user that an authentication middleware such as Passport has found. */
export function user(req: ExpressRequest): unknown {
  return req.user;
}

/** Whether an authentication middleware has authenticated the user. */
export function isAuthenticated(req: ExpressRequest): boolean {
  return req.isAuthenticated?.() ?? req.user != null;
}
