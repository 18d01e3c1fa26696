import { isUtf8 } from 'node:buffer';
import { typeOf } from '../../arguments.js';
import { type Enumeration, enumeration, type MemberOf } from '../../enumeration.js';
import { isCloseCode } from '../../framing/frame-reader.js';

/** Close codes, with the members and numbers of `System.Net.WebSockets.WebSocketCloseStatus`. */
export const WebSocketCloseStatus: Enumeration<{
  NormalClosure: 1000;
  EndpointUnavailable: 1001;
  ProtocolError: 1002;
  InvalidMessageType: 1003;
  Empty: 1005;
  InvalidPayloadData: 1007;
  PolicyViolation: 1008;
  MessageTooBig: 1009;
  MandatoryExtension: 1010;
  InternalServerError: 1011;
}> = enumeration({
  NormalClosure: 1000,
  EndpointUnavailable: 1001,
  ProtocolError: 1002,
  InvalidMessageType: 1003,
  Empty: 1005,
  InvalidPayloadData: 1007,
  PolicyViolation: 1008,
  MessageTooBig: 1009,
  MandatoryExtension: 1010,
  InternalServerError: 1011,
});

/** A member of {@link WebSocketCloseStatus}: its number. Applications may also use 3000 to 4999. */
export type WebSocketCloseStatus = MemberOf<typeof WebSocketCloseStatus>;

/** How a connection ended, as a `CloseEvent` would tell it. */
export interface CloseInfo {
  /** The peer's close code; 1005 if its close frame had none, 1006 if there was no clean close. */
  readonly code: number;
  /** The peer's reason. */
  readonly reason: string;
  /** Whether both close frames were exchanged. */
  readonly wasClean: boolean;
}

const NO_PAYLOAD = Buffer.alloc(0);

/** A close frame carries at most 125 bytes, two of which are the status (RFC 6455, section 5.5). */
const DESCRIPTION_LIMIT = 123;

/**
 * Validates a status and description and makes the payload of a close frame of them. 1005 makes an empty one.
 *
 * @throws TypeError if status is not a number or description not a string
 * @throws RangeError if status may not be sent, the description is too long, or 1005 has a description
 */
export function closePayload(status: number, description: string | undefined): Buffer {
  if (typeof status !== 'number') {
    throw new TypeError(`Cannot close: status is ${typeOf(status)}, must be a number`);
  }
  if (description !== undefined && typeof description !== 'string') {
    throw new TypeError(`Cannot close: description is ${typeOf(description)}, must be a string`);
  }
  if (status === WebSocketCloseStatus.Empty) {
    if (description) {
      throw new RangeError('Cannot close: status 1005 sends an empty close frame, which has no room for a description');
    }
    return NO_PAYLOAD;
  }
  if (!Number.isInteger(status) || !isCloseCode(status)) {
    throw new RangeError(
      `Cannot close: status is ${status}, must be 1000 to 1003, 1005 (no status), 1007 to 1014 or 3000 to 4999`,
    );
  }
  const length = description ? Buffer.byteLength(description) : 0;
  if (length > DESCRIPTION_LIMIT) {
    throw new RangeError(`Cannot close: description is ${length} bytes of UTF-8, must be at most ${DESCRIPTION_LIMIT}`);
  }
  const payload = Buffer.allocUnsafe(2 + length);
  payload.writeUInt16BE(status, 0);
  if (description) payload.write(description, 2);
  return payload;
}

/** The longest beginning of `text` that fits into a close frame, cut between two characters. */
export function fitDescription(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= DESCRIPTION_LIMIT) return text;
  let end = DESCRIPTION_LIMIT;
  while (!isUtf8(bytes.subarray(0, end))) end--;
  return bytes.toString('utf8', 0, end);
}
