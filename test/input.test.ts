import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Compression, Input, type ReadKind } from '../src/connection/input.js';
import { wholeMessage } from '../src/context/messages.js';
import { WebSocketError } from '../src/errors.js';
import { failure, rejectsWith } from './support/connections.js';
import { deflated, negotiated, noise } from './support/deflate.js';
import { settle, until } from './support/fake-socket.js';
import { clientClose, clientFrame, type FrameInit, PING_FRAME, PONG_FRAME } from './support/frames.js';

const fragment: ReadKind<string> = {
  take: (queue) => {
    const taken = queue.takeFragment(undefined);
    return taken && `${taken.data}${taken.endOfMessage ? '' : '+'}`;
  },
  atClose: 'close',
  wantsMessage: false,
  closeRepeats: false,
};

function start(limit = 100_000, compression?: Compression, maxPayload = Number.POSITIVE_INFINITY) {
  const calls: string[] = [];
  const input: Input = new Input(
    {
      pauseInput: () => calls.push('pause'),
      resumeInput: () => calls.push('resume'),
      pinged: (payload) => calls.push(`ping ${payload}`),
      ponged: (payload) => calls.push(`pong ${payload}`),
      peerClosed: (code, reason) => calls.push(`close ${code} ${reason}`),
      closeRead: () => calls.push('close read'),
      faulted: (code, error) => {
        calls.push(`fault ${code}`);
        input.fail(error);
      },
    },
    { receiveBufferLimit: limit, maxPayload },
    compression,
  );
  const push = (...inits: Array<FrameInit | string>): void =>
    input.push(Buffer.concat(inits.map((init) => clientFrame(typeof init === 'string' ? { payload: init } : init))));
  return { calls, input, push };
}

const lost = (): WebSocketError => new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 'Lost');

