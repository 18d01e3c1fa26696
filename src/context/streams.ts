import type { ReadableStream, WritableStream } from 'node:stream/web';
import { closePayload } from '../connection/closing/close-status.js';
import type { LiveConnection } from '../connection/connection.js';
import { outgoingBytes } from './data.js';
import { type WebSocketMessage, wholeMessage } from './messages.js';

/** As many bytes may be written ahead before a writer of the stream is asked to wait. */
const STREAM_HIGH_WATER_MARK = 64 * 1024;

/** Loaded for who asks for a stream: they take 170 KB of heap. */
function streamsOfNode(): typeof import('node:stream/web') {
  return process.getBuiltinModule('node:stream/web');
}

function normalClosure(): Buffer {
  return closePayload(1000, undefined);
}

/** Messages as a stream that reads from the connection only what its own reader asks for. */
export function readableOf(connection: LiveConnection): ReadableStream<WebSocketMessage> {
  const { ReadableStream } = streamsOfNode();
  return new ReadableStream<WebSocketMessage>(
    {
      async pull(controller) {
        const message = await connection.read(wholeMessage, undefined);
        if (message === undefined) controller.close();
        else controller.enqueue(message);
      },
      cancel() {
        return connection.close(normalClosure(), undefined);
      },
    },
    { highWaterMark: 0 },
  );
}

/**
 * A stream each of whose chunks is sent as a message of its own. It fails when `end` fires, as a send would: whoever pipes
 * into it need not tell a client that has left from other failures by himself.
 */
export function writableOf(
  connection: LiveConnection,
  end: AbortSignal,
): WritableStream<string | ArrayBuffer | ArrayBufferView> {
  const { WritableStream } = streamsOfNode();
  return new WritableStream<string | ArrayBuffer | ArrayBufferView>(
    {
      start(controller) {
        const fail = (): void => controller.error(connection.notOpenFor('send'));
        if (end.aborted) fail();
        else end.addEventListener('abort', fail, { once: true });
      },
      write(chunk) {
        const data = outgoingBytes(chunk, 'write');
        const text = typeof data === 'string';
        return connection.send({
          data,
          text,
          endOfMessage: true,
          compress: undefined,
          ownMessage: true,
          signal: undefined,
        });
      },
      close() {
        return connection.closeOutput(normalClosure(), undefined);
      },
      abort() {
        connection.abort();
      },
    },
    {
      highWaterMark: STREAM_HIGH_WATER_MARK,
      size: (chunk) => (typeof chunk === 'string' ? Buffer.byteLength(chunk) : (chunk?.byteLength ?? 1)),
    },
  );
}
