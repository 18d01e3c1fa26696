import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type } from 'arktype';
import createError from 'http-errors';
import * as v from 'valibot';
import { z } from 'zod';
import {
  type InvalidMessageHandler,
  type StandardIssue,
  type StandardResult,
  type StandardSchema,
  WebSocketError,
  WebSocketState,
  type WebSockets,
} from '../src/index.js';
import { anyFramework, eventually, serveApp, type TestApp } from './support/apps.js';
import { failure, observe, rejectsWith } from './support/connections.js';
import { BINARY_FRAME, TEXT_FRAME } from './support/frames.js';
import { connectWs, nextClose, nextMessage, openRaw } from './support/open-pair.js';
import { unhandledIn } from './support/rejections.js';

process.env['NODE_ENV'] = 'test';

/** `{ age: number }`, not negative, in three libraries. */
const schemas = {
  zod: z.object({ user: z.object({ age: z.number().nonnegative('must not be negative') }) }),
  valibot: v.object({ user: v.object({ age: v.pipe(v.number(), v.minValue(0, 'must not be negative')) }) }),
  arktype: type({ user: { age: type('number >= 0').configure({ message: 'must not be negative' }) } }),
};

/** A schema whose answers the test gives, one call at a time. */
class SlowSchema implements StandardSchema<unknown, unknown> {
  /** What has been validated so far. */
  readonly seen: unknown[] = [];
  readonly #answers: Array<(result: StandardResult | Promise<never>) => void> = [];

  readonly '~standard' = {
    version: 1 as const,
    vendor: 'test',
    validate: (value: unknown): Promise<StandardResult> => {
      this.seen.push(value);
      return new Promise((resolve) => {
        this.#answers.push(resolve);
      });
    },
  };

  /** Answers the call of that number. */
  answer(index: number, result: StandardResult | Promise<never> = { value: this.seen[index] }): void {
    this.#answers[index]?.(result);
  }
}

function schemaOf(validate: (value: unknown) => StandardResult | Promise<StandardResult>): StandardSchema {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}

/** Settles when all that is due has been done. */
function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

async function received(values: AsyncIterable<unknown>): Promise<unknown[]> {
  const all: unknown[] = [];
  for await (const value of values) all.push(value);
  return all;
}

describe('socket.json() receives', { timeout: 150_000 }, () => {
  for (const [library, schema] of Object.entries(schemas)) {
    it(`values that a schema of ${library} allows, and ends at the close of the peer`, async (t) => {
      const { socket, client } = await openRaw(t);
      client.send('{"user":{"age":1}}');
      client.send(' {"user": {"age": 2}} ');
      client.close(1000);
      assert.deepEqual(await received(socket.json({ receive: schema })), [{ user: { age: 1 } }, { user: { age: 2 } }]);
      assert.equal(socket.state, WebSocketState.CloseReceived);
    });

    it(`nothing else, and closes with 1007 and the path and message of the first issue of ${library}`, async (t) => {
      const { socket, client } = await openRaw(t);
      const json = socket.json({ receive: schema });
      client.send('{"user":{"age":-1}}');
      await assert.rejects(json.receiveAsync(), (error) => {
        assert.ok(error instanceof WebSocketError);
        assert.equal(error.code, 'ERR_WEBSOCKET_INVALID_MESSAGE');
        assert.equal(error.webSocketErrorCode, 2);
        assert.match(error.message, /user\.age: must not be negative/);
        const { issues } = error.cause as { issues: StandardIssue[] };
        assert.equal(issues[0]?.message, 'must not be negative');
        return true;
      });
      assert.deepEqual(await client.nextClose(), { code: 1007, reason: 'user.age: must not be negative' });
    });
  }

  it('what a schema makes of a message', async (t) => {
    const { socket, client } = await openRaw(t);
    const json = socket.json({ receive: z.string().transform((text) => new Date(text)) });
    client.send('"2026-01-02"');
    assert.deepEqual(await json.receiveAsync(), new Date('2026-01-02'));
  });

  it('everything that is JSON where there is no schema', async (t) => {
    const { socket, client } = await openRaw(t);
    for (const text of ['1', '"x"', 'null', '[true]', '{"a":{}}']) client.send(text);
    client.close();
    assert.deepEqual(await received(socket.json()), [1, 'x', null, [true], { a: {} }]);
  });

  it('undefined at the close of the peer, as often as it is asked', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close(1000);
    const json = socket.json();
    assert.equal(await json.receiveAsync(), undefined);
    assert.equal(await json.receiveAsync(), undefined);
  });

  it('in a loop values that are undefined too', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('1');
    client.send('2');
    client.close();
    const seen = await received(socket.json({ receive: schemaOf(() => ({ value: undefined })) }));
    assert.deepEqual(seen, [undefined, undefined]);
  });

  it('goes on in a later loop after a break', async (t) => {
    const { socket, client } = await openRaw(t);
    for (const text of ['1', '2', '3']) client.send(text);
    client.close();
    const json = socket.json();
    for await (const value of json) if (value === 1) break;
    const left = json[Symbol.asyncIterator]();
    await left.return?.();
    assert.deepEqual(await left.next(), { value: undefined, done: true });
    assert.deepEqual(await received(json), [2, 3]);
    assert.deepEqual(await received(left), []);
  });

  it('one message at a time, whichever view reads', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    const json = socket.json({ receive: slow });
    const waiting = json.receiveAsync();
    await assert.rejects(json.receiveAsync(), failure('ERR_WEBSOCKET_RECEIVE_IN_PROGRESS'));
    client.send('1');
    await eventually(() => slow.seen.length === 1);
    await assert.rejects(socket.json().receiveAsync(), failure('ERR_WEBSOCKET_RECEIVE_IN_PROGRESS'));
    slow.answer(0);
    assert.equal(await waiting, 1);
  });

  it('rejects with what the connection fails with', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.reset();
    await assert.rejects(socket.json().receiveAsync(), failure('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY'));
    await assert.rejects(socket.json().receiveAsync(), failure('ERR_WEBSOCKET_INVALID_STATE'));
  });
});

