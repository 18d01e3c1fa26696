import assert from 'node:assert/strict';
import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { proceed, upgradeRequired, whenOpened } from '../src/behind-handshake.js';
import { HandlerRun } from '../src/handler-run.js';
import { farewell } from '../src/upgrade/farewell.js';

/** A run of which nothing is asked but to go on. */
class Run extends HandlerRun {
  constructor() {
    super({} as never, { owner: {}, onError: undefined, isHandled: false });
  }
}

function exchange() {
  const req = Object.assign(new IncomingMessage(new Socket()), { upgrade: true });
  return { req, res: new ServerResponse(req) };
}

describe('behind a handshake', () => {
  it('it goes on at once if that was performed at once, and later if it takes its time', async () => {
    const { req, res } = exchange();
    for (const [handshake, isLater] of [
      [(run: HandlerRun) => run, false],
      [(run: HandlerRun) => Promise.resolve(run), true],
    ] as const) {
      const run = new Run();
      const calls: unknown[][] = [];
      const next = (): void => {};
      whenOpened(
        () => handshake(run),
        (...args) => void calls.push(args),
        req,
        res,
        next,
      );
      assert.equal(calls.length, isLater ? 0 : 1);
      await Promise.resolve();
      assert.deepEqual(calls, [[run, req, res, next]]);
    }
  });

  it('next() gets a refusal, and nothing goes on', async () => {
    const { req, res } = exchange();
    const error = new Error('no');
    const ways: ReadonlyArray<() => Promise<HandlerRun>> = [
      () => {
        throw error;
      },
      () => Promise.reject(error),
    ];
    for (const handshake of ways) {
      const errors: unknown[] = [];
      whenOpened(
        handshake,
        () => assert.fail('went on'),
        req,
        res,
        (refusal) => errors.push(refusal),
      );
      await Promise.resolve();
      assert.deepEqual(errors, [error]);
    }
  });

  it('nobody is bothered with a refusal while the server shuts down', () => {
    const { req, res } = exchange();
    whenOpened(
      () => {
        throw farewell();
      },
      () => assert.fail('went on'),
      req,
      res,
      () => assert.fail('bothered'),
    );
    assert.equal(res.statusCode, 503);
  });

  it('the chain goes on with next()', () => {
    const { req, res } = exchange();
    const calls: unknown[][] = [];
    proceed(new Run(), req, res, (...args) => void calls.push(args));
    assert.deepEqual(calls, [[]]);
  });

  it('a plain request is told what to upgrade to, by the error and by its response', () => {
    const { res } = exchange();
    let refusal: unknown;
    upgradeRequired(res, (error) => {
      refusal = error;
    });
    assert.equal(res.getHeader('Upgrade'), 'websocket');
    assert.equal(Reflect.get(Object(refusal), 'status'), 426);
    assert.deepEqual(Reflect.get(Object(refusal), 'headers'), { Upgrade: 'websocket' });
  });
});
