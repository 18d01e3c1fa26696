import { constants } from 'node:buffer';
import { ASCII, MESSAGE_END, TEXT } from '../../framing/frame-reader.js';
import type { Place } from '../../framing/mask.js';
import { isDetached } from '../detached.js';
import { allocate, copyOf } from './kept-bytes.js';

/** A piece of a message that nobody has read yet: `chunk[start, end)`. */
interface Piece {
  chunk: Buffer;
  start: number;
  end: number;
  flags: number;
  next: Piece | undefined;
}

/** What a reader of fragments gets: one fragment or a part of one. */
export interface Fragment {
  readonly data: Buffer;
  readonly text: boolean;
  readonly endOfMessage: boolean;
}

/** A reader that waits for input; there is at most one. */
export interface Reader {
  /** Something can be taken now: call `takeFragment` or `takeMessage`. */
  wake(pieces: UnreadPieces): void;
}

/** What the queue asks of its owner. */
export interface UnreadPiecesEvents {
  /** Held bytes have passed the limit: stop the sender. */
  onFull(): void;
  /** There is room again. */
  onRoom(): void;
  /** A message that a reader wants as a whole is beyond the limit. It can be dropped with all that is held. */
  onMessageTooBig(limit: number): void;
}

/** What becomes of input that nobody has read. Never dropped only for a while: a message with a hole would look like another. */
type Keeping = typeof KEEPS_ALL | typeof KEEPS_UP_TO_LIMIT | typeof KEEPS_FOR_READER | typeof KEEPS_NOTHING;
const KEEPS_ALL = 0;
/** As soon as the limit is reached, nothing: instead of pausing, as the peer's close frame stands behind it. */
const KEEPS_UP_TO_LIMIT = 1;
/** As soon as the waiting reader has got what it waits for, nothing. */
const KEEPS_FOR_READER = 2;
const KEEPS_NOTHING = 3;

/** What a piece costs beside its payload (measured), so that a flood of tiny fragments is bounded as well. */
const PIECE_OVERHEAD = 192;

/** Payloads below this share of the chunk they arrived in are copied before they are kept or handed out. */
const PINNING_SHARE = 4;

/** From this many pieces on, those of one message are joined: a million one-byte fragments must not cost a million objects. */
const JOIN_FROM = 1024;

/** At most so many times as much as has arrived of a frame is reserved for the rest that a peer has announced. */
const MOST_RESERVED_PER_BYTE = 16;

/** Among so many pieces it takes no time to look for a chunk. */
const MOST_LOOKED_AT = 16;

/** About how large a joined piece becomes: large enough that few remain, small enough to be copied but a few times. */
const JOINED_SIZE = 64 * 1024;

/**
 * Input that has arrived and that nobody has read yet, in order. A pure data structure: it never sees the socket.
 *
 * A message is taken from the queue only when all of it is there, so that a reader of messages who gives up has
 * consumed nothing, and readers of fragments and of messages can take turns.
 */
export class UnreadPieces {
  readonly #events: UnreadPiecesEvents;
  readonly #limit: number;
  #head: Piece | undefined;
  #tail: Piece | undefined;
  /** The last piece that no longer refers to the chunk it came in. */
  #copied: Piece | undefined;
  /** The first unread piece of the frame that is arriving. */
  #frame: Piece | undefined;
  #pieces = 0;
  /** Complete messages among the pieces. */
  #messages = 0;
  /** Bytes held, with the overhead of the pieces. */
  #bytesHeld = 0;
  #isFull = false;
  #keeping: Keeping = KEEPS_ALL;
  /** The chunk that is being parsed, until a view of it has been handed out. */
  #chunk: Buffer | undefined;
  #reader: Reader | undefined;
  /** Whether that reader wants a whole message; while there is none, whether the last one got one, as the next one will. */
  #readerWantsMessage = false;

  constructor(events: UnreadPiecesEvents, limit: number) {
    this.#events = events;
    // A text message beyond it could not be made a string.
    this.#limit = Math.min(limit, constants.MAX_STRING_LENGTH);
  }

  get isEmpty(): boolean {
    return this.#head === undefined;
  }

  get hasReader(): boolean {
    return this.#reader !== undefined;
  }

  /** Whether more is held than is to be: the sender has to stop. */
  get isFull(): boolean {
    return this.#isFull;
  }

  /** Bytes held, with the overhead of the pieces. */
  get bytesHeld(): number {
    return this.#bytesHeld;
  }

