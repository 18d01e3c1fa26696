import { WebSocketError } from '../errors.js';
import { whileUncancelled } from './cancellation.js';
import { CloseHandshake, type CloseHandshakeOwner } from './close-handshake.js';
import { closePayload } from './close-status.js';
import { derive } from './deferred.js';
import type { Input } from './input.js';
import type { Sender, SendTicket } from './sending/sender.js';
import { canSend, WebSocketState } from './state.js';

/** What closing asks of its connection. */
export interface ClosingOwner extends Pick<CloseHandshakeOwner, 'flushTimedOut'> {
  readonly state: WebSocketState;
  /** The peer's close, once received. */
  readonly closeStatus: number | undefined;
  readonly closeStatusDescription: string | undefined;
  /** Our close frame is about to be sent. */
  closeBegins(): void;
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
  readonly handshake: CloseHandshake;
  /** A close frame of ours is on its way or queued: nothing more may be sent. */
  isQueued = false;
  /** Somebody else relies on the queued close frame, so that its sender cannot take it back. */
  #isShared = false;
  /** With our close frame, unread input is thrown away. */
  #discards = false;

  constructor(owner: ClosingOwner, sender: Sender, input: Input, timeout: number) {
    this.#owner = owner;
    this.#sender = sender;
    this.#input = input;
    this.handshake = new CloseHandshake(this, timeout);
  }

  /** Sends our close frame behind everything that was sent before, and waits for nothing. A second call does nothing. */
  closeOutput(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.isQueued) {
      this.#isShared = true;
      return settled;
    }
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { sent, withdraw } = this.#send(payload);
    return signal === undefined ? sent : whileUncancelled(sent, signal, () => void withdraw(signal.reason));
  }

  /** Closes and waits until the peer has acknowledged, or acknowledges the peer's close. Unread input is thrown away. */
  close(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.#owner.state === WebSocketState.Closed) return settled;
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#discards = true;
    if (this.isQueued) this.#isShared = true;
    const sending = this.isQueued ? undefined : this.#send(payload);
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

  /** The peer has closed, and we have not. */
  peerClosed(): void {
    if (!this.isQueued) this.handshake.awaitApplication();
  }

  /** Our close frame cannot be taken back any more. */
  committed(): void {
    if (this.#discards) this.#input.discard();
    if (this.#owner.state === WebSocketState.CloseSent) this.handshake.awaitPeer();
  }

  // CloseHandshakeOwner

  acknowledgeLate(): void {
    const { closeStatus = 1005, closeStatusDescription } = this.#owner;
    this.#input.discard();
    this.#send(closePayload(closeStatus, closeStatus === 1005 ? undefined : closeStatusDescription));
  }

  closeTimedOut(error: WebSocketError): void {
    this.#owner.drop(error);
  }

  flushTimedOut(): void {
    this.#owner.flushTimedOut();
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
      if (this.#isShared) this.#sender.letGo(ticket, reason);
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
