import { type IncomingMessage, ServerResponse } from 'node:http';
import type { Server, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import finalhandler from 'finalhandler';
import createError from 'http-errors';
import { afterInput, Deadline } from '../deadline.js';
import { eventLoop } from '../event-loop.js';
import { warnOnce } from '../warn-once.js';
import { silenceResponse } from './silenced-response.js';
import type { UpgradePhase, UpgradeRequest, UpgradeRequestEvents } from './upgrade-request.js';
import { emitClose } from './upgrade-response.js';

/** How long a client may take to read the rest of a refusal without any progress, and at most. */
const DELIVERY_IDLE_TIMEOUT = 10_000;
const DELIVERY_TIMEOUT = 300_000;
/** How long a client may take to close its half of the connection behind a refusal. */
const LINGER_TIMEOUT = 2_000;

/** Keeps an `error` event of a socket from ending the process; `close` follows it. */
export function ignoreError(): void {}

/**
 * Ends a connection behind its last response. Closing it outright while input is unread makes the kernel send a reset,
 * which takes the response from the client before it has read it.
 */
function hangUp(socket: Duplex): void {
  const deadline = new Deadline(() => socket.destroy(), LINGER_TIMEOUT);
  socket.once('close', () => deadline.clear());
  socket.end();
  socket.resume();
}

/** Does not wait for ever until a client has read its refusal. */
function limitDelivery(socket: Socket): void {
  const deadline = new Deadline(() => socket.destroy(), DELIVERY_TIMEOUT);
  socket.once('close', () => deadline.clear());
  if (typeof socket.setTimeout === 'function')
    socket.setTimeout(DELIVERY_IDLE_TIMEOUT, () => void afterInput(() => socket.destroy()));
}

/** Answers a request with an error, past the application and all that it may have done to its own response. */
export function answerWithError(req: IncomingMessage, socket: Duplex, error: Error): void {
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket as Socket);
  res.once('finish', () => {
    res.detachSocket(socket as Socket);
    hangUp(socket);
  });
  finalhandler(req, res)(error);
  limitDelivery(socket as Socket);
}

/** Tells, once in a process, that an application has left a request without an answer for as long as it may. */
function warnOfSilence({ method, url }: IncomingMessage): void {
  // What stands behind the path may be a secret.
  const [path] = String(url).split('?', 1);
  warnOnce(
    `Nobody has answered or accepted the WebSocket request ${method} ${path} within handshakeTimeout, so it got 503: has a ` +
      'middleware forgotten next(), or a route sockets.handler() or sockets.accept()? Later ones are not reported',
    { type: 'WebSocketHandshakeWarning', code: 'WEBSOCKET_UNANSWERED_REQUEST' },
  );
}

function hasReader(socket: Duplex): boolean {
  return socket.listenerCount('data') + socket.listenerCount('readable') > 0;
}

/** There is no listener where there was nothing to wait for. */
function stopListening(socket: Duplex, event: string, listener: (() => void) | undefined): void {
  if (listener !== undefined) socket.removeListener(event, listener);
}

/** What an application sees on `req` when its client left: the error of every other aborted request. */
function aborted(): Error {
  return Object.assign(new Error('aborted'), { code: 'ECONNRESET' });
}

/** Looks after one upgrade request while it waits for its answer, and after the answer if that is a refusal. */
export class WaitingRequest implements UpgradeRequestEvents {
  /** The end of the chain was reached without an answer, and there are other upgrade listeners that may have one. */
  unmatched = false;
  readonly #upgrade: UpgradeRequest;
  readonly #server: Server;
  readonly #hasCompany: () => boolean;
  #timer: Deadline | undefined;
  #limited = false;
  // Made when they are needed, which is not for what is answered at once
  #onEnd: (() => void) | undefined;
  #onClose: (() => void) | undefined;
  #onTimeout: (() => void) | undefined;

  /** @param hasCompany whether the request may be the business of other upgrade listeners */
  constructor(upgrade: UpgradeRequest, server: Server, hasCompany: () => boolean) {
    this.#upgrade = upgrade;
    this.#server = server;
    this.#hasCompany = hasCompany;
    upgrade.lookAfter(this);
  }

