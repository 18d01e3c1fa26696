import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { inEachBrowser, type Tab, type Visit, type Window } from './visit.js';

interface Trial {
  readonly experiment: string;
  /** What each side's lane must show, in this order; other entries may stand between. */
  readonly client: readonly RegExp[];
  readonly server: readonly RegExp[];
  /** What must stand above what, across the sides. */
  readonly causes: readonly (readonly [cause: RegExp, effect: RegExp])[];
}

/** Of every experiment. */
const HANDSHAKE = [
  [/^(new WebSocket|connects)/, /^accepted the connection/],
  [/^accepted the connection/, /^(open event|received HTTP\/1\.1 101)/],
] as const;

const trials: readonly Trial[] = [
  {
    experiment: 'closeAsync',
    client: [/^open event OPEN$/, /^close event: 1000 “done”, wasClean true CLOSED$/],
    server: [/^closeAsync\(1000, "done"\) (Open|CloseSent)$/, /^closeAsync resolved .* Closed$/],
    causes: [
      [/^closeAsync\(/, /^the browser acknowledges/],
      [/^the browser acknowledges/, /^closeAsync resolved/],
      [/^closeAsync resolved/, /^close event/],
    ],
  },
  {
    experiment: 'closeOutputAsync',
    client: [/^close event: 1000 “done”, wasClean true CLOSED$/],
    server: [/^closeOutputAsync resolved .* CloseSent$/, /^receiveAsync reported close 1000 “done” .* Closed$/],
    causes: [
      [/^closeOutputAsync\(/, /^the browser acknowledges/],
      [/^the browser acknowledges/, /^receiveAsync reported/],
      [/^receiveAsync reported/, /^close event/],
    ],
  },
  {
    experiment: 'sendConnectionClose',
    client: [/^close event: 1000 “done”, wasClean true CLOSED$/],
    server: [
      /^sendConnectionClose resolved .* CloseSent$/,
      /^readFragment reported connectionClose .* Closed$/,
      /^getCloseStatus\(\): 1000 “done” Closed$/,
    ],
    causes: [
      [/^sendConnectionClose\(/, /^the browser acknowledges/],
      [/^the browser acknowledges/, /^readFragment reported/],
    ],
  },
  {
    experiment: 'closeTcpConnection',
    client: [/^close event: 1006, wasClean false CLOSED$/],
    server: [
      /^closeTcpConnection\(\) Aborted$/,
      /^receiveAsync rejected .*: ERR_WEBSOCKET_OPERATION_ABORTED: .* Aborted$/,
    ],
    causes: [[/^closeTcpConnection\(/, /^close event/]],
  },
  {
    experiment: 'abort',
    client: [/^close event: 1006, wasClean false CLOSED$/],
    server: [/^abort\(\) Aborted$/, /^receiveAsync rejected .*: ERR_WEBSOCKET_OPERATION_ABORTED: .* Aborted$/],
    causes: [[/^abort\(/, /^close event/]],
  },
  {
    experiment: 'prompt',
    client: [/^close\(4001, "done here"\) CLOSING$/, /^close event: 4001 “done here”, wasClean true CLOSED$/],
    server: [/^receiveAsync reported close 4001 “done here” .* CloseReceived$/, /^closeAsync resolved .* Closed$/],
    causes: [
      [/^close\(4001/, /^receiveAsync reported/],
      [/^closeAsync\(/, /^close event/],
    ],
  },
  {
    experiment: 'slow',
    client: [/^close event: 4001 “done here”, wasClean true CLOSED$/],
    server: [/^finishes its work for 1500 ms .* CloseReceived$/, /^closeAsync resolved .* Closed$/],
    causes: [
      [/^close\(4001/, /^receiveAsync reported/],
      [/^closeAsync\(/, /^close event/],
    ],
  },
  {
    experiment: 'never',
    client: [/^close event: 4001 “done here”, wasClean true CLOSED$/],
    server: [/^does not acknowledge; .* CloseReceived$/, /^closed: 4001 “done here”, clean Closed$/],
    causes: [
      [/^close\(4001/, /^receiveAsync reported/],
      [/^closeTimeout is over/, /^close event/],
    ],
  },
  {
    experiment: 'late',
    client: [
      /^thinks about it/,
      /^sent a close frame: 1000 “done” CLOSING$/,
      /^TCP is closed; the close was clean CLOSED$/,
    ],
    server: [/^closeAsync resolved after [1-9]\d{3}\.\d ms Closed$/],
    causes: [
      [/^closeAsync\(/, /^received a close frame/],
      [/^sent a close frame/, /^closeAsync resolved/],
    ],
  },
  {
    experiment: 'talkative',
    client: [
      /^received a close frame/,
      /^sent the text “last” CLOSING$/,
      /^TCP is closed; the close was clean CLOSED$/,
    ],
    server: [
      /^closeOutputAsync resolved .* CloseSent$/,
      /^receiveAsync delivered “first” .* CloseSent$/,
      // The close frame comes right behind it, and may be there when a slow machine gets to look
      /^receiveAsync delivered “last” .* (CloseSent|Closed)$/,
      /^receiveAsync reported close 1000 “done” .* Closed$/,
    ],
    causes: [
      [/^closeOutputAsync\(/, /^received a close frame/],
      [/^sent the text “last”/, /^receiveAsync delivered “last”/],
    ],
  },
  {
    experiment: 'silent',
    client: [/^does not answer CLOSING$/, /^TCP is closed; the close was not clean CLOSED$/],
    server: [/^closeAsync rejected after [2-9]\d{3}\.\d ms: ERR_WEBSOCKET_CLOSE_TIMEOUT: .* Aborted$/],
    causes: [
      [/^closeAsync\(/, /^received a close frame/],
      [/^closeAsync rejected/, /^(TCP failed|the server’s FIN)/],
    ],
  },
  {
    experiment: 'crossing',
    client: [
      /^sent a close frame: 4001/,
      /^received a close frame: 1000 “done”/,
      /^TCP is closed; the close was clean CLOSED$/,
    ],
    server: [/^closeAsync resolved .* Closed$/],
    causes: [
      [/^sent a close frame/, /^closeAsync resolved/],
      [/^closeAsync\(/, /^received a close frame/],
    ],
  },
  {
    experiment: 'vanishing',
    client: [/^crashes: RST/],
    server: [/^receiveAsync rejected .*: ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY: .* Aborted$/],
    causes: [[/^crashes/, /^receiveAsync rejected/]],
  },
];

async function perform(tab: Tab, experiment: string): Promise<void> {
  await tab.click(`[data-experiment="${experiment}"]`);
  await tab.see('#state', 'finished');
}

/** The texts of a lane from top to bottom, each with the state at its end. */
async function lane(tab: Tab, side: 'client' | 'server'): Promise<string[]> {
  return tab.texts(`#events [data-side="${side}"] .what`);
}

function assertInOrder(lines: readonly string[], expected: readonly RegExp[]): void {
  let from = 0;
  for (const pattern of expected) {
    const found = lines.findIndex((line, index) => index >= from && pattern.test(line));
    assert.notEqual(found, -1, `${pattern} is missing after line ${from} of\n${lines.join('\n')}`);
    from = found + 1;
  }
}

async function visitLaboratory(t: TestContext, visit: Visit, window?: Window, experiment = ''): Promise<Tab> {
  const tab = await visit.open(t, `/close-laboratory${experiment}`, window);
  if (experiment === '') await tab.see('#state', 'ready');
  return tab;
}

inEachBrowser('the close laboratory', (visit) => {
  it('offers what the tests know', async (t) => {
    const tab = await visitLaboratory(t, visit);

    const offered = await tab.page.$$eval('[data-experiment]', (found) =>
      found.map((each) => each.getAttribute('data-experiment')),
    );
    assert.deepEqual(
      offered,
      trials.map(({ experiment }) => experiment),
    );
  });

  // Most of their time is waiting, so several run at once.
  describe('shows what both sides do and see, no effect above its cause', { concurrency: 5 }, () => {
    for (const { experiment, client, server, causes } of trials) {
      it(experiment, async (t) => {
        const tab = await visitLaboratory(t, visit, {}, `#${experiment}`);
        await tab.see('#state', 'finished');

        assertInOrder(await lane(tab, 'client'), client);
        assertInOrder(await lane(tab, 'server'), server);
        const all = await tab.texts('#events .what');
        for (const pair of [...HANDSHAKE, ...causes]) assertInOrder(all, pair);
        const times = (await tab.texts('#events .at')).map((time) => Number(time.replace('≤ ', '')));
        assert.deepEqual(
          times,
          times.toSorted((a, b) => a - b),
        );

        // The diagram says the same: one item for each entry, and an arrow for each of these causes at least.
        assert.equal((await tab.texts('.diagram [role="listitem"]')).length, all.length);
        assert.ok((await tab.texts('.diagram .message')).length >= causes.length);
      });
    }
  });

  it('refuses a code that may not be sent, and the handler’s end closes with 1000', async (t) => {
    const tab = await visitLaboratory(t, visit);
    await tab.fill('#code', '1006');
    await perform(tab, 'closeAsync');

    assertInOrder(await lane(tab, 'server'), [/^closeAsync rejected .*: RangeError: .* Open$/]);
    assertInOrder(await lane(tab, 'client'), [/^close event: 1000, wasClean true CLOSED$/]);
  });

  it('is used by keyboard alone, and keeps the focus on the button after a run', async (t) => {
    const tab = await visitLaboratory(t, visit);
    await tab.tabTo('[data-experiment="closeOutputAsync"]');
    await tab.press('Enter');
    await tab.see('#state', 'finished');

    assert.ok(await tab.hasFocus('[data-experiment="closeOutputAsync"]'));
    assert.equal(new URL(tab.page.url()).hash, '#closeOutputAsync');
    await tab.press('Tab', 'Enter');
    await tab.see('#experiment', 'sendConnectionClose');
    await tab.see('#state', 'finished');
    assert.ok(await tab.hasFocus('[data-experiment="sendConnectionClose"]'));
    // The same again: the lines of the run before are gone.
    await tab.page.$$eval('#events li', (lines) => {
      for (const line of lines) line.dataset.run = 'before';
    });
    await tab.press('Enter');
    await tab.page.waitForFunction(() => !document.querySelector('#events li[data-run="before"]'));
    await tab.see('#state', 'finished');
  });

  it('fits a phone: no sideways scrolling, the buttons stay in view, and long names break at underscores', async (t) => {
    for (const width of [320, 390]) {
      const tab = await visitLaboratory(t, visit, { width, height: 700 });
      await perform(tab, 'vanishing');

      assert.equal(await tab.overflow(), 0);
      const { top, bottom } = await tab.page.$eval('[data-experiment="vanishing"]', (button) => {
        const box = button.getBoundingClientRect();
        return { top: box.top, bottom: box.bottom };
      });
      assert.ok(top >= 0 && bottom <= 700, `The button is at ${top} to ${bottom}`);
      await tab.page.evaluate(() =>
        window.scrollTo(0, document.querySelector('#events li:last-child')?.getBoundingClientRect().bottom ?? 0),
      );
      const scrolled = await tab.page.$eval(
        '[data-experiment="vanishing"]',
        (button) => button.getBoundingClientRect().top,
      );
      assert.ok(scrolled >= 0 && scrolled < 200, `After scrolling the button is at ${scrolled}`);
      const tooWide = await tab.page.$$eval('#events .what, #events .pill, .trial .pill', (found) =>
        found.filter((each) => each.scrollWidth > each.clientWidth + 1).map((each) => each.textContent),
      );
      assert.deepEqual(tooWide, []);
      // A part between two places where a name may break stays on one line.
      const broken = await tab.page.$$eval('#events .text', (found) =>
        found.flatMap((each) =>
          [...each.childNodes]
            .filter((node) => node.nodeType === Node.TEXT_NODE)
            .flatMap((node) => [...(node.textContent ?? '').matchAll(/\S+/g)].map((word) => ({ node, word })))
            .filter(({ node, word }) => {
              const range = document.createRange();
              range.setStart(node, word.index);
              range.setEnd(node, word.index + word[0].length);
              const tops = [...range.getClientRects()].map((line) => line.top);
              return Math.max(...tops) - Math.min(...tops) > 5;
            })
            .map(({ word }) => word[0]),
        ),
      );
      assert.deepEqual(broken, []);
    }
  });

  it('keeps the lane header in view, and has no finding of axe after a run', async (t) => {
    const tab = await visitLaboratory(t, visit, { height: 500 });
    await perform(tab, 'talkative');
    await tab.page.$eval('#events li:last-child', (last) =>
      last.scrollIntoView({ block: 'center', behavior: 'instant' }),
    );

    const header = await tab.page.$eval('.lanes', (lanes) => lanes.getBoundingClientRect().top);
    assert.ok(header >= 0 && header < 500, `The header is at ${header}`);
    assert.deepEqual(await tab.violations(), []);
    await tab.screenshot(`close-laboratory-run-${visit.name}`);
  });
});
