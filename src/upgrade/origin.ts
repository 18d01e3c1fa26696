import type { IncomingMessage } from 'node:http';
import type { ResolvedRouteOptions } from '../options.js';

/** What Express adds to a request; absent under Connect and in bare functions. */
interface ExpressFacts {
  /** `http` or `https` as the client sees it, as far as `trust proxy` allows to know. */
  readonly protocol?: unknown;
  readonly app?: { get?: (setting: string) => unknown };
}

// URL schemes whose default port and host syntax the URL parser knows. Some proxies (Traefik) put the WebSocket scheme
// into X-Forwarded-Proto, though a page has an HTTP origin.
const httpScheme: Readonly<Record<string, string>> = { http: 'http', https: 'https', ws: 'http', wss: 'https' };

const PLAIN_HOST = /^[a-z0-9.-]+(?::[0-9]+)?$/i;

/** Scheme as the client sees it: `http` or `https`. */
const clientScheme = (req: IncomingMessage & ExpressFacts): string => {
  const { protocol } = req;
  const known = typeof protocol === 'string' ? httpScheme[protocol.toLowerCase()] : undefined;
  return known ?? ('encrypted' in req.socket && req.socket.encrypted === true ? 'https' : 'http');
};

/** Host and port as the client sees them; X-Forwarded-Host only from a peer whom Express's `trust proxy` believes. */
const clientHost = (req: IncomingMessage & ExpressFacts): string | undefined => {
  const forwarded = req.headers['x-forwarded-host'];
  if (typeof forwarded === 'string' && forwarded !== '') {
    const trust = req.app?.get?.('trust proxy fn');
    if (typeof trust === 'function' && trust(req.socket.remoteAddress, 0) === true) {
      // The proxy nearest to the client comes first
      const comma = forwarded.indexOf(',');
      return (comma === -1 ? forwarded : forwarded.slice(0, comma)).trim();
    }
  }
  return req.headers.host;
};

/**
 * The origin of `url` in the form that browsers send, `undefined` if it is none: a scheme, a host, perhaps a port, and
 * nothing else. Schemes that the URL parser gives no origin (`chrome-extension:`, `capacitor:`) are taken literally.
 */
export const normalizeOrigin = (origin: string): string | undefined => {
  const lowerCase = origin.toLowerCase();
  const match = /^([a-z][a-z0-9+.-]*):\/\/[^/?#@\\\s]+$/.exec(lowerCase);
  if (match === null || !URL.canParse(lowerCase)) return undefined;
  const url = new URL(lowerCase);
  return url.origin === 'null' ? lowerCase : url.origin;
};

const isSameOrigin = (origin: string, req: IncomingMessage): boolean => {
  const host = clientHost(req);
  if (host === undefined || host === '') return false;
  const own = `${clientScheme(req)}://${host}`;
  // Browsers send lower case and no default port, and mostly so does Host
  if (origin === own) return PLAIN_HOST.test(host) || normalizeOrigin(own) !== undefined;
  const normalized = normalizeOrigin(origin);
  return normalized !== undefined && normalized === normalizeOrigin(own);
};

/**
 * Whether the page that sent the request may open a connection. A request without `Origin` does not come from a browser,
 * whose user's cookies and network position such a page could abuse; it is allowed.
 *
 * @returns a promise only if the policy is a function that returns one
 */
export const isOriginAllowed = (
  req: IncomingMessage,
  policy: ResolvedRouteOptions['origin'],
): boolean | Promise<boolean> => {
  const { origin } = req.headers;
  if (origin === undefined || policy === 'any') return true;
  if (policy === 'same-origin') return isSameOrigin(origin, req);
  if (typeof policy === 'function') return policy(origin, req);
  return policy.has(origin) || policy.has(normalizeOrigin(origin) ?? '');
};
