const textOf = Function.prototype.toString;

/**
 * A method of Node, told from what somebody has put around it or in its place: by its text, since a preloaded agent is there
 * before this module. A text that Node has given up makes all of them look wrapped.
 */
export class NodeMethod {
  readonly #text: string;
  #last: unknown;
  #isLastOfNode = false;

  /** @param text part of its source, in each version of Node */
  constructor(text: string) {
    this.#text = text;
  }

  /** Whether `method` is Node's own. */
  is(method: unknown): boolean {
    if (method !== this.#last) {
      this.#last = method;
      this.#isLastOfNode = typeof method === 'function' && textOf.call(method).includes(this.#text);
    }
    return this.#isLastOfNode;
  }
}
