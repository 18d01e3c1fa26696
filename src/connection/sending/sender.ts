import { WebSocketError } from '../../errors.js';
import { eventLoop } from '../../event-loop.js';
import { type Batch, recycle } from '../../framing/batch.js';
import type { DeflateSetting } from '../../framing/deflate-pool.js';
import type { FrameRun } from '../../framing/frame-run.js';
import { COPY_LIMIT, type FrameWriter } from '../../framing/frame-writer.js';
import { BINARY_FRAME, CLOSE_FRAME, CONTINUATION, FIN, RSV1, TEXT_FRAME } from '../../framing/opcodes.js';
import { batchOf, ownFrames, sharedMessages, type Unsent, withShared } from '../../framing/unsent.js';
import type { Compression } from '../receiving/receiver.js';
import type { BatchWriter, Cohort, CohortMember, Seat } from './cohort.js';
import { flushAtEndOfTick } from './end-of-tick.js';
import { NONE, PendingSend, rejectSends, resolveSends } from './pending-send.js';
import { encodedIfRepeated } from './repeated-text.js';
import { type CompressingSender, SendCompressor } from './send-compressor.js';
import { NOBODY, SendQueue, type Waiting, type WaitingInSlot } from './send-queue.js';
import { SharedCompression, type SharedMessage } from './shared-message.js';
import { flushInSlices, type SliceTarget } from './slices.js';

/**
 * Above this many bytes on their way, a send waits until they are out. High enough that a tick's worth of frames fills
 * the system's buffer in one call, low enough that ten thousand slow consumers cost little.
 */
const SEND_HIGH_WATER_MARK = 128 * 1024;

/** What a waiting message to many weighs beyond its bytes where a limit is to be kept, so that tiny ones are not free. */
const WAITING_WEIGHT = 64;

/** What a {@link Sender} reports to its connection. */
export interface SenderEvents {
  /** The system has taken a batch at once. Nobody waits for that of a cohort, whose members have not begun to close. */
  onTaken(): void;
  /** The close frame has been put into the batch. */
  onCloseFrame(): void;
  /** The stream has thrown what no stream throws, so that nobody knows what is out. */
  onWriteFailed(error: unknown): void;
  /** A message that was begun in compressed form cannot be continued. */
  onCompressionFailed(error: Error): void;
  /** Everything has been written and nothing waits. */
  onDrained(): void;
}

/** What is to be sent and how. */
export interface Outgoing {
  readonly data: string | Uint8Array;
  readonly text: boolean;
  readonly endOfMessage: boolean;
  /** `undefined` leaves it to size. */
  readonly compress: boolean | undefined;
  /** Sends a message of its own, and therefore waits until a message begun by somebody else has ended. */
  readonly ownMessage: boolean;
}

/** Handle of a pending send, for {@link Sender.withdraw}. */
export type SendTicket = object;

/**
 * Everything on its way to the peer, in order. Small frames go into the batch of the tick at once and are done with; what
 * is large, compressed or beyond the high-water mark waits here, where it can still be withdrawn, and goes out when the
 * system has taken the batch before it. Never more than one batch is with the system.
 */
export class Sender implements SliceTarget, CohortMember, CompressingSender {
  // A message to thousands finds each of them cold: what it looks at stands side by side.
  readonly #events: SenderEvents;
  readonly writer: BatchWriter;
  /** What this tick has put together. */
  #unsent: Unsent | undefined;
  /** Instead of it, as long as there is nothing to send but what goes to many others too. */
  #seat: Seat | undefined;
  /** The batch that the system has not taken completely yet. */
  #inFlight: Batch | undefined;
  /** Messages that have been put on their way completely, without those of {@link #seat}, and of {@link #unsent} as long as it is a run. */
  #messages = 0;
  /** Bytes given to the system, headers included. */
  #written = 0;
  readonly #compressor: SendCompressor | undefined;
  /** What waits; of its own only as long as something does. */
  #queue: SendQueue = NOBODY;
  /** The sends in the batch, if any. */
  #committed: PendingSend[] | undefined;
  #sliceScheduled = false;
  /** The last frame of the batch began or continued a message that is not finished. */
  #insideMessage = false;
  #flushScheduled = false;
  readonly highWaterMark: number;
  /** What is being compressed for this connection and others, and gives it a slice when that is done. */
  #awaited: SharedCompression | undefined;

