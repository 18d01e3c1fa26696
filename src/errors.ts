/** Every `code` that a {@link WebSocketError} can carry. */
export type WebSocketErrorCode =
  | 'ERR_WEBSOCKET_INVALID_STATE'
  | 'ERR_WEBSOCKET_RECEIVE_IN_PROGRESS'
  | 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'
  | 'ERR_WEBSOCKET_FAULTED'
  | 'ERR_WEBSOCKET_MESSAGE_TOO_BIG'
  | 'ERR_WEBSOCKET_OPERATION_ABORTED'
  | 'ERR_WEBSOCKET_CLOSE_TIMEOUT'
  | 'ERR_WEBSOCKET_SEND_BUFFER_FULL'
  | 'ERR_WEBSOCKET_NOT_ATTACHED'
  | 'ERR_WEBSOCKET_INVALID_MESSAGE';

// System.Net.WebSockets.WebSocketError members that the codes stand for.
const FAULTED = 2;
const NATIVE_ERROR = 3;
const NOT_A_WEB_SOCKET = 4;
const CONNECTION_CLOSED_PREMATURELY = 8;
const INVALID_STATE = 9;

/** .NET number and, where IIS has one, the unsigned HRESULT of each code. */
const numbers: Readonly<Record<WebSocketErrorCode, readonly [webSocketErrorCode: number, hresult?: number]>> = {
  ERR_WEBSOCKET_INVALID_STATE: [INVALID_STATE],
  // E_INVALID_PROTOCOL_OPERATION
  ERR_WEBSOCKET_RECEIVE_IN_PROGRESS: [INVALID_STATE, 0x83760001],
  // ERROR_CONNECTION_INVALID; an orderly FIN without a close frame carries ERROR_HANDLE_EOF instead
  ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY: [CONNECTION_CLOSED_PREMATURELY, 0x800704cd],
  // E_INVALID_PROTOCOL_FORMAT
  ERR_WEBSOCKET_FAULTED: [FAULTED, 0x83760002],
  ERR_WEBSOCKET_MESSAGE_TOO_BIG: [FAULTED],
  // ERROR_OPERATION_ABORTED
  ERR_WEBSOCKET_OPERATION_ABORTED: [NATIVE_ERROR, 0x800703e3],
  // ERROR_TIMEOUT
  ERR_WEBSOCKET_CLOSE_TIMEOUT: [NATIVE_ERROR, 0x800705b4],
  ERR_WEBSOCKET_SEND_BUFFER_FULL: [NATIVE_ERROR],
  ERR_WEBSOCKET_NOT_ATTACHED: [NOT_A_WEB_SOCKET],
  ERR_WEBSOCKET_INVALID_MESSAGE: [FAULTED],
};

/** HRESULT of a stream that ended (FIN) without a close frame: ERROR_HANDLE_EOF. */
export const HRESULT_HANDLE_EOF = 0x80070026;

// One process may have two copies of the package; a brand in the global symbol registry lets `instanceof` recognise the
// errors of either.
const brand = Symbol.for('websocket-context.WebSocketError');

/** What a {@link WebSocketError} can be given beside its code and message. */
export interface WebSocketErrorOptions {
  /** The error that led to this one. */
  readonly cause?: unknown;
  /** Overrides the HRESULT that belongs to the code. */
  readonly hresult?: number;
}

/**
 * Failure of an operation on a WebSocket that its caller could not have avoided by passing other arguments
 * (those are `TypeError` and `RangeError`). Corresponds to `System.Net.WebSockets.WebSocketException`.
 *
 * `instanceof WebSocketError` holds for errors of every copy of the package that a process has.
 *
 * @example
 * ```ts
 * import { WebSocketError } from 'websocket-context';
 *
 * try {
 *   await socket.sendAsync('hello');
 * } catch (error) {
 *   if (!(error instanceof WebSocketError)) throw error;
 *   if (error.code !== 'ERR_WEBSOCKET_INVALID_STATE') console.log(error.code, error.message);
 * }
 * ```
 */
export class WebSocketError extends Error {
  /** Which failure it is; stable, meant for `switch`. */
  readonly code: WebSocketErrorCode;
  /** The member of `System.Net.WebSockets.WebSocketError` that corresponds to {@link code}, 0 to 9. */
  readonly webSocketErrorCode: number;
  /** The unsigned HRESULT that IIS reports in the same situation, `undefined` where IIS has none. */
  readonly hresult: number | undefined;

  constructor(code: WebSocketErrorCode, message: string, options: WebSocketErrorOptions = {}) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    const [webSocketErrorCode, hresult] = numbers[code];
    this.code = code;
    this.webSocketErrorCode = webSocketErrorCode;
    this.hresult = options.hresult ?? hresult;
  }

  /** Holds for the errors of all copies of the package. @internal */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === 'object' && value !== null && brand in value;
  }
}

Object.defineProperties(WebSocketError.prototype, {
  name: { value: 'WebSocketError', configurable: true, writable: true },
  [brand]: { value: true },
});
