import createError from 'http-errors';
import type { PerMessageDeflateOptions } from 'ws';
import { isToken } from './subprotocol.js';

/** One element of a `Sec-WebSocket-Extensions` header. */
export interface ExtensionOffer {
  readonly name: string;
  /** In the client's order, repeated ones included; the value is `undefined` for a parameter without one. */
  readonly parameters: ReadonlyArray<readonly [name: string, value: string | undefined]>;
}

/**
 * The first offer of permessage-deflate that can be accepted with `options`, as a header that holds nothing else. `ws` would
 * refuse the request for one that cannot; RFC 7692, sections 5.1 and 7.1 want such an offer to be declined, which leaves the
 * next one, or no extension at all.
 *
 * @returns `undefined` if there is none
 * @throws an http-errors error, 400, if the header does not follow the grammar
 */
export function acceptableDeflate(header: string, options: PerMessageDeflateOptions): string | undefined {
  const offer = parseExtensions(header).find(
    ({ name, parameters }) => name === 'permessage-deflate' && isAcceptable(parameters, options),
  );
  if (offer === undefined) return undefined;
  const parameters = offer.parameters.map(([name, value]) => `; ${name}${value === undefined ? '' : `=${value}`}`);
  return `permessage-deflate${parameters.join('')}`;
}

/** RFC 7692, section 7.1.2: without leading zeros. */
const WINDOW_BITS = /^(?:[89]|1[0-5])$/;

function isWindowBits(value: string | undefined): boolean {
  return value !== undefined && WINDOW_BITS.test(value);
}

function isAbsent(value: string | undefined): boolean {
  return value === undefined;
}

/** The parameters of RFC 7692, section 7.1, and the values that they may have in an offer. */
const known: ReadonlyMap<string, (value: string | undefined) => boolean> = new Map([
  ['server_no_context_takeover', isAbsent],
  ['client_no_context_takeover', isAbsent],
  ['server_max_window_bits', isWindowBits],
  ['client_max_window_bits', (value) => isAbsent(value) || isWindowBits(value)],
]);

/** Whether an offer has only parameters that are known, valid and given once, and can be agreed to. */
function isAcceptable(parameters: ExtensionOffer['parameters'], options: PerMessageDeflateOptions): boolean {
  const offered = new Map<string, string | undefined>();
  for (const [name, value] of parameters) {
    if (offered.has(name) || known.get(name)?.(value) !== true) return false;
    offered.set(name, value);
  }
  return canServe(offered, options) && canLimitClient(offered, options);
}

/** Whether this server can compress as the client wants it to. */
function canServe(offered: ReadonlyMap<string, string | undefined>, options: PerMessageDeflateOptions): boolean {
  if (options.serverNoContextTakeover === false && offered.has('server_no_context_takeover')) return false;
  const wanted = offered.get('server_max_window_bits');
  // zlib makes 9 of 8, and refers to what the client would not have any more
  return wanted === undefined || Number(wanted) >= (options.serverMaxWindowBits ?? 9);
}

/** Whether the client can compress as this server wants it to: only one that says so can be told a size. */
function canLimitClient(offered: ReadonlyMap<string, string | undefined>, options: PerMessageDeflateOptions): boolean {
  const { clientMaxWindowBits: wanted } = options;
  if (wanted === undefined) return true;
  if (!offered.has('client_max_window_bits')) return false;
  return Number(offered.get('client_max_window_bits') ?? 15) >= wanted;
}

const TOKEN = /[ \t]*([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*/y;
const QUOTED = /[ \t]*"((?:[^"\\]|\\.)*)"[ \t]*/y;
const COMMA = /[ \t]*(,)/y;
const SEMICOLON = /(;)/y;
const EQUALS = /(=)/y;
const END = /([ \t]*)$/y;

/**
 * Parses a `Sec-WebSocket-Extensions` header by the grammar of RFC 6455, section 9.1, with white space wherever it may be
 * (section 4.3: "implied *LWS"). Elements of the list may be empty, but not all of them. `extension.parse` of `ws` takes
 * neither.
 *
 * @throws an http-errors error, 400
 */
export function parseExtensions(header: string): ExtensionOffer[] {
  const scanner = new Scanner(header);
  const offers: ExtensionOffer[] = [];
  do {
    const name = scanner.take(TOKEN);
    if (name !== undefined) offers.push({ name, parameters: parseParameters(scanner) });
  } while (scanner.take(COMMA) !== undefined);
  if (scanner.take(END) === undefined) throw scanner.expected('a comma or a semicolon');
  if (offers.length === 0) throw scanner.expected('an extension');
  return offers;
}

function parseParameters(scanner: Scanner): ExtensionOffer['parameters'] {
  const parameters: [name: string, value: string | undefined][] = [];
  while (scanner.take(SEMICOLON) !== undefined) {
    const name = scanner.take(TOKEN);
    if (name === undefined) throw scanner.expected('a parameter');
    parameters.push([name, scanner.take(EQUALS) === undefined ? undefined : parseValue(scanner)]);
  }
  return parameters;
}

function parseValue(scanner: Scanner): string {
  const token = scanner.take(TOKEN) ?? unquote(scanner);
  if (token === undefined) throw scanner.expected('a token, perhaps in quotes');
  return token;
}

/** What is quoted has to be a token as well. */
function unquote(scanner: Scanner): string | undefined {
  const value = scanner.take(QUOTED)?.replace(/\\(.)/g, '$1');
  return value !== undefined && isToken(value) ? value : undefined;
}

/** Goes through a text once, from one match to the next. */
class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  /** Goes on behind what matches here and returns its group. `pattern` has to be sticky. */
  take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match[1];
  }

  expected(what: string): Error {
    return createError(
      400,
      `Cannot accept the WebSocket request: Sec-WebSocket-Extensions is malformed at character ${this.#at}, must have ${what} there`,
    );
  }
}
