import {
  checkOptionNames,
  checkOptions,
  insteadOfOptions,
  type OptionNames,
  rejectInsteadOfThrow,
  typeOf,
} from '../arguments.js';
import { onAbort } from '../connection/cancellation.js';
import { closePayload, fitDescription, WebSocketCloseStatus } from '../connection/closing/close-status.js';
import type { LiveConnection } from '../connection/connection.js';
import { derive } from '../connection/deferred.js';
import { receiveInProgress } from '../connection/failures.js';
import { WebSocketError } from '../errors.js';
import { isThenable } from '../thenable.js';
import { checkSignal, signalOf } from './data.js';
import { type WebSocketMessage, wholeMessage } from './messages.js';
import {
  describeIssues,
  isStandardSchema,
  type SchemaInput,
  type SchemaOutput,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
} from './standard-schema.js';
import type { CancelOptions, WebSocketContext } from './web-socket-context.js';

/**
 * Gets a message that is not JSON, is binary, or does not validate, and may answer it. The read goes on with the next
 * message when it has returned, and rejects with what it throws.
 *
 * @param issues what is wrong with the message, at least one
 * @param raw the message as it came: text as a `string`, binary as a `Buffer`
 */
export type InvalidMessageHandler = (
  issues: readonly StandardIssue[],
  raw: WebSocketMessage,
  socket: WebSocketContext,
) => void | Promise<void>;

/** Options of `socket.json`. */
export interface JsonOptions<
  Receive extends StandardSchema = StandardSchema,
  Send extends StandardSchema = StandardSchema,
> {
  /** Validates what the client sends. Default: everything that is JSON, as `unknown`. */
  readonly receive?: Receive | undefined;
  /** Validates what is sent to the client. Default: everything that can be JSON. */
  readonly send?: Send | undefined;
  /**
   * What happens to a message that is not JSON, is binary, or does not validate. Default `'close'`: the connection is
   * closed with 1007 and the first issue, and the read rejects. `'skip'`: nothing, the read goes on with the next one.
   */
  readonly invalid?: 'close' | 'skip' | InvalidMessageHandler | undefined;
}

/** Options of `sendAsync` for a JSON message. */
export interface JsonSendOptions extends CancelOptions {
  /** Whether to compress, where compression was negotiated. Default: messages above its threshold. */
  readonly compress?: boolean | undefined;
}

const sendOptions: OptionNames<JsonSendOptions> = { compress: true, signal: true };

/** Both directions of a connection as JSON messages, typed by their schemas. From `socket.json`. */
export interface WebSocketJson<Received = unknown, Sent = unknown> extends AsyncIterable<Received> {
  /** Iterates over the values that the client sends. Ends at its close; `break` leaves the connection open. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Received>;

  /**
   * Receives the next value; `undefined` at the peer's close. A cancelled read loses no message, not even one whose
   * validation is under way.
   *
   * @throws WebSocketError ERR_WEBSOCKET_INVALID_MESSAGE if the message is not JSON, is binary, or does not validate, and
   *   `invalid` is `'close'`; its `cause` is `{ issues }`, and the next read gives `undefined`.
   *   ERR_WEBSOCKET_RECEIVE_IN_PROGRESS if another read is pending. Otherwise as `receiveMessageAsync` does
   * @throws what the schema or the function `invalid` throws
   */
  receiveAsync(options?: CancelOptions): Promise<Received | undefined>;

  /**
   * Sends a value as one text message, as the `send` schema returns it. Messages leave in the order of the calls, however
   * long their validation takes. A message that somebody has begun in fragments is waited for.
   *
   * @throws TypeError if the value does not validate, or cannot be JSON: `undefined`, a function, a symbol, a bigint, a
   *   cycle. Nothing is sent then
   * @throws WebSocketError as `sendAsync` of the connection does
   */
  sendAsync(value: Sent, options?: JsonSendOptions): Promise<void>;
}