describe('a JSON read that is cancelled', { timeout: 150_000 }, () => {
  it('does nothing if it was cancelled before', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('1');
    const json = socket.json();
    const reason = new Error('enough');
    await rejectsWith(json.receiveAsync({ signal: AbortSignal.abort(reason) }), reason);
    assert.equal(await json.receiveAsync({ signal: new AbortController().signal }), 1);
  });

  it('loses no message that comes later', async (t) => {
    const { socket, client } = await openRaw(t);
    const json = socket.json();
    const controller = new AbortController();
    const read = json.receiveAsync({ signal: controller.signal });
    controller.abort('enough');
    await rejectsWith(read, 'enough');
    client.send('1');
    assert.equal(await json.receiveAsync(), 1);
  });

  it('loses no message whose validation is under way, and validates it once', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    const json = socket.json({ receive: slow });
    client.send('1');
    client.send('2');
    for (let attempt = 0; attempt < 3; attempt++) {
      const controller = new AbortController();
      const read = json.receiveAsync({ signal: controller.signal });
      await eventually(() => slow.seen.length === 1);
      controller.abort('enough');
      await rejectsWith(read, 'enough');
    }
    const read = json.receiveAsync();
    slow.answer(0);
    assert.equal(await read, 1);
    const next = json.receiveAsync();
    await eventually(() => slow.seen.length === 2);
    slow.answer(1);
    assert.equal(await next, 2);
    assert.deepEqual(slow.seen, [1, 2]);
  });

  it('leaves the message to a view with another schema too', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    client.send('1');
    const controller = new AbortController();
    const read = socket.json({ receive: slow }).receiveAsync({ signal: controller.signal });
    await eventually(() => slow.seen.length === 1);
    controller.abort('enough');
    await rejectsWith(read, 'enough');
    assert.equal(await socket.json({ receive: z.number() }).receiveAsync(), 1);
  });

  it('ends no process when the validation that it has left fails', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    const json = socket.json({ receive: slow });
    client.send('1');
    const controller = new AbortController();
    const read = json.receiveAsync({ signal: controller.signal });
    await eventually(() => slow.seen.length === 1);
    controller.abort('enough');
    await rejectsWith(read, 'enough');
    const fault = new Error('database is gone');
    slow.answer(0, Promise.reject(fault));
    await turn();
    await rejectsWith(json.receiveAsync(), fault);
  });

  it('does not cut off the function that answers an invalid message', async (t) => {
    const { socket, client } = await openRaw(t);
    let finish: (() => void) | undefined;
    const json = socket.json({
      receive: z.number(),
      invalid: () =>
        new Promise<void>((resolve) => {
          finish = resolve;
        }),
    });
    client.send('"x"');
    client.send('1');
    const controller = new AbortController();
    const read = json.receiveAsync({ signal: controller.signal });
    await eventually(() => finish !== undefined);
    controller.abort('enough');
    await rejectsWith(read, 'enough');
    const next = observe(json.receiveAsync());
    await turn();
    assert.equal(next.outcome, 'pending');
    finish?.();
    await eventually(() => next.outcome !== 'pending');
    assert.equal(next.outcome, 1);
  });
});

