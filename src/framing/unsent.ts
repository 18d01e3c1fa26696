import type { Batch } from './batch.js';
import { FrameRun } from './frame-run.js';
import { FrameWriter } from './frame-writer.js';

/**
 * What a connection has put together and not sent yet: a run, which is all that is remembered of frames that go to others
 * too, as long as there is none of its own among them; otherwise a writer.
 */
export type Unsent = FrameRun | FrameWriter;

/** So many writers are kept for later; what a peak needed beyond them goes to the garbage collector. */
const SPARE = 1024;

/** Writers are borrowed for the time of a batch, so that an idle connection has none. */
const spare: FrameWriter[] = [];

/** The writer for a further frame that goes to nobody else. */
export function ownFrames(unsent: Unsent | undefined): FrameWriter {
  if (unsent instanceof FrameWriter) return unsent;
  const writer = spare.pop() ?? new FrameWriter();
  if (unsent !== undefined) writer.appendShared(unsent);
  return writer;
}

/** What was put together before, and a frame that goes to others as well. */
export function withShared(unsent: Unsent | undefined, frame: FrameRun): Unsent {
  if (unsent === undefined) return frame;
  if (unsent instanceof FrameRun) return unsent.followedBy(frame);
  unsent.appendShared(frame);
  return unsent;
}

/** How many messages of it go to others as well; those among frames of its own are not counted. */
export function sharedMessages(unsent: Unsent | undefined): number {
  return unsent instanceof FrameRun ? unsent.count : 0;
}

/** All of it, to be given to the system; a writer is somebody else's from now on. */
export function batchOf(unsent: Unsent): Batch {
  if (unsent instanceof FrameRun) return unsent.batch;
  if (spare.length < SPARE) spare.push(unsent);
  return unsent.take();
}
