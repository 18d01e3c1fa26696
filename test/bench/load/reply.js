import { connect } from 'node:net';

const HEAD_END = '\r\n\r\n';

/**
 * What a server answers to a request, in one frame: what it makes of a message that it compresses is its own affair.
 *
 * @param {number} port
 * @param {Buffer} handshake
 * @param {Buffer} request a frame
 * @returns {Promise<Buffer>}
 */
export async function replyTo(port, handshake, request) {
  const socket = connect(port, '127.0.0.1');
  socket.write(handshake);
  let received = Buffer.alloc(0);
  let start = -1;
  for await (const chunk of socket) {
    received = Buffer.concat([received, chunk]);
    if (start === -1) {
      const end = received.indexOf(HEAD_END);
      if (end === -1) continue;
      start = end + HEAD_END.length;
      socket.write(request);
    }
    const frame = received.subarray(start);
    const size = sizeOf(frame);
    if (size !== undefined && frame.length >= size) {
      socket.destroy();
      return frame.subarray(0, size);
    }
  }
  throw new Error('The server has closed the connection');
}

/** @param {Buffer} frame not masked, shorter than 64 KiB, and maybe not there yet */
function sizeOf(frame) {
  if (frame.length < 4) return undefined;
  const length = /** @type {number} */ (frame[1]);
  return length === 126 ? 4 + frame.readUInt16BE(2) : 2 + length;
}
