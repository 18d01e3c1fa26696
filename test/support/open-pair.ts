import { once } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { type ClientOptions, WebSocket } from 'ws';
import { type WebSocketContext, type WebSocketOptions, type WebSockets, webSockets } from '../../src/index.js';
import { CLOSE_FRAME, clientClose, clientFrame, type FrameInit, type ParsedFrame, parseFrames } from './frames.js';
import { clientTransport } from './http2-tunnel.js';
import { type RawClient, type RawRequest, rawUpgrade } from './raw-client.js';
import { serve, type TestContext, webSocketUrlOf } from './servers.js';

/** The server's side of an open connection, of which no handler of the library looks after the end. */
export interface ServerSide {
  readonly socket: WebSocketContext;
  readonly server: Server;
  readonly sockets: WebSockets;
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
  /** What the `onError` option got. */
  readonly errors: unknown[];
}

/** A client that speaks in frames, above a raw TCP connection. */
export class FramePeer {
  readonly raw: RawClient;

  constructor(raw: RawClient) {
    this.raw = raw;
  }

  /** Sends a masked frame; text unless told otherwise. */
  send(init: FrameInit | string): void {
    this.raw.write(clientFrame(typeof init === 'string' ? { payload: init } : init));
  }

  /** Sends a close frame; no code makes it empty. */
  close(code?: number, reason?: string): void {
    this.raw.write(clientClose(code, reason));
  }

  /** Takes the next frame, waiting for it. */
  async next(): Promise<ParsedFrame> {
    let bytes = await this.raw.read(2);
    const short = bytes.readUInt8(1) & 0x7f;
    if (short > 125) bytes = Buffer.concat([bytes, await this.raw.read(short === 126 ? 2 : 8)]);
    const length = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? Number(bytes.readBigUInt64BE(2)) : short;
    const { frames } = parseFrames(Buffer.concat([bytes, await this.raw.read(length)]));
    return frames[0] as ParsedFrame;
  }

  /** Takes the next frame, which is to be a close: its code, 1005 for an empty one, and its reason. */
  async nextClose(): Promise<{ code: number; reason: string }> {
    const { opcode, payload } = await this.next();
    if (opcode !== CLOSE_FRAME) throw new Error(`Expected a close frame, got one of opcode ${opcode}: ${payload}`);
    return payload.length === 0
      ? { code: 1005, reason: '' }
      : { code: payload.readUInt16BE(0), reason: payload.toString('utf8', 2) };
  }
}

/** A server on which every request is accepted, and what it accepts next. */
async function acceptAll(
  t: TestContext,
  options: WebSocketOptions,
  secure: boolean,
): Promise<{ server: Server; sockets: WebSockets; errors: unknown[]; next: () => Promise<ServerSide> }> {
  const errors: unknown[] = [];
  const sockets = webSockets({ onError: (error) => void errors.push(error), ...options });
  const accepted: ServerSide[] = [];
  let waiting: (() => void) | undefined;
  const server = await serve(t, (_req, res) => void res.writeHead(426).end(), { secure });
  sockets.attach(server, async (req, res) => {
    const socket = await sockets.accept(req);
    accepted.push({ socket, server, sockets, req, res, errors });
    waiting?.();
  });
  const next = async (): Promise<ServerSide> => {
    for (;;) {
      const one = accepted.shift();
      if (one !== undefined) return one;
      await new Promise<void>((resolve) => {
        waiting = resolve;
      });
    }
  };
  return { server, sockets, errors, next };
}

/** An open connection whose client is a {@link FramePeer}. */
export async function openRaw(
  t: TestContext,
  options: WebSocketOptions = {},
  { request = {}, secure = false }: { request?: RawRequest; secure?: boolean } = {},
): Promise<ServerSide & { readonly client: FramePeer }> {
  const { server, next } = await acceptAll(t, options, secure);
  const raw = await rawUpgrade(t, server, request);
  const { status } = await raw.readHead();
  if (status !== 101) throw new Error(`The handshake was refused with ${status}`);
  return { ...(await next()), client: new FramePeer(raw) };
}

/** An open connection whose client is a `WebSocket` of `ws`. */
export async function openWs(
  t: TestContext,
  options: WebSocketOptions = {},
  { protocols = [], client: clientOptions = {} }: { protocols?: string[]; client?: ClientOptions } = {},
): Promise<ServerSide & { readonly client: WebSocket }> {
  const { server, next } = await acceptAll(t, options, false);
  const client = await connectWs(t, webSocketUrlOf(server), protocols, clientOptions);
  return { ...(await next()), client };
}

/** What a client of `ws` has got since it was made: a server may send right behind its 101. */
class Inbox {
  readonly closed: Promise<{ code: number; reason: string }>;
  readonly #messages: Array<string | Buffer> = [];
  #waiting: ((message: string | Buffer) => void) | undefined;

  constructor(client: WebSocket) {
    client.on('message', (data: Buffer, isBinary) => {
      const message = isBinary ? data : data.toString();
      if (this.#waiting === undefined) this.#messages.push(message);
      else this.#waiting(message);
      this.#waiting = undefined;
    });
    this.closed = new Promise((resolve) => {
      client.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    });
  }

  async next(): Promise<string | Buffer> {
    const message = this.#messages.shift();
    if (message !== undefined) return message;
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}

const inboxes = new WeakMap<WebSocket, Inbox>();

function inboxOf(client: WebSocket): Inbox {
  const inbox = inboxes.get(client);
  if (inbox === undefined) throw new Error('Not a client of connectWs');
  return inbox;
}

/** A client of `ws` that is connected; terminated at the end of the test. */
export async function connectWs(
  t: TestContext,
  url: string,
  protocols: string[] = [],
  options: ClientOptions = {},
): Promise<WebSocket> {
  const client = new WebSocket(url, protocols, { perMessageDeflate: false, ...clientTransport(t, url), ...options });
  inboxes.set(client, new Inbox(client));
  t.after(() => client.terminate());
  // Tests that are interested in it listen by themselves
  client.on('error', () => {});
  await once(client, 'open');
  return client;
}

/** The next message of a client of {@link connectWs}, text as a string. */
export function nextMessage(client: WebSocket): Promise<string | Buffer> {
  return inboxOf(client).next();
}

/** How a connection of {@link connectWs} ended for the client. */
export function nextClose(client: WebSocket): Promise<{ code: number; reason: string }> {
  return inboxOf(client).closed;
}
