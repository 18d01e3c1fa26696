/** Shorter copies share an ArrayBuffer: one of its own costs each more than its bytes. */
const SHARED_BELOW = 1024;
const SLAB_SIZE = 8 * 1024;

/** What small pieces are cut from, and how much of it has been. */
let slab = Buffer.alloc(0);
let cut = 0;

/**
 * Memory for bytes that are kept, of which each is going to be written. Not from the pool of Node, which from version 24 on
 * is cut from pieces as large as a chunk, so that the little that is kept would hold as much as the chunk it came in.
 */
export function allocate(size: number): Buffer {
  if (size >= SHARED_BELOW) return Buffer.allocUnsafeSlow(size);
  if (size > slab.length - cut) {
    slab = Buffer.allocUnsafeSlow(SLAB_SIZE);
    // As Node does with its pool: whoever transferred one payload would take those of others along
    process.getBuiltinModule('node:worker_threads').markAsUntransferable(slab.buffer);
    cut = 0;
  }
  const start = cut;
  // Whoever makes a view of numbers of it needs it aligned
  cut = (start + size + 7) & ~7;
  return slab.subarray(start, start + size);
}

/** A copy of `chunk[start, end)` to be kept. */
export function copyOf(chunk: Buffer, start: number, end: number): Buffer {
  const copy = allocate(end - start);
  copy.set(chunk.subarray(start, end));
  return copy;
}
