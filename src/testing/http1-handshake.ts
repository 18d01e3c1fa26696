import { type IncomingMessage, request } from 'node:http';
import type { AttachableServer } from '../upgrade/attach.js';
import { WebSocketClient } from './client.js';
import { connectTo, type Handshake, noAnswer } from './handshake.js';
import { HandshakeRefusedError } from './handshake-refused-error.js';

/**
 * Asks a server for a WebSocket by an upgrade request of HTTP/1.1.
 *
 * @returns gives the handshake up
 */
export function askOverHttp1(server: AttachableServer, handshake: Handshake): () => void {
  const { path, headers, secure, answer } = handshake;
  const connection = connectTo(server, secure, 'http/1.1');
  const outgoing = request({ path, headers, createConnection: () => connection });
  const reject = (error: unknown): void => answer.reject(error);
  // Nothing comes in one chunk with it: each write is one of its own.
  outgoing.on('upgrade', (response) => answer.resolve(new WebSocketClient(connection, response.headers)));
  outgoing.on('response', (response) => void refusal(response).then(reject, reject));
  outgoing.on('error', (error) => reject(noAnswer(error)));
  outgoing.end();
  return () => outgoing.destroy();
}

/** What the server has answered in place of a 101. */
async function refusal(response: IncomingMessage): Promise<HandshakeRefusedError> {
  response.setEncoding('utf8');
  let body = '';
  for await (const chunk of response) body += chunk;
  return new HandshakeRefusedError(response.statusCode as number, response.headers, body);
}
