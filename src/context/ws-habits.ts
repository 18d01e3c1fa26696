const LISTEN =
  'it emits no events: read with `for await (const message of socket)`, await `socket.closed`, or hand the connection over to a WebSocket of ws with `socket.ws`';

/** What people who know `ws` or browsers reach for, and what to do instead. */
const methods: Readonly<Record<string, string>> = {
  on: LISTEN,
  once: LISTEN,
  off: LISTEN,
  addListener: LISTEN,
  removeListener: LISTEN,
  addEventListener: LISTEN,
  removeEventListener: LISTEN,
  send: 'use `await socket.sendAsync(data)`, which follows the pace of the client',
  close: 'use `await socket.closeAsync(code, reason)`, which resolves when the client has acknowledged',
  terminate: 'use `socket.abort()`',
  pause: 'do not read for as long as nothing is to come: the client is stopped then',
  resume: 'read on: the client goes on then',
  join: 'use `await socket.addToGroupAsync(name)`',
  leave: 'use `await socket.removeFromGroupAsync(name)`',
};

const KIND = 'WebSocketContext';
const handlers = ['onopen', 'onmessage', 'onerror', 'onclose'];

/**
 * The members of a WebSocket of `ws` that a context deliberately does not have. Each fails with a sentence that names its
 * counterpart, when it is compiled and when it is run; on the prototype, so that no connection pays for them.
 */
export abstract class WsHabits {
  /** @deprecated Read with `for await (const message of socket)`; libraries that want events take `socket.ws`. */
  declare readonly on: never;
  /** @deprecated Read with `socket.receiveMessageAsync()`, or await `socket.closed`. */
  declare readonly once: never;
  /** @deprecated There are no listeners: read with `for await (const message of socket)`. */
  declare readonly off: never;
  /** @deprecated Read with `for await (const message of socket)`; libraries that want events take `socket.ws`. */
  declare readonly addListener: never;
  /** @deprecated There are no listeners: read with `for await (const message of socket)`. */
  declare readonly removeListener: never;
  /** @deprecated Read with `for await (const message of socket)`; libraries that want events take `socket.ws`. */
  declare readonly addEventListener: never;
  /** @deprecated There are no listeners: read with `for await (const message of socket)`. */
  declare readonly removeEventListener: never;
  /** @deprecated Use `await socket.sendAsync(data)`. */
  declare readonly send: never;
  /** @deprecated Use `await socket.closeAsync(code, reason)`. */
  declare readonly close: never;
  /** @deprecated Use `socket.abort()`. */
  declare readonly terminate: never;
  /** @deprecated Do not read for as long as nothing is to come. */
  declare readonly pause: never;
  /** @deprecated Read on. */
  declare readonly resume: never;
  /** @deprecated A context is open from the beginning. */
  declare readonly onopen: never;
  /** @deprecated Read with `for await (const message of socket)`. */
  declare readonly onmessage: never;
  /** @deprecated Errors reject what is awaited. */
  declare readonly onerror: never;
  /** @deprecated Await `socket.closed`. */
  declare readonly onclose: never;
  /** @deprecated Use `socket.state`, a `WebSocketState`. */
  declare readonly readyState: never;

  static {
    const { prototype } = WsHabits;
    refuseHabits(prototype, { name: 'socket', kind: KIND, methods });
    for (const name of handlers) {
      define(prototype, name, { get: () => undefined, set: () => notThere(`set socket.${name}`, KIND, LISTEN) });
    }
    define(prototype, 'readyState', {
      get: () => notThere('read socket.readyState', KIND, 'use `socket.state`, which is a WebSocketState: Open is 2'),
    });
  }
}

/** What somebody has in his hands, and what he may call on it by habit: the methods, and what to do instead. */
export interface Habits {
  /** What the documentation calls it. */
  readonly name: string;
  readonly kind: string;
  readonly methods: Readonly<Record<string, string>>;
}

/** Lets methods that a prototype does not have fail with a sentence that names their counterpart. */
export function refuseHabits(prototype: object, { name, kind, methods }: Habits): void {
  for (const [method, instead] of Object.entries(methods)) {
    define(prototype, method, { writable: true, value: () => notThere(`call ${name}.${method}`, kind, instead) });
  }
}

function define(prototype: object, name: string, property: PropertyDescriptor): void {
  Object.defineProperty(prototype, name, { configurable: true, enumerable: false, ...property });
}

function notThere(what: string, kind: string, instead: string): never {
  throw new TypeError(`Cannot ${what}: this is a ${kind}, ${instead}`);
}