describe('Input', () => {
  it('passes control frames on, also between fragments', async () => {
    const { calls, input, push } = start();
    assert.equal(input.isUntouched, true);
    push({ opcode: PING_FRAME, payload: 'a' }, { payload: 'x', fin: false }, { opcode: PONG_FRAME, payload: 'b' });
    assert.deepEqual(calls, ['ping a', 'pong b']);
    assert.equal(input.isUntouched, false);
    assert.equal(await input.read(fragment, undefined), 'x+');
    assert.equal(input.messages, 0);
  });

  it('reports the close to every reader that wants it again, to others once', async () => {
    const { calls, input, push } = start();
    push('last');
    input.push(clientClose(1000, 'bye'));
    assert.deepEqual(calls, ['close 1000 bye']);
    assert.equal(await input.read(wholeMessage, undefined), 'last');
    assert.equal(await input.read(fragment, undefined), 'close');
    await assert.rejects(input.read(fragment, undefined), failure('ERR_WEBSOCKET_INVALID_STATE'));
    assert.equal(await input.read(wholeMessage, undefined), undefined);
    input.fail(lost());
    assert.equal(await input.read(wholeMessage, undefined), undefined);
  });

  it('gives a pending read the close or the fault', async () => {
    const closed = start();
    const read = closed.input.read(fragment, new AbortController().signal);
    closed.input.push(clientClose());
    assert.equal(await read, 'close');
    const faulty = start();
    const rejected = assert.rejects(faulty.input.read(fragment, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    faulty.push({ opcode: 3 });
    await rejected;
    assert.deepEqual(faulty.calls, ['fault 1002']);
  });

  it('lets readers have what stands before a fault until the turn is over', async () => {
    const { calls, input, push } = start();
    push('a', 'b', { opcode: 3 }, 'behind');
    assert.equal(input.isBroken, true);
    assert.deepEqual(
      [await input.read(wholeMessage, undefined), await input.read(wholeMessage, undefined)],
      ['a', 'b'],
    );
    assert.deepEqual(calls, []);
    await assert.rejects(input.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    assert.deepEqual(calls, ['fault 1002']);
  });

  it('reports no fault when input has ended otherwise in its turn, which was for that fault', async () => {
    const failed = start();
    failed.push({ opcode: 3 });
    failed.input.fail(lost());
    await assert.rejects(failed.input.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    const aborted = start();
    aborted.push({ opcode: 3 });
    aborted.input.abort(lost());
    aborted.input.afterwards(() => aborted.calls.push('afterwards'));
    await settle();
    assert.deepEqual([failed.calls, aborted.calls], [[], []]);
  });

  it('settles a pending read once, whatever fires afterwards', async () => {
    const { input, push } = start();
    const controller = new AbortController();
    const read = input.read(fragment, controller.signal);
    push('x');
    controller.abort('late');
    assert.equal(await read, 'x');
    input.cancelRead('nobody');
    const failed = input.read(fragment, new AbortController().signal);
    const error = lost();
    input.fail(error);
    input.fail(lost());
    await rejectsWith(failed, error);
  });

  it('drops what is unread on abort, also behind the close of the peer', async () => {
    for (const closes of [false, true]) {
      const { input, push } = start();
      push('unread');
      if (closes) input.push(clientClose());
      const error = lost();
      input.abort(error);
      await assert.rejects(
        input.read(wholeMessage, undefined),
        failure('ERR_WEBSOCKET_INVALID_STATE', { cause: error }),
      );
      push('ignored');
    }
    const { input } = start();
    const error = lost();
    const read = input.read(fragment, undefined);
    input.abort(error);
    await rejectsWith(read, error);
  });

  it('refuses text that is not UTF-8 at the first impossible byte, also across fragments', async () => {
    const euro = Buffer.from('€');
    const good = start();
    good.push(
      { payload: euro.subarray(0, 1), fin: false },
      { opcode: 0, payload: euro.subarray(1), fin: false },
      {
        opcode: 0,
        payload: '!',
      },
    );
    assert.equal(await good.input.read(wholeMessage, undefined), '€!');
    for (const last of [{ opcode: 0, payload: 'x', fin: false }, { opcode: 0 }]) {
      const { calls, push } = start();
      push({ payload: euro.subarray(0, 1), fin: false }, last);
      assert.deepEqual(calls, []);
      await settle(1);
      assert.deepEqual(calls, ['fault 1007']);
    }
    const binary = start();
    binary.push({ opcode: 2, payload: Buffer.of(0xff) });
    assert.deepEqual(binary.calls, []);
  });

  it('refuses a message beyond receiveBufferLimit, whenever its reader comes', async () => {
    const tooBig = failure('ERR_WEBSOCKET_MESSAGE_TOO_BIG');
    const before = start(1000);
    const read = assert.rejects(before.input.read(wholeMessage, undefined), tooBig);
    before.push('x'.repeat(1001));
    await read;
    assert.deepEqual(before.calls, ['fault 1009']);

    const after = start(1000);
    after.push('x'.repeat(1001));
    await assert.rejects(after.input.read(wholeMessage, undefined), tooBig);
    assert.deepEqual(after.calls, ['pause', 'resume', 'fault 1009']);

    const closed = start(1000);
    closed.push('x'.repeat(1001), 'y');
    closed.input.push(clientClose());
    await assert.rejects(closed.input.read(wholeMessage, undefined), tooBig);
    await assert.rejects(closed.input.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_INVALID_STATE'));
    assert.deepEqual(closed.calls, ['pause', 'close 1005 ', 'resume']);

    const fragments = start(1000);
    fragments.push('x'.repeat(1001));
    assert.equal((await fragments.input.read(fragment, undefined)).length, 1001);
  });
});

describe('Input, compressed', () => {
  const compression = (): Compression => ({ negotiated: negotiated(), options: {} });

  it('inflates messages, keeps them in order with others, and the close and the end behind them', async () => {
    const { calls, input, push } = start(100_000, compression());
    push({ payload: deflated('compressed'), rsv: 4 }, 'plain', { payload: deflated('again'), rsv: 4 });
    let ended = false;
    input.afterwards(() => {
      ended = true;
    });
    input.push(clientClose(1000));
    assert.deepEqual([calls, ended], [[], false]);
    for (const message of ['compressed', 'plain', 'again', undefined]) {
      assert.equal(await input.read(wholeMessage, undefined), message);
    }
    assert.deepEqual([calls, ended], [['close 1000 ', 'close read'], true]);
    assert.equal(input.messages, 3);
  });

  it('delivers compressed messages that came before a fault, then the fault', async () => {
    const { calls, input, push } = start(100_000, compression());
    push({ payload: deflated('before'), rsv: 4 }, { opcode: 3, payload: '' });
    assert.equal(await input.read(wholeMessage, undefined), 'before');
    await assert.rejects(input.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    assert.deepEqual(calls, ['fault 1002']);
  });

  it('stops the sender when more waits to be inflated than is inflated at once', async () => {
    const { calls, input, push } = start(10_000_000, compression());
    const data = noise(100_000);
    push({ opcode: 2, payload: deflated(data), rsv: 4 });
    push({ opcode: 2, payload: deflated(data), rsv: 4 });
    assert.equal(input.paused, true);
    assert.ok(input.held > 100_000);
    assert.deepEqual(await input.read(wholeMessage, undefined), data);
    assert.deepEqual(await input.read(wholeMessage, undefined), data);
    assert.deepEqual(calls, ['pause', 'resume']);
    assert.equal(input.paused, false);
  });

  it('pauses inflating with the sender', async () => {
    const { calls, input, push } = start(20_000, compression());
    push({ opcode: 2, payload: deflated(Buffer.alloc(1_000_000)), rsv: 4 });
    await until(() => calls.length > 0);
    await settle(10);
    assert.ok(input.held < 200_000);
    let length = 0;
    while (length < 1_000_000) length += (await input.read({ ...fragment, take: takeLength }, undefined)).length;
    assert.equal(calls.at(-1), 'resume');
  });

  it('refuses what cannot be inflated, and what inflates beyond maxPayload', async () => {
    const broken = start(100_000, compression());
    const rejected = assert.rejects(broken.input.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    broken.push({ payload: Buffer.alloc(20, 0xff), rsv: 4 });
    await rejected;
    assert.deepEqual(broken.calls, ['fault 1007']);
    const bomb = start(10_000_000, compression(), 1000);
    bomb.push({ payload: deflated('x'.repeat(100_000)), rsv: 4 });
    await assert.rejects(bomb.input.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_MESSAGE_TOO_BIG'));
    assert.equal(bomb.calls.at(-1), 'fault 1009');
  });

  it('inflates nothing after abort', async () => {
    const { calls, input, push } = start(100_000, compression());
    push({ payload: deflated('x'), rsv: 4 });
    input.abort(lost());
    await settle(10);
    assert.deepEqual([calls, input.messages], [[], 0]);
  });
});

function takeLength(queue: Parameters<ReadKind<string>['take']>[0]): string | undefined {
  const taken = queue.takeFragment(undefined);
  return taken && 'x'.repeat(taken.data.length);
}
