import type { LiveConnection } from '../connection/connection.js';
import type { ReadKind } from '../connection/receiving/reads.js';

/** A whole message: text as a `string`, binary as a `Buffer`. */
export type WebSocketMessage = string | Buffer;

/** Reads a whole message; `undefined` at the peer's close. */
export const wholeMessage: ReadKind<WebSocketMessage | undefined> = {
  take: (pieces) => pieces.takeMessage(),
  atClose: () => undefined,
  wantsMessage: true,
  closeRepeats: true,
};

type Step = IteratorResult<WebSocketMessage, undefined>;

const DONE: Step = { value: undefined, done: true };

/** Reads a whole message as a step of an iteration, so that no promise stands between the socket and the loop. */
const step: ReadKind<Step> = {
  take: (pieces) => {
    const value = pieces.takeMessage();
    return value === undefined ? undefined : { value, done: false };
  },
  atClose: () => DONE,
  wantsMessage: true,
  closeRepeats: true,
};

/** `for await` over the messages of a connection. Leaving the loop leaves the connection as it is. */
export class MessageIterator implements AsyncIterableIterator<WebSocketMessage> {
  readonly #connection: LiveConnection;
  #left = false;

  constructor(connection: LiveConnection) {
    this.#connection = connection;
  }

  next(): Promise<Step> {
    return this.#left ? Promise.resolve(DONE) : this.#connection.read(step, undefined);
  }

  return(): Promise<Step> {
    this.#left = true;
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}
