import assert from 'node:assert/strict';
import { it, type TestContext } from 'node:test';
import { inEachBrowser, type Tab, type Visit, type Window } from './visit.js';

interface Visitor {
  readonly room: string;
  readonly name: string;
  readonly window?: Window;
}

async function enter(t: TestContext, visit: Visit, { room, name, window = {} }: Visitor): Promise<Tab> {
  const tab = await visit.open(t, `/chat/${room}`, window);
  await tab.fill('#name', name);
  await tab.press('Enter');
  await tab.see('#state', 'connected');
  return tab;
}

async function say(tab: Tab, text: string): Promise<void> {
  await tab.fill('#say', text);
  await tab.press('Enter');
}

const heard = (tab: Tab, text: string) => tab.see('#log li', text);
const people = (tab: Tab) => tab.texts('#people li');

inEachBrowser('the chat page', (visit) => {
  it('asks for a name first, and shows no conversation before', async (t) => {
    const tab = await visit.open(t, '/chat/lobby');
    await tab.see('#name-card');

    assert.equal(await tab.isVisible('#chat'), false);
    await tab.fill('#name', 'Ada');
    await tab.press('Enter');
    await tab.see('#state', 'connected');
    assert.equal(await tab.isVisible('#name-card'), false);
    assert.ok(await tab.hasFocus('#say'));
  });

  it('keeps names in sessions, rooms apart and history for newcomers', async (t) => {
    const ada = await enter(t, visit, { room: 'engine', name: 'Ada' });
    await say(ada, 'Is anybody <b>there</b>?');
    await heard(ada, 'Is anybody <b>there</b>?');
    const grace = await enter(t, visit, { room: 'engine', name: 'Grace' });
    await heard(grace, 'Is anybody <b>there</b>?');
    await heard(ada, 'Grace came in');
    await ada.see('#people li', 'Grace');
    assert.deepEqual(await people(ada), ['Ada', 'Grace']);
    await say(grace, 'Here I am');
    await heard(ada, 'Here I am');

    // A second tab of the same browser is the same person.
    const secondTab = await visit.open(t, '/chat/engine', { beside: ada });
    await heard(secondTab, 'Here I am');
    await secondTab.see('#people li', 'Grace');
    assert.deepEqual(await people(secondTab), ['Ada', 'Grace']);
    await secondTab.page.close();

    await grace.page.goto(`${visit.demo.url}/chat/cellar`);
    await heard(grace, 'Grace came in');
    await heard(ada, 'Grace left');
    await say(grace, 'Nobody here');
    await heard(grace, 'Nobody here');
    assert.ok(!(await ada.texts('#log li')).some((line) => line.includes('Nobody here')));
  });

  it('does not claim to be connected while somebody thinks about a new name', async (t) => {
    const tab = await enter(t, visit, { room: 'names', name: 'Grace' });
    await tab.click('#rename');
    await tab.see('#name-card');

    assert.equal(await tab.isVisible('#chat'), false);
    assert.doesNotMatch((await tab.texts('#state')).join(), /^connected/);
    await tab.fill('#name', 'Admiral');
    await tab.press('Enter');
    await tab.see('#people li', 'Admiral');
    await tab.see('#state', /^connected/);
  });

  it('fits a phone and has no serious finding of axe with people in it', async (t) => {
    for (const isDark of visit.name === 'Chromium' ? [false, true] : [false]) {
      const window = { width: 320, height: 640, isDark };
      const tab = await enter(t, visit, { room: 'phones', name: 'Wolfeschlegelsteinhausen', window });
      await say(tab, 'a-very-long-word-'.repeat(12));
      await heard(tab, 'a-very-long-word');

      assert.equal(await tab.overflow(), 0);
      assert.deepEqual(await tab.violations(), []);
      await tab.screenshot(`chat-talk-${visit.name}-phone${isDark ? '-dark' : ''}`);
    }
  });

  it('says goodbye when the server drains', async (t) => {
    const tabs = [
      await enter(t, visit, { room: 'lobby', name: 'Ada' }),
      await enter(t, visit, { room: 'lobby', name: 'Grace' }),
    ];
    for (const tab of tabs) tab.expectMessages(/./);

    const goodbyes = tabs.map((tab) => tab.see('#state', 'server restarting'));
    const exit = await visit.demo.stop('SIGTERM');

    await Promise.all(goodbyes);
    assert.match(visit.demo.output(), /\{ closed: \d, aborted: 0 \}/);
    assert.deepEqual(exit, { code: 0, signal: null });
  });
});
