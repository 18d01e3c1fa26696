import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { HRESULT_HANDLE_EOF, WebSocketError } from '../errors.js';
import { type Batch, OPCODE_CLOSE, OPCODE_PING, OPCODE_PONG } from '../framing/frame-writer.js';
import { whileUncancelled } from './cancellation.js';
import { CloseHandshake, type CloseHandshakeOwner } from './close-handshake.js';
import { closePayload, fitDescription } from './close-status.js';
import { type Compression, Input, type InputOwner, type ReadKind } from './input.js';
import type { KeepAlive, KeepAlivePeer, KeepAliveTicket } from './keep-alive.js';
import { Pings } from './pings.js';
import { SendQueue, type SendQueueOwner, type SendTicket } from './send-queue.js';
import { canSend, isTerminal, nextState, type StateEvent, stateName, WebSocketState } from './state.js';

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
  /** Bytes that arrived together with the upgrade request. */
  readonly head: Buffer;
  readonly settings: ConnectionSettings;
  readonly keepAlive: KeepAlive;
  /** permessage-deflate as negotiated. */
  readonly compression: Compression | undefined;
  /** Called once, when the connection is Closed or Aborted. */
  readonly onTerminated: (connection: Connection) => void;
}

/** Bytes on the wire after the handshake, frame headers included, and whole messages, in both directions. */
export interface Traffic {
  readonly bytesReceived: number;
  readonly bytesSent: number;
  readonly messagesReceived: number;
  readonly messagesSent: number;
}

/** How a connection ended, as a `CloseEvent` would tell it. */
export interface CloseInfo {
  /** The peer's close code; 1005 if its close frame had none, 1006 if there was no clean close. */
  readonly code: number;
  /** The peer's reason. */
  readonly reason: string;
  /** Whether both close frames were exchanged. */
  readonly wasClean: boolean;
}

/** What to send and how. */
export interface SendRequest {
  readonly data: string | Uint8Array;
  readonly text: boolean;
  readonly endOfMessage: boolean;
  readonly compress: boolean | undefined;
  readonly whole: boolean;
  readonly signal: AbortSignal | undefined;
}

const { Open, CloseSent, CloseReceived, Closed, Aborted } = WebSocketState;

const NO_PAYLOAD = Buffer.alloc(0);

const settled: Promise<void> = Promise.resolve();

/** As much input is kept in its raw form, until the first read, for a hand-over to `ws`. */
const EARLY_LIMIT = 64 * 1024;
/** What a chunk of it costs beside its bytes, so that a flood of tiny ones is bounded as well. */
const EARLY_OVERHEAD = 64;

const kConnection: unique symbol = Symbol('connection');

/** A socket and the connection that owns it; one symbol instead of a closure per listener. */
interface OwnedSocket extends Duplex {
  [kConnection]: Connection | undefined;
}

/** The parts of `net.Socket` that a `Duplex` need not have. */
interface NetSocketExtras {
  setTimeout?(ms: number): void;
  setNoDelay?(on: boolean): void;
  setKeepAlive?(on: boolean, initialDelay: number): void;
  destroySoon?(): void;
}

/** One live connection: the only owner of its socket, and the only place where its state changes. */
export class Connection implements InputOwner, SendQueueOwner, CloseHandshakeOwner, KeepAlivePeer {
  readonly #socket: OwnedSocket & NetSocketExtras;
  readonly #settings: ConnectionSettings;
  readonly #keepAlive: KeepAlive;
  readonly #onTerminated: (connection: Connection) => void;
  readonly #input: Input;
  readonly #sends: SendQueue;
  #keepAliveTicket: KeepAliveTicket | undefined;
  #closing: CloseHandshake | undefined;
  #pings: Pings | undefined;
  #state: WebSocketState = Open;
  /** A close frame of ours is on its way or queued: nothing more may be sent. */
  #closeQueued = false;
  /** Somebody else relies on the queued close frame, so that its sender cannot take it back. */
  #closeShared = false;
  /** With our close frame, unread input is thrown away. */
  #discardAtClose = false;
  /** Input in its raw form until somebody reads or takes `ws`; `undefined` afterwards. */
  #early: Buffer[] | undefined = [];
  #earlyBytes = 0;
  /** Latest ping that could not be answered because the peer does not read (RFC 6455, section 5.5.3). */
  #unansweredPing: Buffer | undefined;
  #ws: WebSocket | undefined;
  #writesOutstanding = 0;
  #writeDone: ((error?: Error | null) => void) | undefined;
  #socketError: Error | undefined;
  #bytesReceived = 0;
  /** The peer's close, once received. */
  closeStatus: number | undefined;
  closeStatusDescription: string | undefined;
  /** When something last came from the peer, on the clock of keep-alive. */
  lastActivity: number;

