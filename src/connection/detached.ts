import { isTypedArray } from 'node:util/types';

const { transfer = postAway() } = ArrayBuffer.prototype as { transfer?: (this: ArrayBuffer, length: number) => void };

/**
 * Whether bytes of the application are gone: their buffer has been transferred (`structuredClone`, `postMessage`,
 * `transfer`), or resized so that the view lies outside. They have the length 0 then, as those have that never were any.
 */
export function isDetached(bytes: ArrayBufferView | ArrayBufferLike): boolean {
  try {
    if (bytes.byteLength > 0) return false;
    // Tells the two apart in every version of Node: `ArrayBuffer.prototype.detached` is younger, and knows no resizing.
    if (isTypedArray(bytes)) bytes.at(0);
    else if (!ArrayBuffer.isView(bytes)) bytes.slice(0);
    return false;
  } catch {
    return true;
  }
}

/** Gives the memory of a buffer that nobody needs back to the system, instead of leaving it to the garbage collector. */
export function release(buffer: ArrayBuffer): void {
  transfer.call(buffer, 0);
}

/**
 * What Node 20 has instead of `transfer`: a message takes along the buffers of its transfer list, also where the port is
 * closed and the message is dropped (HTML, message port post message steps). Not the global `MessageChannel`, which an
 * application that renders pages may replace; and not made when it is needed first, or it would hold the asynchronous
 * context of a request for good.
 */
function postAway(): (this: ArrayBuffer) => void {
  const { MessageChannel } = process.getBuiltinModule('node:worker_threads');
  const { port1 } = new MessageChannel();
  port1.close();
  return function post() {
    port1.postMessage(undefined, [this]);
  };
}
