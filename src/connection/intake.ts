import type { Input } from './input.js';
import { isTerminal, type WebSocketState } from './state.js';
import type { Transport } from './transport.js';

/** What an intake asks of its connection. */
export interface IntakeOwner {
  readonly state: WebSocketState;
  /** Whether the application has sent a message. */
  readonly hasSent: boolean;
  /** Something has come from the peer, or could not come until now. */
  heard(): void;
}

/** As much input is kept in its raw form, until the first read, for a hand-over to `ws`. */
const EARLY_LIMIT = 64 * 1024;
/** What a chunk of it costs beside its bytes, so that a flood of tiny ones is bounded as well. */
const EARLY_OVERHEAD = 64;

/** Shared by all connections of which nothing is kept. */
const NOTHING: Buffer[] = [];
Object.freeze(NOTHING);

/** The way of input from the socket: at the reader's pace, and kept as it came for as long as `ws` may want it. */
export class Intake {
  readonly #owner: IntakeOwner;
  readonly #transport: Transport;
  readonly #input: Input;
  /** Input in its raw form until somebody reads or takes `ws`; `undefined` afterwards. */
  #early: Buffer[] | undefined = NOTHING;
  #earlyBytes = 0;

  constructor(owner: IntakeOwner, transport: Transport, input: Input) {
    this.#owner = owner;
    this.#transport = transport;
    this.#input = input;
  }

  /** Whether everything since the handshake can still be had in its raw form. */
  get isUndecided(): boolean {
    return this.#early !== undefined;
  }

  /** Takes a chunk of the socket. */
  push(chunk: Buffer): void {
    if (this.#early === undefined) this.#input.push(chunk);
    else this.#pushEarly(this.#early, chunk);
  }

  /** Somebody reads or closes: from now on the connection cannot be handed over to `ws`. */
  decide(): void {
    if (this.#early === undefined) return;
    this.#early = undefined;
    this.updateFlow();
  }

  /** All input since the handshake, for `ws`. */
  takeEarly(): Buffer {
    const early = Buffer.concat(this.#early ?? NOTHING);
    this.#early = undefined;
    return early;
  }

  /** The connection is over: what is kept is of no use any more. */
  over(): void {
    this.#early = undefined;
    // Whatever the peer still sends is read and thrown away, or TCP would answer it with a reset.
    this.updateFlow();
  }

  /** The one place that stops and starts the flow of input. */
  updateFlow(): void {
    const hold = this.#input.paused || (this.#early !== undefined && this.#earlyBytes >= EARLY_LIMIT);
    const pause = hold && !isTerminal(this.#owner.state);
    if (pause === this.#transport.isPaused) return;
    if (pause) {
      this.#transport.pause();
    } else {
      // Silence while we did not read proves nothing.
      this.#owner.heard();
      this.#transport.resume();
    }
  }

  /** Takes a chunk while the connection may still be handed over to `ws`, which has to get the bytes as they came. */
  #pushEarly(early: Buffer[], chunk: Buffer): void {
    // The frame reader unmasks in place.
    const copy = Buffer.from(chunk);
    if (early === NOTHING) this.#early = [copy];
    else early.push(copy);
    this.#earlyBytes += chunk.length + EARLY_OVERHEAD;
    this.#input.push(chunk);
    if (this.#early === undefined) return;
    if (this.#input.isUntouched) {
      // Control frames have been dealt with; a connection that only sends can go on like this for ever.
      this.#early = NOTHING;
      this.#earlyBytes = 0;
    } else if (this.#earlyBytes >= EARLY_LIMIT) {
      // Data wait until somebody has decided; for control frames behind a short message nobody would stop listening, nor
      // for a client that talks to an application that only sends, which is not to miss the client's close.
      if (this.#input.held < EARLY_LIMIT / 2 || this.#owner.hasSent) this.#early = undefined;
      this.updateFlow();
    }
  }
}
