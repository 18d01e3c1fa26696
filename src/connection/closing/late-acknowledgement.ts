// In the global registry, because one process may load the ESM and the CommonJS build.
const warned: symbol = Symbol.for('websocket-context.lateAcknowledgement');

/** Tells, once in a process, that an application has left a client's close unanswered for as long as it may. */
export function warnOfLateAcknowledgement(closeTimeout: number): void {
  if (Reflect.has(globalThis, warned)) return;
  Reflect.set(globalThis, warned, true);
  process.emitWarning(
    `The close of a client has waited closeTimeout, ${closeTimeout} ms, for its acknowledgement: the application has read ` +
      'from it, or asked for socket.closing, and has neither returned from its handler nor closed since. Loop while socket.closing has not fired, and return or call closeAsync then; ' +
      'or read on to the end; or await socket.closed, which lets the close be acknowledged',
    { type: 'WebSocketCloseWarning', code: 'WEBSOCKET_LATE_ACKNOWLEDGEMENT' },
  );
}
