/**
 * A client for tests, which connects to an application without a port and without a network.
 *
 * @module websocket-context/testing
 */

export type { CloseInfo } from '../connection/closing/close-status.js';
export type { ClientSendOptions, WebSocketClient } from './client.js';
export { type ConnectOptions, connect } from './connect.js';
export { HandshakeRefusedError } from './handshake-refused-error.js';
