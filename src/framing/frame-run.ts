import { eventLoop } from '../event-loop.js';
import type { Batch } from './batch.js';
import { RSV1 } from './opcodes.js';

/** Up to so many bytes a copy, made once for all members, costs less than an element of the vector in each one's write. */
const JOIN_LIMIT = 256 * 1024;

/** A reference to a chunk takes about so many bytes until it has been written. */
const SMALL_FRAME = 512;

const NO_BLOCKS: readonly Buffer[] = Object.freeze<Buffer[]>([]);

/**
 * Frames that go to many, one behind the other. Connections to which the same frames go in the same tick arrive at the
 * same run, so that its frames are joined once for all of them.
 */
export class FrameRun {
  /** Bytes of all its frames. */
  readonly byteLength: number;
  /** How many frames it has. */
  readonly count: number;
  readonly #frame: Buffer;
  readonly #before: FrameRun | undefined;
  /** The runs that begin with this one and have been asked for in this turn of the event loop. */
  #longer: FrameRun[] | undefined;
  /** More than one connection has arrived here, or may have. */
  #isCommon = false;
  #batch: Batch | undefined;

  constructor(frame: Buffer, before?: FrameRun) {
    this.#frame = frame;
    this.#before = before;
    this.byteLength = frame.length + (before === undefined ? 0 : before.byteLength);
    this.count = 1 + (before === undefined ? 0 : before.count);
  }

  /** Whether its frame, the last one of the run, is compressed. */
  get isCompressed(): boolean {
    return ((this.#frame[0] as number) & RSV1) !== 0;
  }

  /** Its frames. */
  get frames(): readonly Buffer[] {
    const frames: Buffer[] = [];
    for (let run: FrameRun | undefined = this; run !== undefined; run = run.#before) frames.push(run.#frame);
    return frames.reverse();
  }

  /**
   * The run that begins with this one and goes on with a frame, which is the last one of another run.
   *
   * @param forMany whether many arrive there at once
   */
  followedBy(next: FrameRun, forMany = false): FrameRun {
    if (this.#longer === undefined) {
      this.#longer = [];
      rememberForThisTurn(this);
    }
    let longer = this.#longer.find((run) => run.#frame === next.#frame);
    if (longer === undefined) {
      longer = new FrameRun(next.#frame, this);
      longer.#isCommon = forMany;
      this.#longer.push(longer);
    } else {
      longer.#isCommon = true;
    }
    return longer;
  }

  /** The run that begins with this one and goes on with all frames of another, if there is one. */
  followedByAll(next: FrameRun | undefined): FrameRun {
    const runs: FrameRun[] = [];
    for (let run = next; run !== undefined; run = run.#before) runs.push(run);
    return runs.reduceRight<FrameRun>((all, run) => all.followedBy(run), this);
  }

  /** Its frames as a batch. What waits for a single slow connection is not copied, unless it is as small as a reference. */
  get batch(): Batch {
    if (this.#batch !== undefined) return this.#batch;
    const { byteLength } = this;
    const isJoined = byteLength <= JOIN_LIMIT && (this.#isCommon || byteLength <= this.count * SMALL_FRAME);
    if (this.count > 1 && !isJoined) return this.#batchOf(this.frames);
    this.#batch = this.#batchOf(this.count === 1 ? [this.#frame] : [Buffer.concat(this.frames, byteLength)]);
    return this.#batch;
  }

  #batchOf(chunks: readonly Buffer[]): Batch {
    return { chunks, byteLength: this.byteLength, blocks: NO_BLOCKS };
  }

  static forgetLonger(run: FrameRun): void {
    run.#longer = undefined;
  }
}

let remembered: FrameRun[] = [];

/** What waits for a slow member is its frame. It is not to keep alive what has followed it elsewhere. */
function rememberForThisTurn(run: FrameRun): void {
  if (remembered.push(run) === 1) eventLoop.setImmediate(forget);
}

function forget(): void {
  const runs = remembered;
  remembered = [];
  runs.forEach(FrameRun.forgetLonger);
}
