import type { IncomingMessage } from 'node:http';
import type { ResolvedRouteOptions } from '../options.js';

// RFC 9110 section 5.6.2
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

const none: readonly string[] = Object.freeze([]);

/** Whether `value` can be the name of a subprotocol (RFC 6455 section 11.3.4: a token). */
export function isToken(value: string): boolean {
  return TOKEN.test(value);
}

/**
 * Reads a `Sec-WebSocket-Protocol` header as ASP.NET does: empty items are skipped, and one invalid or repeated item
 * makes the whole header count as absent.
 */
export function parseSubProtocols(header: string | undefined): readonly string[] {
  if (header === undefined) return none;
  const protocols = new Set<string>();
  for (const item of header.split(',')) {
    const protocol = trimBlanks(item);
    if (protocol === '') continue;
    if (!isToken(protocol) || protocols.has(protocol)) return none;
    protocols.add(protocol);
  }
  return Object.freeze([...protocols]);
}

/** Only space and tab may surround an item; `trim()` would take more away. */
function trimBlanks(item: string): string {
  let start = 0;
  let end = item.length;
  // A regular expression for the end of the item would try each blank within it, and all that follow each one. What is
  // beyond an end of the item is no blank, but to look there takes V8 ten times as long.
  while (start < end && isBlank(item, start)) start++;
  while (end > start && isBlank(item, end - 1)) end--;
  return item.slice(start, end);
}

function isBlank(text: string, index: number): boolean {
  const char = text[index];
  return char === ' ' || char === '\t';
}

/**
 * Selects the subprotocol of a connection.
 *
 * @param supported the server's list in its order of preference, or a function that chooses
 * @returns `undefined` for none
 * @throws TypeError if a function chose what the client did not request
 */
export function selectSubProtocol(
  requested: readonly string[],
  supported: ResolvedRouteOptions['subProtocols'],
  req: IncomingMessage,
): string | undefined {
  if (typeof supported !== 'function') {
    if (requested.length === 0) return undefined;
    // A client may request thousands
    const requestable = new Set(requested);
    return supported.find((protocol) => requestable.has(protocol));
  }
  const chosen = supported(requested, req);
  if (chosen === undefined || requested.includes(chosen)) return chosen;
  const found = typeof chosen === 'string' ? JSON.stringify(chosen) : typeof chosen;
  throw new TypeError(
    `Cannot select the subprotocol: subProtocols() returned ${found}, must be one of [${requested.join(', ')}] or undefined`,
  );
}