describe('an invalid JSON message', { timeout: 150_000 }, () => {
  const cases: ReadonlyArray<readonly [what: string, message: { payload: string | Buffer; opcode?: number }]> = [
    ['is not JSON', { payload: '{"user":' }],
    ['is empty', { payload: '' }],
    ['is binary', { payload: Buffer.from('1'), opcode: BINARY_FRAME }],
  ];
  for (const [what, message] of cases) {
    it(`that ${what} closes with 1007`, async (t) => {
      const { socket, client } = await openRaw(t);
      client.send(message);
      const json = socket.json();
      await assert.rejects(json.receiveAsync(), failure('ERR_WEBSOCKET_INVALID_MESSAGE'));
      const { code, reason } = await client.nextClose();
      assert.equal(code, 1007);
      assert.match(reason, /^The message is /);
      assert.equal(await json.receiveAsync(), undefined);
    });
  }

  it('ends the reads: the next one gives undefined, whether or not the client answers', async (t) => {
    const { socket, client } = await openRaw(t);
    const json = socket.json({ receive: z.number() });
    client.send('"x"');
    client.send('1');
    await assert.rejects(async () => {
      for await (const _ of json) assert.fail('not valid');
    }, failure('ERR_WEBSOCKET_INVALID_MESSAGE'));
    assert.equal(await json.receiveAsync(), undefined);
    assert.deepEqual(await received(json), []);
    assert.equal(socket.state, WebSocketState.CloseSent);
    client.close(1007);
    await eventually(() => socket.state === WebSocketState.Closed);
    assert.equal(await json.receiveAsync(), undefined);
  });

  it('is described in at most 123 bytes, cut between two characters', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('1');
    const issues = [{ message: '€'.repeat(100), path: ['list', { key: 0 }, Symbol('x')] }];
    await assert.rejects(socket.json({ receive: schemaOf(() => ({ issues })) }).receiveAsync());
    const { reason } = await client.nextClose();
    assert.equal(reason, `list.0.Symbol(x): ${'€'.repeat(35)}`);
    assert.equal(Buffer.byteLength(reason), 123);
  });

  it('closes in words even where the schema has none', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send('1');
    await assert.rejects(socket.json({ receive: schemaOf(() => ({ issues: [] })) }).receiveAsync());
    assert.deepEqual(await client.nextClose(), { code: 1007, reason: 'not valid' });
  });

  it('needs no connection that still stands', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    client.send('1');
    const read = socket.json({ receive: slow }).receiveAsync();
    await eventually(() => slow.seen.length === 1);
    socket.abort();
    slow.answer(0, { issues: [{ message: 'no' }] });
    await assert.rejects(read, failure('ERR_WEBSOCKET_INVALID_MESSAGE'));
    await turn();
  });

  it("is passed over with 'skip'", async (t) => {
    const { socket, client } = await openRaw(t);
    for (const text of ['1', 'x', '"y"', '2']) client.send(text);
    client.send({ opcode: BINARY_FRAME, payload: '3' });
    client.close();
    assert.deepEqual(await received(socket.json({ receive: z.number(), invalid: 'skip' })), [1, 2]);
  });

  it('is given to a function, which may answer it before the read goes on', async (t) => {
    const { socket, client } = await openRaw(t);
    const seen: unknown[] = [];
    const invalid: InvalidMessageHandler = async (issues, raw, on) => {
      assert.equal(on, socket);
      seen.push([issues.length, raw]);
      await on.sendAsync(`no: ${issues[0]?.message}`);
    };
    client.send('"x"');
    client.send({ opcode: BINARY_FRAME, payload: Buffer.of(7) });
    client.send('1');
    const receive = z.number({ error: 'give me a number' });
    assert.equal(await socket.json({ receive, invalid }).receiveAsync(), 1);
    assert.deepEqual(seen, [
      [1, '"x"'],
      [1, Buffer.of(7)],
    ]);
    assert.equal((await client.next()).payload.toString(), 'no: give me a number');
    assert.equal((await client.next()).payload.toString(), 'no: The message is binary, must be JSON text');
  });

  it('rejects the read with what that function throws, and the next read goes on', async (t) => {
    for (const asynchronous of [false, true]) {
      const { socket, client } = await openRaw(t);
      const fault = createError(418);
      client.send('"x"');
      client.send('1');
      const json = socket.json({
        receive: z.number(),
        invalid: () => {
          if (asynchronous) return Promise.reject(fault);
          throw fault;
        },
      });
      await rejectsWith(json.receiveAsync(), fault);
      assert.equal(await json.receiveAsync(), 1);
    }
  });

  it('rejects the read with what a validator throws, and the next read goes on', async (t) => {
    for (const asynchronous of [false, true]) {
      const { socket, client } = await openRaw(t);
      const fault = new Error('the validator has failed');
      client.send('"x"');
      client.send('1');
      const receive = schemaOf((value) => {
        if (value === 1) return { value };
        if (asynchronous) return Promise.reject(fault);
        throw fault;
      });
      const json = socket.json({ receive });
      await rejectsWith(json.receiveAsync(), fault);
      assert.equal(await json.receiveAsync(), 1);
      assert.equal(socket.state, WebSocketState.Open);
    }
  });

  it('that ends a handler is closed with 1007 once, and reaches onError as expected', async (t) => {
    const expectations: unknown[] = [];
    const build = (app: TestApp, sockets: WebSockets): void => {
      app.use(
        '/json',
        sockets.handler(async (socket) => {
          for await (const value of socket.json({ receive: z.number() })) await socket.json().sendAsync(value);
        }),
      );
    };
    const site = await serveApp(t, anyFramework, build, {
      onError: (error, _socket, _req, { expected }) => void expectations.push([(error as Error).message, expected]),
    });
    const client = await connectWs(t, `${site.url}/json`);
    client.send('5');
    assert.equal(await nextMessage(client), '5');
    client.send('"x"');
    const { code, reason } = await nextClose(client);
    assert.equal(code, 1007);
    assert.match(reason, /expected number/);
    assert.equal(expectations.length, 1);
    assert.match(String(expectations[0]), /^Cannot receive: the message is not valid .*,true$/);
  });
});

