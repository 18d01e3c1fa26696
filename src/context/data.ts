import { isAnyArrayBuffer } from 'node:util/types';

/** What can be sent: a string as text, bytes of any kind as binary. */
export type WebSocketData = string | ArrayBuffer | SharedArrayBuffer | ArrayBufferView;

function found(value: unknown): string {
  return value === null ? 'null' : typeof value;
}

function bytesOf(value: unknown): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  if (isAnyArrayBuffer(value)) return new Uint8Array(value);
  return undefined;
}

/**
 * Validates what is to be sent.
 *
 * @throws TypeError if it is neither a string nor bytes
 */
export function outgoingBytes(data: unknown, operation: string): string | Uint8Array {
  if (typeof data === 'string') return data;
  const bytes = bytesOf(data);
  if (bytes !== undefined) return bytes;
  throw new TypeError(
    `Cannot ${operation}: data is of type ${found(data)}, must be a string, a Buffer, a typed array, a DataView or an ArrayBuffer`,
  );
}

/**
 * Validates a buffer to receive into.
 *
 * @throws TypeError if it is not bytes
 */
export function incomingBytes(buffer: unknown, operation: string): Uint8Array | undefined {
  if (buffer === undefined) return undefined;
  const bytes = bytesOf(buffer);
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
  const type = signal === null ? 'null' : `of type ${typeof signal}`;
  throw new TypeError(`Cannot ${operation}: signal is ${type}, must be an AbortSignal`);
}

/** By its shape, because polyfills and other realms bring classes of their own. */
function isAbortSignal(value: unknown): value is AbortSignal {
  return typeof value === 'object' && value !== null && 'aborted' in value && 'addEventListener' in value;
}
