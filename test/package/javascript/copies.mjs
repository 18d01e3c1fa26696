// One process that has loaded the package twice, as happens when a dependency has brought a copy of its own.
import assert from 'node:assert/strict';
import { cpSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import * as imported from 'websocket-context';

const require = createRequire(import.meta.url);
const here = require('websocket-context');
cpSync('node_modules/websocket-context', 'node_modules/copy', { recursive: true });
const copy = require('./node_modules/copy');

// Who attaches, and what the package exports.
const [order, ...names] = process.argv.slice(2);
assert.deepEqual(Object.keys(imported).sort(), names);
assert.deepEqual(Object.keys(here).sort(), names);
// Imported or required, it is one and the same.
for (const [name, value] of Object.entries(imported)) assert.equal(value, here[name]);
assert.notEqual(imported.webSockets, copy.webSockets);

for (const [thrower, catcher] of [
  [imported, copy],
  [copy, imported],
]) {
  const error = new thrower.WebSocketError('ERR_WEBSOCKET_FAULTED', 'Cannot read: the peer broke the protocol');
  assert.ok(error instanceof catcher.WebSocketError);
  assert.ok(error instanceof thrower.WebSocketError);
  assert.ok(!(new Error('Another one') instanceof catcher.WebSocketError));
}

// Who attaches and who accepts come from different copies; the argument says which.
const [attacher, accepter] = order === 'copy-attaches' ? [copy, imported] : [imported, copy];
const echo = accepter.webSockets().handler(async (socket) => {
  assert.ok(socket instanceof accepter.WebSocketContext);
  for await (const message of socket) await socket.sendAsync(message);
});
const app = (req, res, next) => (req.url === '/echo' ? echo(req, res, next) : next());

const server = createServer(app);
attacher.webSockets().attach(server, app);
server.listen();
