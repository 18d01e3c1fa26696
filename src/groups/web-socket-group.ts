import { checkOptions, checkTime, type OptionNames, rejectInsteadOfThrow, typeOf } from '../arguments.js';
import { closePayload } from '../connection/closing/close-status.js';
import { isText, outgoingBytes, type WebSocketData } from '../context/data.js';
import type { WebSocketMessageType } from '../context/fragments.js';
import { SetView, snapshot } from '../context/set-view.js';
import type { SchemaInput, StandardSchema } from '../context/standard-schema.js';
import { WebSocketContext } from '../context/web-socket-context.js';
import { refuseHabits } from '../context/ws-habits.js';
import { ALL, type GroupKey } from './group-backplane.js';
import { type GroupJsonOptions, groupJson, type WebSocketGroupJson } from './group-json.js';
import type { GroupSendResult, Groups } from './groups.js';

const SEND = 'use `await group.sendAsync(data)`, with `{ except: socket }` for all others';

/**
 * The connections that go by a name, from `sockets.group(name)`, or all that are open, from `sockets.all`. It is only a
 * name: it costs nothing to keep, and a group without members costs nothing at all.
 *
 * @example
 * ```ts
 * const room = sockets.group('room:42');
 * await socket.addToGroupAsync(room.name);
 * await room.sendAsync(`we are ${room.size}`);
 * ```
 */
export class WebSocketGroup {
  readonly #groups: Groups;
  readonly #key: GroupKey;
  readonly #members: ReadonlySet<WebSocketContext>;

  static {
    refuseHabits(WebSocketGroup.prototype, {
      name: 'group',
      kind: 'WebSocketGroup',
      methods: {
        send: SEND,
        broadcast: SEND,
        emit: SEND,
        add: 'use `await socket.addToGroupAsync(group.name)`',
        delete: 'use `await socket.removeFromGroupAsync(group.name)`',
        close: 'use `await group.closeAsync(code, reason)`',
      },
    });
  }

  /** `sockets.group` makes groups. @internal */
  constructor(groups: Groups, key: GroupKey) {
    this.#groups = groups;
    this.#key = key;
    this.#members = new SetView({
      size: () => groups.size(key),
      has: (context) => groups.has(key, context),
      values: () => snapshot(groups.contexts(key)),
    });
  }

  /** Its name; `'*'` for `sockets.all`, which no group of that name has anything to do with. */
  get name(): string {
    return this.#key === ALL ? '*' : this.#key;
  }

  /** How many members it has in this process; see {@link countAsync} for all processes. */
  get size(): number {
    return this.#groups.size(this.#key);
  }

  /** Its members in this process, at any moment. A loop over them may add and remove. */
  get members(): ReadonlySet<WebSocketContext> {
    return this.#members;
  }

  /**
   * Sends a message to all members: a string as text, bytes as binary. The data is copied once and may be reused when the
   * call returns. Each member gets this process's messages in the order of the calls, those of `sendAsync` of its context
   * included; there is no order between processes.
   *
   * For a slow member, which the system has not taken the last bytes for, the message waits; a member for which more than
   * `sendBufferLimit` waits is aborted, and nobody else notices. See `volatile` and `latest` for what need not wait.
   *
   * @returns resolves when this process has given its frames to the sockets, and the backplane's client has taken the
   *   message. It waits for no client, and says nothing about delivery. Rejects with a TypeError or RangeError for wrong
   *   arguments, or a message beyond the limit of the backplane, and nobody has got anything then
   *
   * @example
   * ```ts
   * await sockets.group('room:42').sendAsync('hello', { except: socket });
   * await sockets.group('prices').sendAsync('EURUSD 1.0842', { latest: 'EURUSD' });
   * await sockets.group('pointers').sendAsync(Buffer.of(12, 40), { volatile: true });
   * ```
   */
  sendAsync(data: WebSocketData, options?: GroupSendOptions): Promise<GroupSendResult> {
    return rejectInsteadOfThrow(() => {
      const payload = outgoingBytes(data, 'send', 'group.json()');
      checkOptions(options, sendOptions, 'send');
      const { messageType, compress, volatile, latest, local } = options ?? {};
      checkLatest(latest, volatile);
      return this.#groups.send(this.#key, {
        data: payload,
        text: isText(messageType, payload),
        compress: checkBoolean(compress, 'compress'),
        volatile: checkBoolean(volatile, 'volatile'),
        latest,
        local: checkBoolean(local, 'local') === true,
        except: exceptions(options?.except, 'send'),
      });
    });
  }

  /**
   * Sends a close frame to all members in every process, as `closeOutputAsync` of a context does: what clients still send
   * can be read until their close.
   *
   * @param status 1000 (default) to 1003, 1007 to 1014, 3000 to 4999, or 1005 for a close frame without status
   * @param description at most 123 bytes of UTF-8
   * @returns resolves as {@link sendAsync} does
   * @throws TypeError or RangeError, and nobody is closed then
   *
   * @example
   * ```ts
   * await sockets.group('room:42').closeAsync(4000, 'This room is closed');
   * ```
   */
  closeAsync(status = 1000, description = '', options?: GroupCloseOptions): Promise<GroupSendResult> {
    return rejectInsteadOfThrow(() => {
      closePayload(status, description);
      checkOptions(options, closeOptions, 'close');
      return this.#groups.close(this.#key, status, description, exceptions(options?.except, 'close'));
    });
  }

  /**
   * The group as JSON messages, typed by the schema `send`, as `json` of a context.
   *
   * @throws TypeError for options that are none
   *
   * @example
   * ```ts
   * import { z } from 'zod';
   *
   * const room = sockets.group('room:42').json({ send: z.object({ from: z.string(), text: z.string() }) });
   * await room.sendAsync({ from: 'Ada', text: 'hello' });
   * ```
   */
  json<Send extends StandardSchema>(options: GroupJsonOptions<Send> = {}): WebSocketGroupJson<SchemaInput<Send>> {
    return groupJson(this.#groups, this.#key, options, (text, sendOptions) => this.sendAsync(text, sendOptions));
  }

  /**
   * Counts the members in all processes.
   *
   * @throws For a wrong argument only; a process that does not answer in time is counted in `missing`
   *
   * @example
   * ```ts
   * const { count, nodes, missing } = await sockets.group('room:42').countAsync({ timeout: 500 });
   * console.log(`${count} members in ${nodes} processes, ${missing} have not answered`);
   * ```
   */
  async countAsync(options?: GroupCountOptions): Promise<GroupCount> {
    checkOptions(options, countOptions, 'count');
    const { timeout: wanted = 1000 } = options ?? {};
    const timeout = checkTime(wanted, 'Cannot count: timeout');
    const { count, nodes, missing } = await this.#groups.countElsewhere(this.#key, timeout);
    return { count: this.size + count, nodes: 1 + nodes, missing };
  }
}

