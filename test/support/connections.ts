import assert from 'node:assert/strict';
import { Connection, type ConnectionParts, type ConnectionSettings } from '../../src/connection/connection.js';
import { KeepAlive } from '../../src/connection/keep-alive.js';
import { type ReceiveResult, receiveKind } from '../../src/context/fragments.js';
import { wholeMessage } from '../../src/context/messages.js';
import type { WebSocketErrorCode } from '../../src/errors.js';
import { FakeClock } from './fake-clock.js';
import { FakeSocket } from './fake-socket.js';
import { CLOSE_FRAME, clientFrame, closePayload, type FrameInit } from './frames.js';
import type { TestContext } from './servers.js';

/** The settings of a connection with which nothing happens by itself. */
export const QUIET: ConnectionSettings = {
  receiveBufferLimit: 4 * 1024 * 1024,
  maxPayload: Number.POSITIVE_INFINITY,
  sendBufferLimit: 16 * 1024 * 1024,
  keepAliveInterval: 0,
  keepAliveTimeout: 0,
  closeTimeout: 10_000,
};

/** So many bytes do not go at once: a socket and its system have to take them. */
export const LARGE: number = 200 * 1024;

type Settings = Partial<ConnectionSettings> &
  Partial<Pick<ConnectionParts, 'compression' | 'socket'>> & { readonly head?: Buffer };

/** A connection over a fake socket and clock. */
export class Harness {
  readonly clock: FakeClock;
  readonly socket: FakeSocket;
  readonly connection: Connection;
  /** How often the connection has said that it begins to close, or is over. */
  closing = 0;
  /** How often the connection has said that it is over. */
  terminated = 0;
  /** Called when it does. */
  onTerminated: () => void = () => {};

  constructor(
    t: TestContext,
    { compression, head = Buffer.alloc(0), ...settings }: Settings = {},
    socket?: FakeSocket,
  ) {
    this.clock = new FakeClock().install(t);
    this.socket = socket ?? new FakeSocket();
    this.connection = new Connection(
      {
        socket: this.socket,
        settings: { ...QUIET, ...settings },
        keepAlive: new KeepAlive(this.clock.now),
        compression,
      },
      {
        onClosing: () => {
          this.closing++;
        },
        onTerminated: () => {
          this.terminated++;
          this.onTerminated();
        },
      },
    );
    this.connection.open(head);
    t.after(() => {
      this.connection.abort();
      this.socket.destroy();
    });
  }

  /** Frames of the peer arrive in one chunk; a string is a text message. */
  readonly arrive = (...frames: Array<FrameInit | string>): void => {
    this.socket.arrive(...frames.map((init) => clientFrame(typeof init === 'string' ? { payload: init } : init)));
  };

  /** The peer's close frame arrives. */
  readonly arriveClose = (code?: number, reason = ''): void => {
    this.arrive({ opcode: CLOSE_FRAME, payload: closePayload(code, reason) });
  };

  readonly send = (
    data: string | Uint8Array,
    options: { more?: boolean; ownMessage?: boolean; signal?: AbortSignal } = {},
  ): Promise<void> => {
    const { more = false, ownMessage = false, signal } = options;
    const text = typeof data === 'string';
    return this.connection.send({ data, text, endOfMessage: !more, compress: undefined, ownMessage, signal });
  };

  readonly receive = (into?: Uint8Array, signal?: AbortSignal): Promise<ReceiveResult> => {
    return this.connection.read(receiveKind(into, this.connection), signal);
  };

  /** What `receive` gives, in short: text, `+` if the message goes on, or the code of the close. */
  readonly receiveText = async (into?: Uint8Array): Promise<string | number> => {
    const { data, endOfMessage, closeStatus } = await this.receive(into);
    return closeStatus ?? `${data}${endOfMessage ? '' : '+'}`;
  };

  readonly message = (signal?: AbortSignal): Promise<string | Buffer | undefined> => {
    return this.connection.read(wholeMessage, signal);
  };

  /** Somebody reads a message: from now on the close of the peer is the application's business. */
  readonly readFirst = async (): Promise<void> => {
    const read = this.message();
    this.arrive('first');
    await read;
  };

  readonly close = (code = 1000, signal?: AbortSignal): Promise<void> => {
    return this.connection.close(closePayload(code), signal);
  };

  readonly closeOutput = (code = 1000, signal?: AbortSignal): Promise<void> => {
    return this.connection.closeOutput(closePayload(code), signal);
  };
}

/** Matches a WebSocketError by its code. */
export function failure(code: WebSocketErrorCode, more: object = {}): object {
  return { name: 'WebSocketError', code, ...more };
}

/** What has become of a promise: `'pending'`, its value, or what it was rejected with. */
export function observe<T>(promise: Promise<T>): { outcome: unknown } {
  const observed: { outcome: unknown } = { outcome: 'pending' };
  promise.then(
    (value) => {
      observed.outcome = value;
    },
    (error) => {
      observed.outcome = error;
    },
  );
  return observed;
}

/** Asserts that a promise rejects with the very reason. */
export async function rejectsWith(promise: Promise<unknown>, reason: unknown): Promise<void> {
  await assert.rejects(promise, (error) => error === reason);
}
