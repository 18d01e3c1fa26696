import type { IncomingMessage, ServerResponse } from 'node:http';
import finalhandler from 'finalhandler';
import createError from 'http-errors';

/**
 * The refusal of those who come while an instance is being closed. There is one for each client that reconnects too early,
 * and nobody can do anything about it: it is answered where it arises, past error middleware and logs.
 */
export function farewell(): Error {
  const error = createError(503, 'Cannot accept WebSocket: the server is shutting down', {
    headers: { Connection: 'close' },
  });
  return Object.defineProperty(error, mark, { value: true });
}

// In the global registry, because an instance of one build may stand in an application that the other has attached.
const mark: unique symbol = Symbol.for('websocket-context.farewell');

/** Whether `error` is a {@link farewell}. */
export function isFarewell(error: unknown): boolean {
  return typeof error === 'object' && error !== null && mark in error;
}

/** Answers with a {@link farewell}, on the response of the application and with its headers. */
export function bidFarewell(req: IncomingMessage, res: ServerResponse, error: unknown): void {
  // Without the stack that applications under development send
  finalhandler(req, res, { env: 'production' })(error);
}
