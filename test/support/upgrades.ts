import assert from 'node:assert/strict';
import type { IncomingMessage, Server } from 'node:http';
import { resolveOptions, resolveRouteOptions, type WebSocketRouteOptions } from '../../src/options.js';
import { attach } from '../../src/upgrade/attach.js';
import type { AppFunction } from '../../src/upgrade/chain.js';
import { type Handshake, type HandshakeTerms, performHandshake } from '../../src/upgrade/handshake.js';
import type { AcceptedRequestEvents } from '../../src/upgrade/upgrade-request.js';
import { WsBridge } from '../../src/upgrade/ws-bridge.js';
import { type RawClient, type RawRequest, type RawResponse, rawUpgrade } from './raw-client.js';
import { serve, type TestContext } from './servers.js';

// The errors that applications leave unhandled on purpose are not to fill the output of the tests
process.env['NODE_ENV'] = 'test';

export const bridge: WsBridge = new WsBridge();
export const defaults: ReturnType<typeof resolveOptions> = resolveOptions();

/** A promise that is settled from outside. */
export class Deferred<T> {
  readonly promise: Promise<T>;
  resolve: (value: T) => void = () => {};
  reject: (reason: unknown) => void = () => {};

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}

/** What happened on the HTTP side behind a 101. */
export class RecordedEvents implements AcceptedRequestEvents {
  readonly isHandled = false;
  readonly events: (readonly [kind: 'chain' | 'response' | 'gave up' | 'end', what: unknown])[] = [];
  #waiting: (() => void) | undefined;

  claim(): this {
    return this;
  }

  onChainEnd(error?: unknown): void {
    this.#add(['chain', error]);
  }

  onResponseEnd(statusCode: number, gaveUp: boolean): void {
    this.#add([gaveUp ? 'gave up' : 'response', statusCode]);
  }

  onResponseError(error: unknown): void {
    this.#add(['end', error]);
  }

  /** The events, as soon as there are that many. */
  async until(count: number): Promise<RecordedEvents['events']> {
    while (this.events.length < count) {
      await new Promise<void>((resolve) => {
        this.#waiting = resolve;
      });
    }
    return this.events;
  }

  #add(event: RecordedEvents['events'][number]): void {
    this.events.push(event);
    this.#waiting?.();
  }
}

/** Terms of a handshake that anybody may have. */
export const terms = <T>(
  open: HandshakeTerms<T>['open'],
  options: HandshakeTerms<T>['options'] = defaults,
): HandshakeTerms<T> => ({ options, bridge, open, assertRoom: () => {} });

/** Performs the handshake and sends back what comes behind it, byte for byte, so that stray bytes are seen. */
export const accept = (
  req: IncomingMessage,
  overrides?: WebSocketRouteOptions,
  events: AcceptedRequestEvents = new RecordedEvents(),
): Handshake | Promise<Handshake> =>
  performHandshake(
    req,
    terms(
      (handshake, upgrade) => {
        upgrade.events = events;
        const { head, socket } = handshake;
        socket.on('error', () => {});
        if (head.length > 0) socket.unshift(head);
        socket.pipe(socket);
        return handshake;
      },
      resolveRouteOptions(defaults, overrides),
    ),
  );

/** A server that `app` is attached to, and whose ordinary requests it handles too. */
export const attached = async (
  t: TestContext,
  app: AppFunction,
  options: { secure?: boolean; handshakeTimeout?: number } = {},
): Promise<Server> => {
  const server = await serve(t, (req, res) => void app(req, res, () => res.writeHead(404).end()), options);
  attach(server, app, { handshakeTimeout: options.handshakeTimeout ?? 5000 });
  return server;
};

/** A server that accepts with these options and leaves errors to the end of the chain. */
export const accepting = (t: TestContext, overrides?: WebSocketRouteOptions): Promise<Server> =>
  attached(t, async (req, _res, next) => {
    try {
      await accept(req, overrides);
    } catch (error) {
      next(error);
    }
  });

/** The complete answer to an upgrade request. */
export const responseTo = async (
  t: TestContext,
  server: Server,
  request: RawRequest = {},
): Promise<RawResponse & { readonly body: string }> => (await rawUpgrade(t, server, request)).readResponse();

/** Makes sure that nothing but what the client sends comes back behind the 101 of {@link accept}. */
export const assertClean = async (client: RawClient): Promise<void> => {
  client.write('untouched');
  assert.equal((await client.read('untouched'.length)).toString(), 'untouched');
  assert.equal(client.received.length, 0);
};
