import { existsSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { type Browser, chromium } from 'playwright-core';

const executablePath = process.env.CHROMIUM_PATH ?? '/usr/bin/chromium';

/** A headless Chromium that ends with the test; without one the test is skipped, or fails where CI is set. */
export async function launchBrowser(t: TestContext): Promise<Browser | undefined> {
  if (!existsSync(executablePath)) {
    const message = `There is no browser at ${executablePath}: apt-get install chromium, or set CHROMIUM_PATH`;
    if (process.env.CI) throw new Error(message);
    console.error(`\n*** BROWSER TEST SKIPPED *** ${message}\n`);
    t.skip(message);
    return undefined;
  }
  const browser = await chromium.launch({
    executablePath,
    headless: true,
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
  t.after(() => browser.close());
  return browser;
}
