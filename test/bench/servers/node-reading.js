// Node alone, and each message read: what a server has to do that gives messages to somebody, and nothing else. A message is
// put together in a buffer of its own, and unmasked by native code; text becomes a string. What a chunk has brought is
// answered at its end. There are no checks, no control frames, no state, and nobody to wait for.
import { createRequire } from 'node:module';
import { TEXT } from '../load/frames.js';
import { createNodeServer } from '../node-alone.js';
import { serve } from './serve.js';

const { unmask } = createRequire(import.meta.url)('bufferutil');

/** A header with a length of 64 bits, and a key. */
const LARGEST_HEADER = 14;

/** Below that, a loop takes less than a call of native code. */
const SHORT = 48;

/** From there on, a payload is not copied behind its header. */
const LARGE = 2048;

/** @typedef {import('node:stream').Duplex} Duplex */

/**
 * @param {Buffer} chunk
 * @param {number} at where a frame begins
 */
function headerSizeAt(chunk, at) {
  const length = chunk[at + 1] & 127;
  if (length < 126) return 6;
  return length === 126 ? 8 : LARGEST_HEADER;
}

/**
 * @param {Buffer} chunk
 * @param {number} at where a frame begins
 */
function lengthAt(chunk, at) {
  const length = chunk[at + 1] & 127;
  if (length < 126) return length;
  return length === 126 ? chunk.readUInt16BE(at + 2) : Number(chunk.readBigUInt64BE(at + 2));
}

/**
 * @param {Buffer} buffer
 * @param {number} at
 * @param {number} first byte of the frame
 * @param {number} length of its payload
 * @returns {number} how many bytes it takes
 */
function writeHeader(buffer, at, first, length) {
  buffer[at] = first;
  if (length < 126) {
    buffer[at + 1] = length;
    return 2;
  }
  if (length < 65536) {
    buffer[at + 1] = 126;
    buffer.writeUInt16BE(length, at + 2);
    return 4;
  }
  buffer[at + 1] = 127;
  buffer.writeBigUInt64BE(BigInt(length), at + 2);
  return 10;
}

/**
 * @param {Buffer} message
 * @param {Buffer} key
 */
function unmaskAll(message, key) {
  if (message.length >= SHORT) unmask(message, key);
  else for (let i = 0; i < message.length; i++) message[i] ^= key[i & 3];
}

/** Frames that leave together: short ones in one buffer, large ones where they are. */
class Answers {
  #parts = /** @type {Buffer[]} */ ([]);
  #short;
  #at = 0;
  #from = 0;

  /** @param {number} size that all short frames fit into */
  constructor(size) {
    this.#short = Buffer.allocUnsafe(size);
  }

  /**
   * @param {number} first byte of the frame that came
   * @param {Buffer} message
   */
  add(first, message) {
    const text = first === TEXT ? message.toString() : undefined;
    const length = text === undefined ? message.length : Buffer.byteLength(text);
    this.#at += writeHeader(this.#short, this.#at, first, length);
    if (text !== undefined && length < LARGE) {
      this.#at += this.#short.write(text, this.#at);
      return;
    }
    this.#endShort();
    this.#parts.push(text === undefined ? message : Buffer.from(text));
  }

  /** @param {Duplex} socket */
  send(socket) {
    this.#endShort();
    if (this.#parts.length > 1) socket.cork();
    for (const part of this.#parts) socket.write(part);
    if (this.#parts.length > 1) socket.uncork();
  }

  #endShort() {
    if (this.#at > this.#from) this.#parts.push(this.#short.subarray(this.#from, this.#at));
    this.#from = this.#at;
  }
}

/** @param {Duplex} socket */
function readAndEcho(socket) {
  /** @type {Buffer | undefined} */
  let rest;
  /** @type {Buffer | undefined} */
  let message;
  let filled = 0;
  let first = 0;
  let key = Buffer.alloc(4);
  socket.on('data', (received) => {
    const chunk = rest ? Buffer.concat([rest, received]) : received;
    rest = undefined;
    // What is shorter than the frames that have come, but for one that had begun before
    const answers = new Answers(chunk.length + LARGE);
    let at = 0;
    while (at < chunk.length) {
      if (message === undefined) {
        const headerSize = headerSizeAt(chunk, at);
        if (chunk.length - at < headerSize) {
          rest = chunk.subarray(at);
          break;
        }
        first = chunk[at];
        message = Buffer.allocUnsafe(lengthAt(chunk, at));
        filled = 0;
        at += headerSize;
        key = chunk.subarray(at - 4, at);
      }
      const taken = chunk.copy(message, filled, at, at + message.length - filled);
      filled += taken;
      at += taken;
      if (filled < message.length) break;
      unmaskAll(message, key);
      answers.add(first, message);
      message = undefined;
    }
    answers.send(socket);
  });
}

await serve(createNodeServer({ echo: readAndEcho }));
