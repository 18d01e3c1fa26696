import { setTimeout as delay } from 'node:timers/promises';
import { type WebSocketContext, WebSocketError, WebSocketMessageType, WebSocketState } from 'websocket-context';
import { type CloseHabit, closePayload, type RawClient } from './raw-client.js';
import type { Timeline, TimelineEntry } from './timeline.js';

/** How long a visitor can look at an open connection before the server does something to it. */
const OPEN_MS = 300;
/** How long the ones that take their time take. */
const SLOW_MS = 1500;
const CLIENT_CLOSE = closePayload(4001, 'done here');

/** What an experiment is given: the connection, its timeline, what the visitor typed, and the hand-made client if any. */
export interface Bench {
  readonly socket: WebSocketContext;
  readonly server: ServerSide;
  readonly code: number | undefined;
  readonly reason: string | undefined;
  readonly peer: RawClient | undefined;
}

export interface Experiment {
  /** What the server does with the connection. */
  readonly serve: (bench: Bench) => Promise<void>;
  /** Present where a client made by hand takes the place of the browser: what it does when a close frame arrives. */
  readonly peer?: CloseHabit;
}

/** Writes the server's side of a timeline. */
export class ServerSide {
  readonly #timeline: Timeline;
  readonly #socket: WebSocketContext;

  constructor(timeline: Timeline, socket: WebSocketContext) {
    this.#timeline = timeline;
    this.#socket = socket;
  }

  note(kind: TimelineEntry['kind'], text: string): void {
    this.#timeline.record({ side: 'server', kind, text, state: stateName(this.#socket.state) });
  }

  /** Starts an operation and notes the call, how it ended and how long that took; `undefined` when it failed. */
  async call<T>(call: string, start: () => Promise<T>, outcome: (result: T) => string): Promise<T | undefined> {
    const began = performance.now();
    const operation = start();
    this.note('call', call);
    const elapsed = () => `after ${(performance.now() - began).toFixed(1)} ms`;
    try {
      const result = await operation;
      this.note('result', `${nameOf(call)} ${outcome(result)} ${elapsed()}`);
      return result;
    } catch (error) {
      this.note('failure', `${nameOf(call)} rejected ${elapsed()}: ${describe(error)}`);
      return undefined;
    }
  }

  /** Receives until the peer's close frame, which it leaves unanswered; false when the connection failed before. */
  async receiveClose(): Promise<boolean> {
    for (;;) {
      const result = await this.call(
        'receiveAsync()',
        () => this.#socket.receiveAsync(),
        ({ messageType, data, closeStatus, closeStatusDescription }) =>
          messageType === WebSocketMessageType.Close
            ? `reported close ${closeStatus}${closeStatusDescription && ` “${closeStatusDescription}”`}`
            : `delivered “${Buffer.from(data).toString()}”`,
      );
      if (result === undefined) return false;
      if (result.messageType === WebSocketMessageType.Close) return true;
    }
  }
}

const resolved = () => 'resolved';

