import type { IncomingHttpHeaders } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2';
import { eventLoop } from '../event-loop.js';
import type { AttachableServer } from '../upgrade/attach.js';
import { WebSocketClient } from './client.js';
import { connectTo, type Handshake, noAnswer } from './handshake.js';
import { HandshakeRefusedError } from './handshake-refused-error.js';
import { Http2ClientSocket } from './http2-client-socket.js';

/** What HTTP/2 says otherwise, or has no use for (RFC 8441, section 5). */
const ofHttp1: ReadonlySet<string> = new Set(['host', 'connection', 'upgrade', 'sec-websocket-key']);

/**
 * Asks a server of HTTP/2 for a WebSocket, over a session with this one stream (RFC 8441).
 *
 * @param otherwise what to do if the server does not advertise that it can
 * @returns gives the handshake up
 */
export function askOverHttp2(server: AttachableServer, handshake: Handshake, otherwise: () => void): () => void {
  const { secure, answer } = handshake;
  const session = connect(`${schemeOf(handshake)}://localhost`, {
    createConnection: () => connectTo(server, secure, 'h2'),
  });
  const onClose = (): void => answer.reject(noAnswer(new Error('The session of HTTP/2 was closed')));
  session.on('error', (error) => answer.reject(noAnswer(error)));
  session.once('close', onClose);
  session.once('remoteSettings', ({ enableConnectProtocol }) => {
    if (enableConnectProtocol === true) {
      // The body of a refusal may be read behind the end
      ask(session, handshake).once('response', () => session.removeListener('close', onClose));
      return;
    }
    session.removeListener('close', onClose);
    session.destroy();
    otherwise();
  });
  return () => session.destroy(undefined, constants.NGHTTP2_CANCEL);
}

function ask(session: ClientHttp2Session, handshake: Handshake): ClientHttp2Stream {
  const { answer } = handshake;
  const stream = session.request(fieldsOf(handshake), { waitForTrailers: true });
  // Ends the stream by a frame of its own, so that a reset can still come before it
  stream.on('wantTrailers', () => stream.sendTrailers({}));
  stream.on('error', (error) => answer.reject(noAnswer(error)));
  stream.once('close', () => endSession(session));
  stream.once('response', (fields) => {
    const headers: IncomingHttpHeaders = {};
    for (const [name, value] of Object.entries(fields)) if (!name.startsWith(':')) headers[name] = value;
    const status = Number(fields[':status']);
    if (status === constants.HTTP_STATUS_OK) {
      answer.resolve(new WebSocketClient(new Http2ClientSocket(session, stream), headers));
    } else {
      const reject = (error: unknown): void => answer.reject(error);
      void refusal(status, headers, stream).then(reject, reject);
    }
  });
  return stream;
}

/**
 * Ends a session when the server has answered whatever came before: a session of a connection that is no socket of Node's must
 * not be closed while it writes, or Node throws an internal assertion that nobody can catch.
 */
function endSession(session: ClientHttp2Session): void {
  if (!session.destroyed) session.ping(() => eventLoop.setImmediate(() => session.close()));
}

/** The extended CONNECT that says what the upgrade request does (RFC 8441, section 5). */
function fieldsOf(handshake: Handshake): OutgoingHttpHeaders {
  const { path, headers } = handshake;
  const fields: OutgoingHttpHeaders = {
    ':method': 'CONNECT',
    ':protocol': 'websocket',
    ':scheme': schemeOf(handshake),
    ':authority': String(headers['host']),
    ':path': path,
  };
  for (const [name, value] of Object.entries(headers)) if (!ofHttp1.has(name)) fields[name] = value;
  return fields;
}

function schemeOf({ secure }: Handshake): string {
  return secure ? 'https' : 'http';
}

async function refusal(
  status: number,
  headers: IncomingHttpHeaders,
  stream: ClientHttp2Stream,
): Promise<HandshakeRefusedError> {
  stream.end();
  stream.setEncoding('utf8');
  let body = '';
  for await (const chunk of stream) body += chunk;
  return new HandshakeRefusedError(status, headers, body);
}
