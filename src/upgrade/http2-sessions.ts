import type { Http2Session } from 'node:http2';
import type { Server } from 'node:net';

/** The sessions of one HTTP/2 server, which it does not list itself, and their end. */
export class Http2Sessions {
  readonly #server: Server;
  readonly #sessions: Set<Http2Session> = new Set();
  #isOver = false;
  readonly #listener = (session: Http2Session): void => this.add(session);

  constructor(server: Server) {
    this.#server = server;
  }

  /** Begins to notice sessions. */
  start(): void {
    this.#server.on('session', this.#listener);
  }

  /** Notices no further ones. */
  stop(): void {
    this.#server.removeListener('session', this.#listener);
  }

  /** Adds a session; it may be there already. */
  add(session: Http2Session): void {
    if (this.#sessions.has(session)) return;
    this.#sessions.add(session);
    session.once('close', () => this.#sessions.delete(session));
    // It was under way when the server stopped listening, and nobody would ever send it away
    if (this.#isOver && !this.#server.listening) session.close();
  }

  /**
   * Sends GOAWAY to all sessions (RFC 9113, section 6.8): they take no further streams, and end with their last one. A
   * server that stops listening waits for that.
   */
  goAway(): void {
    this.#isOver = true;
    for (const session of this.#sessions) session.close();
  }
}