/** A message that has been taken from the connection, and what `receive` says of it. */
interface Candidate {
  readonly raw: WebSocketMessage;
  readonly receive: StandardSchema | undefined;
  readonly result: StandardResult | Promise<StandardResult>;
}

type Step = IteratorResult<unknown, undefined>;

const DONE: Step = { value: undefined, done: true };

/** What all JSON views of a connection have in common: one read at a time, and one order of sends. */
export class JsonChannel {
  readonly #connection: LiveConnection;
  readonly #socket: WebSocketContext;
  readonly #turns: Turns = new Turns();
  #reading = false;
  /** The message of a read that was cancelled while it was being validated. */
  #kept: Candidate | undefined;
  /** A function of the application is dealing with an invalid message. */
  #answering: Promise<void> | undefined;
  /** We have closed because of an invalid message. */
  #closedInvalid = false;

  constructor(connection: LiveConnection, socket: WebSocketContext) {
    this.#connection = connection;
    this.#socket = socket;
  }

  /**
   * The connection as JSON messages of the types of `options`.
   *
   * @throws TypeError for options that are none
   */
  view<Receive extends StandardSchema, Send extends StandardSchema>(
    options: JsonOptions<Receive, Send>,
  ): WebSocketJson<SchemaOutput<Receive>, SchemaInput<Send>> {
    const { receive, send, invalid = 'close' } = checkJsonOptions(options);
    const sender = new JsonSender(send, this.#turns, (text, { compress, signal }: JsonSendOptions) =>
      this.#connection.send({ data: text, text: true, endOfMessage: true, compress, ownMessage: true, signal }),
    );
    const next = (signal?: AbortSignal): Promise<Step> => this.#read(receive, invalid, signal);
    return {
      [Symbol.asyncIterator]: () => new JsonIterator(next),
      receiveAsync: async (read) => (await next(signalOf(read, 'receive'))).value,
      sendAsync: (value, given) =>
        rejectInsteadOfThrow(() => {
          checkOptions(given, sendOptions, 'send');
          const signal = checkSignal(given?.signal, 'send');
          return sender.send(value, { signal, compress: given?.compress }, signal);
        }),
    };
  }

  async #read(
    receive: StandardSchema | undefined,
    invalid: NonNullable<JsonOptions['invalid']>,
    signal: AbortSignal | undefined,
  ): Promise<Step> {
    signal?.throwIfAborted();
    if (this.#reading) throw receiveInProgress();
    this.#reading = true;
    try {
      for (;;) {
        await this.#answered(signal);
        if (this.#closedInvalid) return DONE;
        const raw = this.#kept?.raw ?? (await this.#connection.read(wholeMessage, signal));
        if (raw === undefined) return DONE;
        const result = await this.#judge(raw, receive, signal);
        if (result.issues === undefined) return { value: result.value, done: false };
        if (invalid === 'close') throw this.#closeInvalid(result.issues);
        if (invalid !== 'skip') this.#answering = answer(invalid, result.issues, raw, this.#socket);
      }
    } finally {
      this.#reading = false;
    }
  }

  /** What `receive` says of a message, which is kept for the next read if this one is cancelled before. */
  async #judge(
    raw: WebSocketMessage,
    receive: StandardSchema | undefined,
    signal: AbortSignal | undefined,
  ): Promise<StandardResult> {
    const kept = this.#kept;
    this.#kept = undefined;
    const result = kept !== undefined && kept.receive === receive ? kept.result : judge(raw, receive);
    if (result instanceof Promise) {
      this.#kept = { raw, receive, result };
      await outcomeOrCancel(result, signal);
      this.#kept = undefined;
    }
    return result;
  }

  /** Waits for the function that deals with the invalid message before, and throws what it has thrown. */
  async #answered(signal: AbortSignal | undefined): Promise<void> {
    if (this.#answering === undefined) return;
    const answering = this.#answering;
    await outcomeOrCancel(answering, signal);
    this.#answering = undefined;
    await answering;
  }

  /** Closes because of an invalid message. */
  #closeInvalid(issues: readonly StandardIssue[]): WebSocketError {
    this.#closedInvalid = true;
    const found = describeIssues(issues);
    const payload = closePayload(WebSocketCloseStatus.InvalidPayloadData, fitDescription(found));
    // Whoever wants to know how the connection ends has other means than this read.
    this.#connection.close(payload, undefined).catch(noResult);
    return new WebSocketError(
      'ERR_WEBSOCKET_INVALID_MESSAGE',
      `Cannot receive: the message is not valid (${found}), must be JSON that the schema allows; the connection is closed with 1007`,
      { cause: { issues } },
    );
  }
}

