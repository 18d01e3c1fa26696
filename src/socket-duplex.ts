import { Duplex } from 'node:stream';

/**
 * A stream that stands where a socket of Node is expected, and whose TCP connection is not its own or does not exist: it
 * takes the options of one, and leaves them be.
 */
export abstract class SocketDuplex extends Duplex {
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}
