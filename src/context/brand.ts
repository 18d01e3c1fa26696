// One process may have two copies of the package; a symbol of the global registry lets each know the contexts of the other.
const brand = Symbol.for('websocket-context.WebSocketContext');

/** Makes the objects of a prototype contexts. */
export function brandContexts(prototype: object): void {
  Object.defineProperty(prototype, brand, { value: true });
}

/** Whether a value is a context, of whichever copy of the package. */
export function isContext(value: unknown): boolean {
  return typeof value === 'object' && value !== null && brand in value;
}
