import { IncomingMessage } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { Http2Socket } from './http2-socket.js';

/** Whether a stream asks for a WebSocket: an extended CONNECT (RFC 8441, section 4). */
export function isWebSocketStream(headers: IncomingHttpHeaders): boolean {
  return headers[':method'] === 'CONNECT' && headers[':protocol'] === 'websocket';
}

/** A method of every `IncomingMessage` that `@types/node` does not know. */
interface ParsedRequest extends IncomingMessage {
  _addHeaderLines(lines: readonly string[], count: number): void;
}

/** The request of a WebSocket over HTTP/2, and its socket. */
export interface Http2Upgrade {
  readonly req: IncomingMessage;
  readonly socket: Http2Socket;
}

/**
 * The upgrade request that an extended CONNECT stands for, as applications know it from HTTP/1.1: GET, with `Host`,
 * `Upgrade` and `Connection`, but with `httpVersion` 2.0 and without a key, which HTTP/2 does not need. The stream is left
 * alone until its socket is opened.
 */
export function upgradeRequestOf(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Http2Upgrade {
  const socket = new Http2Socket(stream);
  // `IncomingMessage` wants a Socket, and uses what this one has of it
  const req: ParsedRequest = Reflect.construct(IncomingMessage, [socket]);
  req.httpVersion = '2.0';
  req.httpVersionMajor = 2;
  req.httpVersionMinor = 0;
  req.method = 'GET';
  // An extended CONNECT without a path or an authority does not come as far as this (RFC 8441, section 4)
  req.url = headers[':path'] as string;
  // The authority replaces Host (RFC 9113, section 8.3.1)
  const lines = ['host', String(headers[':authority']), 'connection', 'Upgrade', 'upgrade', 'websocket'];
  for (const [name, value] of Object.entries(headers)) {
    if (name.startsWith(':') || name === 'host') continue;
    for (const item of [value].flat()) lines.push(name, String(item));
  }
  // The way of Node's parser, and of whoever else makes requests: `headersDistinct` counts on it
  req._addHeaderLines(lines, lines.length);
  // It has no body: what follows are frames
  req.complete = true;
  req.push(null);
  return { req, socket };
}
