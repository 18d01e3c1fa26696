import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as failures from '../src/connection/failures.js';

describe('failures of a connection', () => {
  for (const [operation, state, isHandedOver, isCloseQueued, message] of [
    ['send', 3, false, true, 'Cannot send: state is CloseSent, must be Open or CloseReceived'],
    ['ping', 2, false, true, 'Cannot ping: a close frame has been queued, must be Open or CloseReceived'],
    ['close', 6, false, false, 'Cannot close: state is Aborted, must not be Aborted'],
    ['receive', 2, true, false, 'Cannot receive: it has been handed over to ws, must be Open or CloseReceived'],
  ] as const) {
    it(`say what an operation has found: ${message}`, () => {
      const error = failures.notOpenFor(operation, { state, isHandedOver, isCloseQueued });
      assert.deepEqual([error.code, error.message], ['ERR_WEBSOCKET_INVALID_STATE', message]);
    });
  }

  it('say what is needed for a hand-over', () => {
    const { code, message } = failures.handOverRefused('a send is pending');
    assert.equal(code, 'ERR_WEBSOCKET_INVALID_STATE');
    assert.match(message, /: a send is pending, must be Open, not read from and nothing waiting to be sent$/);
  });

  it('tell an abort from a loss, and a loss from an end, by code and HRESULT', () => {
    const cause = new Error('read ECONNRESET');
    const lost = failures.connectionLost(cause);
    assert.equal(lost.cause, cause);
    assert.equal('cause' in failures.connectionLost(undefined), false);
    assert.deepEqual(
      [failures.operationAborted('why'), lost, failures.connectionEnded(), failures.peerSilent(50_000.4, 20_000)].map(
        ({ code, hresult }) => [code, hresult],
      ),
      [
        ['ERR_WEBSOCKET_OPERATION_ABORTED', 0x800703e3],
        ['ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 0x800704cd],
        ['ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 0x80070026],
        ['ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 0x800704cd],
      ],
    );
    assert.match(failures.operationAborted('why').message, /^Operation aborted: why$/);
    assert.match(failures.peerSilent(50_000.4, 20_000).message, /silent for 50000 ms .+, which is 20000 ms$/);
  });

  it('have no stack where the connection is lost, to which no line of the application leads', () => {
    const { stackTraceLimit } = Error;
    for (const lost of [
      failures.connectionEnded(),
      failures.connectionLost(undefined),
      failures.peerSilent(50_000, 20_000),
    ]) {
      assert.equal(lost.stack, `${lost.name}: ${lost.message}`);
    }
    assert.equal(Error.stackTraceLimit, stackTraceLimit);
    assert.match(String(failures.operationAborted('why').stack), /failures\.test/);
  });

  it('have one where nobody may change how long stacks are', () => {
    const descriptor = Object.getOwnPropertyDescriptor(Error, 'stackTraceLimit') as PropertyDescriptor;
    Object.defineProperty(Error, 'stackTraceLimit', { ...descriptor, writable: false });
    try {
      assert.match(String(failures.connectionEnded().stack), /failures\.test/);
    } finally {
      Object.defineProperty(Error, 'stackTraceLimit', descriptor);
    }
  });

  it('name the numbers and the cause of a send that fails', () => {
    const full = failures.sendBufferFull(11, 10);
    assert.equal(full.code, 'ERR_WEBSOCKET_SEND_BUFFER_FULL');
    assert.match(
      full.message,
      /^Cannot send: 11 bytes are waiting to be sent, .+ which is 10; the connection was aborted/,
    );
    const cause = new Error('No memory');
    const broken = failures.compressionBroken(cause);
    assert.deepEqual([broken.code, broken.cause], ['ERR_WEBSOCKET_OPERATION_ABORTED', cause]);
    assert.match(broken.message, /could not be compressed \(No memory\)/);
  });
});
