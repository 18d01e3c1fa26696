import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { complete } from '../src/context/fragments.js';
import { type CompletionCallback, WebSocketError, WebSocketState } from '../src/index.js';
import { eventually } from './support/apps.js';
import { BINARY_FRAME, CONTINUATION, TEXT_FRAME } from './support/frames.js';
import { nextMessage, openRaw, openWs } from './support/open-pair.js';

process.env['NODE_ENV'] = 'test';

const aborted = { code: 'ERR_WEBSOCKET_OPERATION_ABORTED', hresult: 0x800703e3 } as const;

/** Collects the calls of a completion callback. */
const recorder = (): { completion: CompletionCallback<unknown>; calls: unknown[][] } => {
  const calls: unknown[][] = [];
  return { completion: (...args) => void calls.push(args), calls };
};

/** The HRESULT of the error that a completion callback got. */
const hresultOf = (call: readonly unknown[] | undefined): number | undefined =>
  call?.[0] instanceof WebSocketError ? call[0].hresult : undefined;

describe('readFragment', { timeout: 120_000 }, () => {
  it('tells what was read, its type and whether it is final', async (t) => {
    const { socket, client } = await openRaw(t);
    client.send({ payload: 'text', fin: false });
    client.send({ opcode: CONTINUATION });
    client.send({ opcode: BINARY_FRAME, payload: Buffer.of(7) });
    const first = await socket.readFragment();
    assert.deepEqual(first, {
      data: Buffer.from('text'),
      count: 4,
      utf8Encoded: true,
      finalFragment: false,
      connectionClose: false,
    });
    const second = await socket.readFragment();
    assert.deepEqual([second.count, second.utf8Encoded, second.finalFragment], [0, true, true]);
    const third = await socket.readFragment(Buffer.alloc(4));
    assert.deepEqual([third.count, third.utf8Encoded, third.finalFragment], [1, false, true]);
  });

  it("reports the peer's close; getCloseStatus tells which", async (t) => {
    const { socket, client } = await openRaw(t);
    assert.equal(socket.getCloseStatus(), undefined);
    client.close(4000, 'grüezi');
    const { count, connectionClose, finalFragment } = await socket.readFragment();
    assert.deepEqual([count, connectionClose, finalFragment], [0, true, true]);
    assert.deepEqual(socket.getCloseStatus(), { statusCode: 4000, reason: 'grüezi' });
    await assert.rejects(socket.readFragment(), { code: 'ERR_WEBSOCKET_INVALID_STATE' });
  });

  it('reports an empty close frame as 1005', async (t) => {
    const { socket, client } = await openRaw(t);
    client.close();
    await socket.readFragment();
    assert.deepEqual(socket.getCloseStatus(), { statusCode: 1005, reason: '' });
  });

  it('calls back once, after it has returned', async (t) => {
    const { socket, client } = await openRaw(t);
    const { completion, calls } = recorder();
    const own = { any: 'thing' };
    client.send({ payload: 'abc', fin: false });
    await eventually(() => socket.request.socket.bytesRead > 0);
    const buffer = Buffer.alloc(8);
    assert.equal(socket.readFragment(buffer, completion, own), undefined);
    assert.deepEqual(calls, []);
    await eventually(() => calls.length > 0);
    assert.deepEqual(calls, [[undefined, own, 3, true, false, false]]);
    assert.equal(buffer.toString('latin1', 0, 3), 'abc');

    client.close(1000);
    socket.readFragment(undefined, completion);
    await eventually(() => calls.length > 1);
    assert.deepEqual(calls[1], [undefined, undefined, 0, false, true, true]);
  });

  it('calls back once with what went wrong', async (t) => {
    const { socket } = await openRaw(t);
    const { completion, calls } = recorder();
    socket.readFragment(undefined, completion, 1);
    socket.readFragment(undefined, completion, 2);
    socket.readFragment('no buffer' as never, completion, 3);
    socket.abort();
    await eventually(() => calls.length === 3);
    const byContext = new Map(calls.map((call) => [call[1], call]));
    assert.equal(hresultOf(byContext.get(1)), 0x800703e3);
    assert.deepEqual(byContext.get(1)?.slice(1), [1, 0, false, false, false]);
    assert.equal(hresultOf(byContext.get(2)), 0x83760001);
    assert(byContext.get(3)?.[0] instanceof TypeError);
  });
});

