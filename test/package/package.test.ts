import assert from 'node:assert/strict';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';
import { exportedNames } from '../support/exported-names.js';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../../..', import.meta.url));
const folder = join(root, 'test', 'package');
const reportPort = pathToFileURL(join(folder, 'support', 'report-port.mjs')).href;

const { devDependencies: versions }: { devDependencies: Record<string, string> } = JSON.parse(
  await readFile(join(root, 'package.json'), 'utf8'),
);

async function findTarball(): Promise<string> {
  const names = await readdir(join(root, '.package')).catch(() => []);
  const tarball = names.find((name) => name.endsWith('.tgz'));
  assert.ok(tarball, 'Cannot test the package: .package holds no tarball, run these tests with `npm run test:package`');
  return join(root, '.package', tarball);
}

/** Makes an npm project outside of the repository that has installed the packed package beside `dependencies`. */
async function createProject(dependencies: Record<string, string | undefined>, files?: string): Promise<string> {
  const tarball = await findTarball();
  const project = await mkdtemp(join(tmpdir(), 'package-test-'));
  if (files) await cp(join(folder, files), project, { recursive: true });
  const manifest = {
    private: true,
    type: 'module',
    dependencies: { ...dependencies, 'websocket-context': `file:${tarball}` },
  };
  await writeFile(join(project, 'package.json'), JSON.stringify(manifest));
  await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', '--no-package-lock'], { cwd: project });
  return project;
}

function removeProject(project: string): Promise<void> {
  return rm(project, { recursive: true, force: true });
}

