import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { WebSocketError } from '../errors.js';
import { PING_FRAME, PONG_FRAME } from '../framing/opcodes.js';
import { whileUncancelled } from './cancellation.js';
import { type CloseInfo, closePayload, fitDescription } from './closing/close-status.js';
import { LONGEST_LINGER } from './closing/close-wait.js';
import { OurClose, type OurCloseEvents } from './closing/our-close.js';
import { inLaterTurn, rejected } from './deferred.js';
import type { Operation } from './failures.js';
import * as failures from './failures.js';
import { type HandOverEvents, handOver, type OpenWs } from './hand-over.js';
import type { KeepAlive, KeepAlivePeer, KeepAliveTicket } from './keep-alive.js';
import { Pings } from './pings.js';
import type { ReadKind } from './receiving/reads.js';
import { type Compression, Receiver, type ReceiverEvents } from './receiving/receiver.js';
import type { Cohort } from './sending/cohort.js';
import { type Outgoing, Sender, type SenderEvents, type SendTicket } from './sending/sender.js';
import type { SharedMessage } from './sending/shared-message.js';
import { canSend, isTerminal, nextState, type StateEvent, stateName, WebSocketState } from './state.js';
import { Transport, type TransportEvents } from './transport.js';

/** Limits and times of a connection, in bytes and ms; see `WebSocketRouteOptions`. */
export interface ConnectionSettings {
  readonly receiveBufferLimit: number;
  readonly maxPayload: number;
  readonly sendBufferLimit: number;
  readonly keepAliveInterval: number;
  readonly keepAliveTimeout: number;
  readonly closeTimeout: number;
}

/** What a connection is made of. */
export interface ConnectionParts {
  readonly socket: Duplex;
  readonly settings: ConnectionSettings;
  readonly keepAlive: KeepAlive;
  /** permessage-deflate as negotiated. */
  readonly compression: Compression | undefined;
}

/** What a connection reports to whoever has made it. */
export interface ConnectionEvents {
  /** Either side has begun to close, or the connection is over: at least once before `onTerminated`. */
  onClosing(): void;
  /** Once: the connection is Closed or Aborted. */
  onTerminated(): void;
}

/** Bytes on the wire after the handshake, frame headers included, and whole messages, in both directions. */
export interface Traffic {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly messagesReceived: number;
  readonly messagesSent: number;
}

/** What to send and how. */
export interface SendRequest extends Outgoing {
  readonly signal: AbortSignal | undefined;
}

const { Open, CloseReceived, Closed, Aborted } = WebSocketState;

const NO_PAYLOAD = Buffer.alloc(0);

const settled: Promise<void> = Promise.resolve();

/** A connection as those see it who use it: without what its parts report to it. */
export type LiveConnection = {
  [Member in keyof Connection as Member extends `on${Capitalize<string>}` ? never : Member]: Connection[Member];
};

