// Makes the JavaScript of the package, behind the compiler, which has written the declarations to dist/cjs.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, relative } from 'node:path/posix';
import { build } from 'rolldown';

const require = createRequire(import.meta.url);
const OUT = 'dist/cjs';
const entryPoints = Object.values(JSON.parse(readFileSync('package.json', 'utf8')).exports).filter(
  (paths) => paths.import,
);

/** @param {string} path of a built file */
const nameOf = (path) => relative(OUT, path).replace(/\.js$/, '');

// Few files without comments, not one for each of a hundred modules: the text of a module stays in V8's heap as long as the
// process lives, and Node keeps some kilobytes beside it (docs/performance-lab.md). Lines and names stay, so that a stack
// trace names a place where somebody can read.
await build({
  input: Object.fromEntries(
    entryPoints.map(({ require: { default: path } }) => [nameOf(path), `src/${nameOf(path)}.ts`]),
  ),
  platform: 'node',
  external: /^[^./]/,
  transform: { target: 'es2023' },
  onLog(_level, log) {
    throw new Error(log.message);
  },
  output: {
    dir: OUT,
    format: 'cjs',
    esModule: true,
    exports: 'named',
    comments: false,
    sourcemap: true,
    // They are in the package themselves.
    sourcemapExcludeSources: true,
    chunkFileNames: 'shared/[name].js',
  },
});
writeFileSync(`${OUT}/package.json`, JSON.stringify({ type: 'commonjs' }));

// ECMAScript modules take everything from there: whoever imports and requires the package has it once.
for (const { import: esm, require: cjs } of entryPoints) {
  const from = ` from '${relative(dirname(esm.default), cjs.default)}';\n`;
  mkdirSync(dirname(esm.default), { recursive: true });
  writeFileSync(esm.types, `export *${from}`);
  writeFileSync(esm.default, `export { ${Object.keys(require(`./${cjs.default}`)).join(', ')} }${from}`);
}

const expressTypes = `${OUT}/express-request.d.ts`;
writeFileSync(expressTypes, `/** @ts-ignore: Express need not be installed */\n${readFileSync(expressTypes, 'utf8')}`);
