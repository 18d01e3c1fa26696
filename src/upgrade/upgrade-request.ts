import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import createError from 'http-errors';
import { WebSocketError } from '../errors.js';
import { eventLoop } from '../event-loop.js';
import type { Conclusion } from './conclusion.js';
import { learnTraces, makeRoomForTraces } from './express-traces.js';
import { RequestProperty } from './request-property.js';

/** How the HTTP side goes on after the 101; the middleware sets it when it opens the connection. */
export interface AcceptedRequestEvents {
  /** Somebody has the connection whom neither the chain nor the response concerns any more. */
  readonly isHandled: boolean;
  /** Gives the connection to whoever asks for it on `req.webSocket`. */
  claim(): unknown;
  /** The chain of middleware came to its end: with an error, or because nobody had anything more to do. */
  onChainEnd(error?: unknown): void;
  /**
   * The application ended the response, which means nothing any more, with this status code.
   *
   * @param gaveUp it found that the response had been sent, and did nothing else to it
   */
  onResponseEnd(statusCode: number, gaveUp: boolean): void;
  /** What middleware does at the end of the response (storing a session) failed. */
  onResponseError(error: unknown): void;
}

/**
 * - `waiting`: nobody has answered; the socket is ours
 * - `answering`: an HTTP response is on its way instead of a 101
 * - `accepted`: the 101 is out; the socket belongs to the connection
 * - `gone`: the client left, or was given up, before there was an answer
 * - `yielded`: somebody else (another upgrade listener, a proxy) has written to the socket or reads from it
 */
export type UpgradePhase = 'waiting' | 'answering' | 'accepted' | 'gone' | 'yielded';

/** What looks after a request that waits: told when that is over, and when its time limit changes. */
export interface UpgradeRequestEvents {
  limit(timeout: number): void;
  onPhase(phase: UpgradePhase): void;
}

// In the global registry, because one process may have two copies of the package: whichever of the two attached to the
// server, the middleware of the other has to find its request.
const carried: unique symbol = Symbol.for('websocket-context.upgradeRequest');

interface Carrier {
  [carried]?: UpgradeRequest;
  res?: unknown;
}

const webSocketAccessor: PropertyDescriptor & ThisType<IncomingMessage & Carrier> = {
  configurable: true,
  // What copies a request, lists it or prints it does not ask for its connection
  enumerable: false,
  get() {
    return this[carried]?.events?.claim();
  },
  set(value: unknown) {
    Object.defineProperty(this, 'webSocket', { configurable: true, enumerable: true, writable: true, value });
  },
};

const webSocketProperty = new RequestProperty('webSocket', webSocketAccessor);

/** Bytes that were ever written to the socket, including those still queued; `undefined` for streams that do not count. */
export function bytesWritten(socket: Duplex & WritingCounters): number | undefined {
  // To sum up what waits, Node makes a copy of it, even of nothing
  return socket.writableLength === 0 ? (socket._bytesDispatched ?? socket.bytesWritten) : socket.bytesWritten;
}

/** What the sockets of Node count; those of others count less. */
interface WritingCounters {
  readonly bytesWritten?: number;
  /** What has been handed to the system, of which Node does not tell. */
  readonly _bytesDispatched?: number;
}

/**
 * Whether anybody reads from a socket that has been upgraded, or has said that it will. Node leaves it with
 * `readableFlowing` null, and so do we; a listener for 'data' or 'readable' changes that.
 */
export function isRead(socket: Duplex): boolean {
  return socket.readableFlowing !== null;
}

const NO_BYTES = Buffer.alloc(0);

/** What matters until there is an answer. */
interface BeforeAnswer {
  /** What had arrived behind the request in the same chunk: frames of an eager client. */
  readonly head: Buffer;
  readonly bytesWritten: number | undefined;
  headerName: string | undefined;
  waiting: UpgradeRequestEvents | undefined;
  /** Rejects the handshake that waits for an asynchronous decision. */
  interrupt: ((reason: Error) => void) | undefined;
}

/** What is left of it when there is one: a connection lives long and keeps its request. */
const ANSWERED: BeforeAnswer = {
  head: NO_BYTES,
  bytesWritten: undefined,
  headerName: undefined,
  waiting: undefined,
  interrupt: undefined,
};

/** One upgrade request from its arrival to its answer. */
export class UpgradeRequest {
  readonly req: IncomingMessage;
  readonly socket: Duplex;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number = Date.now();
  events: AcceptedRequestEvents | undefined = undefined;
  /** What became of the end of the response, if somebody had something to do at it. */
  conclusion: Conclusion | undefined = undefined;
  /** What the application has done to the response since that is over. */
  afterlife: 'untouched' | 'examined' | 'written' | undefined = undefined;

  #res: ServerResponse;
  /** What is to stand for the response soon. */
  #former: ServerResponse | undefined;
  #phase: UpgradePhase = 'waiting';
  #beforeAnswer: BeforeAnswer;

