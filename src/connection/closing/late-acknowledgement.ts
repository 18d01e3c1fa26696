import { warnOnce } from '../../warn-once.js';

/** Tells, once in a process, that an application has left a client's close unanswered for as long as it may. */
export function warnOfLateAcknowledgement(closeTimeout: number): void {
  warnOnce(
    `The close of a client has waited closeTimeout, ${closeTimeout} ms, for its acknowledgement: the application has read ` +
      'from it, or asked for socket.closing, and has neither returned from its handler nor closed since. Loop while socket.closing has not fired, and return or call closeAsync then; ' +
      'or read on to the end; or await socket.closed, which lets the close be acknowledged',
    { type: 'WebSocketCloseWarning', code: 'WEBSOCKET_LATE_ACKNOWLEDGEMENT' },
  );
}
