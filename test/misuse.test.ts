import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocketState } from '../src/index.js';
import { eventually } from './support/apps.js';
import { BINARY_FRAME, CONTINUATION, PING_FRAME } from './support/frames.js';
import { type FramePeer, openRaw } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

const CONNECTIONS = 60;

/** A reproducible source of random integers below a bound. */
const random = (seed: number): ((bound: number) => number) => {
  let state = seed;
  return (bound) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >>> 8) % bound;
  };
};

const stop = new Error('cancelled');

/** Right and wrong values for every parameter. */
const values: readonly unknown[] = [
  undefined,
  null,
  -1,
  1000,
  4000,
  Number.NaN,
  '',
  'grüezi',
  'x'.repeat(200),
  {},
  [],
  Symbol('s'),
  Buffer.alloc(0),
  Buffer.alloc(10),
  new Uint16Array(50_000),
  { endOfMessage: false },
  { finalFragment: false },
  { messageType: 1 },
  { compress: true },
  { signal: AbortSignal.abort(stop) },
  { signal: 'none' },
];

const methods = [
  'receiveAsync',
  'sendAsync',
  'sendAsync',
  'closeAsync',
  'closeOutputAsync',
  'readFragment',
  'writeFragment',
  'sendConnectionClose',
  'cancelOutstandingIO',
  'receiveMessageAsync',
  'ping',
  'getCloseStatus',
] as const;

const clientActions: ReadonlyArray<(client: FramePeer) => void> = [
  (client) => client.send('text'),
  (client) => client.send({ payload: 'begun', fin: false }),
  (client) => client.send({ payload: 'ended', opcode: CONTINUATION }),
  (client) => client.send({ opcode: BINARY_FRAME, payload: Buffer.alloc(3000) }),
  (client) => client.send({ opcode: PING_FRAME, payload: 'ping' }),
  (client) => client.close(1000),
  (client) => client.raw.socket.pause(),
  (client) => client.raw.socket.resume(),
  (client) => client.raw.write(Buffer.of(0x83)),
  (client) => client.raw.end(),
];

describe('a context whose methods are called at random, with anything', { timeout: 150_000 }, () => {
  for (const perMessageDeflate of [false, { threshold: 0 }]) {
    it(`throws nothing and leaves nothing pending ${perMessageDeflate ? 'with' : 'without'} compression`, async (t) => {
      const unhandled: unknown[] = [];
      const listener = (reason: unknown): void => void unhandled.push(reason);
      process.on('unhandledRejection', listener);
      t.after(() => process.off('unhandledRejection', listener));

      for (let seed = 1; seed <= CONNECTIONS; seed++) {
        const below = random(seed);
        const { socket, client, req } = await openRaw(
          t,
          {
            closeTimeout: 30,
            keepAliveInterval: 0,
            receiveBufferLimit: 5000,
            sendBufferLimit: 200_000,
            perMessageDeflate,
          },
          { request: { headers: perMessageDeflate ? { 'Sec-WebSocket-Extensions': 'permessage-deflate' } : {} } },
        );
        const log: string[] = [];
        const pending = new Set<string>();
        for (let step = 5 + below(25); step > 0; step--) {
          if (below(3) === 0) {
            const action = below(clientActions.length);
            log.push(`client ${action}`);
            if (client.raw.socket.writable) clientActions[action]?.(client);
          } else {
            const method = methods[below(methods.length)] ?? 'ping';
            const args = Array.from({ length: below(4) }, () => values[below(values.length)]);
            const call = `${step} ${method}`;
            log.push(call);
            const outcome: unknown = Reflect.apply(socket[method] as () => unknown, socket, args);
            if (outcome instanceof Promise) {
              pending.add(call);
              outcome.catch(() => {}).finally(() => pending.delete(call));
            }
          }
          if (below(3) === 0) await new Promise((resolve) => setImmediate(resolve));
        }
        // However it stands, the client goes and the application with it
        client.raw.socket.destroy();
        socket.closeAsync().catch(() => {});
        await socket.closed;
        await eventually(() => pending.size === 0 && req.socket.destroyed);
        assert(socket.state >= WebSocketState.Closed, log.join(', '));
      }
      assert.deepEqual(unhandled, []);
    });
  }
});
