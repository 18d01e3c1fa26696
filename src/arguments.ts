/** Longest delay of a timer in ms: 24.8 days. */
export const MAX_TIMEOUT = 0x7fffffff;

/** What a value of the wrong type is, for an error: `null`, or `of type …`. */
export function typeOf(value: unknown): string {
  return value === null ? 'null' : `of type ${typeof value}`;
}

/**
 * Checks a time in ms.
 *
 * @param failed what cannot be done: `Cannot close: timeout`
 * @throws TypeError if it is no number; RangeError unless it is from 0 to {@link MAX_TIMEOUT}, or `Infinity` where `allowsInfinity`
 */
export function checkTime(time: unknown, failed: string, allowsInfinity = false): number {
  const needed = `must be a number from 0 to ${MAX_TIMEOUT} (milliseconds)${allowsInfinity ? ' or Infinity' : ''}`;
  if (typeof time !== 'number') throw new TypeError(`${failed} is ${typeOf(time)}, ${needed}`);
  if ((time >= 0 && time <= MAX_TIMEOUT) || (allowsInfinity && time === Number.POSITIVE_INFINITY)) return time;
  throw new RangeError(`${failed} is ${time}, ${needed}`);
}

/** Turns what `operation` throws into a rejection, so that no method throws and rejects. */
export function rejectInsteadOfThrow<T>(operation: () => Promise<T>): Promise<T> {
  try {
    return operation();
  } catch (error) {
    return Promise.reject(error);
  }
}
