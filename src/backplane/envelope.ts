import { isUtf8 } from 'node:buffer';
import { closePayload } from '../connection/closing/close-status.js';
import type { GroupMessage } from '../groups/group-backplane.js';

/** What an envelope holds, by its `kind`. */
export type Content =
  | { readonly kind: 'messages'; readonly messages: readonly GroupMessage[] }
  | { readonly kind: 'close'; readonly status: number; readonly description: string }
  /** Asks for a `here` at once. */
  | { readonly kind: 'hello' }
  /** A sign of life. `asked`: the time of the `hello` that it answers, 0 if none. */
  | { readonly kind: 'here'; readonly asked: number }
  | { readonly kind: 'goodbye' }
  | { readonly kind: 'count'; readonly request: number; readonly group: string }
  | { readonly kind: 'counted'; readonly request: number; readonly count: number };

/** An envelope that has come. */
export type Envelope = Content & {
  /** Id of the process that sent it, in hexadecimal. */
  readonly node: string;
  /** When it was sent, in ms since 1970 on the clock of its sender. */
  readonly time: number;
};

/** Version of the format. A process drops what has another one, so that both can run side by side in an upgrade. */
const VERSION = 1;

const kinds = ['messages', 'close', 'hello', 'here', 'goodbye', 'count', 'counted'] as const;

/** Length of a node id in bytes. */
export const NODE_ID_BYTES = 16;

// version, kind, node id, time as a double
const NODE_AT = 2;
const TIME_AT = NODE_AT + NODE_ID_BYTES;
const BODY_AT = TIME_AT + 8;

// In front of each message: flags, length of the key of `latest`, which follows, length of the data behind it.
const MESSAGE_HEADER_BYTES = 1 + 4 + 4;

const TEXT = 1;
const VOLATILE = 2;
const LATEST = 4;
const COMPRESS_GIVEN = 8;
const COMPRESS = 16;

/** How long the envelope of a message alone is, in bytes. */
export function messageSize(message: GroupMessage): number {
  return BODY_AT + packedSize(message);
}

/** What a message adds to the envelope of others, in bytes. */
export function packedSize({ data, latest = '' }: GroupMessage): number {
  return MESSAGE_HEADER_BYTES + Buffer.byteLength(latest) + data.byteLength;
}

/** Puts something into an envelope. Its data is copied. */
export function encode(node: string, time: number, content: Content): Buffer {
  const bytes = Buffer.allocUnsafeSlow(sizeOf(content));
  bytes.writeUInt8(VERSION, 0);
  bytes.writeUInt8(kinds.indexOf(content.kind), 1);
  bytes.write(node, NODE_AT, 'hex');
  bytes.writeDoubleBE(time, TIME_AT);
  writeBody(bytes, content);
  return bytes;
}

function sizeOf(content: Content): number {
  switch (content.kind) {
    case 'messages':
      return content.messages.reduce((size, message) => size + packedSize(message), BODY_AT);
    case 'close':
      return BODY_AT + 2 + Buffer.byteLength(content.description);
    case 'here':
      return BODY_AT + 8;
    case 'count':
      return BODY_AT + 4 + Buffer.byteLength(content.group);
    case 'counted':
      return BODY_AT + 8;
    case 'hello':
    case 'goodbye':
      return BODY_AT;
  }
}

function writeBody(bytes: Buffer, content: Content): void {
  switch (content.kind) {
    case 'messages':
      writeMessages(bytes, content.messages);
      break;
    case 'close':
      bytes.writeUInt16BE(content.status, BODY_AT);
      bytes.write(content.description, BODY_AT + 2);
      break;
    case 'here':
      bytes.writeDoubleBE(content.asked, BODY_AT);
      break;
    case 'count':
      bytes.writeUInt32BE(content.request, BODY_AT);
      bytes.write(content.group, BODY_AT + 4);
      break;
    case 'counted':
      bytes.writeUInt32BE(content.request, BODY_AT);
      bytes.writeUInt32BE(content.count, BODY_AT + 4);
      break;
    case 'hello':
    case 'goodbye':
      break;
  }
}

