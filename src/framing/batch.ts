/** A number of frames in the order of the wire, and the blocks that they stand in. */
export interface Batch {
  readonly chunks: readonly Buffer[];
  readonly byteLength: number;
  readonly blocks: readonly Buffer[];
}

/** No more than this fits into a block. */
export const BLOCK_SIZE: number = 64 * 1024;
const FIRST_BLOCK_SIZE = 4 * 1024;
/** Bytes of blocks of a size that are kept for later; what a peak needed beyond them goes to the garbage collector. */
const SPARE = 4 * 1024 * 1024;

/**
 * Blocks are borrowed for the time from the first frame of a batch until the system has taken it. All connections of
 * the process share the spare ones, so that an idle connection holds none.
 */
class BlockPool {
  readonly #size: number;
  readonly #spare: Buffer[] = [];

  constructor(size: number) {
    this.#size = size;
  }

  take(): Buffer {
    return this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#size);
  }

  give(block: Buffer): void {
    if (this.#spare.length * this.#size < SPARE) this.#spare.push(block);
  }
}

const firstBlocks = new BlockPool(FIRST_BLOCK_SIZE);
const blocks = new BlockPool(BLOCK_SIZE);

/** Borrows a block with room for `size` bytes; the first one of a batch is a small one if that is enough. */
export function takeBlock(size: number, isFirst: boolean): Buffer {
  return isFirst && size <= FIRST_BLOCK_SIZE ? firstBlocks.take() : blocks.take();
}

/** Gives the blocks of a batch back once the system has taken its bytes. */
export function recycle({ blocks: borrowed }: Batch): void {
  // Not `for of`: V8 makes an iterator and a result of it, for each delivery to thousands that have borrowed none.
  for (let at = 0; at < borrowed.length; at++) {
    const block = borrowed[at] as Buffer;
    (block.length === BLOCK_SIZE ? blocks : firstBlocks).give(block);
  }
}
