import type { IncomingMessage } from 'node:http';

/** What Express adds to a request; absent under Connect and in bare functions. */
interface ExpressFacts {
  /** `http` or `https` as the client sees it, as far as `trust proxy` allows to know. */
  readonly protocol?: unknown;
  readonly app?: { get?: (setting: string) => unknown };
}

const HOST = /^[^/?#@\\\s]+$/;

// Some proxies (Traefik) put the WebSocket scheme into X-Forwarded-Proto.
const httpScheme: Readonly<Record<string, string>> = { http: 'http', https: 'https', ws: 'http', wss: 'https' };

/**
 * The most that is given to the URL parser as a host, whose time for international names grows with the square of their
 * length. No name in DNS has more than 253 characters.
 */
export const MAX_HOST_LENGTH = 1024;

/** Whether `host` can be the host of a URL, perhaps with a port, and nothing that would be taken for another part of it. */
export function isHost(host: string): boolean {
  return host.length <= MAX_HOST_LENGTH && HOST.test(host);
}

/** Scheme as the client sees it: `http` or `https`. */
export function clientScheme(req: IncomingMessage & ExpressFacts): string {
  const { protocol } = req;
  const known = typeof protocol === 'string' ? httpScheme[protocol.toLowerCase()] : undefined;
  return known ?? ('encrypted' in req.socket && req.socket.encrypted === true ? 'https' : 'http');
}

/** Host and port as the client sees them; X-Forwarded-Host only from a peer whom Express's `trust proxy` believes. */
export function clientHost(req: IncomingMessage & ExpressFacts): string | undefined {
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
}
