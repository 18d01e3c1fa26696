import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { before, describe, it } from 'node:test';

// Tests run from the root of the project. Beneath it, the package finds itself by its name.
const FOLDER = '.test-build/examples';

/** A piece of code that somebody may copy. */
interface Example {
  /** Where it begins, as a compiler says it. */
  readonly name: string;
  readonly code: string;
  readonly firstLine: number;
  /** What the compiler finds wrong, filled in when it has run. */
  readonly errors: string[];
}

/** What the examples speak of without saying so. */
const KNOWN_NAMES = `
import type { Express } from 'express';
import type { GraphQLSchema } from 'graphql';
import type { Server } from 'node:http';
import type { WebSocketContext, WebSockets } from 'websocket-context';

declare global {
  const app: Express;
  const server: Server;
  const sockets: WebSockets;
  const socket: WebSocketContext;
  const schema: GraphQLSchema;
  const express: typeof import('express');
  const webSockets: typeof import('websocket-context').webSockets;
}
`;

const CONFIGURATION = {
  extends: '../../tsconfig.json',
  compilerOptions: {
    rootDir: '../..',
    noEmit: true,
    lib: ['es2023', 'esnext.disposable', 'dom'],
    isolatedDeclarations: false,
    declaration: false,
    declarationMap: false,
    noImplicitReturns: false,
    noPropertyAccessFromIndexSignature: false,
    noUnusedLocals: false,
    noUnusedParameters: false,
    skipLibCheck: true,
  },
  include: ['.'],
};

/** The examples in the docstrings of a source file. */
function examplesIn(file: string): Example[] {
  const text = readFileSync(file, 'utf8');
  return [...text.matchAll(/^ *\* ```ts\n([\s\S]*?)^ *\* ```$/gm)].map(({ index, 1: code = '' }) => {
    const firstLine = text.slice(0, index).split('\n').length + 1;
    return { name: `${file}:${firstLine}`, code: code.replace(/^ *\* ?/gm, ''), firstLine, errors: [] };
  });
}

/** What the examples in the docstrings of a source file belong to. */
function membersIn(file: string): string[] {
  const declarations = /@example[\s\S]*?\*\/\n *(?:(?:export|async|function|class|get|readonly) )*([\w[\].]+)/g;
  return [...readFileSync(file, 'utf8').matchAll(declarations)].map(([, name = '']) => name);
}

function filesIn(folder: string, extension: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith(extension))
    .map((name) => join(folder, name));
}

/** The lines of the compiler, each with the place in the file that the example comes from. */
async function compile(examples: readonly Example[]): Promise<void> {
  await rm(FOLDER, { recursive: true, force: true });
  await mkdir(FOLDER, { recursive: true });
  await writeFile(join(FOLDER, 'tsconfig.json'), JSON.stringify(CONFIGURATION));
  await writeFile(join(FOLDER, 'known-names.d.ts'), KNOWN_NAMES);
  await Promise.all(
    // As far down as it stands in its own file, so that the compiler's lines are the right ones.
    examples.map(({ code, firstLine }, index) =>
      writeFile(join(FOLDER, `${index}.ts`), `${'\n'.repeat(firstLine - 1)}${code}\nexport {};\n`),
    ),
  );
  const output = await new Promise<string>((resolve) => {
    const args = ['node_modules/typescript/bin/tsc', '--project', FOLDER, '--pretty', 'false'];
    execFile(process.execPath, args, (_error, stdout) => resolve(stdout));
  });
  for (const line of output.split('\n').filter((text) => text !== '')) {
    const index = /(?:^|[\\/])(\d+)\.ts\(/.exec(line)?.[1];
    assert.ok(index !== undefined || line.startsWith(' '), line);
    if (index !== undefined) examples[Number(index)]?.errors.push(line);
  }
}

const docstrings = filesIn('src', '.ts').flatMap(examplesIn);

const wrong: Example = {
  name: 'a wrong example',
  code: "await socket.sendAsync('text', { binary: true });",
  firstLine: 7,
  errors: [],
};

/** Those on the pages are files that run: see `readme.test.ts`. */
describe('the examples in the docstrings', () => {
  before(() => compile([...docstrings, wrong]));

  for (const { name, errors } of docstrings) {
    it(`${name} compiles`, () => assert.deepEqual(errors, []));
  }

  it('are there for what everybody uses', () => {
    const shown = new Set(filesIn('src', '.ts').flatMap(membersIn));
    const wanted = [
      ...['webSockets', 'handler', 'accept', 'attach', 'group', 'all', 'wsServer', 'close', 'connect'],
      ...['WebSocketContext', 'WebSocketGroup', 'WebSocketError', '[Symbol.asyncIterator]', 'receiveMessageAsync'],
      ...['receiveAsync', 'sendAsync', 'closeAsync', 'closeOutputAsync', 'ping', 'closing', 'closed', 'signal', 'ws'],
      ...['readFragment', 'writeFragment', 'sendConnectionClose', 'readable', 'writable', 'json'],
      ...['addToGroupAsync', 'countAsync', 'redis', 'nats', 'cluster', 'relay', 'workers'],
    ];

    assert.deepEqual(
      wanted.filter((member) => !shown.has(member)),
      [],
    );
  });

  it('would not compile with a mistake', () => {
    assert.equal(wrong.errors.length, 1);
    assert.match(wrong.errors.join(), /\(7,34\): error TS2353: .*'binary' does not exist in type 'SendOptions'/);
  });
});
