import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachBrowser } from './visit.js';

inEachBrowser('the echo page', (visit) => {
  it('gets text and bytes back unchanged, and the close acknowledged', async (t) => {
    const tab = await visit.open(t, '/echo');
    await tab.see('#state', /^open$/);

    await tab.fill('#text', 'grüß Gott 👋');
    await tab.press('Enter');
    await tab.see('#log li', /←grüß Gott 👋.*identical/);

    await tab.fill('#size', '3000000');
    await tab.press('Enter');
    await tab.see('#log li', /3,000,000 B · identical/);
    // The server passed it on in more than one part, none of them the whole.
    await tab.see('#log li', /Server: 3,000,000 bytes in [\d,]+ parts/);

    await tab.fill('#size', '0');
    await tab.press('Enter');
    await tab.see('#log li', /←binary *0 B · identical/);
    assert.ok(!(await tab.texts('#log li')).some((line) => line.includes('DIFFERENT')));

    await tab.click('#disconnect');
    await tab.see('#state', 'closed 1000');
    await tab.see('#log li', 'Closed with 1000 “enough”, clean');
    await tab.click('#connect');
    await tab.see('#state', /^open$/);
  });
});
