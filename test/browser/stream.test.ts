import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import { crc32 } from 'node:zlib';
import { inEachBrowser, type Tab, type Visit, type Window } from './visit.js';

const MIB = 1024 * 1024;

async function visitStream(t: TestContext, visit: Visit, window?: Window): Promise<Tab> {
  const tab = await visit.open(t, '/stream', window);
  await tab.see('#state', 'ready');
  return tab;
}

async function choose(t: TestContext, tab: Tab, content: Buffer): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'stream-'));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, 'noise.bin'), content);
  const input = await tab.page.$('#file');
  await (input as { uploadFile(path: string): Promise<void> } | null)?.uploadFile(join(folder, 'noise.bin'));
  await tab.see('#send-file:not(:disabled)');
}

async function text(tab: Tab, id: string): Promise<string> {
  const [found = ''] = await tab.texts(`#${id}`);
  return found;
}

/** What the page writes as `12.3 MiB` or `45 KiB`, in MiB. */
async function mebibytes(tab: Tab, id: string): Promise<number> {
  const [, amount = '', unit] = /^(-?[\d,.]+) (KiB|MiB)$/.exec(await text(tab, id)) ?? [];
  return Number(amount.replaceAll(',', '')) / (unit === 'KiB' ? 1024 : 1);
}

async function moveSlider(tab: Tab, to: number): Promise<void> {
  await tab.page.focus('#pace');
  await tab.press('Home');
  for (let step = 0; step < to; step += 1) await tab.press('ArrowRight');
}

inEachBrowser('the stream page', (visit) => {
  it('sends 1 GiB while the memory of the server stays flat', async (t) => {
    const tab = await visitStream(t, visit, { height: 1100 });
    let most = 0;
    await tab.click('#noise');
    const done = tab.see('#state', 'complete, checksums are identical', 170_000).then(() => true);
    for (let isDone = false; !isDone; ) {
      isDone = await Promise.race([done, new Promise<false>((resolve) => setTimeout(resolve, 200, false))]);
      if ((await text(tab, 'growth')) !== '–') most = Math.max(most, await mebibytes(tab, 'growth'));
    }

    assert.equal(await text(tab, 'received'), '1,024 MiB');
    assert.equal(await text(tab, 'largest'), '64 KiB');
    assert.equal(await text(tab, 'messages'), '1,024');
    assert.equal(await text(tab, 'checksum-here'), await text(tab, 'checksum-there'));
    // A fraction of what has passed: the sizes of the heap and of what waits to be collected differ from run to run.
    assert.ok(most < 150, `The memory grew by ${most} MiB`);
    await tab.screenshot(`stream-run-${visit.name}`);
  });

  it('shows the browser waiting for a slow reader, and cancels and resumes reads without losing a byte', async (t) => {
    const tab = await visitStream(t, visit, { width: 390, height: 800 });
    const content = randomBytes(24 * MIB + 12_345);
    await choose(t, tab, content);
    await moveSlider(tab, 1);
    await tab.see('#pace-text', /^1 MiB per second$/);
    await tab.click('#send-file');
    // The browser holds the rest of what it may, and stops.
    await tab.see('#buffered', /^\d(\.\d)? MiB$/);

    await tab.click('#reading');
    await tab.see('#cancelled', '1');
    const before = await text(tab, 'received');
    await new Promise((resolve) => setTimeout(resolve, 500));
    assert.equal(await text(tab, 'received'), before);
    for (let count = 2; count <= 4; count += 1) {
      await tab.click('#reading');
      await tab.click('#reading');
      await tab.see('#cancelled', String(count));
    }
    await tab.screenshot(`stream-slow-${visit.name}-phone`);
    await tab.click('#reading');
    await moveSlider(tab, 7);

    await tab.see('#state', 'complete, checksums are identical');
    assert.equal(await text(tab, 'checksum-there'), crc32(content).toString(16).padStart(8, '0'));
    assert.equal(await tab.overflow(), 0);
    assert.deepEqual(await tab.violations(), []);
  });

  it('sends a file as one single message', async (t) => {
    const tab = await visitStream(t, visit);
    const content = randomBytes(5 * MIB + 1);
    await choose(t, tab, content);
    await tab.page.select('#form', 'message');
    await tab.click('#send-file');

    await tab.see('#state', 'complete, checksums are identical');
    assert.equal(await text(tab, 'messages'), '1');
    assert.equal(await text(tab, 'checksum-there'), crc32(content).toString(16).padStart(8, '0'));
  });

  it('can be stopped and started again by keyboard', async (t) => {
    const tab = await visitStream(t, visit);
    await tab.tabTo('#pace');
    await tab.press('Home');
    await tab.page.focus('.brand');
    await tab.tabTo('#noise');
    await tab.press('Enter');
    await tab.see('#state', 'sending');
    await tab.see('#fragments', /^[1-9]/);
    await tab.tabTo('#stop');
    await tab.press('Enter');
    await tab.see('#state', 'stopped');
    await tab.see('#noise:not(:disabled)');
  });
});
