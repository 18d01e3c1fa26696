import { derive } from './deferred.js';

/** Whom each signal has to tell, with a single listener of its own. */
const waiting: WeakMap<AbortSignal, Set<() => void>> = new WeakMap();

/**
 * Calls back when `signal` fires. An application may give one signal to any number of operations: they share a listener,
 * so that adding and removing take constant time and Node does not warn of a leak.
 *
 * @returns a function that stops listening
 */
export function onAbort(signal: AbortSignal, callback: () => void): () => void {
  const callbacks = waiting.get(signal) ?? new Set();
  if (callbacks.size === 0) {
    waiting.set(signal, callbacks);
    signal.addEventListener('abort', tellAll, { once: true });
  }
  callbacks.add(callback);
  return () => {
    if (callbacks.delete(callback) && callbacks.size === 0) signal.removeEventListener('abort', tellAll);
  };
}

function tellAll(this: AbortSignal): void {
  // Only a signal that has some is listened to.
  for (const callback of waiting.get(this) as Set<() => void>) callback();
}

/** Calls `cancel` if the signal fires before `operation` has settled. */
export function whileUncancelled<T>(operation: Promise<T>, signal: AbortSignal, cancel: () => void): Promise<T> {
  const stopListening = onAbort(signal, cancel);
  return derive(
    operation,
    (value) => {
      stopListening();
      return value;
    },
    (reason) => {
      stopListening();
      throw reason;
    },
  );
}
