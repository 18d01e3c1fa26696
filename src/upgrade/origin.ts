import type { IncomingMessage } from 'node:http';
import { clientHost, clientScheme, isHost } from '../client-url.js';
import type { ResolvedRouteOptions } from '../options.js';

const SCHEME_AND_HOST = /^[a-z][a-z0-9+.-]*:\/\/(.*)$/;
const PLAIN_HOST = /^[a-z0-9.-]+(?::[0-9]+)?$/i;

/**
 * The origin of `url` in the form that browsers send, `undefined` if it is none: a scheme, a host, perhaps a port, and
 * nothing else. Schemes that the URL parser gives no origin (`chrome-extension:`, `capacitor:`) are taken literally.
 */
export function normalizeOrigin(origin: string): string | undefined {
  const lowerCase = origin.toLowerCase();
  const host = SCHEME_AND_HOST.exec(lowerCase)?.[1];
  if (host === undefined || !isHost(host) || !URL.canParse(lowerCase)) return undefined;
  const url = new URL(lowerCase);
  return url.origin === 'null' ? lowerCase : url.origin;
}

function isSameOrigin(origin: string, req: IncomingMessage): boolean {
  const host = clientHost(req);
  if (host === undefined) return false;
  const own = `${clientScheme(req)}://${host}`;
  // Browsers send lower case and no default port, and mostly so does Host
  if (origin === own) return PLAIN_HOST.test(host) || normalizeOrigin(own) !== undefined;
  const normalized = normalizeOrigin(origin);
  return normalized !== undefined && normalized === normalizeOrigin(own);
}

/**
 * Whether the page that sent the request may open a connection. A request without `Origin` does not come from a browser,
 * whose user's cookies and network position such a page could abuse; it is allowed.
 *
 * @returns a promise only if the policy is a function that returns one
 */
export function isOriginAllowed(
  req: IncomingMessage,
  policy: ResolvedRouteOptions['origin'],
): boolean | Promise<boolean> {
  const { origin } = req.headers;
  if (origin === undefined || policy === 'any') return true;
  if (policy === 'same-origin') return isSameOrigin(origin, req);
  if (typeof policy === 'function') return policy(origin, req);
  return policy.has(origin) || policy.has(normalizeOrigin(origin) ?? '');
}