/** Runs an echo server and talks to it at /echo: its first words, then a close that it has to acknowledge. */
async function assertEchoes(project: string, file: string, args: readonly string[] = []): Promise<void> {
  const program = spawn(process.execPath, ['--import', reportPort, file, ...args], {
    cwd: project,
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let stderr = '';
  program.stderr?.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  const exit = once(program, 'exit');
  const signal = AbortSignal.timeout(60_000);

  try {
    const port = await Promise.race([
      once(program, 'message', { signal }).then(([message]: unknown[]) => message),
      exit.then(() => assert.fail(`${file} ended before it listened\n${stderr}`)),
    ]);
    const client = new WebSocket(`ws://127.0.0.1:${port}/echo`);
    await once(client, 'open', { signal });

    client.send('text');
    const [text, textIsBinary] = await once(client, 'message', { signal });
    client.send(Buffer.of(0, 255));
    const [bytes, bytesAreBinary] = await once(client, 'message', { signal });
    client.close(1000, 'done');
    const [code] = await once(client, 'close', { signal });

    assert.deepEqual([String(text), textIsBinary], ['text', false]);
    assert.deepEqual([bytes, bytesAreBinary], [Buffer.of(0, 255), true]);
    assert.equal(code, 1000);
  } finally {
    program.kill();
    await exit;
    assert.equal(stderr, '');
  }
}

describe('the packed package', () => {
  it('holds the build, its sources, the docs and what npm shows, and nothing else', async () => {
    const { stdout } = await run('tar', ['-tzf', await findTarball()]);
    const paths = stdout.trim().split('\n');

    const unexpected = paths.filter(
      (path) =>
        !/^package\/(dist\/(esm|cjs)\/|src\/).+\.(js|d\.ts|map|ts|wat)$/.test(path) &&
        !/^package\/docs\/.+\.(md|svg|png)$/.test(path),
    );
    assert.deepEqual(unexpected.sort(), [
      'package/CHANGELOG.md',
      'package/LICENSE',
      'package/README.md',
      'package/dist/cjs/package.json',
      'package/package.json',
    ]);
  });

  describe('in a JavaScript project', () => {
    let project: string;
    before(async () => {
      project = await createProject({}, 'javascript');
    });
    after(() => removeProject(project));

    it('is imported', () => assertEchoes(project, 'import.mjs'));
    it('is required', () => assertEchoes(project, 'require.cjs'));
    it('is the same imported and required, and works together with a copy of itself', async () => {
      await assertEchoes(project, 'copies.mjs', ['copy-attaches', ...exportedNames]);
      await assertEchoes(project, 'copies.mjs', ['copy-accepts', ...exportedNames]);
    });
    it('is a few files of Latin-1 without comments: V8 keeps their text, two bytes for each of any other character', async () => {
      const built = join(project, 'node_modules/websocket-context/dist');
      const files = (await readdir(built, { recursive: true })).filter((name) => name.endsWith('.js'));
      assert.ok(files.length >= 10 && files.length <= 20, files.join());
      for (const name of files) {
        const text = await readFile(join(built, name), 'utf8');
        assert.doesNotMatch(text, /[^\0-\xff]|\/\*\*/, name);
      }
    });
    it('shows where in its sources an error comes from', async () => {
      const program = `
        import assert from 'node:assert/strict';
        import { webSockets } from 'websocket-context';
        try {
          webSockets({ maxConnections: -1 });
        } catch ({ stack }) {
          assert.match(stack, /websocket-context[/]src[/]options[.]ts:[0-9]+:[0-9]+/);
          process.exit(0);
        }
        assert.fail('no error');`;
      await writeFile(join(project, 'stack.mjs'), program);

      await run(process.execPath, ['--enable-source-maps', 'stack.mjs'], { cwd: project });
    });
    it('has the entry points of the backplane imported and required, and brings none of their clients', async () => {
      const check = `
        const expected = { redis: ['redis'], nats: ['nats'], cluster: ['cluster', 'relay', 'workers'] };
        for (const [name, names] of Object.entries(expected)) {
          const path = 'websocket-context/' + name;
          const builds = [Object.keys(await import(path)), Object.keys(require(path))];
          for (const keys of builds) assert.deepEqual(keys.filter((key) => key !== '__esModule').sort(), names);
        }`;
      const program = `
        import assert from 'node:assert/strict';
        import { createRequire } from 'node:module';
        const require = createRequire(import.meta.url);
        ${check}`;
      await writeFile(join(project, 'entry-points.mjs'), program);

      await run(process.execPath, ['entry-points.mjs'], { cwd: project });

      const installed = await readdir(join(project, 'node_modules'));
      for (const client of ['redis', 'ioredis', '@nats-io']) assert.ok(!installed.includes(client), client);
    });
    it('does not bring Express', async () => {
      const installed = await readdir(join(project, 'node_modules'));

      assert.ok(!installed.includes('express'), installed.join());
    });
  });

  // The compiler that wrote our declarations, and the oldest one that reads them.
  const newest = { typescript: versions.typescript };
  const oldest = { 'typescript-5.4': 'npm:typescript@5.4.5' };
  const typeScriptProjects = [
    { name: 'node:http without Express', files: 'node-http', compilers: { ...newest, ...oldest }, dependencies: {} },
    {
      name: 'Express 5',
      files: 'express',
      compilers: newest,
      dependencies: { express: versions.express, '@types/express': versions['@types/express'] },
    },
    {
      name: 'Express 4',
      files: 'express',
      compilers: newest,
      dependencies: { express: versions.express4, '@types/express': versions['@types/express4'] },
    },
  ];

  for (const { name, files, compilers, dependencies } of typeScriptProjects) {
    describe(`in a TypeScript project with ${name}`, () => {
      let project: string;
      before(async () => {
        project = await createProject(
          { ...compilers, '@types/node': versions['@types/node'], ...withoutAlias(dependencies) },
          files,
        );
        const compilerOptions = {
          module: 'nodenext',
          target: 'es2022',
          strict: true,
          exactOptionalPropertyTypes: true,
          skipLibCheck: false,
        };
        await writeFile(join(project, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
      });
      after(() => removeProject(project));

      for (const compiler of Object.keys(compilers)) {
        it(`type-checks as ESM and as CommonJS with ${compiler}`, async () => {
          const tsc = join(project, 'node_modules', compiler, 'bin', 'tsc');

          await run(process.execPath, [tsc], { cwd: project }).catch(({ stdout }) => assert.fail(stdout));
        });
      }
      it('runs as ESM', () => assertEchoes(project, 'esm.mjs'));
      it('runs as CommonJS', () => assertEchoes(project, 'cjs.cjs'));
    });
  }
});

describe('the first example of README.md', () => {
  const frameworks = [
    { name: 'Express 5', module: 'express', version: versions.express },
    { name: 'Express 4', module: 'express', version: versions.express4 },
    { name: 'Connect', module: 'connect', version: versions.connect },
  ];

  for (const { name, module, version } of frameworks) {
    it(`runs under ${name}`, async (t) => {
      const project = await createProject(withoutAlias({ [module]: version }));
      t.after(() => removeProject(project));
      const example = await readFile(join(root, 'demo/samples/quick-start.js'), 'utf8');

      await writeFile(join(project, 'example.mjs'), example.replace("from 'express'", `from '${module}'`));

      await assertEchoes(project, 'example.mjs');
    });
  }
});

/** Turns the version of an aliased dev dependency (`npm:express@4.22.3`) into the plain version. */
function withoutAlias(dependencies: Record<string, string | undefined>): Record<string, string | undefined> {
  return Object.fromEntries(
    Object.entries(dependencies).map(([name, version]) => [name, version?.replace(/^npm:.+@/, '')]),
  );
}
