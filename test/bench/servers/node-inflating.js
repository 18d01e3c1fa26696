// Node alone, and one compressed message inflated: what a server has to do that gives the pieces of such a message to
// somebody, and nothing else. The pieces are buffers that a reader could keep; here they are counted. There are no checks, no
// window that outlives the message, no control frames, and nobody to wait for. As fast as a stream of zlib gets it done: few
// trips to the other thread, and no garbage but the pieces. With 64 KiB each way it came to half the rate.
import { createRequire } from 'node:module';
import { createInflateRaw } from 'node:zlib';
import { serverFrame, TEXT } from '../load/frames.js';
import { createNodeServer } from '../node-alone.js';
import { deflate, serve } from './serve.js';

const { mask } = createRequire(import.meta.url)('bufferutil');

/** A header with a length of 64 bits, and a key. */
const HEADER_SIZE = 14;

/** Ends the message and is not sent (RFC 7692 §7.2.2). */
const TRAILER = Buffer.of(0, 0, 0xff, 0xff);

/** What goes to the other thread at once, and what comes back at once: more makes little difference. */
const INPUT_SIZE = 1 << 20;
const OUTPUT_SIZE = 1 << 20;

/** @type {import('node:zlib').ZlibOptions & import('node:stream').TransformOptions} The socket is read while zlib has input. */
const OPTIONS = { chunkSize: OUTPUT_SIZE, writableHighWaterMark: 4 * INPUT_SIZE };

const { transfer = cloneAway } = /** @type {{ transfer?: (this: ArrayBuffer, length: number) => unknown }} */ (
  ArrayBuffer.prototype
);

/** What Node 20 has instead. @this {ArrayBuffer} */
function cloneAway() {
  structuredClone(undefined, { transfer: [this] });
}

/** @param {Buffer} chunk whose memory goes back at once, not with the garbage */
function release(chunk) {
  if (chunk.length === chunk.buffer.byteLength) transfer.call(/** @type {ArrayBuffer} */ (chunk.buffer), 0);
}

/** @param {import('node:stream').Duplex} socket */
function inflateAndCount(socket) {
  const inflate = createInflateRaw(OPTIONS);
  let start = Buffer.alloc(0);
  let key = start;
  let left = 0;
  let at = 0;
  /** @type {Buffer[]} what has been inflated, to be filled again */
  const spare = [];
  /** @type {Buffer} */
  let input = Buffer.allocUnsafeSlow(INPUT_SIZE);
  let filled = 0;
  let total = 0;

  function handOver() {
    const full = input;
    if (!inflate.write(full.subarray(0, filled), () => spare.push(full))) socket.pause();
    input = spare.pop() ?? Buffer.allocUnsafeSlow(INPUT_SIZE);
    filled = 0;
  }

  /** @param {Buffer} payload */
  function take(payload) {
    if (filled + payload.length > INPUT_SIZE) handOver();
    const turn = at & 3;
    const turned = turn === 0 ? key : Buffer.concat([key.subarray(turn), key.subarray(0, turn)]);
    mask(payload, turned, input, filled, payload.length);
    filled += payload.length;
    at += payload.length;
    left -= payload.length;
    if (left > 0) return;
    handOver();
    inflate.write(TRAILER);
    // All that zlib has made has been counted by then.
    inflate.flush(() => socket.write(serverFrame(TEXT, Buffer.from(String(total)))));
  }

  inflate.on('data', (piece) => {
    total += piece.length;
  });
  inflate.on('drain', () => socket.resume());
  socket.on('close', () => inflate.destroy());
  socket.on('data', (chunk) => {
    if (left > 0) {
      take(chunk);
      release(chunk);
      return;
    }
    start = Buffer.concat([start, chunk]);
    if (start.length < HEADER_SIZE) return;
    left = Number(start.readBigUInt64BE(2));
    key = start.subarray(HEADER_SIZE - 4, HEADER_SIZE);
    take(start.subarray(HEADER_SIZE));
  });
}

await serve(createNodeServer({ upload: inflateAndCount, deflate }));
