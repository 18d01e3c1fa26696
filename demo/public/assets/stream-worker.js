import { crc32 } from './crc32.js';

const SLICE = 1024 * 1024;
/** What may wait in the browser: enough to keep the network busy, and no more of a file than that in memory. */
const MOST_WAITING = 8 * SLICE;
const NOISE_BLOCK = 16 * SLICE;
// getRandomValues fills at most this many bytes in one call.
const MOST_RANDOM = 65_536;

/** Sends a file, or so many bytes of noise, and says how far it is. In a worker, so that the page stays quick. */
addEventListener('message', async ({ data: { url, file, size, form } }) => {
  const blob = file ?? noise(size);
  const socket = new WebSocket(url);
  await new Promise((resolve) => socket.addEventListener('open', resolve));

  let [handed, checksum] = [0, 0];
  const progress = () => postMessage({ handed, size: blob.size, buffered: socket.bufferedAmount, checksum });
  const timer = setInterval(progress, 100);
  socket.addEventListener('close', ({ code, reason, wasClean }) => {
    clearInterval(timer);
    progress();
    postMessage({ closed: { code, reason, wasClean } });
  });

  if (form === 'message') {
    handed = blob.size;
    socket.send(blob);
  }
  for (let start = 0; start < blob.size; start += SLICE) {
    const slice = await blob.slice(start, start + SLICE).arrayBuffer();
    checksum = crc32(slice, checksum);
    if (form === 'message') continue;
    // No event says when the browser has room again; asking is all there is.
    while (socket.bufferedAmount > MOST_WAITING) await new Promise((resolve) => setTimeout(resolve, 2));
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(slice);
    handed += slice.byteLength;
  }
  // Goes out behind the data, so the server's acknowledgement says that it has read all of it.
  socket.close(1000, 'that was all');
});

/** Random bytes, of which only one block is in memory. */
function noise(size) {
  const block = new Uint8Array(NOISE_BLOCK);
  for (let start = 0; start < NOISE_BLOCK; start += MOST_RANDOM) {
    crypto.getRandomValues(block.subarray(start, start + MOST_RANDOM));
  }
  const part = new Blob([block]);
  return new Blob(new Array(Math.ceil(size / NOISE_BLOCK)).fill(part)).slice(0, size);
}