describe('socket.json() sends', { timeout: 150_000 }, () => {
  for (const [library, schema] of Object.entries(schemas)) {
    it(`what a schema of ${library} allows, and nothing else`, async (t) => {
      const { socket, client } = await openRaw(t);
      const json = socket.json({ send: schema });
      await json.sendAsync({ user: { age: 1 } });
      assert.deepEqual(await client.next(), textFrame('{"user":{"age":1}}'));
      await assert.rejects(json.sendAsync({ user: { age: -1 } }), (error) => {
        assert.ok(error instanceof TypeError);
        assert.match(error.message, /^Cannot send: .*user\.age: must not be negative/);
        assert.equal((error.cause as { issues: StandardIssue[] }).issues[0]?.message, 'must not be negative');
        return true;
      });
      await socket.sendAsync('next');
      assert.equal((await client.next()).payload.toString(), 'next');
    });
  }

  it('what a schema makes of a value', async (t) => {
    const { socket, client } = await openRaw(t);
    const send = z.date().transform((date) => date.getTime());
    await socket.json({ send }).sendAsync(new Date(5));
    assert.equal((await client.next()).payload.toString(), '5');
  });

  it('everything that can be JSON where there is no schema', async (t) => {
    const { socket, client } = await openRaw(t);
    const json = socket.json();
    for (const value of [null, 0, '', [undefined], { a: undefined, b: new Date(0) }]) {
      await json.sendAsync(value);
      assert.equal((await client.next()).payload.toString(), JSON.stringify(value));
    }
  });

  it('nothing that cannot be JSON', async (t) => {
    const { socket, client } = await openRaw(t);
    const json = socket.json();
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    const transformed = socket.json({ send: schemaOf(async () => ({ value: undefined })) });
    for (const value of [undefined, () => 1, Symbol('x'), 1n, { deep: [1n] }, cycle, { toJSON: () => undefined }]) {
      await assert.rejects(json.sendAsync(value), { name: 'TypeError', message: /^Cannot send: the value / });
    }
    await assert.rejects(transformed.sendAsync(1), { name: 'TypeError', message: /^Cannot send: the value / });
    await socket.sendAsync('next');
    assert.equal((await client.next()).payload.toString(), 'next');
  });

  it('rejects with what a toJSON method or a validator throws', async (t) => {
    const { socket } = await openRaw(t);
    const fault = new Error('broken');
    const fail = (): never => {
      throw fault;
    };
    await rejectsWith(socket.json().sendAsync({ toJSON: fail }), fault);
    await rejectsWith(socket.json({ send: schemaOf(fail) }).sendAsync(1), fault);
    await rejectsWith(socket.json({ send: schemaOf(async () => fail()) }).sendAsync(1), fault);
  });

  it('in the order of the calls, however long validation takes, whichever view sends', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    const checked = socket.json({ send: slow });
    const sent = [
      checked.sendAsync(1),
      checked.sendAsync(2),
      socket.json().sendAsync(3),
      checked.sendAsync(4),
      socket.json().sendAsync(5),
    ];
    slow.answer(2);
    slow.answer(1, { issues: [{ message: 'not two' }] });
    await turn();
    slow.answer(0);
    const outcomes = await Promise.allSettled(sent);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ['fulfilled', 'rejected', 'fulfilled', 'fulfilled', 'fulfilled'],
    );
    for (const value of ['1', '3', '4', '5']) assert.equal((await client.next()).payload.toString(), value);
  });

  it('at once what needs no time, in the order of other sends', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    const first = socket.json({ send: slow }).sendAsync(0);
    slow.answer(0);
    await first;
    const value = { n: 1 };
    const sent = [socket.json({ send: z.object({ n: z.number() }) }).sendAsync(value), socket.sendAsync('2')];
    value.n = 7;
    await Promise.all(sent);
    for (const text of ['0', '{"n":1}', '2']) assert.equal((await client.next()).payload.toString(), text);
  });

  it('no message that was cancelled while it waited', async (t) => {
    const { socket, client } = await openRaw(t);
    const slow = new SlowSchema();
    const json = socket.json({ send: slow });
    const controller = new AbortController();
    const { signal } = controller;
    await rejectsWith(json.sendAsync(0, { signal: AbortSignal.abort('before') }), 'before');
    const sent = [json.sendAsync(1, { signal }), json.sendAsync(2), socket.json().sendAsync(3, { signal })];
    controller.abort('enough');
    await rejectsWith(sent[0] as Promise<void>, 'enough');
    await rejectsWith(sent[2] as Promise<void>, 'enough');
    slow.answer(0);
    slow.answer(1);
    await sent[1];
    await socket.json().sendAsync(4, { signal: new AbortController().signal, compress: false });
    for (const text of ['2', '4']) assert.equal((await client.next()).payload.toString(), text);
  });

  it('as messages of their own, behind one that somebody has begun', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.sendAsync('begun', { endOfMessage: false });
    const sent = socket.json().sendAsync(1);
    await socket.sendAsync('ended');
    await sent;
    assert.equal((await client.next()).payload.toString(), 'begun');
    assert.equal((await client.next()).payload.toString(), 'ended');
    assert.deepEqual(await client.next(), textFrame('1'));
  });

  it('nothing on a connection that is closed, which ends no process', async (t) => {
    const { socket } = await openRaw(t);
    const slow = new SlowSchema();
    const json = socket.json({ send: slow });
    const unhandled = await unhandledIn(() => {
      void json.sendAsync(1);
      void json.sendAsync(2);
      socket.abort();
      slow.answer(0);
      slow.answer(1, { issues: [{ message: 'stays loud' }] });
      void socket.json().sendAsync(3);
    });
    assert.deepEqual(
      unhandled.map((reason) => (reason as Error).message),
      ['Cannot send: the value is not what the schema allows (stays loud)'],
    );
    await assert.rejects(socket.json().sendAsync(1), failure('ERR_WEBSOCKET_INVALID_STATE'));
  });
});

