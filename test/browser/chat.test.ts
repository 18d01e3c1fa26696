import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { Page } from 'playwright-core';
import { launchBrowser } from '../support/browser.js';
import { startDemo } from '../support/demo.js';

async function enter(page: Page, address: string, name: string): Promise<void> {
  await page.goto(address);
  await page.getByLabel('Name').fill(name);
  await page.getByRole('button', { name: 'Enter the room' }).click();
  await page.locator('#state').getByText('connected').waitFor();
}

async function say(page: Page, text: string): Promise<void> {
  await page.getByLabel('Message').fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
}

const heard = (page: Page, text: string) => page.locator('#log li').filter({ hasText: text }).waitFor();
const people = (page: Page) => page.locator('#people li').allTextContents();

describe('the chat page in a browser', () => {
  it('keeps names in sessions, rooms apart and history for newcomers, and says goodbye when the server drains', async (t) => {
    const browser = await launchBrowser(t);
    if (!browser) return;
    const demo = await startDemo(t);
    const [adasBrowser, gracesBrowser] = [await browser.newContext(), await browser.newContext()];
    const ada = await adasBrowser.newPage();
    const grace = await gracesBrowser.newPage();

    await enter(ada, `${demo.url}/chat/lobby`, 'Ada');
    await say(ada, 'Is anybody <b>there</b>?');
    await heard(ada, 'Is anybody <b>there</b>?');
    await enter(grace, `${demo.url}/chat/lobby`, 'Grace');
    await heard(grace, 'Is anybody <b>there</b>?');
    await heard(ada, 'Grace came in');
    assert.deepEqual(await people(ada), ['Ada', 'Grace']);
    await say(grace, 'Here I am');
    await heard(ada, 'Here I am');

    // A second tab of the same browser is the same person.
    const secondTab = await adasBrowser.newPage();
    await secondTab.goto(`${demo.url}/chat/lobby`);
    await heard(secondTab, 'Here I am');
    assert.deepEqual(await people(secondTab), ['Ada', 'Grace']);
    await secondTab.close();

    await grace.goto(`${demo.url}/chat/cellar`);
    await heard(grace, 'Grace came in');
    await heard(ada, 'Grace left');
    await say(grace, 'Nobody here');
    await heard(grace, 'Nobody here');
    assert.equal(await ada.locator('#log li').filter({ hasText: 'Nobody here' }).count(), 0);

    await grace.getByRole('button', { name: 'Change' }).click();
    await grace.getByLabel('Name').fill('Admiral');
    await grace.getByRole('button', { name: 'Enter the room' }).click();
    await grace.locator('#people li', { hasText: 'Admiral' }).waitFor();

    const exit = await demo.stop('SIGTERM');
    for (const page of [ada, grace]) await page.locator('#state').getByText('server restarting').waitFor();
    assert.match(demo.output(), /\{ closed: 2, aborted: 0 \}/);
    assert.deepEqual(exit, { code: 0, signal: null });
  });
});
