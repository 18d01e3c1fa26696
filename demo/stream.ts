import { randomUUID } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import type { Request } from 'express';
import createError from 'http-errors';
import { type ReceiveResult, type WebSocketContext, WebSocketMessageType } from 'websocket-context';
import { z } from 'zod';

/** All that the server ever holds of an upload, whatever its size. */
const BUFFER_BYTES = 64 * 1024;
const REPORT_MS = 100;

/** What the page asks for while an upload is under way; `pace` in bytes a second. */
const wish = z.object({ pace: z.number().min(1024).nullable(), isReading: z.boolean() });

const readers = new Map<string, Reader>();

/** Takes an upload: as one message or as many, it makes no difference here. */
export async function takeUpload(socket: WebSocketContext, req: Request): Promise<void> {
  const reader = readers.get(String(req.query.reader));
  if (!reader) throw createError(404, 'Nobody watches this upload');
  await reader.read(socket);
}

/** The page's other connection, for numbers and wishes: on the first one they would wait behind the data. */
export async function watchUpload(socket: WebSocketContext): Promise<void> {
  const [id, reader, page] = [randomUUID(), new Reader(), socket.json({ receive: wish })];
  readers.set(id, reader);
  await page.sendAsync({ reader: id });
  const reports = setInterval(() => void page.sendAsync(reader.report()), REPORT_MS);
  try {
    for await (const { pace, isReading } of page) reader.obey(pace ?? Number.POSITIVE_INFINITY, isReading);
  } finally {
    clearInterval(reports);
    readers.delete(id);
    reader.obey(Number.POSITIVE_INFINITY, true);
  }
}

class Reader {
  #pace = Number.POSITIVE_INFINITY;
  #cancellation = new AbortController();
  readonly #events = new EventEmitter();
  /** When the next read may begin, at this pace. */
  #due = 0;
  #counts = { bytes: 0, fragments: 0, largest: 0, messages: 0, cancelled: 0, checksum: 0, isComplete: false };

  /** Reads until the client closes. Whoever reads slowly stops the sender, and whoever cancels loses nothing. */
  async read(socket: WebSocketContext): Promise<void> {
    const buffer = new Uint8Array(BUFFER_BYTES);
    this.#counts = { bytes: 0, fragments: 0, largest: 0, messages: 0, cancelled: 0, checksum: 0, isComplete: false };
    for (;;) {
      const result = await this.#receive(socket, buffer);
      if (!result) continue;
      if (result.messageType === WebSocketMessageType.Close) break;
      this.#count(result.data, result.endOfMessage);
      await this.#keepPace(result.count);
    }
    this.#counts.isComplete = true;
  }

  /** Takes a wish of the page. To stop reading is to cancel the read that is under way. */
  obey(pace: number, isReading: boolean): void {
    this.#pace = pace;
    if (!isReading) {
      this.#cancellation.abort();
    } else if (this.#cancellation.signal.aborted) {
      this.#cancellation = new AbortController();
      this.#events.emit('resume');
    }
  }

  report(): object {
    return { ...this.#counts, memory: process.memoryUsage.rss() };
  }

  /** `undefined` when the read was cancelled; the next one goes on where this one would have. */
  async #receive(socket: WebSocketContext, buffer: Uint8Array): Promise<ReceiveResult | undefined> {
    const { signal } = this.#cancellation;
    try {
      return await socket.receiveAsync(buffer, { signal });
    } catch (error) {
      if (!signal.aborted || socket.signal.aborted) throw error;
      this.#counts.cancelled += 1;
      if (this.#cancellation.signal.aborted) await once(this.#events, 'resume', { signal: socket.signal });
      return undefined;
    }
  }

  #count(data: Uint8Array, endOfMessage: boolean): void {
    const counts = this.#counts;
    counts.bytes += data.byteLength;
    counts.fragments += 1;
    counts.largest = Math.max(counts.largest, data.byteLength);
    counts.messages += endOfMessage ? 1 : 0;
    counts.checksum = crc32(data, counts.checksum);
  }

  async #keepPace(bytes: number): Promise<void> {
    const now = performance.now();
    this.#due = Math.max(this.#due, now) + (bytes / this.#pace) * 1000;
    if (this.#due - now > 10) await delay(this.#due - now);
  }
}
