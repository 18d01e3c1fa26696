import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { ReadKind } from '../src/connection/receiving/reads.js';
import { type Compression, Receiver } from '../src/connection/receiving/receiver.js';
import { wholeMessage } from '../src/context/messages.js';
import { WebSocketError } from '../src/errors.js';
import { failure, rejectsWith } from './support/connections.js';
import { deflated, negotiated, noise } from './support/deflate.js';
import { passTurns, until } from './support/fake-socket.js';
import {
  BINARY_FRAME,
  CONTINUATION,
  clientClose,
  clientFrame,
  FAULTY_FRAME,
  type FrameInit,
  PING_FRAME,
  PONG_FRAME,
} from './support/frames.js';

const fragment: ReadKind<string> = {
  take: (pieces) => {
    const taken = pieces.takeFragment(undefined);
    return taken && `${taken.data}${taken.endOfMessage ? '' : '+'}`;
  },
  atClose: () => 'close',
  wantsMessage: false,
  closeRepeats: false,
};

function start(limit = 100_000, compression?: Compression, maxPayload = Number.POSITIVE_INFINITY) {
  const calls: string[] = [];
  const descriptions: string[] = [];
  const receiver: Receiver = new Receiver(
    {
      hasSent: false,
      onPause: () => calls.push('pause'),
      onResume: () => calls.push('resume'),
      onSpent: (chunk) => calls.push(`spent ${chunk.length}`),
      onPing: (payload) => calls.push(`ping ${payload}`),
      onPong: (payload) => calls.push(`pong ${payload}`),
      onPeerClose: (code, reason) => calls.push(`close ${code} ${reason}`),
      onCloseRead: () => calls.push('close read'),
      onFault: (code, error, description) => {
        calls.push(`fault ${code}`);
        descriptions.push(description);
        receiver.fail(error);
      },
    },
    { receiveBufferLimit: limit, maxPayload },
    compression,
  );
  const push = (...inits: Array<FrameInit | string>): boolean =>
    receiver.receive(
      Buffer.concat(inits.map((init) => clientFrame(typeof init === 'string' ? { payload: init } : init))),
    );
  return { calls, descriptions, receiver, push };
}

const lost = (): WebSocketError => new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 'Lost');

