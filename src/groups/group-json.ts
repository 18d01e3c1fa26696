import { checkOptions, type OptionNames, rejectInsteadOfThrow } from '../arguments.js';
import { checkJsonOptionNames, checkSchema, JsonSender, Turns } from '../context/json.js';
import type { SchemaInput, StandardSchema } from '../context/standard-schema.js';
import type { GroupKey } from './group-backplane.js';
import type { GroupSendResult, Groups } from './groups.js';
import type { GroupSendOptions } from './web-socket-group.js';

/** Options of `json` of a group. */
export interface GroupJsonOptions<Send extends StandardSchema = StandardSchema> {
  /** Validates what is sent to the members. Default: everything that can be JSON. */
  readonly send?: Send | undefined;
}

/** A group whose messages are JSON, typed by a schema. From `json` of a `WebSocketGroup`. */
export interface WebSocketGroupJson<Sent = unknown> {
  /**
   * Sends a value to all members as one text message, as the `send` schema returns it: validated once, encoded once.
   * Messages of a group leave in the order of the calls, however long their validation takes.
   *
   * @throws TypeError if the value does not validate, or cannot be JSON: `undefined`, a function, a symbol, a bigint, a
   *   cycle; otherwise as `sendAsync` of the group does. Nobody has got anything then
   */
  sendAsync(value: Sent, options?: Omit<GroupSendOptions, 'messageType'>): Promise<GroupSendResult>;
}

const sendOptions: OptionNames<Omit<GroupSendOptions, 'messageType'>> = {
  compress: true,
  except: true,
  volatile: true,
  latest: true,
  local: true,
};

const jsonOptions: OptionNames<GroupJsonOptions> = { send: true };

/** @throws TypeError for options that are none */
export function groupJson<Send extends StandardSchema>(
  groups: Groups,
  key: GroupKey,
  options: GroupJsonOptions<Send>,
  deliver: (text: string, options: GroupSendOptions) => Promise<GroupSendResult>,
): WebSocketGroupJson<SchemaInput<Send>> {
  checkJsonOptionNames(options, jsonOptions, 'json of a group', '{ send: schema }');
  const { send } = options;
  checkSchema('send', send);
  return {
    sendAsync: (value, given) =>
      rejectInsteadOfThrow(() => {
        checkOptions(given, sendOptions, 'send');
        return new JsonSender(send, turnsOf(groups, key), deliver).send(value, { ...given }, undefined);
      }),
  };
}

/** The order of sends of each group in which one is being validated. */
const turnsOfAll: WeakMap<Groups, Map<GroupKey, Turns>> = new WeakMap();

function turnsOf(groups: Groups, key: GroupKey): Turns {
  let byKey = turnsOfAll.get(groups);
  if (byKey === undefined) {
    byKey = new Map();
    turnsOfAll.set(groups, byKey);
  }
  let turns = byKey.get(key);
  if (turns === undefined) {
    const waiting = byKey;
    turns = new Turns(() => waiting.delete(key));
    waiting.set(key, turns);
  }
  return turns;
}
