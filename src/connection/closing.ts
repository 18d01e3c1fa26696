import { WebSocketError } from '../errors.js';
import { eventLoop } from '../event-loop.js';
import { Audience } from './audience.js';
import { whileUncancelled } from './cancellation.js';
import { CloseHandshake, type CloseHandshakeOwner } from './close-handshake.js';
import { closePayload } from './close-status.js';
import { derive } from './deferred.js';
import type { Input } from './input.js';
import { warnOfLateAcknowledgement } from './late-acknowledgement.js';
import type { Sender, SendTicket } from './sending/sender.js';
import { canSend, WebSocketState } from './state.js';

/** What closing asks of its connection. */
export interface ClosingOwner extends Pick<CloseHandshakeOwner, 'flushTimedOut' | 'bytesReceived'> {
  readonly state: WebSocketState;
  /** The peer's close, once received. */
  readonly closeStatus: number | undefined;
  readonly closeStatusDescription: string | undefined;
  /** Our close frame is about to be sent. */
  closeBegins(): void;
  /** … and nobody can take it back any more. */
  closeIsCertain(): void;
  /** Drops the connection now. */
  abort(): void;
  drop(reason: WebSocketError): void;
}

/** Our close frame in the queue. */
interface QueuedClose {
  readonly sent: Promise<void>;
  /** Takes it back, or lets go of it. @returns whether it will not be sent */
  withdraw(reason: unknown): boolean;
}

const settled: Promise<void> = Promise.resolve();

/** How a connection is closed from our side: one close frame, whoever asks for it, and who relies on it. */
export class Closing implements CloseHandshakeOwner {
  readonly #owner: ClosingOwner;
  readonly #sender: Sender;
  readonly #input: Input;
  readonly #timeout: number;
  readonly audience: Audience;
  readonly handshake: CloseHandshake;
  /** A close frame of ours is on its way or queued: nothing more may be sent. */
  isQueued = false;
  /** Nobody can take the queued close frame back: whoever sent it cannot, or somebody else relies on it. */
  isCertain = false;
  /** With our close frame, unread input is thrown away. */
  #discards = false;

  constructor(owner: ClosingOwner, sender: Sender, input: Input, timeout: number) {
    this.#owner = owner;
    this.#sender = sender;
    this.#input = input;
    this.#timeout = timeout;
    this.audience = new Audience(input);
    this.handshake = new CloseHandshake(this, timeout);
  }

  /** Sends our close frame behind everything that was sent before, and waits for nothing. A second call does nothing. */
  closeOutput(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.isQueued) {
      this.#makeCertain();
      return settled;
    }
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { sent, withdraw } = this.#send(payload);
    if (signal === undefined) this.#makeCertain();
    return signal === undefined ? sent : whileUncancelled(sent, signal, () => void withdraw(signal.reason));
  }

  /** Closes and waits until the peer has acknowledged, or acknowledges the peer's close. Unread input is thrown away. */
  close(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.#owner.state === WebSocketState.Closed) return settled;
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#discards = true;
    const sending = this.isQueued ? undefined : this.#send(payload);
    if (sending === undefined || signal === undefined) this.#makeCertain();
    // As long as the close can be taken back, what is unread must not be lost.
    if (signal === undefined || !canSend(this.#owner.state)) this.#input.discard();
    let leave: ((reason: unknown) => void) | undefined;
    const acknowledged = this.handshake.wait((stopWaiting) => {
      leave = stopWaiting;
    });
    const done = sending === undefined ? acknowledged : derive(Promise.all([acknowledged, sending.sent]), noResult);
    if (signal === undefined) return done;
    return whileUncancelled(done, signal, () => {
      const { reason } = signal;
      if (sending?.withdraw(reason)) this.#discards = false;
      leave?.(reason);
      if (!canSend(this.#owner.state)) this.#owner.abort();
    });
  }

  /** The peer has closed, and our close frame is not out. */
  peerClosed(): void {
    if (this.isQueued) return;
    this.handshake.awaitApplication();
    this.#considerAcknowledging();
  }

  /** Somebody who reads has been told of the peer's close. */
  closeRead(): void {
    this.handshake.touch();
    this.#considerAcknowledging();
  }

  /** Somebody awaits the end of the connection from now on. */
  awaitEnd(): void {
    this.audience.awaitEnd(this.#owner.state === WebSocketState.CloseReceived);
    this.#considerAcknowledging();
  }

  /** The application reads on. Whoever asks again for what has been told him is not at work. */
  reading(): void {
    if (!this.#input.isCloseRead) this.handshake.touch();
  }

  /** The application sends something. Whoever does not know of the peer's close does not put its answer off by that. */
  sending(): void {
    if (this.audience.knows) this.handshake.touch();
  }

  /** Our close frame cannot be taken back any more. */
  committed(): void {
    if (this.#discards) this.#input.discard();
    if (this.#owner.state === WebSocketState.CloseSent) this.handshake.awaitPeer();
  }

  // CloseHandshakeOwner

  get bytesReceived(): number {
    return this.#owner.bytesReceived;
  }

  acknowledgeLate(): void {
    warnOfLateAcknowledgement(this.#timeout);
    this.#acknowledge();
  }

  closeTimedOut(error: WebSocketError): void {
    this.#owner.drop(error);
  }

  flushTimedOut(): void {
    this.#owner.flushTimedOut();
  }

  /**
   * Acknowledges a close that nobody wants to answer himself, at the end of this turn of the event loop: whoever has just
   * been told may still say goodbye in it, or begin to read.
   */
  #considerAcknowledging(): void {
    if (this.#owner.state !== WebSocketState.CloseReceived || !this.audience.wantsAcknowledgement) return;
    eventLoop.setImmediate(() => {
      const isUnanswered = this.#owner.state === WebSocketState.CloseReceived && !this.isQueued;
      if (isUnanswered && this.audience.wantsAcknowledgement) this.#acknowledge();
    });
  }

  /** Answers the peer's close with its own code. What it had sent can still be read. */
  #acknowledge(): void {
    const { closeStatus = 1005, closeStatusDescription } = this.#owner;
    this.#send(closePayload(closeStatus, closeStatus === 1005 ? undefined : closeStatusDescription));
    this.#makeCertain();
  }

  #makeCertain(): void {
    this.isCertain = true;
    this.#owner.closeIsCertain();
  }

  #send(payload: Buffer): QueuedClose {
    this.isQueued = true;
    this.#owner.closeBegins();
    let ticket: SendTicket = payload;
    const sending = this.#sender.sendClose(payload, (pending) => {
      ticket = pending;
    });
    const sent = derive(sending, noResult, (reason) => {
      // A peer that has closed need not wait for our acknowledgement.
      if (this.#owner.state !== WebSocketState.Closed || !(reason instanceof WebSocketError)) throw reason;
    });
    if (canSend(this.#owner.state)) this.handshake.awaitPeer();
    const withdraw = (reason: unknown): boolean => {
      if (this.isCertain) this.#sender.letGo(ticket, reason);
      else if (this.#sender.withdraw(ticket, reason)) {
        this.isQueued = false;
        if (this.#owner.state === WebSocketState.CloseReceived) this.handshake.awaitApplication();
        else this.handshake.idle();
        return true;
      }
      return false;
    };
    return { sent, withdraw };
  }
}

function noResult(): void {}