describe('Receiver', () => {
  it('passes control frames on, also between fragments', async () => {
    const { calls, receiver, push } = start();
    push({ opcode: PING_FRAME, payload: 'a' }, { payload: 'x', fin: false }, { opcode: PONG_FRAME, payload: 'b' });
    assert.deepEqual(calls, ['ping a', 'pong b']);
    assert.equal(await receiver.read(fragment, undefined), 'x+');
    assert.equal(receiver.messages, 0);
  });

  it('reports the close to every reader that wants it again, to others once', async () => {
    const { calls, receiver, push } = start();
    push('last');
    receiver.receive(clientClose(1000, 'bye'));
    assert.deepEqual(calls, ['close 1000 bye']);
    assert.equal(await receiver.read(wholeMessage, undefined), 'last');
    assert.equal(await receiver.read(fragment, undefined), 'close');
    await assert.rejects(receiver.read(fragment, undefined), failure('ERR_WEBSOCKET_INVALID_STATE'));
    assert.equal(await receiver.read(wholeMessage, undefined), undefined);
    receiver.fail(lost());
    assert.equal(await receiver.read(wholeMessage, undefined), undefined);
  });

  it('gives a pending read the close or the fault', async () => {
    const closed = start();
    const read = closed.receiver.read(fragment, new AbortController().signal);
    closed.receiver.receive(clientClose());
    assert.equal(await read, 'close');
    const faulty = start();
    const rejected = assert.rejects(faulty.receiver.read(fragment, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    faulty.push(FAULTY_FRAME);
    await rejected;
    assert.deepEqual(faulty.calls, ['fault 1002']);
  });

  it('lets readers have what stands before a fault until the turn is over', async () => {
    const { calls, receiver, push } = start();
    push('a', 'b', FAULTY_FRAME, 'behind');
    assert.equal(receiver.hasFault, true);
    assert.deepEqual(
      [await receiver.read(wholeMessage, undefined), await receiver.read(wholeMessage, undefined)],
      ['a', 'b'],
    );
    assert.deepEqual(calls, []);
    await assert.rejects(receiver.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    assert.deepEqual(calls, ['fault 1002']);
  });

  it('reports no fault when receiver has ended otherwise in its turn, which was for that fault', async () => {
    const failed = start();
    failed.push(FAULTY_FRAME);
    failed.receiver.fail(lost());
    await assert.rejects(failed.receiver.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    const aborted = start();
    aborted.push(FAULTY_FRAME);
    aborted.receiver.abort(lost());
    aborted.receiver.whenInflated(() => aborted.calls.push('afterwards'));
    await passTurns();
    assert.deepEqual([failed.calls, aborted.calls], [[], []]);
  });

  it('settles a pending read once, whatever fires afterwards', async () => {
    const { receiver, push } = start();
    const controller = new AbortController();
    const read = receiver.read(fragment, controller.signal);
    push('x');
    controller.abort('late');
    assert.equal(await read, 'x');
    receiver.cancelRead('nobody');
    const failed = receiver.read(fragment, new AbortController().signal);
    const error = lost();
    receiver.fail(error);
    receiver.fail(lost());
    await rejectsWith(failed, error);
  });

  it('drops what is unread on abort, also behind the close of the peer', async () => {
    for (const closes of [false, true]) {
      const { receiver, push } = start();
      push('unread');
      if (closes) receiver.receive(clientClose());
      const error = lost();
      receiver.abort(error);
      await assert.rejects(
        receiver.read(wholeMessage, undefined),
        failure('ERR_WEBSOCKET_INVALID_STATE', { cause: error }),
      );
      push('ignored');
    }
    const { receiver } = start();
    const error = lost();
    const read = receiver.read(fragment, undefined);
    receiver.abort(error);
    await rejectsWith(read, error);
  });

  it('refuses text that is not UTF-8 at the first impossible byte, also across fragments', async () => {
    const euro = Buffer.from('€');
    const good = start();
    good.push(
      { payload: euro.subarray(0, 1), fin: false },
      { opcode: CONTINUATION, payload: euro.subarray(1), fin: false },
      {
        opcode: CONTINUATION,
        payload: '!',
      },
    );
    assert.equal(await good.receiver.read(wholeMessage, undefined), '€!');
    for (const last of [{ opcode: CONTINUATION, payload: 'x', fin: false }, { opcode: CONTINUATION }]) {
      const { calls, push } = start();
      push({ payload: euro.subarray(0, 1), fin: false }, last);
      assert.deepEqual(calls, []);
      await passTurns(1);
      assert.deepEqual(calls, ['fault 1007']);
    }
    const binary = start();
    binary.push({ opcode: BINARY_FRAME, payload: Buffer.of(0xff) });
    assert.deepEqual(binary.calls, []);
  });

  it('refuses a message beyond receiveBufferLimit, whenever its reader comes', async () => {
    const tooBig = failure('ERR_WEBSOCKET_MESSAGE_TOO_BIG');
    const before = start(1000);
    const read = assert.rejects(before.receiver.read(wholeMessage, undefined), tooBig);
    before.push('x'.repeat(1001));
    await read;
    assert.deepEqual(before.calls, ['fault 1009']);

    const after = start(1000);
    after.push('x'.repeat(1001));
    await assert.rejects(after.receiver.read(wholeMessage, undefined), tooBig);
    assert.deepEqual(after.calls, ['pause', 'resume', 'fault 1009']);

    const closed = start(1000);
    closed.push('x'.repeat(1001), 'y');
    closed.receiver.receive(clientClose());
    await assert.rejects(closed.receiver.read(wholeMessage, undefined), tooBig);
    await assert.rejects(closed.receiver.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_INVALID_STATE'));
    assert.deepEqual(closed.calls, ['pause', 'close 1005 ', 'resume']);

    const fragments = start(1000);
    fragments.push('x'.repeat(1001));
    assert.equal((await fragments.receiver.read(fragment, undefined)).length, 1001);
  });

  it('says whether it still refers to a chunk: not to one that was read as text, or copied', async () => {
    const { receiver, push } = start();
    assert.equal(push('early'), true);
    receiver.forgetEarlyInput();
    await receiver.read(wholeMessage, undefined);
    const read = receiver.read(wholeMessage, undefined);
    assert.equal(push('late'), false);
    assert.equal(await read, 'late');
    assert.equal(push('unread'), true);
  });
});

describe('Receiver, compressed', () => {
  const compression = (): Compression => ({ negotiated: negotiated(), options: {} });

  it('gives a chunk back that was compressed as a whole, once it has been inflated', async () => {
    const { calls, receiver } = start(100_000, compression());
    const payload = deflated('compressed '.repeat(1000));
    const frame = clientFrame({ payload, rsv: 4 });
    const read = receiver.read(wholeMessage, undefined);
    receiver.receive(frame.subarray(0, -payload.length));
    assert.deepEqual(calls, []);
    assert.equal(receiver.receive(Buffer.from(frame.subarray(-payload.length))), true);
    assert.equal((await read)?.length, 11_000);
    assert.deepEqual(calls, [`spent ${payload.length}`]);
  });

  it('refers to a chunk after the call, because it is inflated later', async () => {
    const { receiver, push } = start(100_000, compression());
    receiver.forgetEarlyInput();
    const read = receiver.read(wholeMessage, undefined);
    assert.equal(push({ payload: deflated('compressed'), rsv: 4 }), true);
    assert.equal(await read, 'compressed');
  });

  it('inflates messages, keeps them in order with others, and the close and the end behind them', async () => {
    const { calls, receiver, push } = start(100_000, compression());
    const long = noise(6000).toString('hex');
    push({ payload: deflated(long), rsv: 4 }, 'plain', { payload: deflated('again'), rsv: 4 });
    let ended = false;
    receiver.whenInflated(() => {
      ended = true;
    });
    receiver.receive(clientClose(1000));
    assert.deepEqual([calls, ended], [[], false]);
    for (const message of [long, 'plain', 'again', undefined]) {
      assert.equal(await receiver.read(wholeMessage, undefined), message);
    }
    const others = calls.filter((call) => !call.startsWith('spent'));
    assert.deepEqual([others, ended], [['close 1000 ', 'close read'], true]);
    assert.equal(receiver.messages, 3);
  });

  it('delivers compressed messages that came before a fault, then the fault', async () => {
    const { calls, receiver, push } = start(100_000, compression());
    push({ payload: deflated('before'), rsv: 4 }, { opcode: 3, payload: '' });
    assert.equal(await receiver.read(wholeMessage, undefined), 'before');
    await assert.rejects(receiver.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    assert.deepEqual(calls, ['fault 1002']);
  });

  for (const [limit, size] of [
    [4 * 1024 * 1024 - 1, 100_000],
    [4 * 1024 * 1024, 300_000],
  ] as const) {
    it(`stops the sender when more waits to be inflated than is inflated at once, with a limit of ${limit}`, async () => {
      const { calls, receiver, push } = start(limit, compression());
      const data = noise(size);
      const half = deflated(noise(size / 2));
      push({ opcode: BINARY_FRAME, payload: deflated(data), rsv: 4 });
      push({ opcode: BINARY_FRAME, payload: half, rsv: 4 });
      assert.equal(calls.length, 0, 'as much as is inflated at once, and not more');
      push({ opcode: BINARY_FRAME, payload: half, rsv: 4 });
      assert.deepEqual(calls, ['pause']);
      assert.ok(receiver.bytesHeld > size);
      for (const length of [size, size / 2, size / 2]) {
        assert.equal((await receiver.read(wholeMessage, undefined))?.length, length);
      }
      assert.deepEqual(
        calls.filter((call) => !call.startsWith('spent')),
        ['pause', 'resume'],
      );
    });
  }

  it('pauses inflating with the sender', async () => {
    const { calls, receiver, push } = start(20_000, compression());
    push({ opcode: BINARY_FRAME, payload: deflated(Buffer.alloc(1_000_000)), rsv: 4 });
    await until(() => calls.length > 0);
    await passTurns(10);
    assert.ok(receiver.bytesHeld < 200_000);
    let length = 0;
    while (length < 1_000_000) length += (await receiver.read({ ...fragment, take: takeLength }, undefined)).length;
    assert.equal(calls.at(-1), 'resume');
  });

  it('refuses what cannot be inflated, and what inflates beyond maxPayload', async () => {
    const broken = start(100_000, compression());
    const rejected = assert.rejects(broken.receiver.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_FAULTED'));
    broken.push({ payload: Buffer.alloc(20, 0xff), rsv: 4 });
    await rejected;
    assert.deepEqual(broken.calls, ['fault 1007']);
    const bomb = start(10_000_000, compression(), 1000);
    bomb.push({ payload: deflated('x'.repeat(100_000)), rsv: 4 });
    await assert.rejects(bomb.receiver.read(wholeMessage, undefined), failure('ERR_WEBSOCKET_MESSAGE_TOO_BIG'));
    assert.equal(bomb.calls.at(-1), 'fault 1009');
  });

  it('tells a client of its own faults only', async () => {
    const long = start(1000);
    long.push('x'.repeat(2000));
    await assert.rejects(long.receiver.read(wholeMessage, undefined), /raise the limit or read fragments/);
    await passTurns();
    assert.deepEqual(long.descriptions, ['A message is longer than the limit of 1000 bytes']);
    const ours = start(1000, { negotiated: negotiated(), options: { zlibInflateOptions: { chunkSize: 1 } } });
    ours.push({ payload: deflated('x'), rsv: 4 });
    await assert.rejects(ours.receiver.read(wholeMessage, undefined), /chunkSize/);
    assert.deepEqual([ours.calls, ours.descriptions], [['fault 1011'], ['']]);
  });

  it('inflates nothing after abort', async () => {
    const { calls, receiver, push } = start(100_000, compression());
    push({ payload: deflated(noise(6000).toString('hex')), rsv: 4 });
    receiver.abort(lost());
    await passTurns(10);
    assert.deepEqual([calls, receiver.messages], [[], 0]);
  });
});

function takeLength(pieces: Parameters<ReadKind<string>['take']>[0]): string | undefined {
  const taken = pieces.takeFragment(undefined);
  return taken && 'x'.repeat(taken.data.length);
}
