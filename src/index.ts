/**
 * WebSockets for Express and Connect: the middleware, the connection that it makes, groups, and all their types.
 *
 * @module websocket-context
 */

export type { BackplaneDriver, BackplaneDriverEvents, BackplaneInfo, BackplaneStatus } from './backplane/driver.js';
export { type CloseInfo, WebSocketCloseStatus } from './connection/closing/close-status.js';
export type { Traffic } from './connection/connection.js';
export { WebSocketState } from './connection/state.js';
export type { DrainOptions, DrainResult, WebSocketTotals } from './connection-registry.js';
export type { WebSocketData } from './context/data.js';
export {
  type CompletionCallback,
  type FragmentReadResult,
  type ReceiveResult,
  WebSocketMessageType,
} from './context/fragments.js';
export type { InvalidMessageHandler, JsonOptions, JsonSendOptions, WebSocketJson } from './context/json.js';
export type { WebSocketMessage } from './context/messages.js';
export type {
  SchemaInput,
  SchemaOutput,
  StandardIssue,
  StandardResult,
  StandardSchema,
} from './context/standard-schema.js';
export {
  type CancelOptions,
  type CloseStatus,
  type SendOptions,
  WebSocketContext,
  type WriteFragmentOptions,
} from './context/web-socket-context.js';
export type {
  BackplaneStatusMessage,
  ConnectionCloseMessage,
  ConnectionOpenMessage,
  HandlerErrorMessage,
  HandshakeAcceptedMessage,
  HandshakeRefusedMessage,
  HandshakeStartMessage,
} from './diagnostics.js';
export { WebSocketError, type WebSocketErrorCode, type WebSocketErrorOptions } from './errors.js';
export type { GroupJsonOptions, WebSocketGroupJson } from './groups/group-json.js';
export type { GroupSendResult } from './groups/groups.js';
export type {
  GroupCloseOptions,
  GroupCount,
  GroupCountOptions,
  GroupSendOptions,
  WebSocketGroup,
} from './groups/web-socket-group.js';
export {
  type HandlerRequest,
  type HandlerResponse,
  type NextFunction,
  type WebSocketRequest,
  type WebSockets,
  webSockets,
} from './middleware.js';
export type {
  AttachOptions,
  HandlerErrorInfo,
  OriginPolicyFunction,
  SubProtocolChooser,
  WebSocketOptions,
  WebSocketRouteOptions,
} from './options.js';
export type { AppFunction } from './upgrade/chain.js';
export type { RouteHandler, WsServer, WsServerEvents } from './ws-server.js';
