import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { after, before, describe, type TestContext } from 'node:test';
import type { AxeResults } from 'axe-core';
import puppeteer, { type Browser, type BrowserContext, type KeyInput, type Page } from 'puppeteer-core';
import { type DemoProcess, startDemo } from '../support/demo.js';

/** Where screenshots go; git ignores it. */
const SCREENSHOTS = '.screenshots';
/** Two browsers and the other tests share what cores there are. */
const PATIENCE_MS = 60_000;

const browsers = [
  {
    name: 'Chromium',
    path: process.env.CHROMIUM_PATH ?? '/usr/bin/chromium',
    launch: (executablePath: string) =>
      puppeteer.launch({
        executablePath,
        timeout: PATIENCE_MS,
        args: [
          '--no-sandbox',
          '--disable-gpu',
          '--disable-quic',
          '--no-first-run',
          '--disable-background-networking',
          '--disable-component-update',
          '--disable-sync',
        ],
        acceptInsecureCerts: true,
      }),
  },
  {
    name: 'Firefox',
    path: process.env.FIREFOX_PATH ?? '/usr/bin/firefox-esr',
    launch: (executablePath: string) =>
      puppeteer.launch({ browser: 'firefox', executablePath, timeout: PATIENCE_MS, acceptInsecureCerts: true }),
  },
];

export interface Window {
  readonly width?: number;
  readonly height?: number;
  /** Whether the visitor prefers dark colours. Chromium only. */
  readonly isDark?: boolean;
  /** A tab of the same visitor, with whose cookies it comes. */
  readonly beside?: Tab;
}

/** A browser, which the tests of a suite share. It accepts any certificate. */
export interface Visitor {
  readonly name: string;
  /** Opens a page as a new visitor. When the test ends, nothing may have been written to the console. */
  open(t: TestContext, url: string, window?: Window): Promise<Tab>;
}

/** The same with a running demo; `open` takes paths of it. */
export interface Visit extends Visitor {
  readonly demo: DemoProcess;
}

/** Declares the same suite for each browser, which has a demo of its own. See {@link withEachBrowser}. */
export function inEachBrowser(subject: string, declare: (visit: Visit) => void): void {
  withEachBrowser(subject, ({ name, open }) => {
    let demo: DemoProcess;
    const cleanups: (() => unknown)[] = [];

    before(async () => {
      demo = await startDemo({ after: (cleanup) => cleanups.push(cleanup as () => unknown) });
    });
    after(async () => {
      for (const cleanup of cleanups) await cleanup();
    });

    declare({
      name,
      get demo() {
        return demo;
      },
      open: (t, path, window) => open(t, new URL(path, demo.url).href, window),
    });
  });
}

/**
 * Declares the same suite for each browser. One that is not installed skips its suite, or fails it where CI is set.
 */
export function withEachBrowser(subject: string, declare: (visitor: Visitor) => void): void {
  // Both at once: most of their time is waiting.
  describe(subject, { concurrency: browsers.length }, () => {
    for (const { name, path, launch } of browsers) {
      const isMissing = !existsSync(path);
      const message = `There is no browser at ${path}: apt-get install chromium firefox-esr, or set ${name.toUpperCase()}_PATH`;
      describe(`in ${name}`, { skip: isMissing && !process.env.CI ? message : false, concurrency: 1 }, () => {
        let browser: Browser;

        before(async () => {
          if (isMissing) throw new Error(message);
          browser = await launch(path);
        });
        after(async () => {
          await browser?.close();
        });

        declare({ name, open: (t, url, window) => Tab.open(t, browser, url, window) });
      });
    }
  });
}

export class Tab {
  readonly page: Page;
  readonly #context: BrowserContext;
  /** What the page has written to the console, and errors that nobody caught. */
  readonly #messages: string[] = [];
  #expected = /^$/;

  private constructor(context: BrowserContext, page: Page) {
    this.#context = context;
    this.page = page;
    page.setDefaultTimeout(PATIENCE_MS);
    page.on('console', (message) => this.#messages.push(message.text()));
    page.on('pageerror', (error) => this.#messages.push(String(error)));
  }

  static async open(t: TestContext, browser: Browser, url: string, window: Window = {}): Promise<Tab> {
    const { width = 1280, height = 900, isDark = false, beside } = window;
    const tab = await inTurn(browser, async () => {
      const context = beside ? beside.#context : await browser.createBrowserContext();
      const opened = new Tab(context, await context.newPage());
      await opened.page.setViewport({ width, height });
      if (isDark) await opened.page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: 'dark' }]);
      await opened.page.goto(url);
      await opened.page.bringToFront();
      return opened;
    });
    t.after(async () => {
      if (!beside) await inTurn(browser, () => tab.#context.close());
      assert.deepEqual(
        tab.#messages.filter((message) => !tab.#expected.test(message)),
        [],
        'The console is not empty',
      );
    });
    return tab;
  }

