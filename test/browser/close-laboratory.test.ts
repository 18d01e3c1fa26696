import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.js';
import { startDemo } from '../support/demo.js';

interface Trial {
  readonly experiment: string;
  /** What each side's lane must show, in this order; other entries may stand between. */
  readonly client: readonly RegExp[];
  readonly server: readonly RegExp[];
}

const trials: readonly Trial[] = [
  {
    experiment: 'closeAsync',
    client: [/^open event OPEN$/, /^close event: 1000 “done”, wasClean true CLOSED$/],
    server: [/^closeAsync\(1000, "done"\) (Open|CloseSent)$/, /^closeAsync resolved .* Closed$/],
  },
  {
    experiment: 'closeOutputAsync',
    client: [/^close event: 1000 “done”, wasClean true CLOSED$/],
    server: [/^closeOutputAsync resolved .* CloseSent$/, /^receiveAsync reported close 1000 “done” .* Closed$/],
  },
  {
    experiment: 'sendConnectionClose',
    client: [/^close event: 1000 “done”, wasClean true CLOSED$/],
    server: [
      /^sendConnectionClose resolved .* CloseSent$/,
      /^readFragment reported connectionClose .* Closed$/,
      /^getCloseStatus\(\): 1000 “done” Closed$/,
    ],
  },
  {
    experiment: 'closeTcpConnection',
    client: [/^close event: 1006, wasClean false CLOSED$/],
    server: [
      /^closeTcpConnection\(\) Aborted$/,
      /^receiveAsync rejected .*: ERR_WEBSOCKET_OPERATION_ABORTED: .* Aborted$/,
    ],
  },
  {
    experiment: 'abort',
    client: [/^close event: 1006, wasClean false CLOSED$/],
    server: [/^abort\(\) Aborted$/, /^receiveAsync rejected .*: ERR_WEBSOCKET_OPERATION_ABORTED: .* Aborted$/],
  },
  {
    experiment: 'prompt',
    client: [/^close\(4001, "done here"\) CLOSING$/, /^close event: 4001 “done here”, wasClean true CLOSED$/],
    server: [/^receiveAsync reported close 4001 “done here” .* CloseReceived$/, /^closeAsync resolved .* Closed$/],
  },
  {
    experiment: 'slow',
    client: [/^close event: 4001 “done here”, wasClean true CLOSED$/],
    server: [/^finishes its work for 1500 ms .* CloseReceived$/, /^closeAsync resolved .* Closed$/],
  },
  {
    experiment: 'never',
    client: [/^close event: 4001 “done here”, wasClean true CLOSED$/],
    server: [/^does not acknowledge; .* CloseReceived$/, /^closed: 4001 “done here”, clean Closed$/],
  },
  {
    experiment: 'late',
    client: [
      /^thinks about it/,
      /^sent a close frame: 1000 “done” CLOSING$/,
      /^TCP is closed; the close was clean CLOSED$/,
    ],
    server: [/^closeAsync resolved after [1-9]\d{3}\.\d ms Closed$/],
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
      /^receiveAsync delivered “last” .* CloseSent$/,
      /^receiveAsync reported close 1000 “done” .* Closed$/,
    ],
  },
  {
    experiment: 'silent',
    client: [/^does not answer CLOSING$/, /^TCP is closed; the close was not clean CLOSED$/],
    server: [/^closeAsync rejected after [2-9]\d{3}\.\d ms: ERR_WEBSOCKET_CLOSE_TIMEOUT: .* Aborted$/],
  },
  {
    experiment: 'crossing',
    client: [
      /^sent a close frame: 4001/,
      /^received a close frame: 1000 “done”/,
      /^TCP is closed; the close was clean CLOSED$/,
    ],
    server: [/^closeAsync resolved .* Closed$/],
  },
  {
    experiment: 'vanishing',
    client: [/^crashes: RST/],
    server: [/^receiveAsync rejected .*: ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY: .* Aborted$/],
  },
];

async function perform(page: Page, experiment: string): Promise<void> {
  await page.locator(`[data-experiment="${experiment}"]`).click();
  await page.locator('#state').getByText('finished').waitFor();
}

/** The texts of a lane from top to bottom, each with the state at its end. */
async function lane(page: Page, side: 'client' | 'server'): Promise<string[]> {
  const entries = await page.locator(`#events [data-side="${side}"] .what`).all();
  return Promise.all(entries.map(async (entry) => (await entry.locator('span').allTextContents()).join(' ')));
}

function assertInOrder(lines: readonly string[], expected: readonly RegExp[]): void {
  let from = 0;
  for (const pattern of expected) {
    const found = lines.findIndex((line, index) => index >= from && pattern.test(line));
    assert.notEqual(found, -1, `${pattern} is missing after line ${from} of\n${lines.join('\n')}`);
    from = found + 1;
  }
}

describe('the close laboratory in a browser', () => {
  it('shows what both sides do and see in each experiment', async (t) => {
    const browser = await launchBrowser(t);
    if (!browser) return;
    const { url, output } = await startDemo(t);
    const page = await browser.newPage();
    await page.goto(`${url}/close-laboratory`);
    await page.locator('#state').getByText('ready').waitFor();
    const offered = await page
      .locator('[data-experiment]')
      .evaluateAll((buttons) => buttons.map((button) => button.getAttribute('data-experiment')));
    assert.deepEqual(
      offered,
      trials.map(({ experiment }) => experiment),
    );

    for (const { experiment, client, server } of trials) {
      await t.test(experiment, async () => {
        await perform(page, experiment);

        assertInOrder(await lane(page, 'client'), client);
        assertInOrder(await lane(page, 'server'), server);
        const times = await page.locator('#events .at').allTextContents();
        assert.deepEqual(
          times.map(Number),
          times.map(Number).sort((a, b) => a - b),
        );
      });
    }

    await t.test('a code that may not be sent is refused, and the handler’s end closes with 1000', async () => {
      await page.getByLabel('Close code').fill('1006');
      await perform(page, 'closeAsync');

      assertInOrder(await lane(page, 'server'), [/^closeAsync rejected .*: RangeError: .* Open$/]);
      assertInOrder(await lane(page, 'client'), [/^close event: 1000, wasClean true CLOSED$/]);
    });
    assert.doesNotMatch(output(), /error/i);
  });
});
