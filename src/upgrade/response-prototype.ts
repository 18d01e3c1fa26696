import { type IncomingMessage, ServerResponse } from 'node:http';

type ResponseConstructor = new (req: IncomingMessage) => ServerResponse;

/** By the prototype of what they make. */
const constructors = new WeakMap<object, ResponseConstructor>();

/** The prototype that `app` gives its responses, if it is an application of Express; otherwise that of Node. */
export function responsePrototypeOf(app: object): object {
  const { response } = app as { readonly response?: unknown };
  return response instanceof ServerResponse ? response : ServerResponse.prototype;
}

/**
 * A response with `prototype` from the start, which inherits from that of Node. Express would change it to that, which takes 1
 * to 3 µs with Node 24 if it has to; and it has to if somebody has put something into `prototype` that what is set on a response
 * of Node would meet.
 */
export function responseWith(prototype: object, req: IncomingMessage): ServerResponse {
  let Response = constructors.get(prototype);
  if (Response === undefined) {
    Response = constructorOf(canBeAssignedTo(prototype) ? prototype : ServerResponse.prototype, ServerResponse);
    constructors.set(prototype, Response);
  }
  return new Response(req);
}

/** Whether nothing between `prototype` and that of Node keeps a property from being set on the object itself. */
function canBeAssignedTo(prototype: object): boolean {
  for (let at = prototype; at !== ServerResponse.prototype; at = Object.getPrototypeOf(at)) {
    const properties = Object.values(Object.getOwnPropertyDescriptors(at));
    if (properties.some(({ writable }) => writable !== true)) return false;
  }
  return true;
}

/**
 * A constructor of what `base` makes, but with `prototype`. Like those of Node it is a plain function, whose prototype can be
 * chosen: V8 would make a layout for each object of `Reflect.construct`, which is left to a Node that makes them classes.
 */
export function constructorOf(prototype: object, base: ResponseConstructor): ResponseConstructor {
  const isClass = /^class\b/.test(Function.prototype.toString.call(base));
  const made = (isClass ? ofClass(base) : ofFunction(base as never)) as { prototype: object };
  made.prototype = prototype;
  // As many properties as the constructors behind it set have room in the object itself
  return Object.setPrototypeOf(made, base);
}

function ofFunction(base: (this: ServerResponse, req: IncomingMessage) => void): unknown {
  return function (this: ServerResponse, req: IncomingMessage): void {
    base.call(this, req);
  };
}

function ofClass(base: ResponseConstructor): unknown {
  return function (req: IncomingMessage): unknown {
    return Reflect.construct(base, [req], new.target);
  };
}

// As long as the setHeader of Node has been called for one name only, V8 looks for it in vain with each response, which takes 2 µs
// with Node 24. And one is all that Express sets.
const NAMES = ['Vary', 'X-Powered-By'] as const;

function warmUp(): void {
  const req = { method: 'GET', httpVersionMajor: 1, httpVersionMinor: 1 } as IncomingMessage;
  for (let i = 0; i < 32; i++) for (const name of NAMES) new ServerResponse(req).setHeader(name, '');
}

warmUp();
