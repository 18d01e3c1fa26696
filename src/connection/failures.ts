import { HRESULT_HANDLE_EOF, WebSocketError, type WebSocketErrorOptions } from '../errors.js';
import { canSend, stateName, type WebSocketState } from './state.js';

/** Errors that are of the application's making alone, whatever the peer does. */
const mistakes = new WeakSet<WebSocketError>();

/** Marks an error that no peer can bring about, although its code says what became of the connection. */
export function mistake(error: WebSocketError): WebSocketError {
  mistakes.add(error);
  return error;
}

/** Whether an error is a mistake of the application, which no peer can bring about. */
export function isMistake(error: WebSocketError): boolean {
  return mistakes.has(error);
}

/** What an operation is called in messages. */
export type Operation = 'send' | 'receive' | 'close' | 'ping' | 'add to a group';

/** What an operation has found. */
interface Found {
  readonly state: WebSocketState;
  readonly isHandedOver: boolean;
  readonly isCloseQueued: boolean;
}

/** An operation that is not possible any more. */
export function notOpenFor(operation: Operation, found: Found): WebSocketError {
  const { state, isHandedOver, isCloseQueued } = found;
  let what = `state is ${stateName(state)}`;
  if (isHandedOver) what = 'it has been handed over to ws';
  else if (isCloseQueued && canSend(state)) what = 'a close frame has been queued';
  const needed = operation === 'close' ? 'must not be Aborted' : 'must be Open or CloseReceived';
  const error = new WebSocketError('ERR_WEBSOCKET_INVALID_STATE', `Cannot ${operation}: ${what}, ${needed}`);
  return isHandedOver ? mistake(error) : error;
}

/** A read while another one waits. */
export function receiveInProgress(): WebSocketError {
  return mistake(
    new WebSocketError(
      'ERR_WEBSOCKET_RECEIVE_IN_PROGRESS',
      'Cannot receive: another receive is pending, must have settled before the next one',
    ),
  );
}

/** A read behind the end of input, which has been reported: the peer's close, or an error. */
export function nothingToReceive(end: 'close' | WebSocketError): WebSocketError {
  return end === 'close'
    ? new WebSocketError(
        'ERR_WEBSOCKET_INVALID_STATE',
        'Cannot receive: the close of the peer has been received, state must be Open or CloseSent',
      )
    : new WebSocketError('ERR_WEBSOCKET_INVALID_STATE', 'Cannot receive: state is Aborted, must be Open or CloseSent', {
        cause: end,
      });
}

/** A hand-over to `ws` that comes too late, or too early. */
export function handOverRefused(found: string): WebSocketError {
  return new WebSocketError(
    'ERR_WEBSOCKET_INVALID_STATE',
    `Cannot hand the connection over to ws: ${found}, must be Open, not read from and nothing waiting to be sent`,
  );
}

/** The application has ended what was pending. */
export function operationAborted(why: string): WebSocketError {
  return new WebSocketError('ERR_WEBSOCKET_OPERATION_ABORTED', `Operation aborted: ${why}`);
}

/** TCP is gone, because of `cause` if there is one. */
export function connectionLost(cause: Error | undefined): WebSocketError {
  return lost('the peer dropped the TCP connection without a close frame', cause && { cause });
}

/** The peer has ended its half of TCP where a close frame is due. */
export function connectionEnded(): WebSocketError {
  return lost('the peer ended the TCP connection without a close frame', { hresult: HRESULT_HANDLE_EOF });
}

/** Nothing has come for `silence` ms, although a ping was sent `timeout` ms ago. */
export function peerSilent(silence: number, timeout: number): WebSocketError {
  return lost(
    `the peer has been silent for ${Math.round(silence)} ms and has not answered a ping within keepAliveTimeout, which is ${timeout} ms`,
  );
}

/**
 * An error without a stack: no line of the application leads to it, and those of the library took 11 us, which counts
 * when thousands of connections are lost at once.
 */
function lost(how: string, options?: WebSocketErrorOptions): WebSocketError {
  const { stackTraceLimit } = Error;
  // Where errors are frozen it has a stack after all.
  Reflect.set(Error, 'stackTraceLimit', 0);
  const error = new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', `Connection lost: ${how}`, options);
  Reflect.set(Error, 'stackTraceLimit', stackTraceLimit);
  return error;
}

/** The stream has thrown instead of writing. */
export function writeFailed(cause: unknown): WebSocketError {
  return new WebSocketError(
    'ERR_WEBSOCKET_OPERATION_ABORTED',
    `Cannot send: the stream of the connection threw (${String(cause)}); the connection was aborted`,
    { cause },
  );
}

/** The rest of a message that was begun in compressed form cannot be sent. */
export function compressionBroken(cause: Error): WebSocketError {
  return new WebSocketError(
    'ERR_WEBSOCKET_OPERATION_ABORTED',
    `Cannot send: the rest of the message could not be compressed (${cause.message}); the connection was aborted`,
    { cause },
  );
}

/** More waits for a slow peer than may. */
export function sendBufferFull(waiting: number, limit: number): WebSocketError {
  return new WebSocketError(
    'ERR_WEBSOCKET_SEND_BUFFER_FULL',
    `Cannot send: ${waiting} bytes are waiting to be sent, more than sendBufferLimit, which is ${limit}; the connection was aborted. Await sendAsync to follow the pace of the peer`,
  );
}
