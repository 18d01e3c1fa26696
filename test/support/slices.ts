import type { TestContext } from 'node:test';

/** Has the event loop go round behind each look at the clock: when somebody has been written to for the 16th time. */
export function endSlices(t: TestContext): void {
  let now = 0;
  t.mock.method(performance, 'now', () => {
    now += 100;
    return now;
  });
}
