import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { HRESULT_HANDLE_EOF, WebSocketError, type WebSocketErrorCode } from '../src/errors.js';

const codes: Readonly<Record<WebSocketErrorCode, readonly [number, number?]>> = {
  ERR_WEBSOCKET_INVALID_STATE: [9],
  ERR_WEBSOCKET_RECEIVE_IN_PROGRESS: [9, 0x83760001],
  ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY: [8, 0x800704cd],
  ERR_WEBSOCKET_FAULTED: [2, 0x83760002],
  ERR_WEBSOCKET_MESSAGE_TOO_BIG: [2],
  ERR_WEBSOCKET_OPERATION_ABORTED: [3, 0x800703e3],
  ERR_WEBSOCKET_CLOSE_TIMEOUT: [3, 0x800705b4],
  ERR_WEBSOCKET_SEND_BUFFER_FULL: [3],
  ERR_WEBSOCKET_NOT_ATTACHED: [4],
  ERR_WEBSOCKET_INVALID_MESSAGE: [2],
};

describe('WebSocketError', () => {
  for (const [code, [number, hresult]] of Object.entries(codes)) {
    it(`carries the .NET number and the HRESULT of ${code}`, () => {
      const error = new WebSocketError(code as WebSocketErrorCode, 'Cannot do it');
      assert.equal(error.code, code);
      assert.equal(error.webSocketErrorCode, number);
      assert.equal(error.hresult, hresult);
      assert(hresult === undefined || hresult > 0x7fffffff);
    });
  }

  it('is an Error with a name, a message and a stack', () => {
    const error = new WebSocketError('ERR_WEBSOCKET_FAULTED', 'Cannot do it');
    assert(error instanceof Error);
    assert(error instanceof WebSocketError);
    assert.equal(error.name, 'WebSocketError');
    assert.equal(String(error), 'WebSocketError: Cannot do it');
    assert.match(String(error.stack), /errors\.test/);
    assert.deepEqual(Object.keys(error).sort(), ['code', 'hresult', 'webSocketErrorCode']);
  });

  it('carries a cause only if it was given one', () => {
    assert(!('cause' in new WebSocketError('ERR_WEBSOCKET_FAULTED', 'x')));
    assert.equal(new WebSocketError('ERR_WEBSOCKET_FAULTED', 'x', { cause: 7 }).cause, 7);
    assert('cause' in new WebSocketError('ERR_WEBSOCKET_FAULTED', 'x', { cause: undefined }));
  });

  it('can carry the HRESULT of a special case', () => {
    const error = new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 'x', {
      hresult: HRESULT_HANDLE_EOF,
    });
    assert.equal(error.hresult, 0x80070026);
  });

  it('recognises the errors of another copy of the package, and nothing else', async () => {
    const specifier = '../src/errors.js?another-copy';
    const copy: { WebSocketError: typeof WebSocketError } = await import(specifier);
    assert.notEqual(copy.WebSocketError, WebSocketError);
    assert(new copy.WebSocketError('ERR_WEBSOCKET_FAULTED', 'x') instanceof WebSocketError);
    for (const value of [undefined, null, 1, 'x', {}, new Error('x')]) assert(!(value instanceof WebSocketError));
  });
});
