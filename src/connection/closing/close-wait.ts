import { Deadline } from '../../deadline.js';
import { WebSocketError } from '../../errors.js';
import { Deferred } from '../deferred.js';

/** What the close handshake asks of its connection when time is up. */
export interface CloseWaitEvents {
  /** Changes with what comes from the peer. */
  readonly bytesReceived: number;
  /** The application has not acknowledged the peer's close in time: do it now. */
  onApplicationTimeout(): void;
  /** The peer has not taken or not acknowledged our close in time. */
  onPeerTimeout(error: WebSocketError): void;
  /** The connection is over, but the peer does not take our last bytes. */
  onFlushTimeout(): void;
}

type Phase = 'idle' | 'awaitingPeer' | 'awaitingApplication' | 'flushing' | 'ended';

/** How long TCP may take to end where `closeTimeout` is 0: no peer may hold a socket that nobody uses any more. */
export const LONGEST_LINGER = 10_000;

/** The waiting part of the close handshake (RFC 6455, section 7): who waits for what, and for how long. */
export class CloseWait {
  readonly #events: CloseWaitEvents;
  readonly #timeout: number;
  #phase: Phase = 'idle';
  /** Those who wait for the handshake to be complete. */
  #waiters: Deferred<void>[] = [];
  #timer: Deadline | undefined;
  /** How it ended, once it has: with a reason if it failed. */
  #outcome: { readonly reason?: unknown } | undefined;

  constructor(events: CloseWaitEvents, timeout: number) {
    this.#events = events;
    this.#timeout = timeout;
  }

  /** Our close frame is queued or out: the peer has `closeTimeout` to take it, and as long again to acknowledge it. */
  awaitPeer(): void {
    this.#enter('awaitingPeer');
  }

  /** The peer's close frame has come first: the application has `closeTimeout` since its last read or write. */
  awaitApplication(): void {
    this.#enter('awaitingApplication');
  }

  /** Our close frame has been withdrawn. */
  idle(): void {
    this.#enter('idle');
  }

  /** The application has read or written something, so it is still at work. */
  noteActivity(): void {
    // Whoever waits for the handshake must not wait for as long as the peer finds readers for what it sends.
    if (this.#phase === 'awaitingApplication' || (this.#phase === 'awaitingPeer' && this.#waiters.length === 0)) {
      this.#timer?.refresh();
    }
  }

  /** The peer has taken some of what stands before our close frame. */
  noteProgress(): void {
    if (this.#phase === 'awaitingPeer') this.#timer?.refresh();
  }

  /** The handshake is complete; the peer has as long again to take our last bytes. */
  complete(): void {
    this.#end({});
  }

  /** The handshake will not be completed; the peer has as long again to take our last bytes. */
  fail(reason: unknown): void {
    this.#end({ reason });
  }

  /** TCP is gone, or lingers by itself. */
  stop(): void {
    this.#enter('ended');
  }

  /** Resolves when the handshake is complete, rejects when it fails. `onWaiting` gets a function that stops waiting. */
  wait(onWaiting?: (leave: (reason: unknown) => void) => void): Promise<void> {
    const waiter = new Deferred<void>();
    if (this.#outcome !== undefined) {
      settle(waiter, this.#outcome);
      return waiter.promise;
    }
    // From here on the timer is not put off any more.
    this.noteActivity();
    this.#waiters.push(waiter);
    onWaiting?.((reason) => {
      this.#waiters = this.#waiters.filter((one) => one !== waiter);
      waiter.reject(reason);
    });
    return waiter.promise;
  }

  #enter(phase: Phase): void {
    this.#timer?.clear();
    this.#timer = undefined;
    this.#phase = phase;
    if (phase === 'idle' || phase === 'ended') return;
    const timeout = phase === 'flushing' ? this.#timeout || LONGEST_LINGER : this.#timeout;
    if (timeout === 0) return;
    // The peer's close frame may wait behind a lot of data.
    const received = (): number => this.#events.bytesReceived;
    this.#timer = new Deadline(() => this.#expired(), timeout, received).unref();
  }

  #expired(): void {
    if (this.#phase === 'awaitingApplication') {
      this.#events.onApplicationTimeout();
    } else if (this.#phase === 'awaitingPeer') {
      this.#events.onPeerTimeout(
        new WebSocketError(
          'ERR_WEBSOCKET_CLOSE_TIMEOUT',
          `Cannot complete the close handshake: the peer has not acknowledged within closeTimeout, which is ${this.#timeout} ms; the connection was dropped`,
        ),
      );
    } else {
      this.#events.onFlushTimeout();
    }
  }

  #end(outcome: { readonly reason?: unknown }): void {
    this.#outcome = outcome;
    this.#enter('flushing');
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) settle(waiter, outcome);
  }
}

function settle(waiter: Deferred<void>, outcome: { readonly reason?: unknown }): void {
  if ('reason' in outcome) waiter.reject(outcome.reason);
  else waiter.resolve();
}
