import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Request, RequestHandler } from 'express';
import createError from 'http-errors';
import { type GroupSendOptions, type WebSocketContext, WebSocketState, type WebSockets } from 'websocket-context';
import { z } from 'zod';
import type { Broker } from './broker.js';

/** Three ways to treat a member that reads more slowly than the group is sent to. */
const policies: Readonly<Record<string, GroupSendOptions>> = {
  wait: {},
  volatile: { volatile: true },
  latest: { latest: 'price' },
};
/** What a slow member may let pile up before it is aborted. */
const SEND_BUFFER_LIMIT = 2 * 1024 * 1024;
const MESSAGE_BYTES = 8192;
const REPORT_MS = 250;
const LARGEST_RATE = 50;

const BROKER_PAUSE_MS = 8000;

const wish = z.object({ rate: z.number().min(1).max(LARGEST_RATE).optional(), pauseBroker: z.boolean().optional() });

/** What the process of the clients counts, for each policy. */
type Counts = Record<string, unknown>;

/** Sends the same messages to three groups, as long as somebody watches. */
export class Broadcast {
  readonly #sockets: WebSockets;
  readonly #broker: Broker | undefined;
  readonly #secondPort: number | undefined;
  readonly #slow = new Set<WebSocketContext>();
  #rate = 20;
  #counts: Counts = {};
  #skipped: Record<string, number> = {};
  #aborted: Record<string, number> = {};
  #stop: (() => void) | undefined;

  constructor(sockets: WebSockets, broker?: Broker, secondPort?: number) {
    this.#sockets = sockets;
    this.#broker = broker;
    this.#secondPort = secondPort;
  }

  /** The route of the 500 clients, which live in a process of their own: `?policy=wait&pace=slow`. */
  get member(): RequestHandler {
    const join = async (socket: WebSocketContext, req: Request) => {
      const policy = String(req.query.policy);
      if (!Object.hasOwn(policies, policy)) throw createError(400, 'Unknown policy');
      if (req.query.pace === 'slow') this.#slow.add(socket);
      try {
        await socket.addToGroupAsync(groupOf(policy));
        for await (const _ of socket);
      } finally {
        this.#slow.delete(socket);
        if (socket.state === WebSocketState.Aborted) this.#aborted[policy] = (this.#aborted[policy] ?? 0) + 1;
      }
    };
    return this.#sockets.handler(join, { sendBufferLimit: SEND_BUFFER_LIMIT, maxConnections: 600 });
  }

  /** The route of the page. */
  get watch(): RequestHandler {
    return this.#sockets.handler(async (socket, req: Request) => {
      await socket.addToGroupAsync('broadcast watchers');
      this.#stop ??= this.#start(req.socket.localPort ?? 0);
      try {
        for await (const { rate, pauseBroker } of socket.json({ receive: wish })) {
          this.#rate = rate ?? this.#rate;
          if (pauseBroker) this.#broker?.pause(BROKER_PAUSE_MS).catch(console.error);
        }
      } finally {
        void socket.removeFromGroupAsync('broadcast watchers');
        if (this.#sockets.group('broadcast watchers').size === 0) this.close();
      }
    });
  }

  close(): void {
    this.#stop?.();
    this.#stop = undefined;
  }

  #start(port: number): () => void {
    this.#skipped = { wait: 0, volatile: 0, latest: 0 };
    this.#aborted = { wait: 0, volatile: 0, latest: 0 };
    const clients = fork(
      fileURLToPath(new URL('broadcast-clients.js', import.meta.url)),
      [port, this.#secondPort ?? port].map(String),
    );
    clients.on('message', (counts) => {
      this.#counts = counts as Counts;
    });
    const reports = setInterval(() => this.#report(), REPORT_MS);
    let ticker = setTimeout(tick, 0, this);
    return () => {
      clearInterval(reports);
      clearTimeout(ticker);
      clients.kill();
    };

    function tick(self: Broadcast): void {
      self.#send();
      ticker = setTimeout(tick, 1000 / self.#rate, self);
    }
  }

  /** One message to each group. All members of a group share one frame, and the call waits for none of them. */
  #send(): void {
    const message = Buffer.alloc(MESSAGE_BYTES);
    message.writeDoubleBE(Date.now());
    for (const [policy, options] of Object.entries(policies)) {
      this.#sockets
        .group(groupOf(policy))
        .sendAsync(message, options)
        .then(({ skipped }) => {
          this.#skipped[policy] = (this.#skipped[policy] ?? 0) + skipped;
        }, console.error);
    }
  }

  #report(): void {
    const groups = Object.keys(policies).map((policy) => {
      const { members, size } = this.#sockets.group(groupOf(policy));
      const slow = [...members].filter((member) => this.#slow.has(member));
      return {
        policy,
        members: size,
        held: slow.reduce((sum, member) => sum + member.bufferedAmount, 0),
        skipped: this.#skipped[policy],
        aborted: this.#aborted[policy],
      };
    });
    const report = JSON.stringify({
      rate: this.#rate,
      groups,
      clients: this.#counts,
      backplane: this.#sockets.backplane,
      memory: process.memoryUsage.rss(),
    });
    void this.#sockets.group('broadcast watchers').sendAsync(report, { latest: 'report', local: true });
  }
}

function groupOf(policy: string): string {
  return `broadcast ${policy}`;
}
