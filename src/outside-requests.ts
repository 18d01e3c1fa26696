import { AsyncResource } from 'node:async_hooks';

/** Says of itself, for what looks for open handles (jest does), that it keeps no process alive. */
class Outside extends AsyncResource {
  hasRef(): boolean {
    return false;
  }
}

// Modules are loaded before there are requests.
const outside = new Outside('websocket-context');

/**
 * Makes what all connections share (timers, pooled codecs) in the asynchronous context of no request. It would otherwise
 * show the `AsyncLocalStorage` of whoever needed it first to everybody else, and keep it for as long as the process runs.
 */
export function outsideRequests<T>(make: () => T): T {
  return outside.runInAsyncScope(make);
}