/** One live connection: what can be done with it in which state, and the only place where its state changes. */
export class Connection
  implements ReceiverEvents, SenderEvents, OurCloseEvents, KeepAlivePeer, TransportEvents, HandOverEvents
{
  // A message to thousands finds each of them cold: what it looks at stands side by side.
  readonly #sender: Sender;
  #state: WebSocketState = Open;
  #ourClose: OurClose | undefined;
  #ws: WebSocket | undefined;
  readonly #transport: Transport;
  readonly #settings: ConnectionSettings;
  readonly #events: ConnectionEvents;
  readonly #receiver: Receiver;
  readonly #keepAlive: KeepAlive;
  #keepAliveTicket: KeepAliveTicket | undefined;
  #pings: Pings | undefined;
  /** Latest ping that could not be answered because the peer does not read (RFC 6455, section 5.5.3). */
  #unansweredPing: Buffer | undefined;
  #bytesReceived = 0;
  /** The peer's close, once received. */
  closeStatus: number | undefined;
  closeStatusDescription: string | undefined;
  /** When something last came from the peer, on the clock of keep-alive. */
  lastActivity: number;

  constructor(parts: ConnectionParts, events: ConnectionEvents) {
    const { socket, settings, keepAlive, compression } = parts;
    this.#transport = new Transport(socket, this);
    this.#settings = settings;
    this.#keepAlive = keepAlive;
    this.#events = events;
    this.lastActivity = keepAlive.millisecond();
    this.#receiver = new Receiver(this, settings, compression);
    this.#sender = new Sender(this, this.#transport, compression, settings.sendBufferLimit);
  }

  /**
   * Begins, once its maker has all that it reports to.
   *
   * @param head bytes that arrived together with the upgrade request
   */
  open(head: Buffer): void {
    const { keepAliveInterval, keepAliveTimeout } = this.#settings;
    if (!this.#transport.open(head, keepAliveInterval)) this.onClose();
    else if (keepAliveInterval > 0) {
      this.#keepAliveTicket = this.#keepAlive.watch(this, keepAliveInterval, keepAliveTimeout);
    }
  }

  get state(): WebSocketState {
    return this.#state;
  }

  /** Whether data may still be sent. */
  get canSend(): boolean {
    return canSend(this.#state) && !this.#ourClose?.isQueued && this.#ws === undefined;
  }

  /** Whether nobody has begun to close, and it has not been handed over. */
  get isOpen(): boolean {
    return this.#ws === undefined && !this.isClosing;
  }

  /** Whether either side has begun to close, or the connection is over. */
  get isClosing(): boolean {
    const isWsClosing = this.#ws !== undefined && this.#ws.readyState > this.#ws.OPEN;
    return this.#state !== Open || this.#ourClose?.isCertain === true || isWsClosing;
  }

  /** The connection as `ws` has it, once handed over. */
  get ws(): WebSocket | undefined {
    return this.#ws;
  }

  /** Bytes accepted for sending and not yet taken by the system. */
  get bufferedAmount(): number {
    return this.#ws === undefined ? this.#sender.bufferedAmount : this.#ws.bufferedAmount;
  }

  /** What has gone through the connection so far; after a hand-over to `ws` it counts no further. */
  get traffic(): Traffic {
    return {
      bytesReceived: this.#bytesReceived,
      bytesSent: this.#sender.bytes,
      messagesReceived: this.#receiver.messages,
      messagesSent: this.#sender.messages,
    };
  }

  get bytesReceived(): number {
    return this.#bytesReceived;
  }

  get inputPaused(): boolean {
    return this.#transport.isPaused;
  }

  /** How it ended; meaningful in a terminal state. */
  get closeInfo(): CloseInfo {
    return this.#state === Closed
      ? { code: this.closeStatus as number, reason: this.closeStatusDescription as string, wasClean: true }
      : { code: 1006, reason: '', wasClean: false };
  }

  /** Whether the application has sent a message. */
  get hasSent(): boolean {
    return this.#sender.messages > 0;
  }

  /** Whether the TCP connection still stands in both directions. */
  get isPeerConnected(): boolean {
    return this.#transport.isPeerConnected;
  }

  /** Why an operation is not possible any more. */
  notOpenFor(operation: Operation): WebSocketError {
    const isCloseQueued = this.#ourClose?.isQueued === true;
    return failures.notOpenFor(operation, { state: this.#state, isHandedOver: this.#ws !== undefined, isCloseQueued });
  }

  /** Sends a whole message if it can go at once, which is the common case; false says nothing about why not. */
  trySend(data: string | Uint8Array): boolean {
    if (!this.canSend) return false;
    this.#ourClose?.sending();
    return this.#sender.trySend(data, typeof data === 'string', true, undefined);
  }

  /** Sends a fragment in its turn. Resolves when its data may be reused and there is room for more. */
  send(request: SendRequest): Promise<void> {
    const { data, text, endOfMessage, compress, ownMessage, signal } = request;
    if (!this.canSend) return rejected(this.notOpenFor('send'));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#sender.bufferedAmount > this.#settings.sendBufferLimit) {
      // What waits for the end of the tick only says nothing about the peer.
      this.#sender.flush();
      const waiting = this.#sender.bufferedAmount;
      if (waiting > this.#settings.sendBufferLimit) return rejected(this.slowConsumer(waiting));
    }
    this.#ourClose?.sending();
    if (!(ownMessage && this.#sender.insideMessage) && this.#sender.trySend(data, text, endOfMessage, compress))
      return settled;
    const outgoing = { data, text, endOfMessage, compress, ownMessage };
    if (signal === undefined) return this.#sender.send(outgoing);
    let ticket: SendTicket = outgoing;
    const sent = this.#sender.send(outgoing, (pending) => {
      ticket = pending;
    });
    return whileUncancelled(sent, signal, () => void this.#sender.withdraw(ticket, signal.reason));
  }

  /** Whether more waits than may, as far as can be seen before the end of the tick. */
  get isOverloaded(): boolean {
    return this.#sender.weight > this.#settings.sendBufferLimit;
  }

  /**
   * Sends a message that goes to many, in its turn. It does not count as a sign of life of the application.
   *
   * @param cohort see {@link Sender.sendShared}
   * @returns false if it is volatile, and the peer is slow
   */
  sendShared<Owner>(message: SharedMessage, cohort: Cohort<Owner> | undefined, owner: Owner): boolean {
    return this.#sender.sendShared(message, cohort, owner);
  }

  /** Is looked at by itself when the next message to many comes; see {@link Sender.leaveCohort}. */
  leaveCohort(cohort?: Cohort<unknown>): void {
    this.#sender.leaveCohort(cohort);
  }

  /**
   * Aborts a connection for which more was waiting than may, before a message of so many bytes came.
   *
   * @returns false if it was only waiting for the end of the tick
   */
  abortIfOverloaded(size: number): boolean {
    this.#sender.flush();
    const waiting = this.#sender.weight - size;
    if (waiting <= this.#settings.sendBufferLimit) return false;
    this.slowConsumer(waiting);
    return true;
  }

  /** {@link closeOutput} for many connections: the close frame is written by a slice of the time of the process. */
  closeOutputInSlices(payload: Buffer): void {
    this.#sender.scheduleSlice();
    void this.closeOutput(payload, undefined);
  }

  /** Reads what `kind` says; see {@link Receiver.read}. */
  read<T>(kind: ReadKind<T>, signal: AbortSignal | undefined): Promise<T> {
    if (this.#ws !== undefined) return inLaterTurn((_resolve, reject) => reject(this.notOpenFor('receive')));
    if (!signal?.aborted) {
      this.#ourClose?.reading();
      this.#receiver.forgetEarlyInput();
    }
    return this.#receiver.read(kind, signal);
  }

  /** Somebody listens for the close from now on, and will answer that of the peer. */
  listenForClose(): void {
    if (!isTerminal(this.#state)) this.#ensureOurClose().audience.listen();
  }

  /** Somebody awaits the end from now on, and does not answer the peer's close by himself. */
  awaitEnd(): void {
    if (!isTerminal(this.#state)) this.#ensureOurClose().awaitEnd();
  }

  /** Sends our close frame behind everything that was sent before, and waits for nothing. A second call does nothing. */
  closeOutput(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.#state === Aborted || this.#ws !== undefined) return rejected(this.notOpenFor('close'));
    return this.#ensureOurClose().closeOutput(payload, signal);
  }

  /** Closes and waits until the peer has acknowledged, or acknowledges the peer's close. Unread input is thrown away. */
  close(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.#state === Aborted || this.#ws !== undefined) return rejected(this.notOpenFor('close'));
    return this.#ensureOurClose().close(payload, signal);
  }

  /**
   * Asks the peer to go without throwing away what a reader still wants: our close frame, then input goes on as far as
   * it is read. Used for draining.
   */
  closeGracefully(code: number, reason: string): void {
    if (isTerminal(this.#state)) return;
    if (this.#ws !== undefined) {
      if (code === 1005) this.#ws.close();
      else this.#ws.close(code, reason);
      this.#events.onClosing();
      return;
    }
    this.#receiver.dropBeyondLimit();
    void this.closeOutput(closePayload(code, code === 1005 ? undefined : reason), undefined);
  }

  /** Ends the connection without a close handshake, for a reason of ours: by default because the application wants it. */
  abort(error: WebSocketError = failures.operationAborted('the connection was aborted')): void {
    this.#endAbruptly(error, () => this.#receiver.abort(error));
  }

  /** Does not wait any longer for a peer that has not let go of TCP yet, though the connection is over. */
  cutOff(): void {
    if (isTerminal(this.#state)) this.#transport.destroy();
  }

  /** Ends TCP without a close frame; the socket goes when the peer has ended it too. */
  closeTcp(): void {
    if (isTerminal(this.#state)) return;
    const error = failures.operationAborted('closeTcpConnection was called');
    this.#ws?.terminate();
    this.#sender.rejectAll(error);
    this.#receiver.abort(error);
    this.#become('aborted', error);
    this.#endWhenWritten();
  }

  /** Lets go of the pending read and takes back what is not on the wire; the connection stays usable. */
  cancelOutstandingIO(): void {
    const error = failures.operationAborted('cancelOutstandingIO was called');
    this.#receiver.cancelRead(error);
    this.#sender.withdrawAll(error);
  }

  /** Sends a ping and resolves with the round trip in ms. */
  ping(payload: Buffer | undefined, signal: AbortSignal | undefined): Promise<number> {
    if (!this.canSend) return rejected(this.notOpenFor('ping'));
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#pings ??= new Pings(this.#keepAlive.now);
    const data = payload ?? this.#pings.nextPayload();
    this.#sender.sendControl(PING_FRAME, data);
    return this.#pings.wait(data, signal);
  }

  /** Hands the socket over to `ws`, with all input since the handshake. Only before the first read. */
  handOver(open: OpenWs): WebSocket {
    if (this.#receiver.hasFault) throw failures.handOverRefused('the peer has broken the protocol');
    if (!this.#receiver.keepsEarlyInput) {
      if (this.#receiver.reads > 0) throw failures.mistake(failures.handOverRefused('it has been read from'));
      // Who only sends, and lets much come before, gives up what has come.
      const found = this.#ourClose?.isQueued ? 'a close frame has been queued' : 'more has come than is kept for it';
      throw failures.handOverRefused(this.#state === Open ? found : `state is ${stateName(this.#state)}`);
    }
    if (!this.#sender.writeAll()) throw failures.handOverRefused('a send is pending or a message is not finished');
    this.#ws = handOver(this.#transport, this.#receiver.takeEarlyInput(), open, this);
    return this.#ws;
  }

  // ReceiverEvents

  onPause(): void {
    this.#transport.pause();
  }

  onResume(): void {
    // Silence while we did not read proves nothing.
    this.onActivity();
    this.#transport.resume();
  }

  onSpent(chunk: Buffer): void {
    this.#transport.spent(chunk);
  }

  onPing(payload: Buffer): void {
    if (!canSend(this.#state)) return;
    if (this.#sender.isWriting) this.#unansweredPing = Buffer.from(payload);
    else this.#sender.sendControl(PONG_FRAME, payload);
  }

  onPong(payload: Buffer): void {
    this.#pings?.ponged(payload);
  }

  onPeerClose(code: number, reason: string): void {
    this.closeStatus = code;
    this.closeStatusDescription = reason;
    this.#become('closeReceived');
    if (this.#state === CloseReceived) this.#ensureOurClose().peerClosed();
  }

  onCloseRead(): void {
    this.#ourClose?.closeRead();
  }

  onFault(closeCode: number, error: WebSocketError, description: string): void {
    this.#answerPing();
    // The close frame for the fault has a time limit as well: see #become.
    const isClosing = !canSend(this.#state) || this.#ensureOurClose().isQueued;
    this.#receiver.fail(error);
    this.#become('aborted', error);
    // Behind what was sent before, which is not rejected: it goes out, as long as the peer takes it within closeTimeout.
    if (!isClosing) void this.#sender.sendClose(closePayload(closeCode, fitDescription(description)));
    this.#endWhenWritten();
  }

  // SenderEvents

  onTaken(): void {
    this.#ourClose?.handshake.noteProgress();
  }

  onCloseFrame(): void {
    this.#become('closeSent');
    this.#ensureOurClose().committed();
  }

  onWriteFailed(error: unknown): void {
    this.abort(failures.writeFailed(error));
  }

  onCompressionFailed(error: Error): void {
    this.abort(failures.compressionBroken(error));
  }

  onDrained(): void {
    if (isTerminal(this.#state)) this.#endTcp();
  }

  // OurCloseEvents

  onCloseQueued(): void {
    this.#receiver.forgetEarlyInput();
  }

  onCloseCertain(): void {
    this.#events.onClosing();
  }

  onFlushTimeout(): void {
    this.#transport.destroy();
  }

  // KeepAlivePeer

  probe(): boolean {
    if (this.#ws !== undefined) {
      this.#ws.ping();
      return true;
    }
    // Nothing comes behind the peer's close, and behind ours it need not answer: closeTimeout sees to that.
    if (this.#state !== Open) {
      this.#transport.enableTcpKeepAlive();
      return false;
    }
    this.#sender.sendControl(PING_FRAME, NO_PAYLOAD);
    return true;
  }

  onSilence(silence: number, timeout: number): void {
    this.#lose(failures.peerSilent(silence, timeout));
  }

  // TransportEvents

  onChunk(chunk: Buffer): boolean {
    this.onActivity();
    if (isTerminal(this.#state)) return false;
    this.#bytesReceived += chunk.length;
    return this.#receiver.receive(chunk);
  }

  onEnd(): void {
    this.#receiver.whenInflated(() => {
      // A peer that has closed and ended TCP can still be sent the acknowledgement.
      if (this.#state !== CloseReceived) this.#lose(failures.connectionEnded());
    });
  }

  onClose(): void {
    if (!isTerminal(this.#state)) this.#lose(failures.connectionLost(this.#transport.error));
    else if (!this.#sender.isIdle) this.#sender.rejectAll(failures.connectionLost(this.#transport.error));
    this.#sender.destroy();
    this.#ourClose?.handshake.stop();
  }

  onFlushed(): void {
    this.#answerPing();
    this.#ourClose?.handshake.noteProgress();
    this.#sender.written();
  }

  // HandOverEvents

  onActivity(): void {
    this.lastActivity = this.#keepAlive.millisecond();
  }

  slowConsumer(waiting: number): WebSocketError {
    const error = failures.sendBufferFull(waiting, this.#settings.sendBufferLimit);
    this.abort(error);
    return error;
  }

  onWsClose(code: number, reason: string): void {
    if (code !== 1006) {
      this.closeStatus = code;
      this.closeStatusDescription = reason;
      this.#become('closeReceived');
      this.#become('closeSent');
    }
    this.#become('aborted', new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 'Connection lost'));
    this.#endTcp();
  }

  /** The peer, or TCP, is gone. What it had sent before can still be read. */
  #lose(error: WebSocketError): void {
    this.#endAbruptly(error, () => this.#receiver.fail(error));
  }

  #endAbruptly(error: WebSocketError, endInput: () => void): void {
    if (isTerminal(this.#state)) return;
    this.#ws?.terminate();
    this.#sender.rejectAll(error);
    endInput();
    this.#become('aborted', error);
    this.#sender.destroy();
    this.#transport.destroy();
  }

  #answerPing(): void {
    const ping = this.#unansweredPing;
    this.#unansweredPing = undefined;
    if (ping !== undefined && canSend(this.#state)) this.#sender.sendControl(PONG_FRAME, ping);
  }

  #ensureOurClose(): OurClose {
    this.#ourClose ??= new OurClose(this, this.#sender, this.#receiver, this.#settings.closeTimeout);
    return this.#ourClose;
  }

  /** The only place where the state changes. */
  #become(event: StateEvent, error?: WebSocketError): void {
    const before = this.#state;
    const after = nextState(before, event);
    if (after === before) return;
    this.#state = after;
    if (before === Open) this.#events.onClosing();
    // Whoever is told of it may have ended the connection.
    if (this.#state !== after || !isTerminal(after)) return;
    if (this.#keepAliveTicket !== undefined) this.#keepAlive.unwatch(this.#keepAliveTicket);
    this.#pings?.fail(error ?? failures.operationAborted('the connection has been closed'));
    if (this.#state === Closed) {
      this.#ensureOurClose().handshake.complete();
      this.#endWhenWritten();
    } else {
      // What is still on its way has a time limit; otherwise nobody waits for what nobody has begun.
      const ourClose = this.#sender.isIdle ? this.#ourClose : this.#ensureOurClose();
      ourClose?.handshake.fail(error);
    }
    this.#receiver.end();
    this.#events.onTerminated();
  }

  /** Ends TCP first, as RFC 6455, section 7.1.1 wants the server to do, once our last frame is out. */
  #endWhenWritten(): void {
    // What has been handed over is for ws to end.
    if (this.#ws === undefined && this.#sender.isIdle) this.#endTcp();
  }

  #endTcp(): void {
    this.#ourClose?.handshake.stop();
    this.#sender.destroy();
    // A WebSocket of ws ends its socket itself.
    if (this.#ws === undefined) this.#transport.linger(this.#settings.closeTimeout || LONGEST_LINGER);
  }
}
