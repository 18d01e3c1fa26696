/** What the package exports, in order, as the contract names it. */
export const exportedNames: readonly string[] = [
  'WebSocketCloseStatus',
  'WebSocketContext',
  'WebSocketError',
  'WebSocketMessageType',
  'WebSocketState',
  'webSockets',
];
