import type { IncomingMessage } from 'node:http';
import type { ResolvedRouteOptions } from '../options.js';

// RFC 9110 section 5.6.2
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const none: readonly string[] = Object.freeze([]);

/** Whether `value` can be the name of a subprotocol (RFC 6455 section 11.3.4: a token). */
export const isToken = (value: string): boolean => TOKEN.test(value);

/**
 * Reads a `Sec-WebSocket-Protocol` header as ASP.NET does: empty items are skipped, and one invalid or repeated item
 * makes the whole header count as absent.
 */
export const parseSubProtocols = (header: string | undefined): readonly string[] => {
  if (header === undefined) return none;
  const protocols: string[] = [];
  for (const item of header.split(',')) {
    // Only space and tab may surround an item; trim() would take more away
    const protocol = item.replace(/^[ \t]+|[ \t]+$/g, '');
    if (protocol === '') continue;
    if (!isToken(protocol) || protocols.includes(protocol)) return none;
    protocols.push(protocol);
  }
  return Object.freeze(protocols);
};

/**
 * Selects the subprotocol of a connection.
 *
 * @param supported the server's list in its order of preference, or a function that chooses
 * @returns `undefined` for none
 * @throws TypeError if a function chose what the client did not request
 */
export const selectSubProtocol = (
  requested: readonly string[],
  supported: ResolvedRouteOptions['subProtocols'],
  req: IncomingMessage,
): string | undefined => {
  if (typeof supported !== 'function') return supported.find((protocol) => requested.includes(protocol));
  const chosen = supported(requested, req);
  if (chosen === undefined || requested.includes(chosen)) return chosen;
  const found = typeof chosen === 'string' ? JSON.stringify(chosen) : typeof chosen;
  throw new TypeError(
    `Cannot select the subprotocol: subProtocols() returned ${found}, must be one of [${requested.join(', ')}] or undefined`,
  );
};