  /**
   * Where the next `size` bytes of the frame that is arriving are to be put before they are added, so that they are not
   * copied again: behind those that are read as one message. `undefined`: they may stay where they are.
   */
  placeFor(size: number, rest: number): Place | undefined {
    const piece = this.#frame;
    if (piece === undefined || !this.#readerWantsMessage) return undefined;
    this.#makeRoom(piece, size, rest);
    return piece;
  }

  /** Adds a piece, behind which `rest` bytes of the same frame are to come; a waiting reader is told at once. */
  add(chunk: Buffer, start: number, end: number, flags: number, rest: number): void {
    if (this.#keeping === KEEPS_NOTHING) return;
    if (this.#keeping === KEEPS_UP_TO_LIMIT && this.#reader === undefined && this.#bytesHeld >= this.#limit) {
      this.#keeping = KEEPS_NOTHING;
      return;
    }
    const last = (flags & MESSAGE_END) !== 0;
    if (this.#frame !== undefined && this.#readerWantsMessage) {
      this.#extend(chunk, start, end, flags, rest);
    } else {
      this.#append(chunk, start, end, flags, rest);
    }
    if (last) this.#messages++;

    const reader = this.#reader;
    if (reader !== undefined && (last || !this.#readerWantsMessage)) {
      if (this.#readerWantsMessage && this.#payload() > this.#limit) {
        this.#events.onMessageTooBig(this.#limit);
        return;
      }
      this.#reader = undefined;
      reader.wake(this);
      if (this.#keeping === KEEPS_FOR_READER) this.discard();
    } else if (this.#bytesHeld >= this.#limit) {
      this.#overflow();
    }
  }

  /**
   * What is still unread of earlier chunks will stay for a while, so small pieces are copied out of their chunks, which would
   * otherwise be pinned by them.
   */
  #copyOutOfChunks(): void {
    if (this.#tail === this.#copied) return;
    let piece = this.#copied === undefined ? this.#head : this.#copied.next;
    while (piece !== undefined) {
      // All pieces of one chunk go into one buffer of their own.
      const { chunk } = piece;
      let size = 0;
      let end: Piece | undefined = piece;
      for (; end !== undefined && end.chunk === chunk; end = end.next) size += end.end - end.start;
      if (size < chunk.buffer.byteLength - (chunk.buffer.byteLength >> 2)) {
        const own = allocate(size);
        let at = 0;
        for (let moved: Piece | undefined = piece; moved !== end && moved !== undefined; moved = moved.next) {
          const length = moved.end - moved.start;
          own.set(chunk.subarray(moved.start, moved.end), at);
          moved.chunk = own;
          moved.start = at;
          at += length;
          moved.end = at;
        }
      }
      piece = end;
    }
    // Only while a reader waits for a message do pieces pass the limit; and only then are frames nobody's concern.
    if (this.#reader !== undefined && this.#pieces > JOIN_FROM) this.#join();
    this.#copied = this.#tail;
  }

  /** A chunk is going to be parsed, and its pieces will be added. */
  beginChunk(chunk: Buffer): void {
    this.#chunk = chunk;
    if (this.#head !== undefined) this.#copyOutOfChunks();
  }

  /**
   * The chunk has been parsed.
   *
   * @returns whether somebody has got a view of it, or something unread lies in it; also `true` where too much is unread to
   *   find out
   */
  endChunk(chunk: Buffer): boolean {
    const isShared = this.#chunk === undefined || this.#pieces > MOST_LOOKED_AT;
    this.#chunk = undefined;
    if (isShared) return true;
    let piece = this.#head;
    while (piece !== undefined && piece.chunk !== chunk) piece = piece.next;
    return piece !== undefined;
  }

  /**
   * Takes a fragment or a part of one; `undefined` if nothing is there. With `into`, as much as fits is copied there. A
   * zero-length `into` reports without consuming, except for an empty final fragment.
   *
   * @throws TypeError if `into` is gone; nothing is consumed then
   */
  takeFragment(into: Uint8Array | undefined): Fragment | undefined {
    const piece = this.#head;
    if (piece === undefined) return undefined;
    const available = piece.end - piece.start;
    const text = (piece.flags & TEXT) !== 0;
    const last = (piece.flags & MESSAGE_END) !== 0;
    if (into === undefined) {
      const data = this.#view(piece.chunk, piece.start, piece.end);
      this.#shift(piece);
      return { data, text, endOfMessage: last };
    }
    if (isDetached(into)) {
      throw new TypeError(
        'Cannot receive: buffer was detached or resized meanwhile, must stay as it is until it is filled',
      );
    }
    const count = Math.min(available, into.length);
    const data = Buffer.from(into.buffer, into.byteOffset, count);
    if (count < available) {
      data.set(piece.chunk.subarray(piece.start, piece.start + count));
      piece.start += count;
      this.#consume(count);
      return { data, text, endOfMessage: false };
    }
    data.set(piece.chunk.subarray(piece.start, piece.end));
    this.#shift(piece);
    return { data, text, endOfMessage: last };
  }

  /** Takes a complete message, text as a string; `undefined` if none is complete, or after it was reported as too big. */
  takeMessage(): string | Buffer | undefined {
    const first = this.#head;
    if (first === undefined || this.#messages === 0) return undefined;
    if ((first.flags & MESSAGE_END) !== 0) {
      const { chunk, start, end, flags } = first;
      if (end - start > this.#limit) return this.#reportTooBig();
      this.#shift(first);
      if ((flags & TEXT) === 0) return this.#view(chunk, start, end);
      return chunk.toString((flags & ASCII) !== 0 ? 'latin1' : 'utf8', start, end);
    }
    let size = 0;
    for (let piece: Piece | undefined = first; piece !== undefined; piece = piece.next) {
      size += piece.end - piece.start;
      if ((piece.flags & MESSAGE_END) !== 0) break;
    }
    if (size > this.#limit) return this.#reportTooBig();
    const message = allocate(size);
    let at = 0;
    for (let piece: Piece | undefined = first; piece !== undefined; piece = this.#head) {
      const { chunk, start, end, flags }: Piece = piece;
      chunk.copy(message, at, start, end);
      at += end - start;
      this.#shift(piece);
      if ((flags & MESSAGE_END) !== 0) break;
    }
    return (first.flags & TEXT) === 0 ? message : message.toString();
  }

  /** Registers the reader that is told when something can be taken: a fragment or, if it says so, a whole message. */
  wait(reader: Reader, wantsMessage: boolean): void {
    this.#reader = reader;
    this.#readerWantsMessage = wantsMessage;
    // Paused with an unfinished message in front of a reader who wants all of it: let it grow up to the limit.
    if (wantsMessage && this.#isFull) this.#overflow();
  }

  /** Removes the waiting reader and returns it. */
  unwait(): Reader | undefined {
    const reader = this.#reader;
    this.#reader = undefined;
    this.#readerWantsMessage = false;
    if (this.#keeping === KEEPS_FOR_READER) this.discard();
    return reader;
  }

  /** From now on input is thrown away, and what is unread is dropped. A reader that waits gets its due before. */
  discard(): void {
    if (this.#reader !== undefined && this.#keeping !== KEEPS_NOTHING) {
      this.#keeping = KEEPS_FOR_READER;
      return;
    }
    this.#keeping = KEEPS_NOTHING;
    this.clear();
  }

  /** From now on reaching the limit does not pause the sender: what then arrives is thrown away, and all after it. */
  dropBeyondLimit(): void {
    if (this.#keeping === KEEPS_ALL) this.#keeping = KEEPS_UP_TO_LIMIT;
    this.#resume();
  }

  /** Drops everything that is unread. */
  clear(): void {
    this.#head = this.#tail = this.#copied = this.#frame = undefined;
    this.#pieces = this.#messages = this.#bytesHeld = 0;
    this.#resume();
  }

  /** Bytes held, without the overhead of the pieces. While a reader waits for a message, they are all of that message. */
  #payload(): number {
    return this.#bytesHeld - this.#pieces * PIECE_OVERHEAD;
  }

  #append(chunk: Buffer, start: number, end: number, flags: number, rest: number): void {
    const piece: Piece = { chunk, start, end, flags, next: undefined };
    if (this.#tail === undefined) this.#head = piece;
    else this.#tail.next = piece;
    this.#tail = piece;
    this.#pieces++;
    this.#bytesHeld += end - start + PIECE_OVERHEAD;
    if (rest === 0) this.#frame = undefined;
    else this.#frame ??= piece;
  }

  /**
   * Adds what follows in the frame that is under way. Its first piece takes over all that is there of it: while the
   * processor still has the bytes at hand, and the chunk that they came in is free at once.
   */
  #extend(chunk: Buffer, start: number, end: number, flags: number, rest: number): void {
    const piece = this.#frame as Piece;
    const size = end - start;
    if (chunk !== piece.chunk) {
      this.#makeRoom(piece, size, rest);
      chunk.copy(piece.chunk, piece.end, start, end);
    }
    piece.end += size;
    piece.flags = (piece.flags & (flags | ~ASCII)) | (flags & MESSAGE_END);
    this.#bytesHeld += size;
    if (rest === 0) this.#frame = undefined;
  }

  #makeRoom(piece: Piece, size: number, rest: number): void {
    if (piece.next !== undefined || piece.chunk.length - piece.end < size) this.#reserve(piece, size, rest);
  }

  /**
   * Moves `piece` and all behind it to one buffer, with room for `more` bytes and for the `rest` that the peer has
   * announced, as far as it is trusted and within the limit.
   */
  #reserve(piece: Piece, more: number, rest: number): void {
    let size = 0;
    for (let part: Piece | undefined = piece; part !== undefined; part = part.next) size += part.end - part.start;
    const needed = size + more;
    const room = Math.min(rest, needed * MOST_RESERVED_PER_BYTE, Math.max(this.#limit - needed, 0));
    const own = allocate(needed + room);
    let at = 0;
    for (let part: Piece | undefined = piece; part !== undefined; part = part.next) {
      at += part.chunk.copy(own, at, part.start, part.end);
      piece.flags &= part.flags | ~ASCII;
      this.#pieces--;
      this.#bytesHeld -= PIECE_OVERHEAD;
    }
    this.#pieces++;
    this.#bytesHeld += PIECE_OVERHEAD;
    piece.chunk = own;
    piece.start = 0;
    piece.end = at;
    piece.next = undefined;
    // All that is unread has been copied before the chunk was parsed that goes on with the frame.
    this.#tail = this.#copied = piece;
  }

  #overflow(): void {
    if (this.#reader !== undefined && this.#readerWantsMessage) {
      if (this.#payload() > this.#limit) this.#events.onMessageTooBig(this.#limit);
      else this.#resume();
      return;
    }
    if (this.#isFull || this.#keeping === KEEPS_UP_TO_LIMIT) return;
    this.#isFull = true;
    this.#events.onFull();
  }

  #reportTooBig(): undefined {
    this.#events.onMessageTooBig(this.#limit);
  }

  #shift(piece: Piece): void {
    this.#head = piece.next;
    if (this.#frame === piece) this.#frame = piece.next;
    // A dead piece that V8 has moved to its old generation would keep all that came after it, chunks included.
    piece.next = undefined;
    if (this.#head === undefined) this.#tail = undefined;
    if (this.#copied === piece) this.#copied = undefined;
    this.#pieces--;
    if ((piece.flags & MESSAGE_END) !== 0) this.#messages--;
    this.#consume(piece.end - piece.start + PIECE_OVERHEAD);
  }

  /** A view of the bytes, or a copy where a small view would keep a much larger chunk alive. */
  #view(chunk: Buffer, start: number, end: number): Buffer {
    if ((end - start) * PINNING_SHARE < chunk.buffer.byteLength) return copyOf(chunk, start, end);
    if (chunk === this.#chunk) this.#chunk = undefined;
    return chunk.subarray(start, end);
  }

  #consume(bytes: number): void {
    this.#bytesHeld -= bytes;
    if (this.#isFull && this.#bytesHeld <= this.#limit >> 1) this.#resume();
  }

  #resume(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.#events.onRoom();
  }

  /** Joins the pieces of the message that the reader waits for. */
  #join(): void {
    this.#frame = undefined;
    for (let piece = this.#head; piece !== undefined; piece = piece.next) {
      let size = piece.end - piece.start;
      let { next, flags } = piece;
      for (; next !== undefined && size < JOINED_SIZE; next = next.next) {
        size += next.end - next.start;
        flags &= next.flags | ~ASCII;
      }
      if (next === piece.next) continue;
      const joined = Buffer.allocUnsafeSlow(size);
      let at = 0;
      for (let part: Piece | undefined = piece; part !== next && part !== undefined; part = part.next) {
        at += part.chunk.copy(joined, at, part.start, part.end);
        this.#pieces--;
        this.#bytesHeld -= PIECE_OVERHEAD;
      }
      this.#pieces++;
      this.#bytesHeld += PIECE_OVERHEAD;
      Object.assign(piece, { chunk: joined, start: 0, end: size, flags, next });
      if (next === undefined) this.#tail = piece;
    }
  }
}
