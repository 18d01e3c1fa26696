import { WebSocketError } from '../errors.js';

/** What the close handshake asks of its connection when time is up. */
export interface CloseHandshakeOwner {
  /** The application has not acknowledged the peer's close in time: do it now. */
  acknowledgeLate(): void;
  /** The peer has not acknowledged our close in time. */
  closeTimedOut(error: WebSocketError): void;
  /** Both closes are done, but the peer does not take our last bytes or does not let go of TCP. */
  lingerTimedOut(): void;
}

/** Someone who waits for the close handshake to be complete. */
interface Waiter {
  resolve(): void;
  reject(reason: unknown): void;
}

type Phase = 'idle' | 'awaitingPeer' | 'awaitingApplication' | 'lingering' | 'over';

/** The waiting part of the close handshake (RFC 6455, section 7): who waits for what, and for how long. */
export class CloseHandshake {
  readonly #owner: CloseHandshakeOwner;
  readonly #timeout: number;
  #phase: Phase = 'idle';
  #waiters: Waiter[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(owner: CloseHandshakeOwner, timeout: number) {
    this.#owner = owner;
    this.#timeout = timeout;
  }

  /** Our close frame is out first: the peer has `closeTimeout` to acknowledge it. */
  awaitPeer(): void {
    this.#enter('awaitingPeer');
  }

  /** The peer's close frame has come first: the application has `closeTimeout` since its last read or write. */
  awaitApplication(): void {
    this.#enter('awaitingApplication');
  }

  /** The application has read or written something, so it is still at work. */
  touch(): void {
    if (this.#timer !== undefined && (this.#phase === 'awaitingApplication' || this.#phase === 'awaitingPeer')) {
      this.#timer.refresh();
    }
  }

  /** The handshake is complete; what is left is to get rid of TCP. */
  complete(): void {
    this.#enter('lingering');
    this.#release((waiter) => waiter.resolve());
  }

  /** The handshake will not be completed; TCP may still have our last bytes to deliver. */
  fail(reason: unknown): void {
    this.#enter('lingering');
    this.#release((waiter) => waiter.reject(reason));
  }

  /** TCP is gone. */
  over(): void {
    this.#enter('over');
  }

  /** Resolves when the handshake is complete, rejects when it fails. `onWaiting` gets a function that stops waiting. */
  wait(onWaiting?: (leave: (reason: unknown) => void) => void): Promise<void> {
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { resolve, reject };
      this.#waiters.push(waiter);
      onWaiting?.((reason) => {
        const at = this.#waiters.indexOf(waiter);
        if (at < 0) return;
        this.#waiters.splice(at, 1);
        reject(reason);
      });
    });
  }

  #enter(phase: Phase): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#phase = phase;
    if (phase === 'over' || this.#timeout === 0) return;
    this.#timer = setTimeout(() => this.#expired(), this.#timeout);
    this.#timer.unref();
  }

  #expired(): void {
    if (this.#phase === 'awaitingApplication') {
      this.#owner.acknowledgeLate();
    } else if (this.#phase === 'awaitingPeer') {
      this.#owner.closeTimedOut(
        new WebSocketError(
          'ERR_WEBSOCKET_CLOSE_TIMEOUT',
          `Cannot complete the close handshake: the peer has not acknowledged within closeTimeout, which is ${this.#timeout} ms; the connection was dropped`,
        ),
      );
    } else {
      this.#owner.lingerTimedOut();
    }
  }

  #release(settle: (waiter: Waiter) => void): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const waiter of waiters) settle(waiter);
  }
}