describe('writeFragment', { timeout: 120_000 }, () => {
  it('sends a fragment and tells how many bytes', async (t) => {
    const { socket, client } = await openRaw(t);
    assert.equal(await socket.writeFragment('grüezi', { finalFragment: false }), 7);
    assert.equal(await socket.writeFragment(Buffer.from('!')), 1);
    assert.equal(await socket.writeFragment(Buffer.from('bytes as text'), { utf8Encoded: true }), 13);
    assert.equal(await socket.writeFragment('text as bytes', { utf8Encoded: false }), 13);
    const frames = [await client.next(), await client.next(), await client.next(), await client.next()];
    assert.deepEqual(
      frames.map(({ fin, opcode, payload }) => [fin, opcode, payload.toString()]),
      [
        [false, 1, 'grüezi'],
        [true, 0, '!'],
        [true, 1, 'bytes as text'],
        [true, 2, 'text as bytes'],
      ],
    );
  });

  it('continues a message of sendAsync, and the other way round', async (t) => {
    const { socket, client } = await openWs(t);
    await socket.sendAsync('a', { endOfMessage: false });
    await socket.writeFragment('b', { finalFragment: false });
    await socket.sendAsync('c');
    assert.equal(await nextMessage(client), 'abc');
  });

  it('calls back once, after it has returned', async (t) => {
    const { socket, client } = await openWs(t);
    const { completion, calls } = recorder();
    assert.equal(socket.writeFragment('grüezi', { finalFragment: false }, completion, 'mine'), undefined);
    socket.writeFragment(Buffer.alloc(300_000), undefined, completion);
    assert.deepEqual(calls, []);
    assert.equal((await nextMessage(client)).length, 6 + 300_000);
    await eventually(() => calls.length === 2);
    assert.deepEqual(calls, [
      [undefined, 'mine', 7, true, false, false],
      [undefined, undefined, 300_000, false, true, false],
    ]);
  });

  it('rejects what cannot be written', async (t) => {
    const { socket } = await openRaw(t);
    const { completion, calls } = recorder();
    await assert.rejects(socket.writeFragment(5 as never), {
      name: 'TypeError',
      message: /^Cannot write: data is of type number/,
    });
    socket.writeFragment(undefined as never, undefined, completion);
    await eventually(() => calls.length === 1);
    assert(calls[0]?.[0] instanceof TypeError);
  });
});

describe('sendConnectionClose', { timeout: 120_000 }, () => {
  it('sends an empty close frame without a status', async (t) => {
    const { socket, client } = await openRaw(t);
    await socket.sendConnectionClose();
    assert.deepEqual(await client.nextClose(), { code: 1005, reason: '' });
    assert.equal(socket.state, WebSocketState.CloseSent);
  });

  it('sends status and reason, waits for nothing, and calls back', async (t) => {
    const { socket, client } = await openRaw(t);
    const { completion, calls } = recorder();
    assert.equal(socket.sendConnectionClose(4000, 'bye', completion, 'mine'), undefined);
    assert.deepEqual(calls, []);
    assert.deepEqual(await client.nextClose(), { code: 4000, reason: 'bye' });
    await eventually(() => calls.length === 1);
    assert.deepEqual(calls, [[undefined, 'mine', 0, true, true, false]]);
  });
});

describe('a completion that is no function', { timeout: 120_000 }, () => {
  it('is a TypeError, and nothing is done', async (t) => {
    const { socket, client, errors } = await openWs(t);
    for (const completion of [null, 5, 'x', {}]) {
      const none = completion as never as CompletionCallback<unknown>;
      for (const call of [
        async () => socket.readFragment(undefined, none),
        async () => socket.writeFragment('x', undefined, none),
        async () => socket.sendConnectionClose(1000, '', none),
      ]) {
        await assert.rejects(call, {
          name: 'TypeError',
          message: /^Cannot (read|write|close): completion is (null|of type \w+), must be a function or undefined$/,
        });
      }
    }
    await socket.sendAsync('nothing before this');
    assert.equal(await nextMessage(client), 'nothing before this');
    assert.deepEqual(errors, []);
  });
});

