import { BINARY, clientFrame, handshake, PUSHED_TEXT, serverFrame, TEXT } from './load/frames.js';

/**
 * How a client of a server spells what the benchmark says: the same scenario runs against plain WebSocket servers and
 * against those with a protocol of their own on top.
 *
 * @typedef {{ greeting?: number, preamble?: Buffer, answer?: number, handshake: Buffer }} Opening
 * @typedef {{
 *   open(path: string, options?: { deflate?: boolean, independent?: boolean }): Opening,
 *   echo(type: 'text' | 'binary', payload: Buffer): { request: Buffer, reply: Buffer },
 *   trigger(event: string): { request: Buffer, reply: Buffer },
 * }} Dialect
 */

/** @type {Dialect} */
export const plain = {
  open: (path, options) => ({ handshake: handshake(path, options) }),
  echo(type, payload) {
    const opcode = type === 'text' ? TEXT : BINARY;
    return { request: clientFrame(opcode, payload), reply: serverFrame(opcode, payload) };
  },
  trigger: () => ({ request: clientFrame(TEXT, Buffer.from('go')), reply: serverFrame(TEXT, PUSHED_TEXT) }),
};

/** @type {Dialect} */
export const socketIo = {
  // Engine.IO opens by itself, then the client asks for the default namespace and is answered.
  open: (_path, options) => ({
    handshake: handshake('/socket.io/?EIO=4&transport=websocket', options),
    greeting: 1,
    preamble: clientFrame(TEXT, Buffer.from('40')),
    answer: 1,
  }),
  echo(type, payload) {
    if (type === 'text') {
      const packet = Buffer.from(`42${JSON.stringify(['echo', payload.toString()])}`);
      return { request: clientFrame(TEXT, packet), reply: serverFrame(TEXT, packet) };
    }
    const packet = Buffer.from('451-["echo",{"_placeholder":true,"num":0}]');
    return {
      request: Buffer.concat([clientFrame(TEXT, packet), clientFrame(BINARY, payload)]),
      reply: Buffer.concat([serverFrame(TEXT, packet), serverFrame(BINARY, payload)]),
    };
  },
  trigger: (event) => ({
    request: clientFrame(TEXT, Buffer.from(`42${JSON.stringify([event])}`)),
    reply: serverFrame(TEXT, Buffer.from(`42${JSON.stringify(['m', PUSHED_TEXT.toString()])}`)),
  }),
};
