import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { type WebSocketContext, WebSocketState } from 'websocket-context';
import { type CloseHabit, closePayload, type RawClient } from './raw-client.js';
import { PEERS_CLOSE, type ServerSide } from './server-side.js';
import { closeFrame, REQUEST, SWITCHED, TCP_END } from './timeline.js';

/** How long a visitor can look at an open connection before the server does something to it. */
const OPEN_MS = 300;
/** How long a page may take to say that its connection is open. */
const OPENING_MS = 5000;
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
  /** Resolves when the client has seen the connection open. */
  readonly opened: Promise<void>;
}

export interface Experiment {
  /** What the server does with the connection. */
  readonly serve: (bench: Bench) => Promise<void>;
  /** Present where a client made by hand takes the place of the browser: what it does when a close frame arrives. */
  readonly peer?: CloseHabit;
}

const all: Readonly<Record<string, Experiment>> = {
  closeAsync: { serve: closeAsync },
  closeOutputAsync: { serve: closeOutputAsync },

  sendConnectionClose: {
    async serve({ socket, server, code, reason, opened }) {
      await stayOpen(socket, opened);
      await server.call(`sendConnectionClose(${list(code, reason)})`, () => socket.sendConnectionClose(code, reason), {
        tell: () => 'resolved',
        sends: closeFrame(code, reason),
      });
      await server.call('readFragment()', () => socket.readFragment(), {
        tell: ({ connectionClose, count }) =>
          connectionClose ? 'reported connectionClose' : `delivered ${count} bytes`,
        receives: ({ connectionClose }) => (connectionClose ? PEERS_CLOSE : undefined),
      });
      const status = socket.getCloseStatus();
      server.note('event', status ? `getCloseStatus(): ${status.statusCode} “${status.reason}”` : 'no close status');
    },
  },

  closeTcpConnection: {
    async serve({ socket, server, opened }) {
      const read = server.receiveClose();
      await stayOpen(socket, opened);
      socket.closeTcpConnection();
      server.note('call', 'closeTcpConnection()', { sends: TCP_END });
      await read;
      await socket.closed;
    },
  },

  abort: {
    async serve({ socket, server, opened }) {
      const read = server.receiveClose();
      await stayOpen(socket, opened);
      socket.abort();
      server.note('call', 'abort()', { sends: TCP_END });
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
      // Not `closed`: who awaits that wants the close to be acknowledged.
      await once(socket.signal, 'abort');
      const { closeStatus, closeStatusDescription } = socket;
      server.note('inferred', 'closeTimeout is over: acknowledged without the application', {
        sends: closeFrame(closeStatus, closeStatusDescription),
      });
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
      await stayOpen(bench.socket, bench.opened);
      // Both close frames are in flight before either side can have read the other's: one process holds both ends.
      bench.peer?.sendClose(CLIENT_CLOSE);
      await closeNow(bench);
    },
  },

  vanishing: {
    peer: () => {},
    async serve({ socket, server, peer, opened }) {
      const read = server.receiveClose();
      await stayOpen(socket, opened);
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
  server.note('event', 'accepted the connection', { receives: REQUEST, sends: SWITCHED });
  await experiment.serve(bench);
  const isLeftOpen = socket.state === WebSocketState.Open;
  if (isLeftOpen) server.note('event', 'the handler returns, which closes with 1000', { sends: closeFrame(1000, '') });
  // Noted last, although `closed` resolves before what the experiment awaits: with both sides' ends a timeline is over.
  const ended = socket.closed.then(({ code, reason, wasClean }) => {
    const text = `closed: ${code}${reason && ` “${reason}”`}, ${wasClean ? 'clean' : 'not clean'}`;
    server.note('end', text, wasClean ? { receives: PEERS_CLOSE } : {});
  });
  // A connection that is left open is closed by the handler's return, so that must not wait for it.
  if (!isLeftOpen) await ended;
}

async function closeAsync(bench: Bench): Promise<void> {
  await stayOpen(bench.socket, bench.opened);
  await closeNow(bench);
}

async function closeNow({ socket, server, code, reason }: Bench): Promise<void> {
  await server.call(`closeAsync(${list(code, reason)})`, () => socket.closeAsync(code, reason), {
    tell: () => 'resolved',
    sends: closeFrame(code ?? 1000, reason),
    receives: () => PEERS_CLOSE,
  });
}

async function closeOutputAsync({ socket, server, code, reason, opened }: Bench): Promise<void> {
  await stayOpen(socket, opened);
  await server.call(`closeOutputAsync(${list(code, reason)})`, () => socket.closeOutputAsync(code, reason), {
    tell: () => 'resolved',
    sends: closeFrame(code ?? 1000, reason),
  });
  if (socket.state === WebSocketState.CloseSent) await server.receiveClose();
}

async function acknowledge(socket: WebSocketContext, server: ServerSide): Promise<void> {
  const { closeStatus, closeStatusDescription: description } = socket;
  await server.call(
    `closeAsync(${list(closeStatus, description)})`,
    () => socket.closeAsync(closeStatus, description),
    { tell: () => 'resolved', sends: closeFrame(closeStatus, description) },
  );
}

/**
 * Lets a visitor look at the open connection. It is open for him when the page has seen it: before that, a reset takes
 * even the 101 from a browser that has not read it, and the page would be told of a connection that never opened.
 */
async function stayOpen(socket: WebSocketContext, opened: Promise<void>): Promise<void> {
  await Promise.race([opened, stayFor(OPENING_MS, socket)]);
  await stayFor(OPEN_MS, socket);
}

/** Waits, unless the connection ends before. */
async function stayFor(ms: number, socket: WebSocketContext): Promise<void> {
  await delay(ms, undefined, { signal: socket.signal }).catch(() => {});
}

function list(code?: number, reason?: string): string {
  return [code, reason === undefined ? undefined : JSON.stringify(reason)]
    .filter((part) => part !== undefined)
    .join(', ');
}
