import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { eventLoop } from '../event-loop.js';
import { SocketDuplex } from '../socket-duplex.js';

type Done = (error?: Error | null) => void;

/**
 * The client's end of a WebSocket over HTTP/2 in the shape of a connection. Its stream is the only one of its session, which
 * ends behind it. Ended by both sides it ends the stream; destroyed before that, it resets the stream with CANCEL, as browsers do.
 */
export class Http2ClientSocket extends SocketDuplex {
  readonly #session: ClientHttp2Session;
  readonly #stream: ClientHttp2Stream;

  constructor(session: ClientHttp2Session, stream: ClientHttp2Stream) {
    // As the sockets of a client: it ends with the server's half
    super({ allowHalfOpen: false });
    this.#session = session;
    this.#stream = stream;
    stream.on('data', (chunk: Buffer) => {
      if (!this.push(chunk) && !this.destroyed) stream.pause();
    });
    // Node reports the end of what it has, too, when the server resets the stream
    stream.on('end', () => stream.rstCode === constants.NGHTTP2_NO_ERROR && this.push(null));
    stream.on('error', (error) => this.destroy(error));
    stream.on('close', () => {
      if (stream.rstCode !== constants.NGHTTP2_NO_ERROR) this.destroy();
    });
  }

  override _read(): void {
    this.#stream.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: Done): void {
    this.#stream.write(chunk, done);
  }

  override _final(done: Done): void {
    this.#stream.end(done);
  }

  override _destroy(error: Error | null, done: Done): void {
    const session = this.#session;
    const stream = this.#stream;
    // What is not read would keep the stream open
    stream.resume();
    // Not while Node hands over what has arrived; see Http2Socket
    if (!this.writableFinished) eventLoop.setImmediate(() => stream.close(constants.NGHTTP2_CANCEL));
    if (session.destroyed) done(error);
    else session.once('close', () => done(error));
  }
}
