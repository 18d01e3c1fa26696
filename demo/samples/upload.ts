import { randomUUID } from 'node:crypto';
import { open, unlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import express from 'express';
import { WebSocketMessageType, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();

// Each message becomes a file. It passes through one buffer of 64 KiB, no faster than the disk writes.
app.get(
  '/upload',
  sockets.handler(async (socket) => {
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      let result = await socket.receiveAsync(buffer);
      if (result.messageType === WebSocketMessageType.Close) return;
      const path = join(tmpdir(), `upload-${randomUUID()}`);
      const file = await open(path, 'wx');
      try {
        await file.writeFile(result.data);
        while (!result.endOfMessage) {
          result = await socket.receiveAsync(buffer);
          if (result.messageType === WebSocketMessageType.Close) return;
          await file.writeFile(result.data);
        }
      } finally {
        await file.close();
        // The client has closed, or vanished, in the middle of the message: then there is no end of it.
        if (result.messageType === WebSocketMessageType.Close || !result.endOfMessage) await unlink(path);
      }
      await socket.sendAsync(path);
    }
  }),
);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