  /**
   * @param writer calls {@link written} when the system has taken a batch that it has not taken at once
   * @param limit from how many waiting bytes on every send must come through `send`, so that its caller can refuse it
   */
  constructor(events: SenderEvents, writer: BatchWriter, compression: Compression | undefined, limit: number) {
    this.#events = events;
    this.writer = writer;
    this.highWaterMark = Math.min(SEND_HIGH_WATER_MARK, limit);
    this.#compressor = compression && new SendCompressor(this, compression);
  }

  /** Bytes accepted and not yet taken by the system. */
  get bufferedAmount(): number {
    return this.#queue.bytes + this.#unsentBytes() + (this.#inFlight?.byteLength ?? 0);
  }

  /** What is held against the limit of a member of groups, to whom anybody may send. */
  get weight(): number {
    return this.bufferedAmount + this.#queue.count * WAITING_WEIGHT;
  }

  /** Bytes put on their way, headers included; the frame that ends a connection is counted before it is out. */
  get bytes(): number {
    return this.#written + (this.#seat === undefined ? this.#unsentBytes() : this.#seat.bytes);
  }

  /** Messages that have been put on their way completely. */
  get messages(): number {
    return this.#messages + sharedMessages(this.#unsent) + (this.#seat?.messages ?? 0);
  }

  /** Whether the system has not taken all of the last batch yet. */
  get isWriting(): boolean {
    return this.#inFlight !== undefined;
  }

  /** Whether all that was accepted is with the system. */
  get isIdle(): boolean {
    return this.#queue.head === undefined && this.#unsentBytes() === 0 && this.#inFlight === undefined;
  }

  /** Whether the last frame began or continued a message that is not finished. */
  get insideMessage(): boolean {
    return this.#insideMessage;
  }

