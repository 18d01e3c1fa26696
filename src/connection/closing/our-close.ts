import { WebSocketError } from '../../errors.js';
import { eventLoop } from '../../event-loop.js';
import { whileUncancelled } from '../cancellation.js';
import { derive } from '../deferred.js';
import type { Receiver } from '../receiving/receiver.js';
import type { Sender, SendTicket } from '../sending/sender.js';
import { canSend, WebSocketState } from '../state.js';
import { Audience } from './audience.js';
import { closePayload } from './close-status.js';
import { CloseWait, type CloseWaitEvents } from './close-wait.js';
import { warnOfLateAcknowledgement } from './late-acknowledgement.js';

/** What closing asks of its connection. */
export interface OurCloseEvents extends Pick<CloseWaitEvents, 'onFlushTimeout' | 'bytesReceived'> {
  readonly state: WebSocketState;
  /** The peer's close, once received. */
  readonly closeStatus: number | undefined;
  readonly closeStatusDescription: string | undefined;
  /** Our close frame is about to be sent. */
  onCloseQueued(): void;
  /** ... and nobody can take it back any more. */
  onCloseCertain(): void;
  /** Drops the connection now. */
  abort(reason?: WebSocketError): void;
}

/** Our close frame in the queue. */
interface QueuedClose {
  readonly sent: Promise<void>;
  /** Takes it back, or lets go of it. @returns whether it will not be sent */
  withdraw(reason: unknown): boolean;
}

const settled: Promise<void> = Promise.resolve();

/** How a connection is closed from our side: one close frame, whoever asks for it, and who relies on it. */
export class OurClose implements CloseWaitEvents {
  readonly #events: OurCloseEvents;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #timeout: number;
  readonly audience: Audience;
  readonly handshake: CloseWait;
  /** A close frame of ours is on its way or queued: nothing more may be sent. */
  isQueued = false;
  /** Nobody can take the queued close frame back: whoever sent it cannot, or somebody else relies on it. */
  isCertain = false;
  /** With our close frame, unread input is thrown away. */
  #discards = false;

  constructor(events: OurCloseEvents, sender: Sender, receiver: Receiver, timeout: number) {
    this.#events = events;
    this.#sender = sender;
    this.#receiver = receiver;
    this.#timeout = timeout;
    this.audience = new Audience(receiver);
    this.handshake = new CloseWait(this, timeout);
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
    if (this.#events.state === WebSocketState.Closed) return settled;
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#discards = true;
    const sending = this.isQueued ? undefined : this.#send(payload);
    if (sending === undefined || signal === undefined) this.#makeCertain();
    // As long as the close can be taken back, what is unread must not be lost.
    if (signal === undefined || !canSend(this.#events.state)) this.#receiver.discard();
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
      if (!canSend(this.#events.state)) this.#events.abort();
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
    this.handshake.noteActivity();
    this.#considerAcknowledging();
  }

  /** Somebody awaits the end of the connection from now on. */
  awaitEnd(): void {
    this.audience.awaitEnd(this.#events.state === WebSocketState.CloseReceived);
    this.#considerAcknowledging();
  }

  /** The application reads on. Whoever asks again for what has been told him is not at work. */
  reading(): void {
    if (!this.#receiver.isCloseRead) this.handshake.noteActivity();
  }

  /** The application sends something. Whoever does not know of the peer's close does not put its answer off by that. */
  sending(): void {
    if (this.audience.knows) this.handshake.noteActivity();
  }

  /** Our close frame cannot be taken back any more. */
  committed(): void {
    if (this.#discards) this.#receiver.discard();
    if (this.#events.state === WebSocketState.CloseSent) this.handshake.awaitPeer();
  }

  // CloseWaitEvents

  get bytesReceived(): number {
    return this.#events.bytesReceived;
  }

  onApplicationTimeout(): void {
    warnOfLateAcknowledgement(this.#timeout);
    this.#acknowledge();
  }

  onPeerTimeout(error: WebSocketError): void {
    this.#events.abort(error);
  }

  onFlushTimeout(): void {
    this.#events.onFlushTimeout();
  }

  /**
   * Acknowledges a close that nobody wants to answer himself, at the end of this turn of the event loop: whoever has just
   * been told may still say goodbye in it, or begin to read.
   */
  #considerAcknowledging(): void {
    if (this.#events.state !== WebSocketState.CloseReceived || !this.audience.wantsAcknowledgement) return;
    eventLoop.setImmediate(() => {
      const isUnanswered = this.#events.state === WebSocketState.CloseReceived && !this.isQueued;
      if (isUnanswered && this.audience.wantsAcknowledgement) this.#acknowledge();
    });
  }

  /** Answers the peer's close with its own code. What it had sent can still be read. */
  #acknowledge(): void {
    const { closeStatus = 1005, closeStatusDescription } = this.#events;
    this.#send(closePayload(closeStatus, closeStatus === 1005 ? undefined : closeStatusDescription));
    this.#makeCertain();
  }

  #makeCertain(): void {
    this.isCertain = true;
    this.#events.onCloseCertain();
  }

  #send(payload: Buffer): QueuedClose {
    this.isQueued = true;
    this.#events.onCloseQueued();
    let ticket: SendTicket = payload;
    const sending = this.#sender.sendClose(payload, (pending) => {
      ticket = pending;
    });
    const sent = derive(sending, noResult, (reason) => {
      // A peer that has closed need not wait for our acknowledgement.
      if (this.#events.state !== WebSocketState.Closed || !(reason instanceof WebSocketError)) throw reason;
    });
    if (canSend(this.#events.state)) this.handshake.awaitPeer();
    const withdraw = (reason: unknown): boolean => {
      if (this.isCertain) this.#sender.letGo(ticket, reason);
      else if (this.#sender.withdraw(ticket, reason)) {
        this.isQueued = false;
        if (this.#events.state === WebSocketState.CloseReceived) this.handshake.awaitApplication();
        else this.handshake.idle();
        return true;
      }
      return false;
    };
    return { sent, withdraw };
  }
}

function noResult(): void {}
