import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { inEachBrowser } from './visit.js';

const pages = [
  '/',
  '/stream',
  '/broadcast',
  '/echo',
  '/chat/lobby',
  '/close-laboratory',
  '/README.md',
  '/docs/topics/close-handshake.md',
];
const desktop = { width: 1280, height: 900 };
const phone = { width: 320, height: 640 };
const wall = { width: 2560, height: 1440 };

inEachBrowser('each page', (visit) => {
  for (const path of pages) {
    describe(`${path} has no serious finding of axe, fits every width and says nothing on the console`, () => {
      for (const [name, window] of Object.entries({ desktop, phone, wall })) {
        for (const isDark of visit.name === 'Chromium' && name !== 'wall' ? [false, true] : [false]) {
          it(`${name}${isDark ? ', dark' : ''}`, async (t) => {
            const tab = await visit.open(t, path, { ...window, isDark });
            await tab.see('h1');

            assert.equal(await tab.overflow(), 0, 'It scrolls sideways');
            if (name !== 'wall') assert.deepEqual(await tab.violations(), []);
            const file = path.replaceAll(/\W+/g, '-').replace(/^-/, '') || 'start';
            await tab.screenshot(`${file}-${visit.name}-${name}${isDark ? '-dark' : ''}`);
          });
        }
      }
    });
  }

  it('begins with a link to the content, the first thing that the keyboard finds', async (t) => {
    const tab = await visit.open(t, '/');
    await tab.press('Tab');
    assert.ok(await tab.hasFocus('a.skip'));
    assert.ok(await tab.isVisible('a.skip'));
  });

  it('has its header in line with its content, scrollbar or not', async (t) => {
    const tab = await visit.open(t, '/close-laboratory');
    const left = (selector: string) => tab.page.$eval(selector, (element) => element.getBoundingClientRect().left);
    assert.equal(await left('.brand'), await left('h1'));
  });

  it('shows the code that runs behind it', async (t) => {
    const tab = await visit.open(t, '/echo');
    await tab.see('.code-behind .code', 'export async function echo(socket: WebSocketContext)');
    assert.ok((await tab.texts('.code-behind .token-keyword')).length > 10);
  });

  it('leads back from an address where there is nothing', async (t) => {
    const tab = await visit.open(t, '/nowhere');
    tab.expectMessages(/404/);
    await tab.see('h1', '404');
    assert.deepEqual(await tab.violations(), []);
    await tab.screenshot(`not-found-${visit.name}`);
    await tab.click('main a[href="/"]');
    await tab.see('h1', /^(?!404)/);
  });
});