/** Sends values as JSON: validated, and in the order of the calls, however long that takes. */
export class JsonSender<Options, Result> {
  readonly #schema: StandardSchema | undefined;
  readonly #turns: Turns;
  readonly #deliver: (text: string, options: Options) => Promise<Result>;

  /**
   * @param turns shared by all senders whose messages are to leave in the order of the calls
   * @param deliver sends a text; its calls are in order
   */
  constructor(
    schema: StandardSchema | undefined,
    turns: Turns,
    deliver: (text: string, options: Options) => Promise<Result>,
  ) {
    this.#schema = schema;
    this.#turns = turns;
    this.#deliver = deliver;
  }

  /** Rejects with a TypeError if `value` does not validate or cannot be JSON; nothing is sent then. */
  send(value: unknown, options: Options, signal: AbortSignal | undefined): Promise<Result> {
    return derive(this.#send(value, options, signal), (result) => result);
  }

  async #send(value: unknown, options: Options, signal: AbortSignal | undefined): Promise<Result> {
    signal?.throwIfAborted();
    const text = this.#textOf(value);
    if (typeof text === 'string' && !this.#turns.isTaken) return this.#deliver(text, options);
    return this.#turns.take(Promise.resolve(text), (ready) => this.#deliver(ready, options), signal);
  }

  #textOf(value: unknown): string | Promise<string> {
    if (this.#schema === undefined) return stringify(value);
    const result = this.#schema['~standard'].validate(value);
    return isThenable(result) ? Promise.resolve(result).then(validText) : validText(result);
  }
}

/** An order of things that take their time to get ready: each begins when all before it have begun, or have failed. */
export class Turns {
  readonly #onFree: () => void;
  #last: Promise<void> | undefined;

  /** @param onFree nobody waits any more */
  constructor(onFree: () => void = noResult) {
    this.#onFree = onFree;
  }

  /** Whether somebody waits who comes first. */
  get isTaken(): boolean {
    return this.#last !== undefined;
  }

  /**
   * Calls `begin` with what `ready` gives when it is its turn; not at all if `ready` fails or `signal` fires before, whose
   * reason it then rejects with.
   */
  take<Ready, Result>(
    ready: Promise<Ready>,
    begin: (value: Ready) => Promise<Result>,
    signal: AbortSignal | undefined,
  ): Promise<Result> {
    const before = this.#last;
    const mine = outcomeOrCancel(Promise.allSettled([ready, before]), signal);
    // In an object: what has begun is not to be waited for.
    const begun = mine.then(() => ready).then((value) => ({ result: begin(value) }));
    const turn = Promise.allSettled([begun, before]).then(() => {
      if (this.#last !== turn) return;
      this.#last = undefined;
      this.#onFree();
    });
    this.#last = turn;
    return begun.then(({ result }) => result);
  }
}

/** `for await` over JSON messages. Leaving the loop leaves the connection as it is. */
class JsonIterator implements AsyncIterableIterator<unknown> {
  readonly #next: () => Promise<Step>;
  #left = false;

  constructor(next: () => Promise<Step>) {
    this.#next = next;
  }

