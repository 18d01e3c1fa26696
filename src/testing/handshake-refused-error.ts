import { type IncomingHttpHeaders, STATUS_CODES } from 'node:http';

/** So much of the body the message shows. */
const SHOWN = 200;

/**
 * The application has answered the handshake with something else than 101: `status`, `headers` and `body` say what.
 *
 * @example
 * ```ts
 * import assert from 'node:assert/strict';
 * import { connect } from 'websocket-context/testing';
 *
 * await assert.rejects(connect(app, '/account'), { name: 'HandshakeRefusedError', status: 401 });
 * ```
 */
export class HandshakeRefusedError extends Error {
  /** Status of the response. */
  readonly status: number;
  /** Its headers, as Node gives them. */
  readonly headers: IncomingHttpHeaders;
  /** Its body, as text. */
  readonly body: string;

  constructor(status: number, headers: IncomingHttpHeaders, body: string) {
    const shown = body.length > SHOWN ? `${body.slice(0, SHOWN)}\u2026` : body;
    super(`The handshake was refused with ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd() + (shown && `: ${shown}`));
    this.name = 'HandshakeRefusedError';
    this.status = status;
    this.headers = headers;
    this.body = body;
  }
}
