import { isAnyArrayBuffer } from 'node:util/types';
import { checkOptions, isAbortSignal, type OptionNames, typeOf } from '../arguments.js';
import { isDetached } from '../connection/detached.js';
import { WebSocketMessageType } from './fragments.js';

/** What can be sent: a string as text, bytes of any kind as binary. */
export type WebSocketData = string | ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

function found(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

/** The bytes of any view or buffer; `undefined` for what has none. */
function bytesOf(value: unknown, operation: string, name: string): Uint8Array | undefined {
  if (!ArrayBuffer.isView(value) && !isAnyArrayBuffer(value)) return undefined;
  if (isDetached(value)) {
    throw new TypeError(`Cannot ${operation}: the buffer of ${name} has been detached or resized, must be there`);
  }
  if (value instanceof Uint8Array) return value;
  return ArrayBuffer.isView(value)
    ? new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
    : new Uint8Array(value);
}

/**
 * Validates what is to be sent.
 *
 * @param json what sends objects instead
 * @throws TypeError if it is neither a string nor bytes, or its bytes are gone
 */
export function outgoingBytes(data: unknown, operation: string, json?: string): string | Uint8Array {
  if (typeof data === 'string') return data;
  const bytes = bytesOf(data, operation, 'data');
  if (bytes !== undefined) return bytes;
  const advice = json !== undefined && typeof data === 'object' ? `; for JSON use ${json}` : '';
  throw new TypeError(
    `Cannot ${operation}: data is of type ${found(data)}, must be a string, a Buffer, a typed array, a DataView or an ArrayBuffer${advice}`,
  );
}

/**
 * Validates a buffer to receive into.
 *
 * @throws TypeError if it is not bytes, or they are gone
 */
export function incomingBytes(buffer: unknown, operation: string): Uint8Array | undefined {
  if (buffer === undefined) return undefined;
  const bytes = bytesOf(buffer, operation, 'buffer');
  if (bytes !== undefined) return bytes;
  throw new TypeError(
    `Cannot ${operation}: buffer is of type ${found(buffer)}, must be a Buffer, a typed array, a DataView, an ArrayBuffer or undefined`,
  );
}

/**
 * Validates the `signal` of an operation before it begins.
 *
 * @throws TypeError if it is not an AbortSignal
 */
export function checkSignal(signal: unknown, operation: string): AbortSignal | undefined {
  if (signal === undefined || isAbortSignal(signal)) return signal;
  throw new TypeError(`Cannot ${operation}: signal is ${typeOf(signal)}, must be an AbortSignal`);
}

interface Cancellable {
  readonly signal?: AbortSignal | undefined;
}

const cancelOptions: OptionNames<Cancellable> = { signal: true };

/**
 * Validates the options of an operation that takes nothing but a `signal`, before it begins.
 *
 * @throws TypeError if they are no options, have one of another name, or their `signal` is not an AbortSignal
 */
export function signalOf(options: Cancellable | null | undefined, operation: string): AbortSignal | undefined {
  if (!hasOnlySignal(options)) checkOptions(options, cancelOptions, operation);
  return checkSignal(options?.signal, operation);
}

/** Whether options are without doubt what they should be, as nearly all are: makes no list of their names. */
function hasOnlySignal(options: unknown): boolean {
  if (typeof options !== 'object') return false;
  let hasSignal = false;
  for (const name in options) {
    if (name !== 'signal') return false;
    hasSignal = true;
  }
  return hasSignal;
}

/**
 * Validates the `messageType` of a message.
 *
 * @throws TypeError or RangeError if it is neither Text nor Binary
 */
export function isText(messageType: unknown, payload: string | Uint8Array): boolean {
  if (messageType === undefined) return typeof payload === 'string';
  if (messageType === WebSocketMessageType.Text) return true;
  if (messageType === WebSocketMessageType.Binary) return false;
  if (typeof messageType !== 'number') {
    throw new TypeError(`Cannot send: messageType is ${typeOf(messageType)}, must be Text (0) or Binary (1)`);
  }
  throw new RangeError(`Cannot send: messageType is ${messageType}, must be Text (0) or Binary (1)`);
}

/** Longest name of a group, in bytes of UTF-8. */
const LONGEST_NAME = 256;

/**
 * Validates the name of a group.
 *
 * @throws TypeError if it is not a string, or not text; RangeError if it is empty or too long
 */
export function checkGroupName(name: unknown, operation: string): string {
  if (typeof name !== 'string') {
    throw new TypeError(`Cannot ${operation}: name is of type ${found(name)}, must be a string`);
  }
  const bytes = Buffer.byteLength(name);
  if (bytes === 0 || bytes > LONGEST_NAME) {
    throw new RangeError(`Cannot ${operation}: name is ${bytes} bytes of UTF-8, must be 1 to ${LONGEST_NAME}`);
  }
  if (LONE_SURROGATE.test(name)) {
    throw new TypeError(`Cannot ${operation}: name has a lone surrogate, must be text that UTF-8 can express`);
  }
  return name;
}

const LONE_SURROGATE = /\p{Surrogate}/u;
