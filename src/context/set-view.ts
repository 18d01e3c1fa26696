import { inspect } from 'node:util';

/** A set that can be looked at and not changed. It shows what there is at the moment. */
export class SetView<T> implements ReadonlySet<T> {
  readonly #source: SetSource<T>;

  constructor(source: SetSource<T>) {
    this.#source = source;
  }

  get size(): number {
    return this.#source.size();
  }

  has(value: T): boolean {
    return this.#source.has(value);
  }

  forEach(callback: (value: T, key: T, set: ReadonlySet<T>) => void, thisArg?: unknown): void {
    for (const value of this) callback.call(thisArg, value, value, this);
  }

  entries(): SetIterator<[T, T]> {
    return new Set(this).entries();
  }

  keys(): SetIterator<T> {
    return this[Symbol.iterator]();
  }

  values(): SetIterator<T> {
    return this[Symbol.iterator]();
  }

  [Symbol.iterator](): SetIterator<T> {
    return this.#source.values();
  }

  // As sets have them from Node 22 on

  union<U>(other: SetLike<U>): Set<T | U> {
    return new Set<T | U>([...this, ...keysOf(other)]);
  }

  intersection<U>(other: SetLike<U>): Set<T & U> {
    return new Set([...this].filter((value): value is T & U => other.has(value as T & U)));
  }

  difference<U>(other: SetLike<U>): Set<T> {
    return new Set([...this].filter((value) => !other.has(value as T & U)));
  }

  symmetricDifference<U>(other: SetLike<U>): Set<T | U> {
    const result: Set<T | U> = this.difference(other);
    for (const value of keysOf(other)) if (!this.has(value as T & U)) result.add(value);
    return result;
  }

  isSubsetOf(other: SetLike<unknown>): boolean {
    return [...this].every((value) => other.has(value));
  }

  isSupersetOf(other: SetLike<unknown>): boolean {
    return keysOf(other).every((value) => this.has(value as T));
  }

  isDisjointFrom(other: SetLike<unknown>): boolean {
    return ![...this].some((value) => other.has(value));
  }

  get [Symbol.toStringTag](): string {
    return 'Set';
  }
}

// What `console.log` shows.
Object.defineProperty(SetView.prototype, inspect.custom, {
  value(this: SetView<unknown>) {
    return new Set(this);
  },
});

/** Where a view looks. */
export interface SetSource<T> {
  size(): number;
  has(value: T): boolean;
  /** For a loop, whose body may add and remove: a {@link snapshot}, or what follows such changes. */
  values(): SetIterator<T>;
}

/** For a loop over what there was when it began. */
export function snapshot<T>(values: Iterable<T>): SetIterator<T> {
  return new Set(values).values();
}

/** What sets can be compared with. */
export interface SetLike<T> {
  readonly size: number;
  has(value: T): boolean;
  keys(): Iterator<T>;
}

function keysOf<T>(set: SetLike<T>): T[] {
  const keys: T[] = [];
  const iterator = set.keys();
  for (let step = iterator.next(); !step.done; step = iterator.next()) keys.push(step.value);
  return keys;
}
