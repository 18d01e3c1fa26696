import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import * as api from '../src/index.js';
import { exportedNames } from './support/exported-names.js';
import { openRaw } from './support/open-pair.js';

describe('the package', () => {
  it('exports what the contract names, and no more', () => {
    assert.deepEqual(Object.keys(api).sort(), exportedNames);
  });

  it('gives the message types the numbers of .NET', () => {
    assert.deepEqual({ ...api.WebSocketMessageType }, { Text: 0, Binary: 1, Close: 2 });
  });

  it('gives the states the numbers of .NET', () => {
    assert.deepEqual(
      { ...api.WebSocketState },
      { None: 0, Connecting: 1, Open: 2, CloseSent: 3, CloseReceived: 4, Closed: 5, Aborted: 6 },
    );
  });

  it('gives the close status the members and numbers of .NET', () => {
    assert.deepEqual(
      { ...api.WebSocketCloseStatus },
      {
        NormalClosure: 1000,
        EndpointUnavailable: 1001,
        ProtocolError: 1002,
        InvalidMessageType: 1003,
        Empty: 1005,
        InvalidPayloadData: 1007,
        PolicyViolation: 1008,
        MessageTooBig: 1009,
        MandatoryExtension: 1010,
        InternalServerError: 1011,
      },
    );
  });

  it('freezes its constants', () => {
    for (const constants of [api.WebSocketState, api.WebSocketMessageType, api.WebSocketCloseStatus]) {
      assert(Object.isFrozen(constants));
    }
  });

  it('recognises its contexts, those of another copy too, and nothing else', async (t) => {
    const { socket } = await openRaw(t);
    assert(socket instanceof api.WebSocketContext);
    const specifier = '../src/context/web-socket-context.js?another-copy';
    const copy: { WebSocketContext: typeof api.WebSocketContext } = await import(specifier);
    assert.notEqual(copy.WebSocketContext, api.WebSocketContext);
    assert(socket instanceof copy.WebSocketContext);
    for (const value of [undefined, null, 1, 'x', {}, [], () => {}]) assert(!(value instanceof api.WebSocketContext));
  });
});
