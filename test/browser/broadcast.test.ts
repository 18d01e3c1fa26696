import assert from 'node:assert/strict';
import { it } from 'node:test';
import { inEachBrowser } from './visit.js';

inEachBrowser('the broadcast page', (visit) => {
  it('opens 500 members, and shows what the slow ones cost under each policy', async (t) => {
    const tab = await visit.open(t, '/broadcast');
    await tab.see('#state', /^500 members/, 60_000);
    await tab.page.focus('#rate');
    await tab.press('End');
    await tab.see('#rate-text', /^50 per second$/);

    // Who is passed over is counted, who waits has something waiting; where only the latest waits, it is one message each.
    await tab.see('#volatile-passed-over', /^[1-9]/, 60_000);
    await tab.see('#wait-held-for-them-by-the-server', /^([1-9]\d\d|\d+(\.\d)? MiB)/, 60_000);
    const [most = ''] = await tab.texts('#latest-held-for-them-by-the-server');
    assert.match(most, /^\d{1,3}(\.\d)? KiB$/);
    await tab.see('#wait-quick-ones-messages-per-second-each', /^[1-9]/);
    for (const policy of ['volatile', 'latest']) {
      assert.deepEqual(await tab.texts(`#${policy}-aborted-at-the-limit`), ['0']);
    }
    assert.deepEqual(await tab.violations(), []);
    await tab.screenshot(`broadcast-run-${visit.name}`);
  });
});
