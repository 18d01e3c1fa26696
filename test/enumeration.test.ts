import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { WebSocketCloseStatus, WebSocketMessageType, WebSocketState } from '../src/index.js';

describe('numbers of the public surface', () => {
  it('give their names back', () => {
    assert.equal(WebSocketState[WebSocketState.CloseReceived], 'CloseReceived');
    assert.equal(WebSocketMessageType[1], 'Binary');
    assert.equal(WebSocketCloseStatus[1011], 'InternalServerError');
    assert.equal(Reflect.get(WebSocketCloseStatus, 4000), undefined);
  });

  it('show no other keys than the names', () => {
    assert.deepEqual(Object.entries(WebSocketMessageType), [
      ['Text', 0],
      ['Binary', 1],
      ['Close', 2],
    ]);
    assert.ok(Object.isFrozen(WebSocketState));
  });
});
