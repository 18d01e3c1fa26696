import { cpSync, existsSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** @param {string} path */
const here = (path) => fileURLToPath(new URL(path, import.meta.url));

/**
 * Puts a build of this package among the dependencies of the servers, as npm would: what it and Express depend on is there
 * once.
 *
 * @param {string} root where the package and its `dist` are
 * @param {string} name of the directory there
 * @returns {string} its entry point
 */
export function install(root, name) {
  if (!existsSync(`${root}/dist`)) throw new Error(`There is no build in ${root}/dist: npm run build makes one`);
  const copy = here(`node_modules/${name}`);
  rmSync(copy, { recursive: true, force: true });
  for (const part of ['package.json', 'dist']) cpSync(`${root}/${part}`, `${copy}/${part}`, { recursive: true });
  return `${copy}/dist/esm/index.js`;
}
