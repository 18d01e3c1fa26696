import { AsyncResource } from 'node:async_hooks';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { Duplex, type DuplexOptions } from 'node:stream';
import { type Handshake, type OpenAsWsOptions, type ValidatedRequest, WsBridge } from '../../src/upgrade/ws-bridge.js';
import { KEY } from './raw-client.js';
import { listen, type TestContext } from './servers.js';

/** A socket without a network that keeps what is written to it. */
export class Recorder extends Duplex {
  readonly written: Buffer[] = [];

  constructor(options?: DuplexOptions) {
    super(options);
    this.on('error', () => {});
  }

  get text(): string {
    return Buffer.concat(this.written).toString('latin1');
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.written.push(chunk);
    callback();
  }
}

/** A hand-over with no limit that a test would reach. */
export function handOverOptions(overrides: Partial<OpenAsWsOptions> = {}): OpenAsWsOptions {
  return {
    subProtocol: undefined,
    perMessageDeflate: undefined,
    maxPayload: Number.POSITIVE_INFINITY,
    receiveBufferLimit: Number.POSITIVE_INFINITY,
    sendBufferLimit: Number.POSITIVE_INFINITY,
    closeTimeout: 0,
    scope: new AsyncResource('test'),
    onSlowConsumer: () => new Error('too slow'),
    ...overrides,
  };
}

/** A request that has been validated, plain unless told otherwise. */
export const requestOn = (socket: Duplex, overrides: Partial<ValidatedRequest> = {}): ValidatedRequest => ({
  socket,
  head: Buffer.alloc(0),
  key: KEY,
  subProtocol: undefined,
  extensions: undefined,
  perMessageDeflate: false,
  headerLines: () => '',
  ...overrides,
});

/** A server that shakes hands with every upgrade request. */
export const shakingServer = (
  t: TestContext,
  overrides: Partial<ValidatedRequest>,
  open: (handshake: Handshake, req: IncomingMessage) => void,
): Promise<Server> => {
  const bridge = new WsBridge();
  const server = createServer();
  server.on('upgrade', (req, socket, head) => {
    const key = req.headers['sec-websocket-key'] ?? '';
    const extensions = req.headers['sec-websocket-extensions'];
    bridge.writeHandshake(requestOn(socket, { head, key, extensions, ...overrides }), (handshake) =>
      open(handshake, req),
    );
  });
  return listen(t, server);
};
