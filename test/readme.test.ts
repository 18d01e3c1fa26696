import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';

// Tests run from the root of the project.
const samples = readdirSync('demo/samples').filter((name) => name.endsWith('.ts'));
const docs = readdirSync('docs', { recursive: true, encoding: 'utf8' }).map((name) => join('docs', name));
const pages = new Map(
  [
    'README.md',
    'demo/samples/README.md',
    '.github/CONTRIBUTING.md',
    ...docs.filter((name) => name.endsWith('.md')),
  ].map((name) => [name, readFileSync(name, 'utf8')]),
);
const readme = pages.get('README.md') ?? '';

describe('the pages', () => {
  for (const [name, page] of pages) {
    it(`${name} shows the files that it names as they are`, () => {
      const marked = [...page.matchAll(/^<!-- file: (.+) -->$/gm)];
      const shown = [...page.matchAll(/^<!-- file: (.+) -->\n```ts\n([\s\S]*?)^```$/gm)];

      assert.equal(shown.length, marked.length, 'A marker is not followed by a fence');
      for (const [, file = '', code] of shown) assert.equal(code, readFileSync(file, 'utf8'), file);
    });

    it(`${name} links to nothing that is not there`, () => {
      const prose = page.replace(/^```[\s\S]*?^```$/gm, '');
      for (const [, target = ''] of prose.matchAll(/\]\(([^)\s]+)\)/g)) {
        if (/^https?:/.test(target)) continue;
        const [path = '', anchor] = target.split('#');
        const file = path === '' ? name : join(dirname(name), path);
        assert.ok(existsSync(file), `${target} does not exist`);
        if (anchor) assert.ok(anchors(readFileSync(file, 'utf8')).includes(anchor), `${target} has no such heading`);
      }
    });
  }

  it('show every sample somewhere', () => {
    const all = [...pages.values()].join('\n');
    for (const sample of samples) assert.ok(all.includes(`<!-- file: demo/samples/${sample} -->`), sample);
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
      ['Node', `https://img.shields.io/node/v/${name}`, '.github/workflows/ci.yml'],
      ['licence', `https://img.shields.io/npm/l/${name}`, 'LICENSE'],
    ]);
    assert.ok(readme.includes(`Node ${engines.node.replace('>=', '')} or newer`));
  });

  for (const framework of ['express', 'express4', 'connect']) {
    it(`begins with an example that runs under ${framework}`, async (t) => {
      const example = /<!-- example: quick-start -->\n```js\n([\s\S]*?)^```$/m.exec(readme)?.[1] ?? '';
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
