import { randomUUID } from 'node:crypto';
import type { Request, Response } from 'express';
import createError from 'http-errors';

const MOST_TIMELINES = 100;
const HEARTBEAT_MS = 15_000;

/** One thing that one side did or saw. */
export interface TimelineEntry {
  readonly side: 'client' | 'server';
  /**
   * What kind of thing: something was called, a call was settled, something happened to this side, or it is over;
   * `inferred` is what nobody saw happen, noted when it must have happened already.
   */
  readonly kind: 'call' | 'result' | 'failure' | 'event' | 'end' | 'inferred';
  readonly text: string;
  /** The state of that side afterwards. */
  readonly state?: string;
  /** What left this side with it, and what made it happen: the page draws an arrow where both sides name the same. */
  readonly sends?: string | undefined;
  readonly receives?: string | undefined;
}

export const REQUEST = 'upgrade request';
export const SWITCHED = '101 Switching Protocols';
export const TCP_END = 'TCP closed';
export const TCP_CUT = 'TCP reset';

/** A close frame in words; 1005 stands for an empty one (RFC 6455, section 7.1.5). */
export function closeFrame(code: number | undefined, reason: string | undefined): string {
  if (code === undefined || code === 1005) return 'close frame, empty';
  return `close ${code}${reason ? ` “${reason}”` : ''}`;
}

/**
 * A page's view of what happens on the server, delivered as server-sent events: a second channel, which is still there
 * when the connection under test is gone.
 */
export class Timeline {
  readonly id: string = randomUUID();
  readonly #res: Response;
  #tellOpen: () => void = () => {};

  constructor(res: Response) {
    this.#res = res;
  }

  /** Resolves when the page says that its next connection is open. */
  nextOpen(): Promise<void> {
    return new Promise((resolve) => {
      this.#tellOpen = resolve;
    });
  }

  /** The page has seen its connection open. */
  tellOpen(): void {
    this.#tellOpen();
  }

  /** Sends an entry, as a rule with the time of this moment. */
  record(entry: TimelineEntry, at: number = now()): void {
    this.send('entry', { ...entry, at });
  }

  send(event: string, data: object): void {
    if (this.#res.writable) this.#res.write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
  }

  /** Keeps proxies from taking silence for death. */
  beat(): void {
    if (this.#res.writable) this.#res.write(':\n\n');
  }

  end(): void {
    this.#res.end();
  }
}

export class Timelines {
  readonly #open = new Map<string, Timeline>();

  /** Opens the timeline of the page that sent the request; it ends with the response. */
  open(_req: Request, res: Response): void {
    if (this.#open.size >= MOST_TIMELINES) throw createError(503, 'Too many pages watch the laboratory');
    const timeline = new Timeline(res);
    this.#open.set(timeline.id, timeline);
    const heartbeat = setInterval(() => timeline.beat(), HEARTBEAT_MS);
    res.once('close', () => {
      clearInterval(heartbeat);
      this.#open.delete(timeline.id);
    });
    res.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' });
    timeline.send('opened', { id: timeline.id });
  }

  get(id: unknown): Timeline | undefined {
    return typeof id === 'string' ? this.#open.get(id) : undefined;
  }

  endAll(): void {
    for (const timeline of this.#open.values()) timeline.end();
  }
}

/** Milliseconds since the epoch, with fractions: some steps of a close handshake lie microseconds apart. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
