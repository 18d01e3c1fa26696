import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, extname, join, sep } from 'node:path';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';

// Tests run from the root of the project.
const samples = readdirSync('demo/samples').filter((name) => name !== 'README.md');
const tests = readdirSync('test', { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.test.ts'));
/** What runs samples: tests, and samples that are tests. */
const runners = [...tests.map((name) => join('test', name)), ...samples.map((name) => join('demo/samples', name))]
  .map((name) => readFileSync(name, 'utf8'))
  .filter((source) => /startSample\(|samples|websocket-context\/testing/.test(source));
const docs = readdirSync('docs', { recursive: true, encoding: 'utf8' }).map(
  (name) => `docs/${name.replaceAll(sep, '/')}`,
);
const pages = new Map(
  [
    'README.md',
    'demo/samples/README.md',
    '.github/CONTRIBUTING.md',
    ...docs.filter((name) => name.endsWith('.md')),
  ].map((name) => [name, readFileSync(name, 'utf8')]),
);
const readme = pages.get('README.md') ?? '';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8'));

/** Blocks that are no files of the demo, and why they need not be. */
const otherBlocks: Readonly<Record<string, string>> = {
  'docs/architecture.md: text': 'a picture',
  'docs/topics/close-handshake.md: text': 'a picture',
  'docs/how-to/behind-a-proxy.md: nginx': 'proxies.test.ts starts nginx with it',
  'docs/how-to/behind-a-proxy.md: haproxy': 'proxies.test.ts starts HAProxy with it',
  'docs/how-to/http2.md: haproxy': 'http2.samples.test.ts starts HAProxy with it',
  'docs/how-to/moving-from-aspnet.md: csharp': 'where the reader comes from; .NET Framework runs on Windows only',
};

interface Block {
  /** How it is shown: the whole `file`, or an `excerpt` of it. */
  readonly marker: string | undefined;
  readonly file: string;
  readonly language: string;
  readonly code: string;
}

function blocksOn(page: string): Block[] {
  const fences = /^(?:<!-- (file|excerpt): (.+) -->\n)? *```(\w*)\n([\s\S]*?)^ *```$/gm;
  return [...page.matchAll(fences)].map(([, marker, file = '', language = '', code = '']) => ({
    marker,
    file,
    language: language === '' ? 'text' : language,
    code,
  }));
}

/** Whether the lines of the excerpt stand one below the other in the text, however far they are indented there. */
function isExcerpt(excerpt: string, text: string): boolean {
  const wanted = excerpt.trimEnd().split('\n');
  const lines = text.split('\n');
  return lines.some((line, at) => {
    const indent = line.slice(0, line.length - line.trimStart().length);
    return wanted.every((one, index) => lines[at + index] === (one === '' ? '' : indent + one));
  });
}

describe('the pages', () => {
  for (const [name, page] of pages) {
    it(`${name} shows the files that it names as they are`, () => {
      const marked = page.match(/^ *<!-- (?:file|excerpt): .+ -->$/gm) ?? [];
      const shown = blocksOn(page).filter(({ marker }) => marker !== undefined);

      assert.equal(shown.length, marked.length, 'A marker is not followed by a fence');
      for (const { marker, file, language, code } of shown) {
        const text = readFileSync(file, 'utf8');
        if (marker === 'file') assert.equal(code, text, file);
        else assert.ok(isExcerpt(code, text), `This is not in ${file}:\n${code}`);
        assert.equal(language, extname(file).slice(1).replace('cjs', 'js'), file);
      }
    });

    it(`${name} shows no code that no test runs`, () => {
      // The reference is made of the docstrings, whose examples are compiled: see examples.test.ts.
      if (name.startsWith('docs/reference/')) return;
      for (const { marker, file, language, code } of blocksOn(page)) {
        if (marker !== undefined) assert.equal(dirname(file), 'demo/samples');
        else if (language !== 'sh') assert.ok(`${name}: ${language}` in otherBlocks, `This is in no sample:\n${code}`);
      }
    });

    it(`${name} names scripts that there are`, () => {
      const commands = blocksOn(page).filter(({ language }) => language === 'sh');
      for (const [, script = ''] of commands.flatMap(({ code }) => [...code.matchAll(/npm run ([\w:]+)/g)])) {
        assert.ok(script in scripts, `There is no script ${script}`);
      }
    });

    it(`${name} links to nothing that is not there`, () => {
      const prose = page.replace(/^```[\s\S]*?^```$/gm, '');
      for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        const [, inRepository] =
          /^https:\/\/github\.com\/OWNER\/websocket-context\/(?:blob|tree)\/main\/(.+)$/.exec(target) ?? [];
        if (inRepository) assert.ok(existsSync(inRepository), `${target} does not exist`);
        if (/^https?:/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? name : join(dirname(name), path);
        assert.ok(existsSync(file), `${target} does not exist`);
        if (anchor) assert.ok(anchors(readFileSync(file, 'utf8')).includes(anchor), `${target} has no such heading`);
      }
    });
  }

  it('of the package link relatively only to what is in the package', () => {
    const { files } = JSON.parse(readFileSync('package.json', 'utf8'));
    const packed = [...files, 'README.md', 'LICENSE'];
    for (const [name, page] of pages) {
      if (name !== 'README.md' && !name.startsWith('docs')) continue;
      for (const [, target = ''] of page.replace(/^```[\s\S]*?^```$/gm, '').matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:|^#/.test(target)) continue;
        const [top = ''] = join(dirname(name), target.replace(/#.*/, '')).split('/');
        assert.ok(packed.includes(top), `${name} links to ${target}, which is not in the package`);
      }
    }
  });

  it('show every sample somewhere', () => {
    const shown = new Set([...pages.values()].flatMap(blocksOn).map(({ file }) => file));

    assert.deepEqual(
      samples.filter((sample) => !shown.has(`demo/samples/${sample}`)),
      [],
    );
  });

  it('make use of each exception', () => {
    const used = new Set(
      [...pages].flatMap(([name, page]) => blocksOn(page).map(({ language }) => `${name}: ${language}`)),
    );

    assert.deepEqual(
      Object.keys(otherBlocks).filter((block) => !used.has(block)),
      [],
    );
  });
});

describe('an excerpt', () => {
  const text = 'serve(() => {\n  one();\n\n  if (two) {\n    three();\n  }\n});\n';

  it('is a run of whole lines, indented alike', () => {
    assert.ok(isExcerpt('one();\n\nif (two) {\n  three();\n}\n', text));
    assert.ok(isExcerpt('three();\n', text));
  });

  it('neither leaves out nor changes anything', () => {
    for (const wrong of ['one();\nif (two) {\n', 'one()\n', 'if (two) {\nthree();\n}\n', 'four();\n']) {
      assert.ok(!isExcerpt(wrong, text), wrong);
    }
  });
});

describe('the samples', () => {
  it('are all in their index', () => {
    const index = pages.get('demo/samples/README.md') ?? '';
    const listed = [...index.matchAll(/^\| \[`(.+)`\]/gm)].map(([, name]) => name);

    assert.deepEqual(listed, samples.toSorted());
  });

  for (const sample of samples) {
    it(`${sample} has at most 40 lines`, () => {
      assert.ok(readFileSync(join('demo/samples', sample), 'utf8').trimEnd().split('\n').length <= 40);
    });

    it(`${sample} is run by a test`, () => {
      const name = sample.replace(/\.ts$/, '');
      const mentions = new RegExp(`['/]${name}(?:\\.js)?'`);
      assert.ok(runners.some((source) => mentions.test(source)));
    });
  }
});

describe('the README', () => {
  it('names two commands', () => {
    const commands = [...readme.matchAll(/^```sh\n([\s\S]*?)\n```$/gm)].map(([, command]) => command);

    assert.deepEqual(commands, ['npm install && npm run demo', 'npm install && npm test']);
  });

  it('has the badges of the package, the repository and the versions that package.json names', () => {
    const { name, repository, engines } = JSON.parse(readFileSync('package.json', 'utf8'));
    const home = repository.url.replace(/^git\+|\.git$/g, '');
    const badges = [...readme.matchAll(/^\[!\[(\w+)\]\((\S+)\)\]\((\S+)\)$/gm)].map(([, ...badge]) => badge);

    assert.deepEqual(badges, [
      ['npm', `https://img.shields.io/npm/v/${name}`, `https://www.npmjs.com/package/${name}`],
      ['ci', `${home}/actions/workflows/ci.yml/badge.svg?branch=main`, `${home}/actions/workflows/ci.yml`],
      ['Node', `https://img.shields.io/node/v/${name}`, `${home}/actions/workflows/ci.yml`],
      ['licence', `https://img.shields.io/npm/l/${name}`, 'LICENSE'],
    ]);
    assert.ok(readme.includes(`Node ${engines.node.replace('>=', '')} or newer`));
  });

  for (const framework of ['express', 'express4', 'connect']) {
    it(`begins with a sample that runs under ${framework}`, async (t) => {
      const example = readFileSync('demo/samples/quick-start.js', 'utf8');
      assert.match(example, /from 'express'/);
      // In the project, so that the package finds itself by its name.
      const folder = await mkdtemp('.test-build/quick-start-');
      t.after(() => rm(folder, { recursive: true }));
      await writeFile(join(folder, 'example.mjs'), example.replace("from 'express'", `from '${framework}'`));
      await writeFile(
        join(folder, 'report.mjs'),
        `import { Server } from 'node:net';
         const { listen } = Server.prototype;
         Server.prototype.listen = function (...args) {
           return listen.apply(this, args).once('listening', () => process.send(this.address().port));
         };`,
      );
      const child = spawn(process.execPath, ['--import', `./${folder}/report.mjs`, join(folder, 'example.mjs')], {
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
        env: { ...process.env, NODE_V8_COVERAGE: undefined, PORT: '0' },
      });
      t.after(async () => {
        child.kill();
        if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      });
      const [port] = await once(child, 'message');

      const socket = new WebSocket(`ws://localhost:${port}/echo`);
      t.after(() => socket.terminate());
      await once(socket, 'open');
      socket.send('hello');
      const [data] = await once(socket, 'message');
      assert.equal(data.toString(), 'hello');
      socket.close(1000);
      const [code] = await once(socket, 'close');
      assert.equal(code, 1000);
    });
  }
});

/** The anchors of a page's headings, as GitHub makes them. */
function anchors(page: string): string[] {
  return [...page.matchAll(/^#+ (.+)$/gm)].map(([, title = '']) =>
    title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

describe('docs/architecture.md', () => {
  it('names every file of src in its picture', () => {
    const named = new Set(pages.get('docs/architecture.md')?.match(/[\w.-]+\.ts\b/g));
    const files = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((name) => extname(name) === '.ts');
    assert.deepEqual(
      files.map((name) => name.slice(name.lastIndexOf(sep) + 1)).filter((name) => !named.has(name)),
      [],
    );
  });
});