  constructor(req: IncomingMessage, res: ServerResponse, socket: Duplex, head: Buffer) {
    this.req = req;
    this.#res = res;
    this.socket = socket;
    this.#beforeAnswer = {
      head,
      bytesWritten: bytesWritten(socket),
      headerName: undefined,
      waiting: undefined,
      interrupt: undefined,
    };
    const carrier: IncomingMessage & Carrier = req;
    carrier[carried] = this;
    carrier.res = res;
    makeRoomForTraces(req);
  }

  /** The upgrade request behind `req`; `undefined` if `req` did not come through `attach`. */
  static of(req: IncomingMessage): UpgradeRequest | undefined {
    const carrier: IncomingMessage & Carrier = req;
    return carrier[carried];
  }

  /** What had arrived behind the request in the same chunk: frames of an eager client. Nothing once there is an answer. */
  get head(): Buffer {
    return this.#beforeAnswer.head;
  }

  /** The header that the application has set last, as it writes its name. */
  get headerName(): string | undefined {
    return this.#beforeAnswer.headerName;
  }

  /** The application sets a header of the response. */
  noteHeader(name: unknown): void {
    if (this.#phase === 'waiting') this.#beforeAnswer.headerName = String(name);
  }

  /** Has `waiting` look after it until there is an answer. */
  lookAfter(waiting: UpgradeRequestEvents): void {
    this.#beforeAnswer.waiting = waiting;
  }

  /** Its response; once that has been let go of, what stands for it. */
  get res(): ServerResponse {
    return this.#res;
  }

  /**
   * Lets go of the response at the end of the tick, in which somebody may still compare it. A WeakRef would not do: with Node
   * 20 it kept the response until it had grown old, and the hole that it left was 1 KiB for each connection.
   *
   * @param former stands for it from then on
   */
  dropResponse(former: ServerResponse): void {
    learnTraces(this.req);
    this.#former = former;
    const { finished, destroyed } = this.#res;
    // Who is told of its end is told in the tick in which it is let go of
    if (!finished || destroyed) eventLoop.nextTick(() => this.letGo());
  }

  /** The tick in which somebody may still compare the response is over. */
  letGo(): void {
    const former = this.#former;
    if (former === undefined) return;
    const carrier: IncomingMessage & Carrier = this.req;
    if (carrier.res === this.#res) carrier.res = former;
    this.#res = former;
    this.#former = undefined;
  }

  get phase(): UpgradePhase {
    return this.#phase;
  }

  /** The 101 has been written. */
  get accepted(): boolean {
    return this.#phase === 'accepted';
  }

  /** The client left, or was given up, before there was an answer. */
  get gone(): boolean {
    return this.#phase === 'gone';
  }

  /** A handshake waits for an asynchronous decision. */
  get isDeciding(): boolean {
    return this.#beforeAnswer.interrupt !== undefined;
  }

  /**
   * Whether the next bytes on the socket may be ours. What others do to the socket can only be seen by looking, so this
   * has to be asked before the first byte of any answer.
   */
  isOurs(): boolean {
    if (this.#phase !== 'waiting') return this.#phase === 'answering';
    // Node may tell the application first, through its response
    if (this.socket.destroyed) {
      this.enter('gone');
      return false;
    }
    if (bytesWritten(this.socket) === this.#beforeAnswer.bytesWritten && !isRead(this.socket)) return true;
    this.enter('yielded');
    return false;
  }

  /** Leaves the phase `waiting`; a handshake that still waits for its decision is rejected. */
  enter(phase: Exclude<UpgradePhase, 'waiting'>): void {
    const before = this.#beforeAnswer;
    this.#phase = phase;
    this.#beforeAnswer = ANSWERED;
    if (phase === 'accepted') webSocketProperty.addTo(this.req);
    before.waiting?.onPhase(phase);
    before.interrupt?.(this.notAcceptable());
  }

  /**
   * Follows `decision`, but no longer than the request waits: rejects when the client leaves, the time is up or the
   * request is answered otherwise.
   *
   * @param timeout milliseconds from the arrival of the request; 0 waits for ever
   */
  async whileWaiting<T>(decision: Promise<T>, timeout: number): Promise<T> {
    const before = this.#beforeAnswer;
    try {
      return await new Promise<T>((resolve, reject) => {
        decision.then(resolve, reject);
        // Whoever decides may have answered before there was anything to wait for
        if (this.#phase !== 'waiting') {
          reject(this.notAcceptable());
          return;
        }
        before.interrupt = reject;
        before.waiting?.limit(timeout);
      });
    } finally {
      before.interrupt = undefined;
    }
  }

  /** Why this request cannot be accepted, or not any more. */
  notAcceptable(): Error {
    switch (this.#phase) {
      case 'gone':
        return createError(
          400,
          new WebSocketError(
            'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY',
            'Cannot accept the WebSocket request: the client left, or its time was up, before the handshake',
          ),
        );
      case 'accepted':
        return invalidState('it has been accepted already, use the context on req.webSocket');
      case 'yielded':
        return invalidState('something else has written to its socket or reads from it, narrow the filter of attach()');
      case 'answering':
        return invalidState('the response has begun, accept before anything is written to res');
      case 'waiting':
        return invalidState(
          this.isDeciding
            ? 'another accept() of it is still being decided, call it once'
            : 'the head of the response has been written, accept before anything is done to answer',
        );
    }
  }
}

function invalidState(found: string): Error {
  return createError(
    500,
    new WebSocketError('ERR_WEBSOCKET_INVALID_STATE', `Cannot accept the WebSocket request: ${found}`),
  );
}
