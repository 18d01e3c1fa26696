import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, it } from 'node:test';
import { relay } from '../src/cluster.js';
import { Deferred } from '../src/connection/deferred.js';
import { type WebSocketContext, type WebSockets, webSockets } from '../src/index.js';
import { connect, type WebSocketClient } from '../src/testing/index.js';
import type { TestContext } from './support/servers.js';

/** Both ends of a connection, and the instance that it belongs to. */
interface Pair {
  readonly socket: WebSocketContext;
  readonly client: WebSocketClient;
  readonly sockets: WebSockets;
}

async function open(t: TestContext): Promise<Pair> {
  const sockets = webSockets();
  const accepted = new Deferred<WebSocketContext>();
  const handle = sockets.handler(async (socket) => {
    accepted.resolve(socket);
    await once(socket.signal, 'abort');
  });
  const client = await connect((req, res) => handle(req, res, assert.ifError), '/');
  t.after(() => client.terminate());
  const socket = await accepted.promise;
  await socket.addToGroupAsync('room');
  return { socket, client, sockets };
}

/** Every method that takes options: how it is called with some, what it cannot do otherwise, and the names that it has. */
const calls: ReadonlyArray<
  readonly [name: string, operation: string, known: string, call: (pair: Pair, options: object) => Promise<unknown>]
> = [
  ['receiveAsync', 'receive', 'signal', ({ socket }, o) => socket.receiveAsync(undefined, o)],
  ['receiveMessageAsync', 'receive', 'signal', ({ socket }, o) => socket.receiveMessageAsync(o)],
  ['sendAsync', 'send', 'messageType, endOfMessage, compress, signal', ({ socket }, o) => socket.sendAsync('lost', o)],
  ['closeAsync', 'close', 'signal', ({ socket }, o) => socket.closeAsync(1000, '', o)],
  ['closeOutputAsync', 'close', 'signal', ({ socket }, o) => socket.closeOutputAsync(1000, '', o)],
  ['ping', 'ping', 'signal', ({ socket }, o) => socket.ping('', o)],
  ['writeFragment', 'write', 'utf8Encoded, finalFragment', ({ socket }, o) => socket.writeFragment('lost', o)],
  ['json().receiveAsync', 'receive', 'signal', ({ socket }, o) => socket.json().receiveAsync(o)],
  ['json().sendAsync', 'send', 'compress, signal', ({ socket }, o) => socket.json().sendAsync('lost', o)],
  [
    'group().sendAsync',
    'send',
    'messageType, compress, except, volatile, latest, local',
    ({ sockets }, o) => sockets.group('room').sendAsync('lost', o),
  ],
  ['group().closeAsync', 'close', 'except', ({ sockets }, o) => sockets.group('room').closeAsync(1000, '', o)],
  ['group().countAsync', 'count', 'timeout', ({ sockets }, o) => sockets.group('room').countAsync(o)],
  [
    'group().json().sendAsync',
    'send',
    'compress, except, volatile, latest, local',
    ({ sockets }, o) => sockets.group('room').json().sendAsync('lost', o),
  ],
  ['close of the instance', 'close', 'code, reason, timeout', ({ sockets }, o) => sockets.close(o)],
  [
    'connect',
    'connect',
    'headers, subProtocols, origin, secure, signal',
    (_pair, o) => connect((_req, res) => res.end(), '/', o),
  ],
  ['sendAsync of the client', 'send', 'messageType, endOfMessage', ({ client }, o) => client.sendAsync('lost', o)],
  ['receiveAsync of the client', 'receive', 'signal', ({ client }, o) => client.receiveAsync(o)],
];

describe('an option of a name that there is not', () => {
  for (const [name, operation, known, call] of calls) {
    it(`is refused by ${name}, and nothing happens`, async (t) => {
      const pair = await open(t);

      // Options that there are do not help; one that is `undefined` is given all the same, as it is by a spread.
      for (const options of [{ binary: true }, { signal: undefined, binary: undefined }, { timeout: 10, binary: 1 }]) {
        const misspelt = Object.keys(options).find((option) => !known.split(', ').includes(option));
        await assert.rejects(call(pair, options), {
          name: 'TypeError',
          message: `Cannot ${operation} with the option ${misspelt}: there is none of that name, must be one of ${known}`,
        });
      }

      await pair.socket.sendAsync('first');
      assert.equal(await pair.client.receiveAsync(), 'first');
    });
  }

  it('is refused by relay()', () => {
    assert.throws(() => Reflect.apply(relay, undefined, [{ limit: 1 }]), {
      name: 'TypeError',
      message: 'Cannot use the option limit of relay(): there is none of that name, must be one of bufferLimit',
    });
  });

  it('is looked for among the members of the options themselves', async (t) => {
    const { socket, client } = await open(t);
    // Whose members `signal` and `abort` are those of its class.
    await socket.sendAsync('with a controller', new AbortController());
    await socket.sendAsync('with a prototype', Object.assign(Object.create({ more: 1 }), { endOfMessage: true }));
    await socket.sendAsync('with a symbol', { [Symbol('more')]: 1 } as object);

    for (const expected of ['with a controller', 'with a prototype', 'with a symbol']) {
      assert.equal(await client.receiveAsync(), expected);
    }
  });
});

describe('what stands in the place of options', () => {
  for (const [name, operation, known, call] of calls) {
    it(`is refused by ${name}`, async (t) => {
      const pair = await open(t);
      for (const [options, found] of [
        [5, 'of type number'],
        [true, 'of type boolean'],
        ['text', 'of type string'],
        [AbortSignal.abort(), 'an AbortSignal'],
        [[], 'an array'],
        [new Map([['compress', true]]), 'a Map'],
        [new Set([pair.socket]), 'a Set'],
        [Promise.resolve({}), 'a Promise'],
        [new ArrayBuffer(8), 'an ArrayBuffer'],
      ] as ReadonlyArray<[unknown, string]>) {
        await assert.rejects(call(pair, options as object), {
          name: 'TypeError',
          message: `Cannot ${operation}: options is ${found}, must be an object, such as { ${known} }`,
        });
      }
    });
  }

  for (const [name, operation, known, call] of calls) {
    it(`is refused by ${name} if it is a connection, which ${known.includes('except') ? 'is to be excepted' : 'is none'}`, async (t) => {
      const pair = await open(t);
      const needed = known.includes('except')
        ? 'did you mean { except: socket }?'
        : `must be an object, such as { ${known} }`;
      await assert.rejects(call(pair, pair.socket), {
        name: 'TypeError',
        message: `Cannot ${operation}: options is a WebSocketContext, ${needed}`,
      });
      await pair.socket.sendAsync('nothing was sent');
      assert.equal(await pair.client.receiveAsync(), 'nothing was sent');
    });
  }

  for (const [name, , , call] of calls.filter(([called]) => /send|count|write/.test(called))) {
    it(`may be null, or undefined, for ${name}`, async (t) => {
      const pair = await open(t);
      for (const options of [null, undefined] as unknown[]) await call(pair, options as object);
    });
  }
});
