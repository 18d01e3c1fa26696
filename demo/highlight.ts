import { createCssVariablesTheme, createHighlighterCore } from 'shiki/core';
import { createJavaScriptRegexEngine } from 'shiki/engine/javascript';

const highlighter = await createHighlighterCore({
  themes: [createCssVariablesTheme()],
  langs: [import('shiki/langs/typescript.mjs'), import('shiki/langs/shellscript.mjs')],
  engine: createJavaScriptRegexEngine(),
});

/** Code as HTML. Colours come from classes, because the policy of the pages allows no inline styles. */
export function highlight(code: string, language: string): string {
  const lang = language === 'js' ? 'ts' : language;
  return highlighter.codeToHtml(code.trimEnd(), {
    lang: highlighter.getLoadedLanguages().includes(lang) ? lang : 'text',
    theme: 'css-variables',
    // The first line compiles the grammar: on a busy machine it would take longer than its limit and stay half done.
    tokenizeTimeLimit: 0,
    transformers: [
      {
        pre: (node) => {
          // Reachable by keyboard: long lines scroll.
          node.properties = { class: 'code', tabindex: '0' };
        },
        span: (node) => {
          // `color:var(--shiki-token-keyword)` becomes `token-keyword`.
          node.properties = { class: /--shiki-([\w-]+)/.exec(String(node.properties['style']))?.[1] ?? '' };
        },
      },
    ],
  });
}
