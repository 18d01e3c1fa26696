import type { IncomingMessage } from 'node:http';
import type { Server } from 'node:net';
import type { Duplex } from 'node:stream';

/** What comes with the event 'upgrade' of Node. */
export interface UpgradeArrival {
  readonly req: IncomingMessage;
  readonly socket: Duplex;
  /** What had arrived behind the request: its body, requests that follow it, or frames. */
  readonly head: Buffer;
}

/** Headers that only make sense together with the `Upgrade` that is taken away (RFC 7540 section 3.2.1). */
const ofUpgrade: ReadonlySet<string> = new Set(['upgrade', 'http2-settings']);

function isOfUpgrade(token: string): boolean {
  return ofUpgrade.has(token.trim().toLowerCase());
}

/** The head of `req` as the client sent it, but as one who does not want to upgrade. */
function serializeHead(req: IncomingMessage, close: boolean): string {
  const { rawHeaders } = req;
  let head = `${req.method} ${req.url} HTTP/${req.httpVersion}\r\n`;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = String(rawHeaders[i]);
    const value = String(rawHeaders[i + 1]);
    if (isOfUpgrade(name)) continue;
    if (name.toLowerCase() === 'connection') {
      const tokens = value.split(',').filter((token) => !isOfUpgrade(token));
      if (tokens.length > 0) head += `${name}: ${tokens.join(',')}\r\n`;
    } else {
      head += `${name}: ${value}\r\n`;
    }
  }
  return `${head}${close ? 'Connection: close\r\n' : ''}\r\n`;
}

/**
 * Lets the server parse an upgrade request once more, as an ordinary one. RFC 9110 section 7.8: a server may ignore
 * `Upgrade`, and without an upgrade listener Node does; but once there is one, Node gives up parsing every request that
 * mentions another protocol, body and all.
 *
 * @param close whether the connection ends with the response
 */
export function serveAsPlainHttp(server: Server, { req, socket, head }: UpgradeArrival, close: boolean): void {
  socket.unshift(Buffer.concat([Buffer.from(serializeHead(req, close), 'latin1'), head]));
  // Node's own way to put a connection into a server
  server.emit('encrypted' in socket ? 'secureConnection' : 'connection', socket);
}
