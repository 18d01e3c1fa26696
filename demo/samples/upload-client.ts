import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { WebSocket } from 'ws';

/** Sends a file as one message, chunk by chunk: the next one is read when the system has taken the last one. */
export async function upload(url: string, path: string, onProgress: (received: number) => void): Promise<void> {
  const socket = new WebSocket(`${url}?name=${encodeURIComponent(basename(path))}`);
  await once(socket, 'open');

  const send = (chunk: Buffer, fin: boolean) =>
    new Promise<void>((resolve, reject) => {
      socket.send(chunk, { fin }, (error) => (error ? reject(error) : resolve()));
    });
  const sendAll = async () => {
    for await (const chunk of createReadStream(path)) await send(chunk, false);
    await send(Buffer.alloc(0), true);
  };
  const allReceived = new Promise<void>((resolve, reject) => {
    socket.on('message', (data) => {
      const { received, done } = JSON.parse(String(data));
      onProgress(received);
      if (done) resolve();
    });
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Error(`The connection ended with ${code} before all had arrived`)));
  });

  try {
    await Promise.all([sendAll(), allReceived]);
  } finally {
    socket.close(1000);
  }
}
