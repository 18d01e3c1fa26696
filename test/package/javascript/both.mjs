// One process that has loaded both builds, as happens when a dependency requires what the application imports.
import assert from 'node:assert/strict';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import * as imported from 'websocket-context';

const required = createRequire(import.meta.url)('websocket-context');
const names = [
  'WebSocketCloseStatus',
  'WebSocketContext',
  'WebSocketError',
  'WebSocketMessageType',
  'WebSocketState',
  'webSockets',
];

assert.notEqual(imported.webSockets, required.webSockets);
assert.deepEqual(Object.keys(imported).sort(), names);
assert.deepEqual(Object.keys(required).sort(), names);

for (const [thrower, catcher] of [
  [imported, required],
  [required, imported],
]) {
  const error = new thrower.WebSocketError('ERR_WEBSOCKET_FAULTED', 'Cannot read: the peer broke the protocol');
  assert.ok(error instanceof catcher.WebSocketError);
  assert.ok(error instanceof thrower.WebSocketError);
  assert.ok(!(new Error('Another one') instanceof catcher.WebSocketError));
}

// Who attaches and who accepts come from different builds; the argument says which.
const [attacher, accepter] = process.argv[2] === 'import-attaches' ? [imported, required] : [required, imported];
const echo = accepter.webSockets().handler(async (socket) => {
  assert.ok(socket instanceof accepter.WebSocketContext);
  for await (const message of socket) await socket.sendAsync(message);
});
const app = (req, res, next) => (req.url === '/echo' ? echo(req, res, next) : next());

const server = createServer(app);
attacher.webSockets().attach(server, app);
server.listen();
