import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Receiver } from '../src/connection/receiving/receiver.js';
import { wholeMessage } from '../src/context/messages.js';
import { QUIET } from './support/connections.js';
import { BINARY_FRAME, clientFrame, PING_FRAME, PONG_FRAME } from './support/frames.js';

const nothing = (): void => {};

/** A receiver whose chunks the test brings itself. */
function start(receiveBufferLimit = QUIET.receiveBufferLimit) {
  const events = {
    hasSent: false,
    /** Whether the sender has been stopped. */
    isPaused: false,
    onPause: () => {
      events.isPaused = true;
    },
    onResume: () => {
      events.isPaused = false;
    },
    onSpent: nothing,
    onPing: nothing,
    onPong: nothing,
    onPeerClose: nothing,
    onCloseRead: nothing,
    onFault: nothing,
  };
  const receiver = new Receiver(events, { receiveBufferLimit, maxPayload: Number.POSITIVE_INFINITY }, undefined);
  return { events, receiver, read: () => receiver.read(wholeMessage, undefined) };
}

const data = (length: number): Buffer => clientFrame({ opcode: BINARY_FRAME, payload: Buffer.alloc(length) });

describe('early input', () => {
  it('is kept as it came, until somebody takes or forgets it', async () => {
    const { receiver, read } = start();
    const [one, two] = [clientFrame({ payload: 'one' }), clientFrame({ payload: 'two' })];
    assert.equal(receiver.takeEarlyInput().length, 0);
    const early = start().receiver;
    early.receive(Buffer.from(one));
    early.receive(Buffer.from(two));
    assert.equal(early.keepsEarlyInput, true);
    assert.deepEqual(early.takeEarlyInput(), Buffer.concat([one, two]));
    assert.equal(early.keepsEarlyInput, false);
    assert.equal(early.takeEarlyInput().length, 0);

    receiver.receive(Buffer.from(one));
    assert.equal(await read(), 'one');
  });

  it('stops the sender when much is kept, until it is forgotten', () => {
    const { events, receiver } = start();
    receiver.receive(data(60_000));
    assert.equal(events.isPaused, false);
    receiver.receive(data(6_000));
    assert.equal(events.isPaused, true);
    assert.equal(receiver.keepsEarlyInput, true);
    receiver.forgetEarlyInput();
    assert.equal(events.isPaused, false);
    receiver.forgetEarlyInput();
    assert.equal(events.isPaused, false);
  });

  it('has no control frames that have been dealt with', () => {
    const { events, receiver } = start();
    for (let i = 0; i < 10_000; i++) receiver.receive(clientFrame({ opcode: PONG_FRAME, payload: 'pong' }));
    const last = clientFrame({ payload: 'message' });
    receiver.receive(Buffer.from(last));
    assert.equal(events.isPaused, false);
    assert.deepEqual(receiver.takeEarlyInput(), last);
  });

  it('is forgotten where mostly control frames have come behind a message', () => {
    const { events, receiver } = start();
    receiver.receive(clientFrame({ payload: 'message' }));
    for (let i = 0; i < 10_000; i++) receiver.receive(clientFrame({ opcode: PING_FRAME, payload: 'ping' }));
    assert.equal(events.isPaused, false);
    assert.equal(receiver.keepsEarlyInput, false);
  });

  it('is forgotten where the application sends and does not read, up to receiveBufferLimit', () => {
    const { events, receiver } = start(200_000);
    events.hasSent = true;
    for (let sent = 0; sent < 180_000; sent += 6_000) receiver.receive(data(6_000));
    assert.equal(events.isPaused, false);
    assert.equal(receiver.keepsEarlyInput, false);
    receiver.receive(data(60_000));
    assert.equal(events.isPaused, true);
  });

  it('stays forgotten where that happens upon a frame of the chunk', () => {
    const { events, receiver } = start();
    events.onPong = () => receiver.forgetEarlyInput();
    receiver.receive(clientFrame({ opcode: PONG_FRAME }));
    assert.equal(receiver.keepsEarlyInput, false);
  });

  it('gives way to the pace of the reader', async () => {
    const { events, receiver, read } = start(1_000);
    receiver.forgetEarlyInput();
    receiver.receive(data(800));
    receiver.receive(data(800));
    assert.equal(events.isPaused, true);
    await read();
    await read();
    assert.equal(events.isPaused, false);
  });

  it('holds nothing up when the connection is over', () => {
    const { events, receiver } = start(1_000);
    receiver.receive(data(70_000));
    assert.equal(events.isPaused, true);
    receiver.end();
    assert.equal(events.isPaused, false);
    assert.equal(receiver.keepsEarlyInput, false);
  });
});
