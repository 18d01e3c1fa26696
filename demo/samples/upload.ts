import { randomUUID } from 'node:crypto';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { WebSocketMessageType, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// Each message becomes a file. A message of any size passes through one buffer of 64 KiB, and the client can send no
// faster than the disk writes.
app.get(
  '/upload',
  sockets.handler(async (socket) => {
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      let result = await socket.receiveAsync(buffer);
      if (result.messageType === WebSocketMessageType.Close) return;

      const path = join(tmpdir(), `upload-${randomUUID()}`);
      await using file = await open(path, 'wx');
      for (;;) {
        await file.writeFile(result.data);
        if (result.endOfMessage) break;
        result = await socket.receiveAsync(buffer);
      }
      await socket.sendAsync(path);
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