  /** Begins to notice that the client leaves. Not needed for what is answered at once. */
  start(handshakeTimeout: number): void {
    const { phase, socket } = this.#upgrade;
    if (phase === 'accepted') return;
    // Node has taken its own away, and the application may take its time
    socket.on('error', ignoreError);
    if (phase === 'gone') return;
    // Made, then assigned: V8 puts a function that is assigned to a property as it is made into the old generation, and all
    // that it refers to stays until that is collected (test/garbage.test.ts).
    const onClose = () => this.#closed();
    const onTimeout = () => this.#timedOut();
    const onEnd = () => this.#left();
    this.#onClose = onClose;
    socket.on('close', onClose);
    // A route that is deciding already has set its own
    if (phase !== 'answering' && !this.#limited) this.limit(handshakeTimeout);
    if (phase === 'yielded') return;
    this.#onTimeout = onTimeout;
    socket.on('timeout', onTimeout);
    if (phase === 'answering') return;
    this.#onEnd = onEnd;
    socket.on('end', onEnd);
    // Reads into the socket's own buffer, up to its high-water mark, without taking anything from whoever will own it:
    // a socket that nobody reads does not notice that its peer has closed.
    socket.read(0);
  }

  limit(timeout: number): void {
    this.#limited = true;
    this.#timer?.clear();
    if (timeout === 0) return;
    const elapsed = Date.now() - this.#upgrade.receivedAt;
    this.#timer = new Deadline(() => this.#expired(), Math.max(0, timeout - elapsed));
  }

  onPhase(phase: UpgradePhase): void {
    const { res, socket } = this.#upgrade;
    stopListening(socket, 'end', this.#onEnd);
    // Otherwise what somebody else has begun has the rest of the time, see #expired()
    if (phase !== 'yielded') this.#timer?.clear();
    if (phase === 'answering') {
      // Node has taken its own away; without one a body that is piped would stop for ever
      socket.on('drain', () => res.writableNeedDrain && res.emit('drain'));
      res.once('prefinish', () => {
        stopListening(socket, 'timeout', this.#onTimeout);
        limitDelivery(socket as Socket);
      });
      res.once('finish', () => this.#answered());
      return;
    }
    stopListening(socket, 'timeout', this.#onTimeout);
    if (phase === 'gone') return;
    res.detachSocket(socket as Socket);
    // What comes now does not end the response, which would have undone all corks of it
    while (socket.writableCorked > 0) socket.uncork();
    if (phase === 'yielded') {
      silenceResponse(res);
      return;
    }
    if (this.#onClose === undefined) return;
    socket.removeListener('close', this.#onClose);
    socket.removeListener('error', ignoreError);
  }

  #answered(): void {
    const { req, res, socket } = this.#upgrade;
    res.detachSocket(socket as Socket);
    eventLoop.nextTick(emitClose, res);
    // Ends and closes the request too; it has no body
    req.resume();
    hangUp(socket);
  }

  /** The client has closed its half: it cannot send a single frame. */
  #left(): void {
    // Somebody else may have more to say
    if (!this.#upgrade.isOurs()) return;
    this.#upgrade.enter('gone');
    this.#upgrade.socket.destroy();
  }

  #closed(): void {
    const { phase, req, res } = this.#upgrade;
    this.#timer?.clear();
    // The request is somebody else's by now
    if (phase === 'yielded') return;
    if (phase === 'waiting') this.#upgrade.enter('gone');
    emitClose(res);
    req.destroy(aborted());
  }

  /**
   * The socket was idle for as long as `setTimeout` of the request, its response or the server allows. Node has taken its own
   * listener away, which tells them. It would also end what nobody listens for; here `handshakeTimeout` does that.
   */
  #timedOut(): void {
    const { req, res, socket } = this.#upgrade;
    if (!this.#upgrade.isOurs()) return;
    for (const emitter of [req, res, this.#server]) emitter.emit('timeout', socket);
  }

  #expired(): void {
    const upgrade = this.#upgrade;
    const { req, res, socket } = upgrade;
    if (!upgrade.isOurs()) {
      // Who has written and does not read has left it to itself, unless there are others whose business it may be
      if (!hasReader(socket) && !this.#hasCompany()) socket.destroy();
      return;
    }
    if (this.unmatched) {
      socket.destroy();
      return;
    }
    warnOfSilence(req);
    // A response of its own, because what keeps the application from answering may also keep its response from ending
    // (a session store that does not reply)
    res.detachSocket(socket as Socket);
    silenceResponse(res);
    upgrade.enter('gone');
    answerWithError(req, socket, createError(503, 'The WebSocket handshake was not completed in time'));
    emitClose(res);
  }
}
