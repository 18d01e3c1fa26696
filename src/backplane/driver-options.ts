import { typeOf } from '../arguments.js';

/** What stands between the prefix and the name of a channel. It does not occur in an encoded prefix. */
const DELIMITER = '|';

/** Longest prefix, in bytes of UTF-8. */
const PREFIX_LIMIT = 128;

const DEFAULT_PREFIX = 'websocket-context';

/**
 * Validates the prefix of a driver.
 *
 * @throws TypeError if it is not a string or no Unicode text, RangeError if it is too long
 */
export function checkPrefix(prefix: unknown = DEFAULT_PREFIX): string {
  const needed = `must be a string of at most ${PREFIX_LIMIT} bytes of UTF-8`;
  if (typeof prefix !== 'string') throw new TypeError(`Cannot use the prefix: it is ${typeOf(prefix)}, ${needed}`);
  if (/\p{Surrogate}/u.test(prefix)) throw new TypeError(`Cannot use the prefix: it has a lone surrogate, ${needed}`);
  const length = Buffer.byteLength(prefix);
  if (length > PREFIX_LIMIT) throw new RangeError(`Cannot use the prefix: it is ${length} bytes of UTF-8, ${needed}`);
  return prefix;
}

/**
 * What the channels of an application begin with. The delimiter is encoded in the prefix itself, so that no two pairs of a
 * prefix and a channel make the same name.
 */
export function channelPrefix(prefix: string): string {
  return prefix.replace(/[%|]/g, encodeURIComponent) + DELIMITER;
}

/**
 * Validates the form of the options of a driver.
 *
 * @throws TypeError if they are not an object, or one of them is not known
 */
export function checkDriverOptions(maker: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    const found =
      Array.isArray(options) || options === null ? `${options === null ? 'null' : 'an array'}` : typeof options;
    throw new TypeError(`Cannot use the options of ${maker}(): they are ${found}, must be an object`);
  }
  // No option is a function; ioredis has a method for the command CLIENT.
  const hasOption = known.some((name) => !['undefined', 'function'].includes(typeof Reflect.get(options, name)));
  if (isInstance(options) && !hasOption) {
    const found = `they are an instance of ${options.constructor.name}`;
    throw new TypeError(`Cannot use the options of ${maker}(): ${found}, did you mean ${maker}({ ${known[0]} })?`);
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue;
    throw new TypeError(
      `Cannot use the option ${name} of ${maker}(): there is none of that name, must be one of ${known.join(', ')}`,
    );
  }
}

/** Whether an object is of a class, as a client is, in any realm. */
function isInstance(object: object): boolean {
  const prototype = Object.getPrototypeOf(object);
  return prototype !== null && Object.getPrototypeOf(prototype) !== null;
}

/** The members of `needed` that `value` has no function for. */
export function missingMethods(value: object, needed: readonly string[]): string[] {
  return needed.filter((name) => typeof Reflect.get(value, name) !== 'function');
}
