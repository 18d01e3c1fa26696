import { isTypedArray } from 'node:util/types';

const { transfer = nothing } = ArrayBuffer.prototype as { transfer?: (this: ArrayBuffer, length: number) => void };

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

/**
 * Gives the memory of a buffer that nobody needs back to the system, instead of leaving it to the garbage collector. Needs
 * Node 21; does nothing before.
 */
export function release(buffer: ArrayBuffer): void {
  transfer.call(buffer, 0);
}

function nothing(): void {}