  constructor(parts: ConnectionParts) {
    const { socket, head, settings, keepAlive, compression } = parts;
    this.#socket = Object.assign(socket, { [kConnection]: this });
    this.#settings = settings;
    this.#keepAlive = keepAlive;
    this.#onTerminated = parts.onTerminated;
    this.lastActivity = keepAlive.now();
    this.#input = new Input(this, settings, compression);
    this.#sends = new SendQueue(this, compression, settings.sendBufferLimit);
    this.#takeSocket(head);
  }

  get state(): WebSocketState {
    return this.#state;
  }

  /** The connection as `ws` has it, once handed over. */
  get ws(): WebSocket | undefined {
    return this.#ws;
  }

  /** Bytes accepted for sending and not yet taken by the system. */
  get bufferedAmount(): number {
    return this.#ws === undefined ? this.#sends.bufferedAmount : this.#ws.bufferedAmount;
  }

  /** What has gone through the connection so far; after a hand-over to `ws` it counts no further. */
  get traffic(): Traffic {
    return {
      bytesReceived: this.#bytesReceived,
      bytesSent: this.#sends.bytes,
      messagesReceived: this.#input.messages,
      messagesSent: this.#sends.messages,
    };
  }

  get inputPaused(): boolean {
    return this.#socket.isPaused();
  }

  /** How it ended; meaningful in a terminal state. */
  get closeInfo(): CloseInfo {
    return this.#state === Closed
      ? { code: this.closeStatus as number, reason: this.closeStatusDescription as string, wasClean: true }
      : { code: 1006, reason: '', wasClean: false };
  }

  /** Whether the TCP connection still stands in both directions. */
  get isPeerConnected(): boolean {
    return this.#socket.readable;
  }