  next(): Promise<Step> {
    return this.#left ? Promise.resolve(DONE) : this.#next();
  }

  return(): Promise<Step> {
    this.#left = true;
    return Promise.resolve(DONE);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

const jsonOptions: OptionNames<JsonOptions> = { receive: true, send: true, invalid: true };

function checkJsonOptions<Options extends JsonOptions>(options: Options): Options {
  checkJsonOptionNames(options, jsonOptions, 'json', '{ receive: schema }');
  checkSchema('receive', options.receive);
  checkSchema('send', options.send);
  const { invalid = 'close' } = options;
  if (invalid !== 'close' && invalid !== 'skip' && typeof invalid !== 'function') {
    throw new TypeError(
      `Cannot use the option invalid of json: it is ${nameOf(invalid)}, must be 'close', 'skip' or a function`,
    );
  }
  return options;
}

/**
 * For {@link JsonOptions} and the options of `json` of a group.
 *
 * @throws TypeError for what is no record of options, a schema included, or an unknown name
 */
export function checkJsonOptionNames(options: unknown, known: object, maker: string, ofSchema: string): void {
  if (isStandardSchema(options)) {
    throw new TypeError(`Cannot use the options of ${maker}: options is a schema, pass ${ofSchema}`);
  }
  const found = insteadOfOptions(options, known);
  if (found !== undefined) {
    throw new TypeError(`Cannot use the options of ${maker}: they are ${found}, must be an object`);
  }
  checkOptionNames(Object(options), known, (name) => `use the option ${name} of ${maker}`);
}

/** For {@link JsonOptions} and whatever else takes a schema. @throws TypeError if `schema` is none */
export function checkSchema(name: string, schema: unknown): void {
  if (schema === undefined || isStandardSchema(schema)) return;
  throw new TypeError(
    `Cannot use the option ${name} of json: it is ${nameOf(schema)}, must be a Standard Schema (zod, valibot, arktype, \u2026)`,
  );
}

function nameOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value);
  return typeOf(value);
}

/** Parses and validates a message. */
function judge(raw: WebSocketMessage, receive: StandardSchema | undefined): StandardResult | Promise<StandardResult> {
  if (typeof raw !== 'string') return invalid('The message is binary, must be JSON text');
  let value: unknown;
  try {
    value = JSON.parse(raw);
  } catch {
    return invalid('The message is not JSON');
  }
  if (receive === undefined) return { value };
  const result = receive['~standard'].validate(value);
  return isThenable(result) ? Promise.resolve(result) : result;
}

function invalid(message: string): StandardResult {
  return { issues: [{ message }] };
}

async function answer(
  handler: InvalidMessageHandler,
  issues: readonly StandardIssue[],
  raw: WebSocketMessage,
  socket: WebSocketContext,
): Promise<void> {
  await handler(issues, raw, socket);
}

/** The text of what a schema has allowed. */
function validText(result: StandardResult): string {
  if (result.issues === undefined) return stringify(result.value);
  throw new TypeError(`Cannot send: the value is not what the schema allows (${describeIssues(result.issues)})`, {
    cause: { issues: result.issues },
  });
}

function stringify(value: unknown): string {
  let text: string | undefined;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    // A bigint or a cycle; what a toJSON method throws itself is none of ours.
    if (!(error instanceof TypeError)) throw error;
    throw new TypeError(`Cannot send: the value cannot be JSON (${error.message})`, { cause: error });
  }
  if (text !== undefined) return text;
  throw new TypeError(`Cannot send: the value is ${nameOf(value)}, must be something that JSON can express`);
}

/** Waits until `operation` has an outcome, whichever. Rejects only if `signal` fires before. */
function outcomeOrCancel(operation: Promise<unknown>, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const stopListening = signal && onAbort(signal, () => reject(signal.reason));
    function done(): void {
      stopListening?.();
      resolve();
    }
    operation.then(done, done);
  });
}

function noResult(): void {}
