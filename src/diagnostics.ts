import { type Channel, channel } from 'node:diagnostics_channel';
import type { IncomingMessage } from 'node:http';
import type { BackplaneStatus } from './backplane/driver.js';
import type { CloseInfo } from './connection/closing/close-status.js';
import type { Traffic } from './connection/connection.js';
import type { WebSocketContext } from './context/web-socket-context.js';
import type { Member } from './member.js';

/** Message of `websocket-context:handshake:start`: a WebSocket request has reached the library. */
export interface HandshakeStartMessage {
  readonly req: IncomingMessage;
}

/** Message of `websocket-context:handshake:accepted`: the 101 has been written. */
export interface HandshakeAcceptedMessage extends HandshakeStartMessage {
  readonly socket: WebSocketContext;
  /** From the arrival of the request, in ms. */
  readonly duration: number;
}

/** Message of `websocket-context:handshake:refused`: the handshake failed before anything was written. */
export interface HandshakeRefusedMessage extends HandshakeStartMessage {
  /** What the application gets: an http error. */
  readonly error: unknown;
}

/** Message of `websocket-context:connection:open`. */
export interface ConnectionOpenMessage extends HandshakeStartMessage {
  readonly socket: WebSocketContext;
}

/** Message of `websocket-context:connection:close`: the connection is Closed or Aborted. */
export interface ConnectionCloseMessage extends ConnectionOpenMessage, CloseInfo, Traffic {
  /** From the arrival of the upgrade request, in ms. */
  readonly duration: number;
}

/** Message of `websocket-context:error`: a handler of the application failed after the handshake. */
export interface HandlerErrorMessage extends ConnectionOpenMessage {
  readonly error: unknown;
}

/** Message of `websocket-context:backplane:status`: the status of an instance's backplane has changed. */
export interface BackplaneStatusMessage {
  readonly status: BackplaneStatus;
  /** What is known of the cause of an interruption. */
  readonly error: Error | undefined;
}

// `diagnostics_channel` keeps channels by name for the whole process, so that all copies of the package share them.
const started: Channel = channel('websocket-context:handshake:start');
const accepted: Channel = channel('websocket-context:handshake:accepted');
const refused: Channel = channel('websocket-context:handshake:refused');
const opened: Channel = channel('websocket-context:connection:open');
const closed: Channel = channel('websocket-context:connection:close');
const errors: Channel = channel('websocket-context:error');
const backplane: Channel = channel('websocket-context:backplane:status');

// Nothing is made for a channel that nobody listens to.

export function publishStart(req: IncomingMessage): void {
  if (started.hasSubscribers) started.publish({ req });
}

export function publishRefused(req: IncomingMessage, error: unknown): void {
  if (refused.hasSubscribers) refused.publish({ req, error });
}

export function publishOpen(socket: WebSocketContext): void {
  const { request: req } = socket;
  if (accepted.hasSubscribers) {
    accepted.publish({ req, socket, duration: Date.now() - socket.timestamp.getTime() });
  }
  if (opened.hasSubscribers) opened.publish({ req, socket });
}

export function publishClose({ context: socket, connection }: Member): void {
  if (!closed.hasSubscribers) return;
  const { request: req, timestamp } = socket;
  closed.publish({
    req,
    socket,
    ...connection.closeInfo,
    ...connection.traffic,
    duration: Date.now() - timestamp.getTime(),
  });
}

export function publishError(socket: WebSocketContext, error: unknown): void {
  if (errors.hasSubscribers) errors.publish({ req: socket.request, socket, error });
}

export function publishBackplaneStatus(status: BackplaneStatus, error: Error | undefined): void {
  if (backplane.hasSubscribers) backplane.publish({ status, error });
}