describe('the options of socket.json()', () => {
  it('are checked', async (t) => {
    const { socket } = await openRaw(t);
    const wrong: ReadonlyArray<readonly [options: unknown, message: RegExp]> = [
      [null, /options of json: they are null, must be an object/],
      [new Map(), /options of json: they are a Map, must be an object/],
      [z.number(), /options of json: options is a schema, pass \{ receive: schema \}/],
      [{ receive: {} }, /option receive of json: it is of type object, must be a Standard Schema/],
      [{ send: null }, /option send of json: it is null, must be/],
      [{ receive: { '~standard': 1 } }, /option receive of json/],
      [{ receive: 'zod' }, /option receive of json: it is "zod"/],
      [{ invalid: 'ignore' }, /option invalid of json: it is "ignore", must be 'close', 'skip' or a function/],
      [
        { recieve: z.number() },
        /option recieve of json: there is none of that name, must be one of receive, send, invalid/,
      ],
    ];
    for (const [options, message] of wrong) {
      assert.throws(() => socket.json(options as object), { name: 'TypeError', message });
    }
    socket.json({ receive: undefined, send: undefined, invalid: undefined });
    const json = socket.json();
    await assert.rejects(json.receiveAsync({ signal: 5 as never }), TypeError);
    await assert.rejects(json.sendAsync(1, { signal: 5 as never }), TypeError);
  });
});

function textFrame(payload: string): object {
  return { fin: true, rsv: 0, opcode: TEXT_FRAME, masked: false, payload: Buffer.from(payload) };
}
