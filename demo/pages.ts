import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { RequestHandler } from 'express';
import { highlight } from './highlight.js';

/** The folder of the demo's sources. The compiled demo lies beside it, in .demo-build. */
export const root: string = fileURLToPath(new URL('../demo/', import.meta.url));

/** What stands between the frame's header and footer. */
export interface Content {
  readonly title: string;
  /** The path that is current in the navigation. */
  readonly path: string;
  /** HTML for the head: scripts and style sheets of this page. */
  readonly head?: string;
  /** HTML of the page. */
  readonly main: string;
}

const navigation = [
  { path: '/stream', name: 'Stream' },
  { path: '/broadcast', name: 'Broadcast' },
  { path: '/chat/lobby', name: 'Chat' },
  { path: '/close-laboratory', name: 'Close laboratory' },
  { path: '/echo', name: 'Echo' },
  { path: '/README.md', name: 'Docs' },
];

/**
 * Answers with `public/<name>.html` in the frame of all pages. Below it stands the code behind the page: the server's
 * files as they are, and the page of the documentation that explains them.
 */
export function page(name: string, path: string, files: readonly string[] = [], doc?: string): RequestHandler {
  const html = readFileSync(`${root}public/${name}.html`, 'utf8');
  const start = html.indexOf('<main');
  const head = html.slice(0, start);
  const title = /<title>(.*)<\/title>/.exec(head)?.[1] ?? name;
  const code = files.length === 0 ? '' : codeBehind(files, doc);
  const body = inFrame({
    title,
    path,
    head: head.replace(/<title>.*<\/title>/, ''),
    main: html.slice(start).replace('</main>', `${code}</main>`),
  });
  return (_req, res) => {
    res.type('html').send(body);
  };
}

/** A whole document around `content`. */
export function inFrame({ title, path, head = '', main }: Content): string {
  const links = navigation.map((to) => {
    const current = to.path === path ? ' aria-current="page"' : '';
    return `<li><a href="${to.path}"${current}>${to.name}</a></li>`;
  });
  return `<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>${title} · websocket-context</title>
  <link rel="icon" href="/assets/icon.svg">
  <link rel="stylesheet" href="/assets/style.css">
  ${head.trim()}
</head>
<body>
  <a class="skip" href="#main">Skip to the content</a>
  <header class="site">
    <div class="wide">
      <a class="brand" href="/"><img src="/assets/icon.svg" width="26" height="26" alt="">websocket-context</a>
      <nav aria-label="Pages"><ul>${links.join('')}</ul></nav>
    </div>
  </header>
  ${main.trim()}
  <footer class="site">
    <div class="wide">
      <code class="install">npm install websocket-context</code>
      <a href="/docs/getting-started.md">Getting started</a>
      <a href="/docs/topics/close-handshake.md">The close handshake</a>
      <a href="/docs/performance.md">Performance</a>
      <a href="/README.md">Read me</a>
    </div>
  </footer>
</body>
</html>
`;
}

function codeBehind(files: readonly string[], doc: string | undefined): string {
  const listings = files.map((file, index) => {
    const code = readFileSync(root + file, 'utf8');
    const lines = code.trimEnd().split('\n').length;
    return `<details class="listing"${index === 0 ? ' open' : ''}>
      <summary><code>demo/${file}</code> <span class="note">${lines} lines</span></summary>
      ${highlight(code, 'ts')}
    </details>`;
  });
  const more = doc === undefined ? '' : ` <a href="/docs/${doc}">How it works, in the documentation</a>`;
  return `<section class="code-behind" aria-labelledby="code-behind">
    <h2 id="code-behind">The code behind this page</h2>
    <p class="note">What runs on the server right now, as it is.${more}</p>
    ${listings.join('\n')}
  </section>`;
}
