import type { Batch } from '../../framing/batch.js';
import type { DeflateSetting } from '../../framing/deflate-pool.js';
import type { FrameRun } from '../../framing/frame-run.js';
import type { SharedMessage } from './shared-message.js';
import { flushInSlices, type SliceTarget } from './slices.js';

/** Holes that cost less than to close them. */
const FEW = 16;

/** What takes the batches of a connection, and returns whether the system took all of one at once. */
export interface BatchWriter {
  write(batch: Batch): boolean;
}

/** Who sits in a cohort, or has sat there and is to write what he took along. */
export interface CohortMember extends SliceTarget {
  readonly writer: BatchWriter;
  /** How many bytes may wait before messages wait in its queue. */
  readonly highWaterMark: number;
  readonly deflateSetting: DeflateSetting | undefined;
  /** A batch has been written that the system has not taken at once, or in the middle of which the member has left. */
  onWritten(batch: Batch, isTaken: boolean): void;
  /** The stream has thrown what no stream throws, so that nobody knows what is out. */
  onWriteFailed(error: unknown): void;
}

/**
 * Connections that have nothing to send but what goes to all of them: a message to all is one more frame of the cohort,
 * however many they are, and none of them is looked at before it is written. Who is given anything else to send, or does
 * not take all of a batch at once, leaves.
 */
export class Cohort<Owner> implements SliceTarget {
  #seats: (Seat<Owner> | undefined)[] = [];
  /** Those of the seats, side by side: a message to thousands finds everything else of a connection cold. */
  #writers: (BatchWriter | undefined)[] = [];
  #size = 0;
  #leavers: Owner[] = [];
  /** Who has left with something unwritten. Whoever waits for what has been sent here waits for him, too. */
  readonly #debtors: CohortMember[] = [];
  /** Deflate settings of those who sit here or did; `undefined` for those that do not compress. */
  readonly #settings: (DeflateSetting | undefined)[] = [];
  /** How many bytes may wait before one of them makes messages wait in its queue. */
  #highWaterMark: number = Number.POSITIVE_INFINITY;
  /** What has been put together since the last batch. */
  #frames: FrameRun | undefined;
  /** What is being written, to those from {@link #next} on, before {@link #end}; of whom there are none otherwise. */
  #writing: FrameRun | undefined;
  #next = 0;
  #end = 0;
  /** The one before {@link #next} is being written to. */
  #isInWrite = false;
  /** Both, for whoever leaves before his turn; put together once for all who do. */
  #all: FrameRun | undefined;
  /** Who sits down now has been sent the same as all others. */
  #hasRoom = false;
  #messages = 0;
  #bytes = 0;

  /** How many connections there are. */
  get size(): number {
    return this.#size;
  }

  /** All messages so far. */
  get messages(): number {
    return this.#messages;
  }

  /** Their bytes, headers included. */
  get bytes(): number {
    return this.#bytes;
  }

  get hasMore(): boolean {
    return this.#writing !== undefined;
  }

