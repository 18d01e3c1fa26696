/**
 * Emits a process warning, once in a process.
 *
 * @param code what it is known by, to `process.on('warning')` and to `--disable-warning`
 */
export function warnOnce(message: string, { type, code }: { readonly type: string; readonly code: string }): void {
  // In the global registry, because one process may have two copies of the package.
  const warned = Symbol.for(`websocket-context.${code}`);
  if (Reflect.has(globalThis, warned)) return;
  Reflect.set(globalThis, warned, true);
  process.emitWarning(message, { type, code });
}
