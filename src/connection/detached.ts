import { isTypedArray } from 'node:util/types';

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
