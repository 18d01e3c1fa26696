import { IncomingMessage } from 'node:http';

/**
 * A property that requests get once they are accepted. Where a framework has given them a prototype of its own, as Express does,
 * all of its requests get it with the first: an accessor of its own makes V8 copy the layout of each request, or make a hash
 * table of it, 1.6 KiB for as long as its connection lives.
 */
export class RequestProperty {
  readonly #name: string;
  readonly #descriptor: PropertyDescriptor;
  /** Prototypes whose requests have it. */
  readonly #known = new WeakSet<object>();
  /** The one of them that was met last. */
  #last: object | undefined;

  constructor(name: string, descriptor: PropertyDescriptor) {
    this.#name = name;
    this.#descriptor = descriptor;
  }

  /** Sees to it that `req` has the property. */
  addTo(req: IncomingMessage): void {
    const prototype: object = Object.getPrototypeOf(req);
    if (!Object.hasOwn(req, this.#name) && (prototype === this.#last || this.#isKnown(prototype))) return;
    Object.defineProperty(req, this.#name, this.#descriptor);
  }

  #isKnown(prototype: object): boolean {
    if (!this.#known.has(prototype) && !this.#addBehind(prototype)) return false;
    this.#last = prototype;
    return true;
  }

  /** @returns whether requests with this prototype have the property now, by one that they do not share with those of Node */
  #addBehind(prototype: object): boolean {
    let last: object | undefined;
    for (let at: object | null = prototype; at !== IncomingMessage.prototype; at = Object.getPrototypeOf(at)) {
      // Somebody else's may stand there, which is left alone
      if (at === null || (Object.hasOwn(at, this.#name) && !this.#known.has(at))) return false;
      last = at;
    }
    if (last === undefined || !Reflect.defineProperty(last, this.#name, this.#descriptor)) return false;
    this.#known.add(prototype).add(last);
    return true;
  }
}
