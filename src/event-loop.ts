import timers from 'node:timers';

/**
 * The queues of the event loop as they were when the library was loaded. Fake timers of a test stop the time, on which
 * `closeTimeout` and the others depend; those of jest would stop `nextTick` as well, and with it every byte. An object, so
 * that the library's own tests can look into it.
 */
export const eventLoop: {
  readonly nextTick: typeof process.nextTick;
  readonly setImmediate: typeof timers.setImmediate;
  /** For limits in real time; everything else wants the timers of the moment. */
  readonly setTimeout: typeof timers.setTimeout;
  readonly clearTimeout: typeof timers.clearTimeout;
} = {
  nextTick: process.nextTick,
  setImmediate: timers.setImmediate,
  setTimeout: timers.setTimeout,
  clearTimeout: timers.clearTimeout,
};