/** Options of `sendAsync` of a group. */
export interface GroupSendOptions {
  /** Text or Binary; default: Text for a string, Binary for bytes. */
  readonly messageType?: typeof WebSocketMessageType.Text | typeof WebSocketMessageType.Binary | undefined;
  /** Whether to compress, where compression was negotiated. Default: messages above its threshold. */
  readonly compress?: boolean | undefined;
  /** Who does not get it: a context, or several. Only members of this process can be excepted. */
  readonly except?: WebSocketContext | Iterable<WebSocketContext> | undefined;
  /** Whether slow members, which the system has not taken the last bytes for, are passed over. Default `false`. */
  readonly volatile?: boolean | undefined;
  /**
   * A key: where the message has to wait for a slow member, it takes the place of the message with the same key in this
   * group that waits there already, and may so overtake others. Not together with `volatile`.
   */
  readonly latest?: string | undefined;
  /** Whether only members of this process get it. Default `false`. */
  readonly local?: boolean | undefined;
}

/** Options of `closeAsync` of a group. */
export interface GroupCloseOptions {
  /** Who is not closed: a context, or several. Only members of this process can be excepted. */
  readonly except?: WebSocketContext | Iterable<WebSocketContext> | undefined;
}

/** Options of `countAsync` of a group. */
export interface GroupCountOptions {
  /** How long to wait for other processes, in ms. Default 1000. */
  readonly timeout?: number | undefined;
}

/** How many members a group has. */
export interface GroupCount {
  /** Members in all processes that have answered, this one included. */
  readonly count: number;
  /** Processes that have answered, this one included. */
  readonly nodes: number;
  /** Processes that have not answered in time. */
  readonly missing: number;
}

const sendOptions: OptionNames<GroupSendOptions> = {
  messageType: true,
  compress: true,
  except: true,
  volatile: true,
  latest: true,
  local: true,
};

const closeOptions: OptionNames<GroupCloseOptions> = { except: true };

const countOptions: OptionNames<GroupCountOptions> = { timeout: true };

const NOBODY: ReadonlySet<WebSocketContext> = new Set();

function exceptions(except: unknown, operation: string): ReadonlySet<WebSocketContext> {
  if (except === undefined) return NOBODY;
  const contexts = except instanceof WebSocketContext ? [except] : isIterable(except) ? [...except] : undefined;
  if (!contexts?.every((context) => context instanceof WebSocketContext)) {
    throw new TypeError(
      `Cannot ${operation}: except is ${typeOf(except)}, must be a WebSocketContext or an iterable of them`,
    );
  }
  return new Set(contexts as WebSocketContext[]);
}

function isIterable(value: unknown): value is Iterable<unknown> {
  return typeof value === 'object' && value !== null && Symbol.iterator in value;
}

function checkBoolean(value: unknown, name: string): boolean | undefined {
  if (value === undefined || typeof value === 'boolean') return value;
  throw new TypeError(`Cannot send: ${name} is ${typeOf(value)}, must be a boolean`);
}

function checkLatest(latest: unknown, volatile: unknown): void {
  if (latest === undefined) return;
  if (typeof latest !== 'string') throw new TypeError(`Cannot send: latest is ${typeOf(latest)}, must be a string`);
  if (latest === '') throw new TypeError('Cannot send: latest is empty, must be a key of at least one character');
  if (volatile === true) {
    throw new TypeError('Cannot send: volatile and latest are both given, must be one of them: skip, or replace');
  }
}