  /** Lets the console say this: what a browser reports by itself, of a server that is stopped for instance. */
  expectMessages(expected: RegExp): void {
    this.#expected = expected;
  }

  /** Waits until one of the elements has this text in it, or matches it. */
  async see(selector: string, text: string | RegExp = '', timeout = PATIENCE_MS): Promise<void> {
    const [source, flags] = typeof text === 'string' ? [literally(text), ''] : [text.source, text.flags];
    const isThere = (css: string, pattern: string, mode: string): boolean =>
      [...document.querySelectorAll(css)].some(
        (found) => found.checkVisibility() && new RegExp(pattern, mode).test(found.textContent ?? ''),
      );
    try {
      await this.page.waitForFunction(isThere, { polling: 50, timeout }, selector, source, flags);
    } catch (error) {
      const found = JSON.stringify(await this.texts(selector));
      throw new Error(`${selector} never showed ${text}, but ${found}`, { cause: error });
    }
  }

  /** The texts of all elements. */
  async texts(selector: string): Promise<string[]> {
    return this.page.$$eval(selector, (found) => found.map((element) => element.textContent ?? ''));
  }

  async isVisible(selector: string): Promise<boolean> {
    return this.page.$eval(selector, (element) => element.checkVisibility());
  }

  async click(selector: string): Promise<void> {
    await this.page.waitForSelector(selector, { visible: true });
    await this.page.click(selector);
  }

  /** Replaces what stands in a field, key by key. */
  async fill(selector: string, text: string): Promise<void> {
    await this.page.waitForSelector(selector, { visible: true });
    await this.page.$eval(selector, (field) => {
      (field as HTMLInputElement).focus();
      (field as HTMLInputElement).select();
    });
    if (text === '') await this.page.keyboard.press('Backspace');
    await this.page.keyboard.type(text);
  }

  async press(...keys: KeyInput[]): Promise<void> {
    for (const key of keys) await this.page.keyboard.press(key);
  }

  /** Presses Tab until the focus is on this element; fails when it never is. */
  async tabTo(selector: string): Promise<void> {
    for (let presses = 0; presses < 100; presses += 1) {
      if (await this.hasFocus(selector)) return;
      await this.press('Tab');
    }
    throw new Error(`The focus does not come to ${selector}`);
  }

  async hasFocus(selector: string): Promise<boolean> {
    return this.page.evaluate((css) => document.activeElement?.matches(css) === true, selector);
  }

  /** How far something reaches out of the window to the right: 0 when the page does not scroll sideways. */
  async overflow(): Promise<number> {
    return this.page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  }

  /** What axe finds serious or critical. */
  async violations(): Promise<string[]> {
    await this.page.evaluate(await axeSource);
    const results = await this.page.evaluate(async () => {
      // What fades in has less contrast until it is there.
      await Promise.allSettled(document.getAnimations().map(({ finished }) => finished));
      const { axe } = globalThis as unknown as { axe: { run: (options: object) => Promise<AxeResults> } };
      return axe.run({ resultTypes: ['violations'] });
    });
    return results.violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .map(
        ({ id, nodes }) =>
          `${id}: ${nodes.map(({ target, failureSummary }) => `${target} ${failureSummary}`).join('; ')}`,
      );
  }

  /** A picture of the whole page, for the one who looks at it. */
  async screenshot(name: string): Promise<void> {
    await mkdir(SCREENSHOTS, { recursive: true });
    await this.page.screenshot({ path: `${SCREENSHOTS}/${name}.png`, fullPage: true });
  }
}

/** What opens or closes a tab of a browser at the moment. */
const turns = new WeakMap<Browser, Promise<unknown>>();

/** Firefox fails to open a tab now and then (`DiscardedBrowsingContextError`) while another one is opened or closed. */
function inTurn<T>(browser: Browser, change: () => Promise<T>): Promise<T> {
  const turn = (turns.get(browser) ?? Promise.resolve()).then(change);
  turns.set(
    browser,
    turn.catch(() => {}),
  );
  return turn;
}

const axeSource = readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
