import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { Transport } from './transport.js';

/** What a connection is told of the `WebSocket` that it has been handed over to. */
export interface HandOverEvents {
  /** Something has come from the peer. */
  onActivity(): void;
  /**
   * `ws` is to send although `waiting` bytes, more than `sendBufferLimit`, have not been taken yet.
   *
   * @returns the error with which the connection was dropped
   */
  slowConsumer(waiting: number): Error;
  /** `ws` is done with the connection; code and reason as in its 'close' event. */
  onWsClose(code: number, reason: string): void;
}

/** Opens a `WebSocket` of `ws` over a socket from which `head` has been read already. */
export type OpenWs = (socket: Duplex, head: Buffer, owner: Pick<HandOverEvents, 'slowConsumer'>) => WebSocket;

/** Hands the socket over to `ws`, behind the input that came from it before, and reports what becomes of it. */
export function handOver(transport: Transport, head: Buffer, open: OpenWs, owner: HandOverEvents): WebSocket {
  const socket = transport.leave();
  const ws = open(socket, head, owner);
  socket.resume();
  // An error of ws that nobody listens for must not end the process: its 'close' follows.
  ws.on('error', ignore);
  socket.on('data', () => owner.onActivity());
  ws.once('close', (code, reason) => owner.onWsClose(code, reason.toString()));
  return ws;
}

function ignore(): void {}
