import type { OutgoingHttpHeaders } from 'node:http';
import { Server as SecureServer } from 'node:tls';
import type { Deferred } from '../connection/deferred.js';
import { WebSocketError } from '../errors.js';
import { outsideRequests } from '../outside-requests.js';
import type { AttachableServer } from '../upgrade/attach.js';
import type { WebSocketClient } from './client.js';
import { MemorySocket } from './memory-socket.js';

/** A handshake to be performed. */
export interface Handshake {
  readonly path: string;
  /** Those of an upgrade request of HTTP/1.1. */
  readonly headers: OutgoingHttpHeaders;
  /** Whether the request comes over TLS. */
  readonly secure: boolean;
  /** What it leads to. */
  readonly answer: Deferred<WebSocketClient>;
}

/**
 * Connects to a server, which takes the connection as it would one of the network, in an asynchronous context of its own.
 *
 * @param protocol what TLS agrees on, if the connection comes over it
 * @returns the client's end
 */
export function connectTo(server: AttachableServer, secure: boolean, protocol: 'h2' | 'http/1.1'): MemorySocket {
  const ends = MemorySocket.pair(secure);
  ends.server.server = server;
  if (secure) ends.server.alpnProtocol = protocol;
  // TLS is what stands between the two events
  const event = server instanceof SecureServer ? 'secureConnection' : 'connection';
  outsideRequests(() => server.emit(event, ends.server));
  return ends.client;
}

/** The error of a handshake that nobody has answered. */
export function noAnswer(cause: Error): WebSocketError {
  return new WebSocketError(
    'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY',
    'Cannot connect: the server dropped the connection without an answer',
    { cause },
  );
}
