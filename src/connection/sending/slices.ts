import { performance } from 'node:perf_hooks';
import { eventLoop } from '../../event-loop.js';

/** For how long, in ms, writing to the members of groups may keep the event loop from all other work. */
const SLICE = 10;
/** The clock is looked at once for so many turns. */
const TURNS_PER_LOOK = 16;

/** Who writes what was put together for members of groups. */
export interface SliceTarget {
  /** Writes to one member. */
  onSlice(): void;
  /** Whether it wants another turn before the next one has his. */
  readonly hasMore?: boolean;
}

/** Whose turn comes, in order; up to {@link next} they have had it. */
let waiting: SliceTarget[] = [];
let next = 0;
/** How many have had their turn and are not in {@link waiting} any more. */
let forgotten = 0;
/** Who wants to know when the first so many have had their turn. */
const watchers: { readonly count: number; readonly resolve: () => void }[] = [];

/**
 * Flushes at the end of this tick, and later where there are too many for one go: the event loop goes round after each
 * slice of 10 ms. First come, first served.
 */
export function flushInSlices(target: SliceTarget): void {
  if (waiting.push(target) === 1) eventLoop.nextTick(flushSlice);
}

/** The same for many, whose array is not theirs any more. */
export function flushAllInSlices(targets: SliceTarget[]): void {
  if (targets.length === 0) return;
  if (waiting.length === 0) eventLoop.nextTick(flushSlice);
  waiting = waiting.length === 0 ? targets : waiting.concat(targets);
}

/** Resolves when everybody who waits for a flush in slices has had it. */
export function whenSlicesAreDone(): Promise<void> {
  const count = forgotten + waiting.length;
  if (next === waiting.length) return Promise.resolve();
  return new Promise((resolve) => {
    watchers.push({ count, resolve });
  });
}

function flushSlice(): void {
  const end = performance.now() + SLICE;
  try {
    for (let turns = 1; next < waiting.length; turns++) {
      const target = waiting[next] as SliceTarget;
      try {
        target.onSlice();
      } finally {
        if (target.hasMore !== true) next++;
      }
      if (turns % TURNS_PER_LOOK === 0 && performance.now() >= end) break;
    }
  } finally {
    // A stream whose write throws is not to keep the others from theirs.
    finishSlice();
  }
}

function finishSlice(): void {
  const isDone = next === waiting.length;
  // Now and then: to copy a long array behind each slice takes as much time again.
  if (isDone || 2 * next >= waiting.length) {
    forgotten += next;
    waiting = waiting.slice(next);
    next = 0;
  }
  const count = forgotten + next;
  // Not one by one: to shift a long array takes as long as it is.
  const pending = watchers.findIndex((watcher) => watcher.count > count);
  for (const { resolve } of watchers.splice(0, pending === -1 ? watchers.length : pending)) resolve();
  if (!isDone) eventLoop.setImmediate(flushSlice);
}