  /**
   * Sends a message to all of them.
   *
   * @returns false if they have to be looked at one by one, and none of them has got anything
   */
  trySend(message: SharedMessage): boolean {
    if (byteLength(this.#frames) + byteLength(this.#writing) > this.#highWaterMark) return false;
    for (const setting of this.#settings) if (message.isCompressedFor(setting)) return false;
    const frame = message.plainFrame;
    this.#all = this.#all?.followedBy(frame, true);
    if (this.#frames === undefined) flushInSlices(this);
    // What nobody is here for is not kept.
    const before = this.#size === 0 ? undefined : this.#frames;
    this.#hasRoom = before === undefined;
    this.#frames = before === undefined ? frame : before.followedBy(frame, true);
    this.#messages++;
    this.#bytes += frame.byteLength;
    return true;
  }

  /**
   * A connection sits down that has nothing to send and would give the message that was sent last to the system as it is.
   *
   * @param owner who is among the {@link takeLeavers} when the connection has left
   * @returns its seat; `undefined` if that message goes out in one batch with others before it
   */
  join(member: CohortMember, owner: Owner): Seat<Owner> | undefined {
    if (!this.#hasRoom) return undefined;
    const { writer, highWaterMark, deflateSetting } = member;
    const seat = new Seat(this, member, owner, this.#seats.length, this.#frames as FrameRun);
    this.#seats.push(seat);
    this.#writers.push(writer);
    this.#size++;
    this.#highWaterMark = Math.min(this.#highWaterMark, highWaterMark);
    if (!this.#settings.includes(deflateSetting)) this.#settings.push(deflateSetting);
    return seat;
  }

  /** The owners of those who have left since the last call. */
  takeLeavers(): readonly Owner[] {
    const leavers = this.#leavers;
    if (leavers.length > 0) this.#leavers = [];
    return leavers;
  }

  onSlice(): void {
    if (this.#writing === undefined) this.#begin();
    while (this.#next < this.#end) {
      const index = this.#next++;
      const writer = this.#writers[index];
      if (writer !== undefined) {
        this.#write(writer, index);
        return;
      }
    }
    const debtor = this.#debtors.pop();
    if (debtor === undefined) this.#writing = this.#all = undefined;
    else debtor.onSlice();
  }

  #write(writer: BatchWriter, index: number): void {
    const seat = this.#seats[index] as Seat<Owner>;
    this.#isInWrite = true;
    try {
      const { batch } = this.#writing as FrameRun;
      const isTaken = writer.write(batch);
      if (!isTaken || this.#writers[index] !== writer) seat.member.onWritten(batch, isTaken);
    } catch (error) {
      seat.member.onWriteFailed(error);
    } finally {
      this.#isInWrite = false;
    }
  }

  // Seats

  /** How many bytes have not been written to a seat yet. */
  bytesFor(index: number): number {
    return byteLength(this.#frames) + (this.#isNextFor(index) ? byteLength(this.#writing) : 0);
  }

  /** Whether somebody leaves in the middle of a write to him. */
  isInWrite(index: number): boolean {
    return this.#isInWrite && index === this.#next - 1;
  }

  /** Somebody leaves his seat; returns what has not been written to it yet. */
  leave(index: number): FrameRun | undefined {
    const { owner, member } = this.#seats[index] as Seat<Owner>;
    if (this.bytesFor(index) > 0) this.#debtors.push(member);
    this.#seats[index] = this.#writers[index] = undefined;
    this.#size--;
    if (this.#size === 0) this.#forgetLimits();
    this.#leavers.push(owner);
    if (!this.#isNextFor(index)) return this.#frames;
    this.#all ??= (this.#writing as FrameRun).followedByAll(this.#frames);
    return this.#all;
  }

  /** Those of members that have all left. */
  #forgetLimits(): void {
    this.#settings.length = 0;
    this.#highWaterMark = Number.POSITIVE_INFINITY;
  }

  #isNextFor(index: number): boolean {
    return index >= this.#next && index < this.#end;
  }

  #begin(): void {
    this.#writing = this.#frames;
    this.#frames = undefined;
    this.#next = 0;
    this.#end = this.#seats.length;
    if (this.#end <= 2 * this.#size + FEW) return;
    this.#end = this.#size;
    this.#writers = this.#writers.filter((writer) => writer !== undefined);
    this.#seats = this.#seats.filter((seat) => seat !== undefined);
    this.#seats.forEach((seat, index) => {
      (seat as Seat<Owner>).index = index;
    });
  }
}

/** The place of a connection in a cohort. */
export class Seat<Owner = unknown> {
  readonly cohort: Cohort<Owner>;
  readonly member: CohortMember;
  readonly owner: Owner;
  index: number;
  readonly #messagesBefore: number;
  readonly #bytesBefore: number;

  /** @param first what the connection has been sent already */
  constructor(cohort: Cohort<Owner>, member: CohortMember, owner: Owner, index: number, first: FrameRun) {
    this.cohort = cohort;
    this.member = member;
    this.owner = owner;
    this.index = index;
    this.#messagesBefore = cohort.messages - first.count;
    this.#bytesBefore = cohort.bytes - first.byteLength;
  }

  /** Messages that the connection has been sent here. */
  get messages(): number {
    return this.cohort.messages - this.#messagesBefore;
  }

  /** Bytes of those messages, headers included. */
  get bytes(): number {
    return this.cohort.bytes - this.#bytesBefore;
  }

  /** Bytes that have not been written yet. */
  get unwrittenBytes(): number {
    return this.cohort.bytesFor(this.index);
  }

  /** Whether the connection is being written to. */
  get isInWrite(): boolean {
    return this.cohort.isInWrite(this.index);
  }

  /** Leaves; returns what has not been written yet. */
  leave(): FrameRun | undefined {
    return this.cohort.leave(this.index);
  }
}

function byteLength(run: FrameRun | undefined): number {
  return run === undefined ? 0 : run.byteLength;
}
