import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, it } from 'node:test';
import { launchBrowser } from '../support/browser.js';
import { startDemo } from '../support/demo.js';

describe('the echo page in a browser', () => {
  it('gets text, bytes and files back unchanged, and the close acknowledged', async (t) => {
    const browser = await launchBrowser(t);
    if (!browser) return;
    const { url } = await startDemo(t);
    const page = await browser.newPage();
    const problems: string[] = [];
    page.on('console', (message) => message.type() === 'error' && problems.push(message.text()));
    page.on('pageerror', (error) => problems.push(error.message));
    await page.goto(`${url}/echo`);
    const state = page.locator('#state');
    const lines = page.locator('#log li');
    await state.getByText('open', { exact: true }).waitFor();

    await page.getByLabel('Text').fill('grüß Gott 👋');
    await page.getByRole('button', { name: 'Send text' }).click();
    await lines.filter({ hasText: '←' }).filter({ hasText: 'grüß Gott 👋' }).filter({ hasText: 'identical' }).waitFor();

    await page.getByLabel('Random bytes').fill('3000000');
    await page.getByRole('button', { name: 'Send bytes' }).click();
    await lines.filter({ hasText: '3,000,000 B · identical' }).waitFor();
    // The server passed it on in more than one part, none of them the whole.
    await lines.filter({ hasText: /Server: 3,000,000 bytes in [\d,]+ parts/ }).waitFor();

    await page.getByLabel('Random bytes').fill('0');
    await page.getByRole('button', { name: 'Send bytes' }).click();
    await lines
      .filter({ hasText: '←' })
      .filter({ hasText: /0 B · identical/ })
      .nth(1)
      .waitFor();

    const file = { name: 'noise.bin', mimeType: 'application/octet-stream', buffer: randomBytes(123_456) };
    await page.getByLabel('File').setInputFiles(file);
    await page.getByRole('button', { name: 'Send file' }).click();
    await lines.filter({ hasText: '123,456 B · identical' }).waitFor();
    assert.equal(await lines.filter({ hasText: 'DIFFERENT' }).count(), 0);

    await page.getByRole('button', { name: 'Close' }).click();
    await state.getByText('closed 1000').waitFor();
    await lines.filter({ hasText: 'Closed with 1000 “enough”, clean' }).waitFor();
    await page.getByRole('button', { name: 'Connect' }).click();
    await state.getByText('open', { exact: true }).waitFor();
    assert.deepEqual(problems, []);
  });
});
