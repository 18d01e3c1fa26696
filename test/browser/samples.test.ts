import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it, type TestContext } from 'node:test';
import express from 'express';
import { createProxyMiddleware } from 'http-proxy-middleware';
import type { ElementHandle } from 'puppeteer-core';
import { startSample } from '../support/demo.js';
import { withEachBrowser } from './visit.js';

/** Serves a page of the samples from the address that WebSockets to a sample have. */
async function serveWith(t: TestContext, sample: string, page: (port: number) => string): Promise<string> {
  const { url } = await startSample(t, sample);
  const proxy = createProxyMiddleware({ target: url, ws: true });
  const app = express();
  const server = app.listen(0);
  t.after(() => server.close());
  server.on('upgrade', proxy.upgrade);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  app.get('/', (_req, res) => void res.send(`<link rel="icon" href="data:,">${page(port)}`));
  return `http://localhost:${port}`;
}

withEachBrowser('the samples for pages', (visitor) => {
  it('echo-client.js says hello to echo.ts', async (t) => {
    const script = readFileSync('demo/samples/echo-client.js', 'utf8');
    const url = await serveWith(t, 'echo', (port) => `<script>${script.replace('8080', String(port))}</script>`);
    const tab = await visitor.open(t, 'about:blank');
    tab.expectMessages(/^hello$/);
    const logged = new Promise((resolve) => tab.page.once('console', (message) => resolve(message.text())));
    await tab.page.goto(url);

    assert.equal(await logged, 'hello');
  });

  it('upload-progress.html shows how much upload-progress.ts has received', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'upload-'));
    t.after(() => rm(folder, { recursive: true }));
    await writeFile(join(folder, 'file'), Buffer.alloc(5_000_000));
    const url = await serveWith(t, 'upload-progress', () => readFileSync('demo/samples/upload-progress.html', 'utf8'));
    const tab = await visitor.open(t, 'about:blank');
    await tab.page.goto(url);
    const input = (await tab.page.$('#file')) as ElementHandle<HTMLInputElement>;
    await input.uploadFile(join(folder, 'file'));

    await tab.page.waitForFunction(() => {
      const { value, max } = document.querySelector('progress') as HTMLProgressElement;
      return max === 5_000_000 && value === max;
    });
  });
});
