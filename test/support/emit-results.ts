import type { EventEmitter } from 'node:events';

/** What `emit` of a server says from now on of each event of that name. */
export function emitResults(server: EventEmitter, event: string): readonly boolean[] {
  const results: boolean[] = [];
  const { emit } = server;
  Object.assign(server, {
    emit(this: EventEmitter, name: string, ...args: unknown[]): boolean {
      const result: boolean = Reflect.apply(emit, this, [name, ...args]);
      if (name === event) results.push(result);
      return result;
    },
  });
  return results;
}