describe('complete', () => {
  const report = (): [number, boolean, boolean, boolean] => [0, false, false, false];

  it('gives what the callback throws to onError and does not call it again', async () => {
    for (const operation of [() => Promise.resolve(), () => Promise.reject(new Error('failed'))]) {
      const errors: unknown[] = [];
      let calls = 0;
      const thrown = new Error('callback');
      const completion = (): void => {
        calls++;
        throw thrown;
      };
      complete(operation(), {
        completion,
        completionContext: undefined,
        report,
        onError: (error) => errors.push(error),
      });
      await eventually(() => errors.length > 0);
      assert.deepEqual([calls, errors], [1, [thrown]]);
    }
  });

  it('gives what an asynchronous callback rejects with to onError', async () => {
    const errors: unknown[] = [];
    complete(Promise.resolve(), {
      completion: (() => Promise.reject('late')) as () => void,
      completionContext: undefined,
      report,
      onError: (error) => errors.push(error),
    });
    await eventually(() => errors.length > 0);
    assert.deepEqual(errors, ['late']);
  });
});

describe('closeTcpConnection', { timeout: 120_000 }, () => {
  it('sends FIN without a close frame, and what is pending fails', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.readFragment();
    socket.closeTcpConnection();
    socket.closeTcpConnection();
    await assert.rejects(pending, aborted);
    assert.equal((await client.raw.readToEnd()).length, 0);
    assert.equal(socket.state, WebSocketState.Aborted);
    client.raw.end();
    await eventually(() => socket.request.socket.destroyed);
  });

  it('destroys after closeTimeout the socket of a client that does not end', async (t) => {
    const { socket, client } = await openRaw(t, { closeTimeout: 20 });
    socket.closeTcpConnection();
    await client.raw.closed();
    await eventually(() => socket.request.socket.destroyed);
  });
});

describe('cancelOutstandingIO', { timeout: 120_000 }, () => {
  it('lets go of reads and loses nothing', async (t) => {
    const { socket, client } = await openRaw(t);
    const pending = socket.readFragment();
    socket.cancelOutstandingIO();
    await assert.rejects(pending, aborted);
    client.send('kept');
    assert.equal((await socket.readFragment()).data.toString(), 'kept');
  });

  it('takes back writes of which nothing is out, and the stream stays in step', async (t) => {
    const { socket, client } = await openRaw(t);
    client.raw.socket.pause();
    const writes = [];
    for (let i = 0; i < 8; i++) writes.push(socket.writeFragment(Buffer.alloc(1024 * 1024, i)));
    const { completion, calls } = recorder();
    socket.writeFragment('last', undefined, completion);
    // Lets the first of them go out
    await new Promise((resolve) => setImmediate(resolve));
    socket.cancelOutstandingIO();
    const outcomes = await Promise.allSettled(writes);
    for (const outcome of outcomes) assert(outcome.status === 'fulfilled' || outcome.reason.hresult === 0x800703e3);
    assert.equal(outcomes.at(-1)?.status, 'rejected');
    await eventually(() => calls.length === 1);
    assert.equal(hresultOf(calls[0]), 0x800703e3);

    client.raw.socket.resume();
    const behind = socket.sendAsync('behind');
    for (;;) {
      const { fin, opcode, payload } = await client.next();
      assert(fin);
      if (opcode === TEXT_FRAME) {
        assert.equal(payload.toString(), 'behind');
        break;
      }
      assert.equal(payload.length, 1024 * 1024);
    }
    await behind;
  });

  it('does nothing when nothing is outstanding', async (t) => {
    const { socket, client } = await openWs(t);
    socket.cancelOutstandingIO();
    await socket.sendAsync('usable');
    assert.equal(await nextMessage(client), 'usable');
  });
});