  /** Puts a small fragment into the batch if nothing stands before it; false if it has to wait. */
  trySend(data: string | Uint8Array, text: boolean, endOfMessage: boolean, compress: boolean | undefined): boolean {
    if (this.#queue.head !== undefined || data.length > COPY_LIMIT) return false;
    if (this.#unsentBytes() + (this.#inFlight?.byteLength ?? 0) > this.highWaterMark) return false;
    const compressor = this.#compressor;
    if (compressor?.mustCompress(compressor.isWorth(data, endOfMessage, compress), this.#insideMessage)) return false;
    const opcode = this.#insideMessage ? CONTINUATION : text ? TEXT_FRAME : BINARY_FRAME;
    const firstByte = endOfMessage ? opcode | FIN : opcode;
    this.#put(firstByte, typeof data === 'string' ? encodedIfRepeated(data) : data);
    this.#scheduleFlush();
    if (endOfMessage) this.#messageEnded();
    else this.#insideMessage = true;
    return true;
  }

  /**
   * Sends a fragment in its turn.
   *
   * @param onPending gets the ticket with which it can be withdrawn
   */
  send(outgoing: Outgoing, onPending?: (ticket: SendTicket) => void): Promise<void> {
    const { data, text, endOfMessage, compress, ownMessage } = outgoing;
    const pending = new PendingSend({
      // A view of its own: one of the application may grow with its buffer.
      data: typeof data === 'string' ? data : Buffer.from(data.buffer, data.byteOffset, data.byteLength),
      text,
      endOfMessage,
      compress: this.#compressor?.isWorth(data, endOfMessage, compress) ?? false,
      close: false,
      ownMessage,
      size: Buffer.byteLength(data),
    });
    this.#enqueue(pending);
    onPending?.(pending);
    return pending.promise;
  }

  /**
   * Sends a message that goes to many, in its turn. It is written by a slice of the time of the process, and cannot be
   * withdrawn.
   *
   * @param cohort what all those join that can take this message at once, and have nothing else to send
   * @param owner who is known to the cohort as the owner of this connection
   * @returns false if it is volatile, and the system has not taken the last batch
   */
  sendShared<Owner>(message: SharedMessage, cohort: Cohort<Owner> | undefined, owner: Owner): boolean {
    this.leaveCohort();
    const isSlow = this.#inFlight !== undefined;
    if (isSlow && message.volatile) return false;
    const isNext = this.#queue.head === undefined && !this.#insideMessage;
    if (!isSlow && isNext && this.#unsentBytes() <= this.highWaterMark) {
      const frame = message.frameFor(this.deflateSetting);
      if (frame instanceof SharedCompression) {
        this.#append(message);
        this.#awaitFrame(frame);
        return true;
      }
      if (this.#unsent === undefined && frame === message.plainFrame) {
        this.#seat = cohort?.join(this, owner);
        if (this.#seat !== undefined) return true;
      }
      this.#commitShared(frame);
    } else {
      this.#append(message);
    }
    if (!isSlow) this.scheduleSlice();
    return true;
  }

  /** Flushes in one of the slices of time that groups are given, unless it happens sooner. */
  scheduleSlice(): void {
    if (this.#sliceScheduled) return;
    this.#sliceScheduled = true;
    flushInSlices(this);
  }

  onSlice(): void {
    this.#sliceScheduled = false;
    // It may have been flushed since, and have sat down.
    if (this.#seat !== undefined) return;
    this.#compressor?.beginSlice();
    this.flush();
    this.#compressor?.endSlice();
  }

  /**
   * Is on its own again, with what it has not been written of what goes to all of a cohort; the cohort sees to it that
   * this has a slice.
   *
   * @param cohort which one; whichever it is in if there is none
   */
  leaveCohort(cohort?: Cohort<unknown>): void {
    const seat = this.#seat;
    if (seat === undefined || (cohort !== undefined && seat.cohort !== cohort)) return;
    this.#seat = undefined;
    this.#messages += seat.messages;
    this.#written += seat.bytes;
    if (seat.isInWrite) this.#inFlight = NOTHING;
    const unsent = seat.leave();
    if (unsent === undefined) return;
    this.#messages -= unsent.count;
    this.#written -= unsent.byteLength;
    this.#unsent = unsent;
  }

  // CohortMember

  get deflateSetting(): DeflateSetting | undefined {
    return this.#compressor?.setting;
  }

  onWritten(batch: Batch, isTaken: boolean): void {
    this.leaveCohort();
    this.#inFlight = isTaken ? undefined : batch;
    if (isTaken) this.flush();
  }

  onWriteFailed(error: unknown): void {
    this.#events.onWriteFailed(error);
  }

  // CompressingSender

  onCompressionFailed(error: Error): void {
    this.#events.onCompressionFailed(error);
  }

  /** Sends a ping, pong or close frame before everything that waits. */
  sendControl(opcode: number, payload: Uint8Array): void {
    this.#put(opcode | FIN, payload);
    this.#scheduleFlush();
  }

  /**
   * Sends a close frame behind everything that waits.
   *
   * @param onPending gets the ticket with which it can be withdrawn
   */
  sendClose(payload: Uint8Array, onPending?: (ticket: SendTicket) => void): Promise<void> {
    const pending = new PendingSend({
      data: payload,
      text: false,
      endOfMessage: true,
      compress: false,
      close: true,
      ownMessage: false,
      size: payload.length,
    });
    if (this.#queue.head === undefined) {
      this.#commit(pending);
      this.#scheduleFlush();
    } else {
      this.#enqueue(pending);
    }
    onPending?.(pending);
    return pending.promise;
  }

  /**
   * Takes a pending send back. If some of it is already on its way it is only let go of: its promise rejects, its frame
   * is finished.
   *
   * @returns whether nothing of it will be sent
   */
  withdraw(ticket: SendTicket, reason: unknown): boolean {
    const pending = ticket as PendingSend;
    // It has been withdrawn, or the connection has failed.
    if (pending.isSettled) return false;
    const withdrawn = pending.phase === 'queued';
    if (withdrawn) {
      this.#queue.remove(pending);
      this.#forgetEmptyQueue();
    }
    rejectSends([pending], reason);
    return withdrawn;
  }

  /** Lets go of a pending send, which rejects, without taking it back. */
  letGo(ticket: SendTicket, reason: unknown): void {
    rejectSends([ticket as PendingSend], reason);
  }

  /** Takes everything back that is not on its way yet; see {@link withdraw}. Close frames stay. */
  withdrawAll(reason: unknown): void {
    for (const pending of [...this.#queue.sends, ...(this.#committed ?? NONE)]) {
      if (!pending.close) this.withdraw(pending, reason);
    }
  }

  /** The connection is over: every pending send rejects. What is in the batch is still flushed if the socket lives. */
  rejectAll(reason: unknown): void {
    this.leaveCohort();
    const all = [...(this.#committed ?? NONE), ...this.#queue.sends];
    this.#queue = NOBODY;
    this.#committed = undefined;
    rejectSends(all, reason);
  }

  /** Frees what compression holds; nothing more will be sent. */
  destroy(): void {
    this.#compressor?.destroy();
  }

  /**
   * Gives everything to the system, however much it has not taken yet, so that somebody else can go on writing.
   *
   * @returns false if that cannot be, because something waits or a message is not finished
   */
  writeAll(): boolean {
    this.flush();
    if (this.#queue.head !== undefined || this.#insideMessage) return false;
    if (this.#unsent !== undefined) this.#write(this.#unsent);
    return true;
  }

  /** The system has taken the batch that `writeBatch` was given. */
  written(): void {
    if (this.#inFlight !== undefined) recycle(this.#inFlight);
    this.#inFlight = undefined;
    resolveSends(this.#takeCommitted());
    this.flush();
  }

  /** Writes what this tick has put together. Runs by itself at the end of the tick. */
  flush(): void {
    this.#flushScheduled = false;
    try {
      this.#flush();
    } catch (error) {
      // All connections are flushed together: what breaks one of them is not to reach the others, or the process.
      this.onWriteFailed(error);
    }
  }

  #flush(): void {
    this.leaveCohort();
    while (this.#inFlight === undefined) {
      this.#pump();
      if (this.#unsent === undefined) {
        if (this.isIdle) this.#events.onDrained();
        return;
      }
      if (!this.#write(this.#unsent)) return;
      const committed = this.#takeCommitted();
      if (committed.length === 0) continue;
      // A close frame is sent once; whoever has sent it goes on before the peer's answer comes.
      resolveSends(committed.filter((pending) => pending.close));
      // A peer that takes everything at once must not keep its sender, and with it the process, from all other work.
      eventLoop.setImmediate(resolveSends, committed);
    }
  }

  /** Gives the batch to the system; false if it has not taken all of it at once. */
  #write(unsent: Unsent): boolean {
    this.#unsent = undefined;
    this.#messages += sharedMessages(unsent);
    const batch = batchOf(unsent);
    this.#written += batch.byteLength;
    // Only what has to wait is remembered: V8 keeps account of each young object that an old one refers to.
    this.#inFlight = NOTHING;
    const isTaken = this.writer.write(batch);
    if (isTaken) recycle(batch);
    this.#inFlight = isTaken ? undefined : batch;
    if (isTaken) this.#events.onTaken();
    return isTaken;
  }

  /** Bytes that wait for the end of the tick, headers included. A method: V8 asks its runtime for each private getter. */
  #unsentBytes(): number {
    if (this.#unsent !== undefined) return this.#unsent.byteLength;
    return this.#seat === undefined ? 0 : this.#seat.unwrittenBytes;
  }

  /** Puts a frame of its own into the batch. */
  #put(firstByte: number, data: string | Uint8Array): void {
    this.leaveCohort();
    const unsent = this.#unsent;
    const writer = ownFrames(unsent);
    if (typeof data === 'string') writer.appendText(firstByte, data);
    else writer.append(firstByte, data);
    // Not before: a text may be too long for any memory.
    if (unsent !== writer) this.#mix(writer);
  }

  /** The frames that others get too stand among those of its own now. */
  #mix(writer: FrameWriter): void {
    this.#messages += sharedMessages(this.#unsent);
    this.#unsent = writer;
  }

  #scheduleFlush(): void {
    if (this.#flushScheduled) return;
    this.#flushScheduled = true;
    flushAtEndOfTick(this);
  }

  /** The sends in the batch that the system has taken. */
  #takeCommitted(): readonly PendingSend[] {
    const committed = this.#committed;
    this.#committed = undefined;
    return committed ?? NONE;
  }

  /** Moves pending sends into the batch until it is full or one has to be compressed first. */
  #pump(): void {
    while (this.#unsentBytes() < SEND_HIGH_WATER_MARK) {
      const pending = this.#queue.head;
      if (pending === undefined) return;
      if (this.#insideMessage && isMessageOfItsOwn(pending)) {
        this.#queue.postpone();
        continue;
      }
      if (pending.shared !== undefined) {
        if (!this.#pumpShared(pending)) return;
        continue;
      }
      if (pending.phase === 'compressing') return;
      if (pending.isDetached) {
        this.#shift();
        pending.reject(
          new TypeError(
            'Cannot send: the buffer of data was detached or resized before its turn, must stay as it is until sendAsync has resolved',
          ),
        );
        continue;
      }
      if (this.#compressor?.prepare(pending, this.#insideMessage) === false) return;
      this.#shift();
      this.#commit(pending);
    }
  }

  /** @returns false if the message must be compressed first */
  #pumpShared(waiting: SharedMessage | WaitingInSlot): boolean {
    const frame = waiting.shared.frameFor(this.deflateSetting);
    if (frame instanceof SharedCompression) {
      this.#awaitFrame(frame);
      return false;
    }
    this.#awaited = undefined;
    this.#shift();
    this.#commitShared(frame);
    return true;
  }

  /** What waits is looked at again when the message at its head has been compressed. */
  #awaitFrame(compression: SharedCompression): void {
    if (this.#awaited === compression) return;
    this.#awaited = compression;
    compression.waiters.push(this);
  }

  #commitShared(frame: FrameRun): void {
    if (frame.isCompressed) this.#compressor?.startAnew();
    const unsent = withShared(this.#unsent, frame);
    if (unsent === this.#unsent) this.#messages++;
    else this.#unsent = unsent;
  }

  #commit(pending: PendingSend): void {
    const { data } = pending;
    const compressed = pending.phase === 'compressed';
    pending.phase = 'committed';
    this.#committed ??= [];
    this.#committed.push(pending);
    if (pending.close) {
      this.#put(CLOSE_FRAME | FIN, data);
      this.#rejectPostponed();
      this.#events.onCloseFrame();
      return;
    }
    let firstByte = this.#insideMessage ? CONTINUATION : pending.text ? TEXT_FRAME : BINARY_FRAME;
    if (pending.endOfMessage) firstByte |= FIN;
    if (compressed && !this.#insideMessage) firstByte |= RSV1;
    this.#put(firstByte, data);
    if (pending.endOfMessage) {
      this.#compressor?.endMessage();
      this.#messageEnded();
    } else {
      if (compressed) this.#compressor?.beginMessage();
      this.#insideMessage = true;
    }
  }

  #messageEnded(): void {
    this.#messages++;
    this.#insideMessage = false;
    // Those who waited for this message to end are next.
    if (this.#queue.rejoin()) this.#scheduleFlush();
  }

  /** The message that they wait for will not end any more. */
  #rejectPostponed(): void {
    rejectSends(
      this.#queue.dropAside(),
      new WebSocketError(
        'ERR_WEBSOCKET_INVALID_STATE',
        'Cannot send: our half was closed within the message of another sender, which must have ended before',
      ),
    );
  }

  #enqueue(pending: PendingSend): void {
    if (this.#append(pending)) this.#scheduleFlush();
  }

  /** @returns whether it is in the queue, and not behind the end of a message that is not finished */
  #append(waiting: PendingSend | SharedMessage): boolean {
    // What comes for all of a cohort would overtake what waits here.
    this.leaveCohort();
    if (this.#queue === NOBODY) this.#queue = new SendQueue();
    const isAside = this.#insideMessage && isMessageOfItsOwn(waiting) && this.#queue.head === undefined;
    this.#queue.add(waiting, isAside);
    return !isAside;
  }

  #shift(): void {
    this.#queue.shift();
    this.#forgetEmptyQueue();
  }

  #forgetEmptyQueue(): void {
    if (this.#queue.count === 0) this.#queue = NOBODY;
  }
}

/** What is with the system as long as it is not known to wait there. */
const NOTHING: Batch = { chunks: [], byteLength: 0, blocks: [] };

/** Whether it has to wait until a message begun by somebody else has ended. */
function isMessageOfItsOwn(waiting: Waiting): boolean {
  return waiting.shared !== undefined || waiting.ownMessage;
}
