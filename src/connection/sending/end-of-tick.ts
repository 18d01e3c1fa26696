import { eventLoop } from '../../event-loop.js';
import { forgetText } from './repeated-text.js';

/** What writes at the end of the tick what the tick has put together. */
export interface Flushable {
  flush(): void;
}

let unflushed: Flushable[] = [];

/** Flushes at the end of this tick: one callback for all connections. */
export function flushAtEndOfTick(target: Flushable): void {
  if (unflushed.push(target) === 1) eventLoop.nextTick(flushAll);
}

function flushAll(): void {
  const targets = unflushed;
  unflushed = [];
  let next = 0;
  try {
    for (const target of targets) {
      next++;
      target.flush();
    }
  } finally {
    forgetText();
    // A stream whose write throws is not to keep the others from theirs.
    if (next < targets.length) {
      unflushed = unflushed.concat(targets.slice(next));
      eventLoop.nextTick(flushAll);
    }
  }
}
