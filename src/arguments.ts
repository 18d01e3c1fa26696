import { isContext } from './context/brand.js';

/** Longest delay of a timer in ms: 24.8 days. */
export const MAX_TIMEOUT = 0x7fffffff;

/** What a value of the wrong type is, for an error: `null`, or `of type ...`. */
export function typeOf(value: unknown): string {
  return value === null ? 'null' : `of type ${typeof value}`;
}

/**
 * Checks a time in ms.
 *
 * @param cannot what cannot be done: `Cannot close: timeout`
 * @throws TypeError if it is no number; RangeError unless it is from 0 to {@link MAX_TIMEOUT}, or `Infinity` where `allowsInfinity`
 */
export function checkTime(time: unknown, cannot: string, allowsInfinity = false): number {
  const needed = `must be a number from 0 to ${MAX_TIMEOUT} (milliseconds)${allowsInfinity ? ' or Infinity' : ''}`;
  if (typeof time !== 'number') throw new TypeError(`${cannot} is ${typeOf(time)}, ${needed}`);
  if ((time >= 0 && time <= MAX_TIMEOUT) || (allowsInfinity && time === Number.POSITIVE_INFINITY)) return time;
  throw new RangeError(`${cannot} is ${time}, ${needed}`);
}

/** The names of all options of `T`; the compiler sees to it that none is missing. */
export type OptionNames<T> = { readonly [Name in keyof Required<T>]: true };

/**
 * Validates the form of the options of an operation before it begins. What it would not look at, such as a name that was
 * misspelt, or a type, a flag, a token or a connection in place of the options, would be lost without a word. Absent
 * options are none.
 *
 * @param operation what cannot be done otherwise: `send`
 * @throws TypeError if they are no options, or one of their own members is not `known`
 */
export function checkOptions<T>(options: unknown, known: OptionNames<T>, operation: string): void {
  if (options === undefined || options === null) return;
  const found = insteadOfOptions(options, known);
  if (found !== undefined) {
    const needed =
      isContext(options) && 'except' in known
        ? 'did you mean { except: socket }?'
        : `must be an object, such as { ${Object.keys(known).join(', ')} }`;
    throw new TypeError(`Cannot ${operation}: options is ${found}, ${needed}`);
  }
  checkOptionNames(options, known, (name) => `${operation} with the option ${name}`);
}

/**
 * Validates that options have no other members of their own than `known`.
 *
 * @param operation what cannot be done with one of that name
 * @throws TypeError for the first that is not known
 */
export function checkOptionNames(options: object, known: object, operation: (name: string) => string): void {
  for (const name of Object.keys(options)) {
    if (Object.hasOwn(known, name)) continue;
    const names = Object.keys(known).join(', ');
    throw new TypeError(`Cannot ${operation(name)}: there is none of that name, must be one of ${names}`);
  }
}

/**
 * What stands in the place of a record of options, for an error: `null`, `of type ...`, `a Map`; `undefined` for a record.
 * One of any class counts as a record if it has a member of a name that is `known`.
 */
export function insteadOfOptions(options: unknown, known: object): string | undefined {
  if (typeof options !== 'object' || options === null) return typeOf(options);
  if (isAbortSignal(options)) return 'an AbortSignal';
  if (isContext(options)) return 'a WebSocketContext';
  if (Array.isArray(options)) return 'an array';
  const kind = Object.prototype.toString.call(options).slice('[object '.length, -1);
  if (kind === 'Object' || Object.keys(known).some((name) => name in options)) return undefined;
  return /^[AEIO]/.test(kind) ? `an ${kind}` : `a ${kind}`;
}

/** By its shape, because polyfills and other realms bring classes of their own. */
export function isAbortSignal(value: unknown): value is AbortSignal {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
}

/** Turns what `operation` throws into a rejection, so that no method throws and rejects. */
export function rejectInsteadOfThrow<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return operation();
  } catch (error) {
    return Promise.reject(error);
  }
}