const all: Readonly<Record<string, Experiment>> = {
  closeAsync: { serve: closeAsync },
  closeOutputAsync: { serve: closeOutputAsync },

  sendConnectionClose: {
    async serve({ socket, server, code, reason }) {
      await stayFor(OPEN_MS, socket);
      await server.call(
        `sendConnectionClose(${list(code, reason)})`,
        () => socket.sendConnectionClose(code, reason),
        resolved,
      );
      await server.call(
        'readFragment()',
        () => socket.readFragment(),
        ({ connectionClose, count }) => (connectionClose ? 'reported connectionClose' : `delivered ${count} bytes`),
      );
      const status = socket.getCloseStatus();
      server.note('event', status ? `getCloseStatus(): ${status.statusCode} “${status.reason}”` : 'no close status');
    },
  },

  closeTcpConnection: {
    async serve({ socket, server }) {
      const read = server.receiveClose();
      await stayFor(OPEN_MS, socket);
      socket.closeTcpConnection();
      server.note('call', 'closeTcpConnection()');
      await read;
      await socket.closed;
    },
  },

  abort: {
    async serve({ socket, server }) {
      const read = server.receiveClose();
      await stayFor(OPEN_MS, socket);
      socket.abort();
      server.note('call', 'abort()');
      await read;
    },
  },

  prompt: {
    async serve({ socket, server }) {
      if (await server.receiveClose()) await acknowledge(socket, server);
    },
  },

  slow: {
    async serve({ socket, server }) {
      if (!(await server.receiveClose())) return;
      server.note('event', `finishes its work for ${SLOW_MS} ms before it acknowledges`);
      await stayFor(SLOW_MS, socket);
      await acknowledge(socket, server);
    },
  },

  never: {
    async serve({ socket, server }) {
      if (!(await server.receiveClose())) return;
      server.note('event', 'does not acknowledge; closeTimeout is running');
      // Who awaits `closed` instead wants it acknowledged, and it is at once.
      await new Promise((resolve) => socket.signal.addEventListener('abort', resolve));
    },
  },

  late: {
    peer(client, payload) {
      client.note(`thinks about it for ${SLOW_MS} ms`);
      setTimeout(() => client.sendClose(payload), SLOW_MS);
    },
    serve: closeAsync,
  },

  talkative: {
    peer(client, payload) {
      for (const [index, text] of ['first', 'second', 'last'].entries()) {
        setTimeout(() => client.sendText(text), (index + 1) * 300);
      }
      setTimeout(() => client.sendClose(payload), 1200);
    },
    serve: closeOutputAsync,
  },

  silent: {
    peer: (client) => client.note('does not answer'),
    serve: closeAsync,
  },

  crossing: {
    peer: () => {},
    async serve(bench) {
      await stayFor(OPEN_MS, bench.socket);
      // Both close frames are in flight before either side can have read the other's: one process holds both ends.
      bench.peer?.sendClose(CLIENT_CLOSE);
      await closeNow(bench);
    },
  },

  vanishing: {
    peer: () => {},
    async serve({ socket, server, peer }) {
      const read = server.receiveClose();
      await stayFor(OPEN_MS, socket);
      peer?.reset();
      await read;
    },
  },
};

/** By the name of the button that starts it. A map, because the name comes from the network. */
export const experiments: ReadonlyMap<string, Experiment> = new Map(Object.entries(all));

/** Runs an experiment on a connection that has just been accepted, and notes its end. */
export async function run(experiment: Experiment, bench: Bench): Promise<void> {
  const { socket, server } = bench;
  server.note('event', 'accepted the connection');
  await experiment.serve(bench);
  const isLeftOpen = socket.state === WebSocketState.Open;
  if (isLeftOpen) server.note('event', 'the handler returns, which closes with 1000');
  // Noted last, although `closed` resolves before what the experiment awaits: with both sides' ends a timeline is over.
  const ended = socket.closed.then(({ code, reason, wasClean }) => {
    server.note('end', `closed: ${code}${reason && ` “${reason}”`}, ${wasClean ? 'clean' : 'not clean'}`);
  });
  // A connection that is left open is closed by the handler's return, so that must not wait for it.
  if (!isLeftOpen) await ended;
}

async function closeAsync(bench: Bench): Promise<void> {
  await stayFor(OPEN_MS, bench.socket);
  await closeNow(bench);
}

async function closeNow({ socket, server, code, reason }: Bench): Promise<void> {
  await server.call(`closeAsync(${list(code, reason)})`, () => socket.closeAsync(code, reason), resolved);
}

async function closeOutputAsync({ socket, server, code, reason }: Bench): Promise<void> {
  await stayFor(OPEN_MS, socket);
  await server.call(`closeOutputAsync(${list(code, reason)})`, () => socket.closeOutputAsync(code, reason), resolved);
  if (socket.state === WebSocketState.CloseSent) await server.receiveClose();
}

async function acknowledge(socket: WebSocketContext, server: ServerSide): Promise<void> {
  const { closeStatus, closeStatusDescription: description } = socket;
  await server.call(
    `closeAsync(${list(closeStatus, description)})`,
    () => socket.closeAsync(closeStatus, description),
    resolved,
  );
}

/** Waits, unless the connection ends before. */
async function stayFor(ms: number, socket: WebSocketContext): Promise<void> {
  await delay(ms, undefined, { signal: socket.signal }).catch(() => {});
}

function stateName(state: number): string {
  return Object.entries(WebSocketState).find(([, value]) => value === state)?.[0] ?? String(state);
}

function nameOf(call: string): string {
  return call.slice(0, call.indexOf('('));
}

function list(code?: number, reason?: string): string {
  return [code, reason === undefined ? undefined : JSON.stringify(reason)]
    .filter((part) => part !== undefined)
    .join(', ');
}

function describe(error: unknown): string {
  if (error instanceof WebSocketError) return `${error.code}: ${error.message}`;
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
