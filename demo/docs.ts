import { readdirSync, readFileSync } from 'node:fs';
import express, { Router } from 'express';
import { Marked } from 'marked';
import { highlight } from './highlight.js';
import { inFrame, root } from './pages.js';

const project = `${root}../`;

const marked = new Marked({
  renderer: {
    // A badge: the demo loads nothing from elsewhere. `false` leaves an image to marked.
    image: ({ href, text }) => (/^https?:/.test(href) ? text : false),
    code: ({ text, lang }) => highlight(text, lang ?? 'text'),
    heading({ tokens, depth, text }) {
      return `<h${depth} id="${anchorOf(text)}">${this.parser.parseInline(tokens)}</h${depth}>\n`;
    },
  },
});

/** The documentation of the project under the addresses that its links expect: `/README.md`, `/docs/…`. */
export function documentation(): Router {
  const router = Router();
  router.use('/docs/assets', express.static(`${project}docs/assets`));
  const files = readdirSync(`${project}docs`, { recursive: true, encoding: 'utf8' }).map((file) => `docs/${file}`);
  for (const file of ['README.md', 'CHANGELOG.md', ...files]) {
    if (file.endsWith('.md')) router.get(`/${file}`, (_req, res) => res.type('html').send(render(file)));
  }
  return router;
}

function render(file: string): string {
  const text = readFileSync(project + file, 'utf8');
  const html = marked
    .parse(text, { async: false })
    // Wide tables scroll in themselves, by keyboard too.
    .replaceAll('<table>', '<div class="scroll" tabindex="0" role="group" aria-label="Table"><table>')
    .replaceAll('</table>', '</table></div>');
  const title = /^# (.*)$/m.exec(text)?.[1] ?? file;
  return inFrame({ title, path: '/README.md', main: `<main id="main" class="prose">${html}</main>` });
}

/** The anchor of a heading, as GitHub makes it. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-');
}
