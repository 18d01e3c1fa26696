import { setFlagsFromString } from 'node:v8';

// How V8 lays objects out, which nothing but itself can tell.

/** A function that V8 has for its own tests. */
function native<Args extends object[]>(name: string, count: Args['length']): (...objects: Args) => boolean {
  const parameters = Array.from({ length: count }, (_, at) => `object${at}`).join();
  return Function(parameters, `return %${name}(${parameters})`) as never;
}

setFlagsFromString('--allow-natives-syntax');
/** Whether an object is no hash table, which takes more memory, and is slow. */
export const hasFastProperties: (object: object) => boolean = native<[object]>('HasFastProperties', 1);
/** Whether two objects have one layout. */
export const haveSameLayout: (one: object, other: object) => boolean = native<[object, object]>('HaveSameMap', 2);
setFlagsFromString('--no-allow-natives-syntax');
