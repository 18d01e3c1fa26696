import type { LiveConnection } from '../connection/connection.js';
import type { ReadKind } from '../connection/receiving/reads.js';
import { type Enumeration, enumeration, type MemberOf } from '../enumeration.js';

/** Types of a message, with the numbers of `System.Net.WebSockets.WebSocketMessageType`. */
export const WebSocketMessageType: Enumeration<{ Text: 0; Binary: 1; Close: 2 }> = enumeration({
  Text: 0,
  Binary: 1,
  Close: 2,
});

/** A member of {@link WebSocketMessageType}: its number. */
export type WebSocketMessageType = MemberOf<typeof WebSocketMessageType>;

/** What `receiveAsync` has received. Corresponds to `WebSocketReceiveResult`. */
export interface ReceiveResult {
  /** The bytes: the filled part of the buffer, or what has arrived. */
  readonly data: Buffer;
  /** How many bytes there are. */
  readonly count: number;
  /** Text, Binary, or Close at the peer's close. */
  readonly messageType: WebSocketMessageType;
  /** Whether the message ends with the last of these bytes. */
  readonly endOfMessage: boolean;
  /** Status of the peer's close, with messageType Close. */
  readonly closeStatus?: number | undefined;
  /** Description of the peer's close, with messageType Close. */
  readonly closeStatusDescription?: string | undefined;
}

/** What `readFragment` has read. */
export interface FragmentReadResult {
  /** The bytes: the filled part of the buffer, or what has arrived. */
  readonly data: Buffer;
  /** How many bytes there are. */
  readonly count: number;
  /** Whether they belong to a text message. */
  readonly utf8Encoded: boolean;
  /** Whether the message ends with the last of them. */
  readonly finalFragment: boolean;
  /** Whether it is the peer's close; see `getCloseStatus`. */
  readonly connectionClose: boolean;
}

/**
 * Called when an operation of the IIS style has ended, exactly once and always after the call has returned. Corresponds
 * to `PFN_WEBSOCKET_COMPLETION`.
 *
 * @param error `undefined` for success; its `hresult` is what IIS reports
 * @param completionContext what the caller passed, untouched
 * @param bytes how many were read or written
 * @param utf8Encoded whether they belong to a text message
 * @param finalFragment whether the message ends with them
 * @param close whether the peer's close was read
 */
export type CompletionCallback<C = unknown> = (
  error: Error | undefined,
  completionContext: C,
  bytes: number,
  utf8Encoded: boolean,
  finalFragment: boolean,
  close: boolean,
) => void;

const NO_DATA = Buffer.alloc(0);

/** Reads a fragment the way `receiveAsync` reports it. */
export function receiveKind(into: Uint8Array | undefined, connection: LiveConnection): ReadKind<ReceiveResult> {
  return {
    take: (pieces) => {
      const fragment = pieces.takeFragment(into);
      if (fragment === undefined) return undefined;
      const { data, text, endOfMessage } = fragment;
      const messageType = text ? WebSocketMessageType.Text : WebSocketMessageType.Binary;
      return { data, count: data.length, messageType, endOfMessage };
    },
    atClose: () => {
      const { closeStatus, closeStatusDescription } = connection;
      const messageType = WebSocketMessageType.Close;
      return { data: NO_DATA, count: 0, messageType, endOfMessage: true, closeStatus, closeStatusDescription };
    },
    wantsMessage: false,
    closeRepeats: false,
  };
}

/** Reads a fragment the way `readFragment` reports it. */
export function fragmentKind(into: Uint8Array | undefined): ReadKind<FragmentReadResult> {
  return {
    take: (pieces) => {
      const fragment = pieces.takeFragment(into);
      if (fragment === undefined) return undefined;
      const { data, text, endOfMessage } = fragment;
      return { data, count: data.length, utf8Encoded: text, finalFragment: endOfMessage, connectionClose: false };
    },
    atClose: () => ({ data: NO_DATA, count: 0, utf8Encoded: false, finalFragment: true, connectionClose: true }),
    wantsMessage: false,
    closeRepeats: false,
  };
}

/** Who is told of the outcome of an operation, and what. */
interface Completion<T, C> {
  readonly completion: CompletionCallback<C>;
  readonly completionContext: C;
  readonly report: (
    result: T,
  ) => readonly [bytes: number, utf8Encoded: boolean, finalFragment: boolean, close: boolean];
  /** Gets what `completion` throws. */
  readonly onError: (error: unknown) => void;
}

/** Calls `completion` with the outcome of `operation`. */
export function complete<T, C>(
  operation: Promise<T>,
  { completion, completionContext, report, onError }: Completion<T, C>,
): void {
  operation
    .then(
      (result) => completion(undefined, completionContext, ...report(result)),
      (error: Error) => completion(error, completionContext, 0, false, false, false),
    )
    .catch(onError);
}
