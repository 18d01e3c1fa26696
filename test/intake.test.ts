import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Input } from '../src/connection/input.js';
import { Intake } from '../src/connection/intake.js';
import { Transport } from '../src/connection/transport.js';
import { wholeMessage } from '../src/context/messages.js';
import { QUIET } from './support/connections.js';
import { FakeSocket } from './support/fake-socket.js';
import { clientFrame, PING_FRAME, PONG_FRAME } from './support/frames.js';

const nothing = (): void => {};

/** An intake whose chunks the test brings itself. */
function start(receiveBufferLimit = QUIET.receiveBufferLimit) {
  const owner = { state: 2 as 2 | 6, hasSent: false, heards: 0, heard: () => owner.heards++, onPong: nothing };
  const transport = new Transport(new FakeSocket(), {
    received: nothing,
    ended: nothing,
    flushed: nothing,
    socketClosed: nothing,
  });
  const input: Input = new Input(
    {
      pauseInput: () => intake.updateFlow(),
      resumeInput: () => intake.updateFlow(),
      pinged: nothing,
      ponged: () => owner.onPong(),
      peerClosed: nothing,
      closeRead: nothing,
      faulted: nothing,
    },
    { receiveBufferLimit, maxPayload: Number.POSITIVE_INFINITY },
    undefined,
  );
  const intake = new Intake(owner, transport, input);
  const read = () => input.read(wholeMessage, undefined);
  return { owner, transport, input, intake, read };
}

const data = (length: number): Buffer => clientFrame({ opcode: 2, payload: Buffer.alloc(length) });

describe('Intake', () => {
  it('has all input as it came, until somebody decides', async () => {
    const { intake, read } = start();
    const [one, two] = [clientFrame({ payload: 'one' }), clientFrame({ payload: 'two' })];
    assert.equal(intake.takeEarly().length, 0);
    const undecided = start().intake;
    undecided.push(Buffer.from(one));
    undecided.push(Buffer.from(two));
    assert.equal(undecided.isUndecided, true);
    assert.deepEqual(undecided.takeEarly(), Buffer.concat([one, two]));
    assert.equal(undecided.isUndecided, false);
    assert.equal(undecided.takeEarly().length, 0);

    intake.push(Buffer.from(one));
    assert.equal(await read(), 'one');
  });

  it('stops the sender when much is kept, until somebody decides', () => {
    const { owner, transport, intake } = start();
    intake.push(data(60_000));
    assert.equal(transport.isPaused, false);
    intake.push(data(6_000));
    assert.equal(transport.isPaused, true);
    assert.equal(intake.isUndecided, true);
    assert.equal(owner.heards, 0);
    intake.decide();
    assert.equal(transport.isPaused, false);
    assert.equal(owner.heards, 1);
    intake.decide();
    assert.equal(owner.heards, 1);
  });

  it('keeps no control frames that have been dealt with', () => {
    const { transport, intake } = start();
    for (let i = 0; i < 10_000; i++) intake.push(clientFrame({ opcode: PONG_FRAME, payload: 'pong' }));
    const last = clientFrame({ payload: 'message' });
    intake.push(Buffer.from(last));
    assert.equal(transport.isPaused, false);
    assert.deepEqual(intake.takeEarly(), last);
  });

  it('decides by itself where mostly control frames have come behind a message', () => {
    const { transport, intake } = start();
    intake.push(clientFrame({ payload: 'message' }));
    for (let i = 0; i < 10_000; i++) intake.push(clientFrame({ opcode: PING_FRAME, payload: 'ping' }));
    assert.equal(transport.isPaused, false);
    assert.equal(intake.isUndecided, false);
  });

  it('decides by itself where the application sends and does not read, up to receiveBufferLimit', () => {
    const { owner, transport, intake } = start(200_000);
    owner.hasSent = true;
    for (let sent = 0; sent < 180_000; sent += 6_000) intake.push(data(6_000));
    assert.equal(transport.isPaused, false);
    assert.equal(intake.isUndecided, false);
    intake.push(data(60_000));
    assert.equal(transport.isPaused, true);
  });

  it('stays decided where that happens upon a frame of the chunk', () => {
    const { owner, intake } = start();
    owner.onPong = () => intake.decide();
    intake.push(clientFrame({ opcode: PONG_FRAME }));
    assert.equal(intake.isUndecided, false);
  });

  it('follows the pace of the reader', async () => {
    const { transport, intake, read } = start(1_000);
    intake.decide();
    intake.push(data(800));
    intake.push(data(800));
    assert.equal(transport.isPaused, true);
    await read();
    await read();
    assert.equal(transport.isPaused, false);
  });

  it('lets everything come when the connection is over', () => {
    const { owner, transport, intake } = start(1_000);
    intake.push(data(70_000));
    assert.equal(transport.isPaused, true);
    owner.state = 6;
    intake.over();
    assert.equal(transport.isPaused, false);
    assert.equal(intake.isUndecided, false);
  });
});