function writeMessages(bytes: Buffer, messages: readonly GroupMessage[]): void {
  let at = BODY_AT;
  for (const message of messages) at = writeMessage(bytes, at, message);
}

/** @returns where the next one begins */
function writeMessage(bytes: Buffer, at: number, { text, data, compress, volatile, latest }: GroupMessage): number {
  let flags = text ? TEXT : 0;
  if (volatile) flags |= VOLATILE;
  if (latest !== undefined) flags |= LATEST;
  if (compress !== undefined) flags |= compress ? COMPRESS_GIVEN | COMPRESS : COMPRESS_GIVEN;
  const keyAt = at + MESSAGE_HEADER_BYTES;
  const dataAt = latest === undefined ? keyAt : keyAt + bytes.write(latest, keyAt);
  bytes.writeUInt8(flags, at);
  bytes.writeUInt32BE(dataAt - keyAt, at + 1);
  bytes.writeUInt32BE(data.byteLength, at + 5);
  bytes.set(data, dataAt);
  return dataAt + data.byteLength;
}

/**
 * Opens an envelope.
 *
 * @returns `undefined` if it is of another version or damaged
 */
export function decode(received: Uint8Array): Envelope | undefined {
  const bytes = Buffer.from(received.buffer, received.byteOffset, received.byteLength);
  if (bytes.length < BODY_AT || bytes[0] !== VERSION) return undefined;
  const content = readBody(bytes);
  if (content === undefined) return undefined;
  const node = bytes.toString('hex', NODE_AT, TIME_AT);
  return { ...content, node, time: bytes.readDoubleBE(TIME_AT) };
}

function readBody(bytes: Buffer): Content | undefined {
  const kind = kinds[bytes.readUInt8(1)];
  if (kind === undefined) return undefined;
  const length = bytes.length - BODY_AT;
  switch (kind) {
    case 'messages':
      return readMessages(bytes);
    case 'close':
      return length < 2 ? undefined : readClose(bytes);
    case 'here':
      return length < 8 ? undefined : { kind, asked: bytes.readDoubleBE(BODY_AT) };
    case 'count':
      if (length < 4) return undefined;
      return { kind, request: bytes.readUInt32BE(BODY_AT), group: bytes.toString('utf8', BODY_AT + 4) };
    case 'counted':
      if (length < 8) return undefined;
      return { kind, request: bytes.readUInt32BE(BODY_AT), count: bytes.readUInt32BE(BODY_AT + 4) };
    case 'hello':
    case 'goodbye':
      return { kind };
  }
}

function readClose(bytes: Buffer): Content | undefined {
  const status = bytes.readUInt16BE(BODY_AT);
  const description = bytes.toString('utf8', BODY_AT + 2);
  try {
    closePayload(status, description);
    return { kind: 'close', status, description };
  } catch {
    return undefined;
  }
}

function readMessages(bytes: Buffer): Content | undefined {
  const messages: GroupMessage[] = [];
  let at = BODY_AT;
  while (at < bytes.length) {
    const keyAt = at + MESSAGE_HEADER_BYTES;
    if (keyAt > bytes.length) return undefined;
    const dataAt = keyAt + bytes.readUInt32BE(at + 1);
    const end = dataAt + bytes.readUInt32BE(at + 5);
    if (end > bytes.length) return undefined;
    const flags = bytes.readUInt8(at);
    const text = (flags & TEXT) !== 0;
    const data = bytes.subarray(dataAt, end);
    // It goes to clients as it is, and they would close for text that is none.
    if (text && !isUtf8(data)) return undefined;
    const compress = flags & COMPRESS_GIVEN ? (flags & COMPRESS) !== 0 : undefined;
    const latest = flags & LATEST ? bytes.toString('utf8', keyAt, dataAt) : undefined;
    messages.push({ text, data, compress, volatile: (flags & VOLATILE) !== 0, latest });
    at = end;
  }
  return messages.length === 0 ? undefined : { kind: 'messages', messages };
}
