// Preloaded by every server. The measurements with bufferutil get the copy that is installed here; all others must not
// find any: version 7 of `ws` does not know WS_NO_BUFFER_UTIL, and resolution would go on to the project's own modules.
import Module, { createRequire } from 'node:module';

const copy = process.env.BENCH_BUFFERUTIL === '1' ? createRequire(import.meta.url).resolve('bufferutil') : undefined;
if (!copy) process.env.WS_NO_BUFFER_UTIL = '1';

const resolve = Module._resolveFilename;
Module._resolveFilename = function resolveFilename(request, ...rest) {
  if (request !== 'bufferutil') return resolve.call(this, request, ...rest);
  if (copy) return copy;
  throw Object.assign(new Error('bufferutil is hidden from this server'), { code: 'MODULE_NOT_FOUND' });
};
