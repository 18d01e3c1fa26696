import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { SocketDuplex } from '../src/socket-duplex.js';

class Nothing extends SocketDuplex {}

describe('SocketDuplex', () => {
  it('takes the options of a socket, each call in a chain', () => {
    const socket = new Nothing();
    assert.equal(socket.setNoDelay().setKeepAlive().ref().unref(), socket);
  });
});