  /** Sends a whole message if it can go at once, which is the common case; false says nothing about why not. */
  trySend(data: string | Uint8Array): boolean {
    if (!canSend(this.#state) || this.#closeQueued || this.#ws !== undefined) return false;
    this.#closing?.touch();
    return this.#sends.trySend(data, typeof data === 'string', true, undefined);
  }

  /** Sends a fragment in its turn. Resolves when its data may be reused and there is room for more. */
  send(request: SendRequest): Promise<void> {
    const { data, text, endOfMessage, compress, whole, signal } = request;
    if (!canSend(this.#state) || this.#closeQueued || this.#ws !== undefined)
      return Promise.reject(this.#notOpenFor('send'));
    if (signal?.aborted) return Promise.reject(signal.reason);
    if (this.#sends.bufferedAmount > this.#settings.sendBufferLimit) {
      // What waits for the end of the tick only says nothing about the peer.
      this.#sends.flush();
      const waiting = this.#sends.bufferedAmount;
      if (waiting > this.#settings.sendBufferLimit) return Promise.reject(this.#abortSlowConsumer(waiting));
    }
    this.#closing?.touch();
    if (!(whole && this.#sends.insideMessage) && this.#sends.trySend(data, text, endOfMessage, compress))
      return settled;
    const outgoing = { data, text, endOfMessage, compress, whole };
    if (signal === undefined) return this.#sends.send(outgoing);
    let ticket: SendTicket = outgoing;
    const sent = this.#sends.send(outgoing, (pending) => {
      ticket = pending;
    });
    return whileUncancelled(sent, signal, () => void this.#sends.withdraw(ticket, signal.reason));
  }

  /** Reads what `kind` says; see {@link Input.read}. */
  read<T>(kind: ReadKind<T>, signal: AbortSignal | undefined): Promise<T> {
    if (this.#ws !== undefined) return Promise.reject(this.#notOpenFor('receive'));
    if (!signal?.aborted) {
      this.#closing?.touch();
      this.#giveUpHandOver();
    }
    return this.#input.read(kind, signal);
  }

  /** Sends our close frame behind everything that was sent before, and waits for nothing. A second call does nothing. */
  closeOutput(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.#state === Aborted || this.#ws !== undefined) return Promise.reject(this.#notOpenFor('close'));
    if (this.#closeQueued) {
      this.#closeShared = true;
      return settled;
    }
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { sent, withdraw } = this.#sendClose(payload);
    return signal === undefined ? sent : whileUncancelled(sent, signal, () => void withdraw(signal.reason));
  }

  /** Closes and waits until the peer has acknowledged, or acknowledges the peer's close. Unread input is thrown away. */
  close(payload: Buffer, signal: AbortSignal | undefined): Promise<void> {
    if (this.#state === Aborted || this.#ws !== undefined) return Promise.reject(this.#notOpenFor('close'));
    if (this.#state === Closed) return settled;
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#discardAtClose = true;
    if (this.#closeQueued) this.#closeShared = true;
    const sending = this.#closeQueued ? undefined : this.#sendClose(payload);
    // As long as the close can be taken back, what is unread must not be lost.
    if (signal === undefined || !canSend(this.#state)) this.#input.discard();
    let leave: ((reason: unknown) => void) | undefined;
    const acknowledged = this.#closeHandshake().wait((stopWaiting) => {
      leave = stopWaiting;
    });
    const done = sending === undefined ? acknowledged : Promise.all([acknowledged, sending.sent]).then(noResult);
    if (signal === undefined) return done;
    return whileUncancelled(done, signal, () => {
      const { reason } = signal;
      if (sending?.withdraw(reason)) this.#discardAtClose = false;
      leave?.(reason);
      if (!canSend(this.#state)) this.abort();
    });
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
      return;
    }
    this.#input.shed();
    this.closeOutput(closePayload(code, code === 1005 ? undefined : reason), undefined).catch(noResult);
  }

  /** Drops the connection now. */
  abort(): void {
    this.#drop(new WebSocketError('ERR_WEBSOCKET_OPERATION_ABORTED', 'Operation aborted: the connection was aborted'));
  }

  /** Ends TCP without a close frame; the socket goes when the peer has ended it too. */
  closeTcp(): void {
    if (isTerminal(this.#state)) return;
    const error = new WebSocketError(
      'ERR_WEBSOCKET_OPERATION_ABORTED',
      'Operation aborted: closeTcpConnection was called',
    );
    this.#ws?.terminate();
    this.#sends.fail(error);
    this.#input.abort(error);
    this.#become('aborted', error);
    this.#endWhenWritten();
  }

  /** Lets go of the pending read and takes back what is not on the wire; the connection stays usable. */
  cancelOutstandingIO(): void {
    const error = new WebSocketError(
      'ERR_WEBSOCKET_OPERATION_ABORTED',
      'Operation aborted: cancelOutstandingIO was called',
    );
    this.#input.cancelRead(error);
    this.#sends.withdrawAll(error);
  }

  /** Sends a ping and resolves with the round trip in ms. */
  ping(payload: Buffer | undefined, signal: AbortSignal | undefined): Promise<number> {
    if (!canSend(this.#state) || this.#closeQueued || this.#ws !== undefined)
      return Promise.reject(this.#notOpenFor('ping'));
    if (signal?.aborted) return Promise.reject(signal.reason);
    this.#pings ??= new Pings(this.#keepAlive.now);
    const data = payload ?? this.#pings.nextPayload();
    this.#sends.sendControl(OPCODE_PING, data);
    return this.#pings.wait(data, signal);
  }

  /** Hands the socket over to `ws`, with all input since the handshake. Only before the first read. */
  handOver(open: (socket: Duplex, head: Buffer) => WebSocket): WebSocket {
    const early = this.#early;
    if (early === undefined) {
      throw handOverRefused(
        this.#state === Open ? 'it has been read from or closed' : `state is ${stateName(this.#state)}`,
      );
    }
    if (!this.#sends.surrender()) throw handOverRefused('a send is pending or a message is not finished');
    this.#early = undefined;
    this.#leaveSocket();
    const ws = open(this.#socket, Buffer.concat(early));
    this.#ws = ws;
    this.#socket.resume();
    ws.on('error', noResult);
    this.#socket.on('data', () => {
      this.lastActivity = this.#keepAlive.now();
    });
    ws.once('close', (code, reason) => {
      if (code !== 1006) {
        this.closeStatus = code;
        this.closeStatusDescription = reason.toString();
        this.#become('closeReceived');
        this.#become('closeSent');
      }
      this.#become('aborted', new WebSocketError('ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY', 'Connection lost'));
      this.#closing?.over();
    });
    return ws;
  }

  // InputOwner

  pauseInput(): void {
    this.#updateFlow();
  }

  resumeInput(): void {
    this.#updateFlow();
  }

  pinged(payload: Buffer): void {
    if (!canSend(this.#state)) return;
    if (this.#sends.isWriting) this.#unansweredPing = Buffer.from(payload);
    else this.#sends.sendControl(OPCODE_PONG, payload);
  }

  ponged(payload: Buffer): void {
    this.#pings?.ponged(payload);
  }

  peerClosed(code: number, reason: string): void {
    this.closeStatus = code;
    this.closeStatusDescription = reason;
    this.#become('closeReceived');
    if (this.#state === CloseReceived && !this.#closeQueued) this.#closeHandshake().awaitApplication();
  }

  faulted(closeCode: number, error: WebSocketError): void {
    this.#sends.fail(error);
    if (this.#state !== CloseSent) {
      this.#sends.sendControl(OPCODE_CLOSE, closePayload(closeCode, fitDescription(error.message)));
    }
    this.#input.fail(error);
    this.#become('aborted', error);
    this.#endWhenWritten();
  }

  // SendQueueOwner

  writeBatch(batch: Batch): boolean {
    const socket = this.#socket;
    const { chunks } = batch;
    // Nothing will be taken any more; 'close' follows, and settles what waits.
    if (socket.destroyed || socket.writableEnded) return false;
    this.#writeDone ??= (error) => this.#written(error);
    this.#writesOutstanding++;
    const last = chunks.length - 1;
    if (last > 0) socket.cork();
    for (let at = 0; at < last; at++) socket.write(chunks[at]);
    socket.write(chunks[last], this.#writeDone);
    if (last > 0) socket.uncork();
    // What the system refuses in this very call is gone from the stream as well; 'close' follows.
    return socket.writableLength === 0 && socket.errored === null;
  }

  closeFrameCommitted(): void {
    this.#become('closeSent');
    if (this.#discardAtClose) this.#input.discard();
    if (this.#state === CloseSent) this.#closeHandshake().awaitPeer();
  }

  compressionFailed(error: Error): void {
    this.#drop(
      new WebSocketError(
        'ERR_WEBSOCKET_OPERATION_ABORTED',
        `Cannot send: the rest of the message could not be compressed (${error.message}); the connection was aborted`,
        { cause: error },
      ),
    );
  }

  drained(): void {
    if (isTerminal(this.#state)) this.#endTcp();
  }

  // CloseHandshakeOwner

  acknowledgeLate(): void {
    const { closeStatus = 1005, closeStatusDescription } = this;
    this.#input.discard();
    this.#sendClose(closePayload(closeStatus, closeStatus === 1005 ? undefined : closeStatusDescription)).sent.catch(
      noResult,
    );
  }

  closeTimedOut(error: WebSocketError): void {
    this.#drop(error);
  }

  lingerTimedOut(): void {
    this.#socket.destroy();
  }

  // KeepAlivePeer

  probe(): boolean {
    if (this.#ws !== undefined) {
      this.#ws.ping();
      return true;
    }
    // Nothing comes behind the peer's close, and behind ours it need not answer: closeTimeout sees to that.
    if (this.#state !== Open) return false;
    this.#sends.sendControl(OPCODE_PING, NO_PAYLOAD);
    return true;
  }

  lost(silence: number, timeout: number): void {
    this.#drop(
      new WebSocketError(
        'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY',
        `Connection lost: the peer has been silent for ${Math.round(silence)} ms and has not answered a ping within keepAliveTimeout, which is ${timeout} ms`,
      ),
    );
  }

  /** A chunk has come from the socket. */
  received(chunk: Buffer): void {
    this.lastActivity = this.#keepAlive.now();
    if (isTerminal(this.#state)) return;
    this.#bytesReceived += chunk.length;
    if (this.#early === undefined) this.#input.push(chunk);
    else this.#receiveEarly(this.#early, chunk);
  }

  /** The peer has ended its half of TCP. */
  ended(): void {
    if (isTerminal(this.#state)) this.#endWhenWritten();
    else this.#input.afterwards(() => this.#prematureEnd());
  }

  /** TCP is gone. */
  socketClosed(): void {
    if (!isTerminal(this.#state)) this.#drop(this.#lostError());
    else if (!this.#sends.isIdle) this.#sends.fail(this.#lostError());
    this.#closing?.over();
  }

  socketFailed(error: Error): void {
    this.#socketError = error;
  }

  #takeSocket(head: Buffer): void {
    const socket = this.#socket;
    socket.on('error', onSocketError).on('close', onSocketClose).on('end', onSocketEnd);
    if (socket.destroyed || !socket.readable) {
      this.socketClosed();
      return;
    }
    socket.setTimeout?.(0);
    socket.setNoDelay?.(true);
    const { keepAliveInterval, keepAliveTimeout } = this.#settings;
    if (keepAliveInterval > 0) {
      // Notices a dead peer while our own backpressure keeps pongs from being read.
      socket.setKeepAlive?.(true, keepAliveInterval);
      this.#keepAliveTicket = this.#keepAlive.watch(this, keepAliveInterval, keepAliveTimeout);
    }
    if (head.length > 0) socket.unshift(head);
    socket.on('data', onSocketData);
  }

  #leaveSocket(): void {
    const socket = this.#socket;
    socket[kConnection] = undefined;
    socket.off('data', onSocketData).off('error', onSocketError).off('close', onSocketClose).off('end', onSocketEnd);
    socket.pause();
  }

  /** Takes a chunk while the connection may still be handed over to `ws`, which has to get the bytes as they came. */
  #receiveEarly(early: Buffer[], chunk: Buffer): void {
    // The frame reader unmasks in place.
    early.push(Buffer.from(chunk));
    this.#earlyBytes += chunk.length + EARLY_OVERHEAD;
    this.#input.push(chunk);
    if (this.#early === undefined) return;
    if (this.#input.isUntouched) {
      // Control frames have been dealt with; a connection that only sends can go on like this for ever.
      this.#early = [];
      this.#earlyBytes = 0;
    } else if (this.#earlyBytes >= EARLY_LIMIT) {
      // Data wait until somebody has decided; for control frames behind a short message nobody would stop listening.
      if (this.#input.held < EARLY_LIMIT / 2) this.#early = undefined;
      this.#updateFlow();
    }
  }

  /** Somebody reads or closes: from now on the connection cannot be handed over to `ws`. */
  #giveUpHandOver(): void {
    if (this.#early === undefined) return;
    this.#early = undefined;
    this.#updateFlow();
  }

  /** The one place that stops and starts the flow of input. */
  #updateFlow(): void {
    const socket = this.#socket;
    const hold = this.#input.paused || (this.#early !== undefined && this.#earlyBytes >= EARLY_LIMIT);
    const pause = hold && !isTerminal(this.#state);
    if (pause === socket.isPaused()) return;
    if (pause) {
      socket.pause();
    } else {
      // Silence while we did not read proves nothing.
      this.lastActivity = this.#keepAlive.now();
      socket.resume();
    }
  }

  #written(error: Error | null | undefined): void {
    this.#writesOutstanding--;
    if (this.#writesOutstanding > 0) return;
    // Node reports writes that a destroyed socket has dropped as done; 'close' follows, and settles what waits.
    if (error || this.#socket.destroyed) return;
    const ping = this.#unansweredPing;
    this.#unansweredPing = undefined;
    if (ping !== undefined && canSend(this.#state)) this.#sends.sendControl(OPCODE_PONG, ping);
    this.#closing?.progressed();
    this.#sends.written();
  }

  #sendClose(payload: Buffer): { sent: Promise<void>; withdraw(reason: unknown): boolean } {
    this.#closeQueued = true;
    this.#giveUpHandOver();
    let ticket: SendTicket = payload;
    const sent = this.#sends
      .sendClose(payload, (pending) => {
        ticket = pending;
      })
      .catch((reason: unknown) => {
        // A peer that has closed need not wait for our acknowledgement.
        if (this.#state !== Closed || !(reason instanceof WebSocketError)) throw reason;
      });
    if (canSend(this.#state)) this.#closeHandshake().awaitPeer();
    const withdraw = (reason: unknown): boolean => {
      if (this.#closeShared) this.#sends.letGo(ticket, reason);
      else if (this.#sends.withdraw(ticket, reason)) {
        this.#closeQueued = false;
        if (this.#state === CloseReceived) this.#closeHandshake().awaitApplication();
        else this.#closeHandshake().idle();
        return true;
      }
      return false;
    };
    return { sent, withdraw };
  }

  #closeHandshake(): CloseHandshake {
    this.#closing ??= new CloseHandshake(this, this.#settings.closeTimeout);
    return this.#closing;
  }

  #lostError(): WebSocketError {
    return new WebSocketError(
      'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY',
      'Connection lost: the peer dropped the TCP connection without a close frame',
      this.#socketError && { cause: this.#socketError },
    );
  }

  #prematureEnd(): void {
    // A peer that has closed and ended TCP can still be sent the acknowledgement.
    if (this.#state === CloseReceived || isTerminal(this.#state)) return;
    this.#drop(
      new WebSocketError(
        'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY',
        'Connection lost: the peer ended the TCP connection without a close frame',
        { hresult: HRESULT_HANDLE_EOF },
      ),
    );
  }

  #abortSlowConsumer(waiting: number): WebSocketError {
    const error = new WebSocketError(
      'ERR_WEBSOCKET_SEND_BUFFER_FULL',
      `Cannot send: ${waiting} bytes are waiting to be sent, more than sendBufferLimit, which is ${this.#settings.sendBufferLimit}; the connection was aborted. Await sendAsync to follow the pace of the peer`,
    );
    this.#drop(error);
    return error;
  }

  /** Ends the connection without a close handshake. What the peer sent before it went can still be read. */
  #drop(error: WebSocketError): void {
    if (isTerminal(this.#state)) return;
    this.#ws?.terminate();
    this.#sends.fail(error);
    if (error.code === 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY') this.#input.fail(error);
    else this.#input.abort(error);
    this.#become('aborted', error);
    this.#socket.destroy();
  }

  /** The only place where the state changes. */
  #become(event: StateEvent, error?: WebSocketError): void {
    const before = this.#state;
    this.#state = nextState(before, event);
    if (this.#state === before || !isTerminal(this.#state)) return;
    if (this.#keepAliveTicket !== undefined) this.#keepAlive.unwatch(this.#keepAliveTicket);
    this.#early = undefined;
    this.#sends.release();
    this.#pings?.fail(
      error ??
        new WebSocketError('ERR_WEBSOCKET_OPERATION_ABORTED', 'Operation aborted: the connection has been closed'),
    );
    if (this.#state === Closed) {
      this.#closeHandshake().complete();
      this.#endWhenWritten();
    } else {
      this.#closeHandshake().fail(error);
    }
    // Whatever the peer still sends is read and thrown away, or TCP would answer it with a reset.
    this.#updateFlow();
    this.#onTerminated(this);
  }

  /** Ends TCP first, as RFC 6455, section 7.1.1 wants the server to do, once our last frame is out. */
  #endWhenWritten(): void {
    if (this.#sends.isIdle) this.#endTcp();
  }

  #endTcp(): void {
    const socket = this.#socket;
    // After a fault the peer may still be sending: what it sends is read until it ends TCP too.
    if (this.#state === Closed || socket.readableEnded) destroySoon(socket);
    else if (!socket.writableEnded) socket.end();
  }

  #notOpenFor(operation: string): WebSocketError {
    const found =
      this.#ws !== undefined
        ? 'it has been handed over to ws'
        : this.#closeQueued && canSend(this.#state)
          ? 'a close frame has been queued'
          : `state is ${stateName(this.#state)}`;
    const needed = operation === 'close' ? 'must not be Aborted' : 'must be Open or CloseReceived';
    return new WebSocketError('ERR_WEBSOCKET_INVALID_STATE', `Cannot ${operation}: ${found}, ${needed}`);
  }
}

function onSocketData(this: Duplex, chunk: Buffer): void {
  (this as OwnedSocket)[kConnection]?.received(chunk);
}

function onSocketEnd(this: Duplex): void {
  (this as OwnedSocket)[kConnection]?.ended();
}

function onSocketClose(this: Duplex): void {
  (this as OwnedSocket)[kConnection]?.socketClosed();
}

function onSocketError(this: Duplex, error: Error): void {
  (this as OwnedSocket)[kConnection]?.socketFailed(error);
}

function noResult(): void {}

/** Destroys a socket when what was written to it is out. */
function destroySoon(socket: Duplex & NetSocketExtras): void {
  if (socket.destroySoon !== undefined) socket.destroySoon();
  else socket.end(() => socket.destroy());
}

function handOverRefused(found: string): WebSocketError {
  return new WebSocketError(
    'ERR_WEBSOCKET_INVALID_STATE',
    `Cannot hand the connection over to ws: ${found}, must be Open, not read from and nothing waiting to be sent`,
  );
}
