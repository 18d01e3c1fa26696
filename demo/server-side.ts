import { type WebSocketContext, WebSocketError, WebSocketMessageType, WebSocketState } from 'websocket-context';
import { closeFrame, now, TCP_CUT, TCP_END, type Timeline, type TimelineEntry } from './timeline.js';

/** The peer's close frame, whatever it says. */
export const PEERS_CLOSE = 'the peer’s close frame';

type Wire = Pick<TimelineEntry, 'sends' | 'receives'>;

/** What a call puts on the wire, and what its result says. */
interface Meaning<T> {
  readonly tell: (result: T) => string;
  readonly sends?: string;
  /** What has arrived when there is a result; `PEERS_CLOSE` counts only the first time. */
  readonly receives?: (result: T) => string | undefined;
}

/** Writes the server's side of a timeline. */
export class ServerSide {
  readonly #timeline: Timeline;
  readonly #socket: WebSocketContext;
  #hasSeenClose = false;

  constructor(timeline: Timeline, socket: WebSocketContext) {
    this.#timeline = timeline;
    this.#socket = socket;
  }

  note(kind: TimelineEntry['kind'], text: string, wire: Wire = {}, at: number = now()): void {
    const state = Object.entries(WebSocketState).find(([, value]) => value === this.#socket.state)?.[0] ?? 'unknown';
    const seen = wire.receives === PEERS_CLOSE ? this.#seeClose() : wire;
    this.#timeline.record({ side: 'server', kind, text, state, ...seen }, at);
  }

  /** Starts an operation and notes the call, how it ended and how long that took; `undefined` when it failed. */
  async call<T>(call: string, start: () => Promise<T>, { tell, sends, receives }: Meaning<T>): Promise<T | undefined> {
    const name = call.slice(0, call.indexOf('('));
    // Taken before the start, because what a call causes on the other side may come before the call returns.
    const [at, began] = [now(), performance.now()];
    const operation = start();
    this.note('call', call, { sends }, at);
    const elapsed = () => `after ${(performance.now() - began).toFixed(1)} ms`;
    try {
      const result = await operation;
      this.note('result', `${name} ${tell(result)} ${elapsed()}`, { receives: receives?.(result) });
      return result;
    } catch (error) {
      this.note('failure', `${name} rejected ${elapsed()}: ${describe(error)}`, wireOf(error));
      return undefined;
    }
  }

  /** Receives until the peer's close frame, which it leaves unanswered; false when the connection failed before. */
  async receiveClose(): Promise<boolean> {
    for (;;) {
      const result = await this.call('receiveAsync()', () => this.#socket.receiveAsync(), {
        tell: ({ messageType, data, closeStatus, closeStatusDescription: description }) =>
          messageType === WebSocketMessageType.Close
            ? `reported close ${closeStatus}${description && ` “${description}”`}`
            : `delivered “${Buffer.from(data).toString()}”`,
        receives: ({ messageType, data }) =>
          messageType === WebSocketMessageType.Close ? PEERS_CLOSE : `“${Buffer.from(data).toString()}”`,
      });
      if (result === undefined) return false;
      if (result.messageType === WebSocketMessageType.Close) return true;
    }
  }

  #seeClose(): Wire {
    if (this.#hasSeenClose) return {};
    this.#hasSeenClose = true;
    const { closeStatus, closeStatusDescription, state } = this.#socket;
    const receives = closeFrame(closeStatus, closeStatusDescription);
    // When ours is out already, the server ends TCP at once (RFC 6455, section 7.1.1).
    return state === WebSocketState.Closed ? { receives, sends: TCP_END } : { receives };
  }
}

function wireOf(error: unknown): Wire {
  if (!(error instanceof WebSocketError)) return {};
  if (error.code === 'ERR_WEBSOCKET_CLOSE_TIMEOUT') return { sends: TCP_END };
  if (error.code === 'ERR_WEBSOCKET_CONNECTION_CLOSED_PREMATURELY') return { receives: TCP_CUT };
  return {};
}

function describe(error: unknown): string {
  if (error instanceof WebSocketError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
