import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, type Server, type Socket } from 'node:net';
import { describe, it } from 'node:test';
import { type WebSocketContext, webSockets } from '../src/index.js';
import { anyFramework, eventually } from './support/apps.js';
import { clientClose, clientFrame, PING_FRAME } from './support/frames.js';
import { connectRequest, http2Session } from './support/http2-tunnel.js';
import { listen, makeHttp2Server, portOf, type TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

// Of frames (RFC 9113, section 6)
const [DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE, CONTINUATION] = [0, 1, 2, 3, 4, 8, 9] as const;
const [NOTHING, END_STREAM, END_HEADERS] = [0, 1, 4] as const;

function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const header = Buffer.alloc(9);
  header.writeUIntBE(payload.length, 0, 3);
  header.writeUInt8(type, 3);
  header.writeUInt8(flags, 4);
  header.writeUInt32BE(stream, 5);
  return Buffer.concat([header, payload]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** Fields as literals without an index (RFC 7541, section 6.2.2); names and values are short. */
function fields(list: ReadonlyArray<readonly [name: string, value: string]>): Buffer {
  const text = (value: string): Buffer => Buffer.concat([Buffer.of(value.length), Buffer.from(value, 'latin1')]);
  return Buffer.concat(list.flatMap(([name, value]) => [Buffer.of(0), text(name), text(value)]));
}

const request: ReadonlyArray<readonly [string, string]> = [
  [':method', 'CONNECT'],
  [':protocol', 'websocket'],
  [':scheme', 'http'],
  [':path', '/'],
  [':authority', 'localhost'],
  ['sec-websocket-version', '13'],
];

function ask(
  stream: number,
  changed: Readonly<Record<string, string | undefined>> = {},
  flags: number = END_HEADERS,
): Buffer {
  const all = Object.entries({ ...Object.fromEntries(request), ...changed });
  return frame(
    HEADERS,
    flags,
    stream,
    fields(all.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]]))),
  );
}

/** The initial window of streams. */
function initialWindow(size: number): Buffer {
  return frame(SETTINGS, NOTHING, 0, Buffer.concat([Buffer.of(0, 4), uint32(size)]));
}

function times(count: number, make: (at: number) => Buffer): Buffer {
  return Buffer.concat(Array.from({ length: count }, (_, at) => make(at)));
}

const hello = clientFrame({ payload: 'hello' });
const push = { ':path': '/push' };

/** What a client sends, in turns. */
const attacks: Readonly<Record<string, readonly Buffer[]>> = {
  'windows of nothing, opened by single bytes': [
    Buffer.concat([initialWindow(0), ask(1, push)]),
    times(50, () => frame(WINDOW_UPDATE, NOTHING, 1, uint32(1))),
  ],
  'windows that open and close': [ask(1, push), times(200, (at) => initialWindow(at % 2 === 0 ? 0 : 0x7fffffff))],
  'windows that overflow': [ask(1, push), times(2, () => frame(WINDOW_UPDATE, NOTHING, 1, uint32(0x7fffffff)))],
  'windows opened by nothing': [ask(1), frame(WINDOW_UPDATE, NOTHING, 1, uint32(0))],
  'pings, whose answers find no window': [
    Buffer.concat([initialWindow(0), ask(1)]),
    times(1000, () => frame(DATA, NOTHING, 1, clientFrame({ opcode: PING_FRAME }))),
  ],
  'refusals that find no window': [
    Buffer.concat([initialWindow(0), times(50, (at) => ask(1 + 2 * at, { ':path': '/no' }))]),
  ],
  'CONNECT for other protocols, and for none': [
    Buffer.concat(
      [undefined, '', 'WebSocket', 'connect-udp'].map((name, at) => ask(1 + 2 * at, { ':protocol': name })),
    ),
  ],
  'requests without what they need': [
    Buffer.concat([':path', ':authority', ':scheme'].map((name, at) => ask(1 + 2 * at, { [name]: undefined }))),
  ],
  'requests with bodies': [
    Buffer.concat(['0', '5', '-1', 'x'].map((length, at) => ask(1 + 2 * at, { 'content-length': length }))),
    times(4, (at) => frame(DATA, NOTHING, 1 + 2 * at, hello)),
  ],
  'fields of HTTP/1.1 and broken ones': [
    Buffer.concat(
      [{ connection: 'upgrade' }, { 'transfer-encoding': 'chunked' }, { x: 'a\nb' }, { 'x\ny': 'a' }, { X: 'a' }].map(
        (field, at) => ask(1 + 2 * at, field),
      ),
    ),
  ],
  'the end with the request': [ask(1, {}, END_HEADERS | END_STREAM)],
  'everything before the answer': [
    Buffer.concat([ask(1), frame(DATA, NOTHING, 1, hello), frame(DATA, END_STREAM, 1, clientClose(1000))]),
  ],
  trailers: [ask(1), frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([['x-a', 'b']]))],
  'trailers behind a close': [
    ask(1),
    Buffer.concat([
      frame(DATA, NOTHING, 1, clientClose(1000)),
      frame(HEADERS, END_HEADERS | END_STREAM, 1, fields([['x-a', 'b']])),
    ]),
  ],
  'a second head': [ask(1), ask(1)],
  priorities: [
    ask(1),
    times(5000, (at) => frame(PRIORITY, NOTHING, 1, Buffer.concat([uint32(3 + 2 * at), Buffer.of(at)]))),
  ],
  'empty data': [ask(1), times(5000, () => frame(DATA, NOTHING, 1))],
  'heads that never end': [
    Buffer.concat([
      ask(1, {}, NOTHING),
      times(3000, () => frame(CONTINUATION, NOTHING, 1, fields([['x', 'a'.repeat(100)]]))),
    ]),
  ],
  'requests that are reset at once': [
    times(2000, (at) => Buffer.concat([ask(1 + 2 * at), frame(RST_STREAM, NOTHING, 1 + 2 * at, uint32(8))])),
  ],
  'resets with any code': [
    times(16, (at) => ask(1 + 2 * at, push)),
    times(16, (at) => frame(RST_STREAM, NOTHING, 1 + 2 * at, uint32(at))),
  ],
};

async function echo(socket: WebSocketContext): Promise<void> {
  for await (const message of socket) await socket.sendAsync(message);
}

/** A client that speaks in frames of HTTP/2, and reads only so that TCP goes on. */
async function attacker(t: TestContext, server: Server): Promise<Socket> {
  const socket = connect(portOf(server), '127.0.0.1');
  t.after(() => void socket.destroy());
  socket.on('error', () => {}).resume();
  await once(socket, 'connect');
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(SETTINGS, NOTHING, 0)]));
  return socket;
}

describe('A client that attacks HTTP/2', { timeout: 150_000 }, () => {
  for (const [what, turns] of Object.entries(attacks)) {
    it(`with ${what} harms nobody else, and leaves no connection`, async (t) => {
      const sockets = webSockets({ onError: () => {} });
      const app = anyFramework();
      app.use('/no', (_req, res) => void res.writeHead(403).end('x'.repeat(100_000)));
      app.use(
        '/push',
        sockets.handler(async (socket) => {
          for (;;) await socket.sendAsync(Buffer.alloc(100_000));
        }),
      );
      app.use(sockets.handler(echo));
      const server = await listen(
        t,
        makeHttp2Server((_req, res) => void res.end('ordinary')),
      );
      sockets.attach(server, app);
      const bystander = connectRequest(await http2Session(t, server), { 'sec-websocket-version': '13' });
      bystander.on('error', () => {});
      await once(bystander, 'response');

      const client = await attacker(t, server);
      for (const bytes of turns) {
        client.write(bytes);
        bystander.write(hello);
        assert.equal(String((await once(bystander, 'data'))[0].subarray(2)), 'hello');
      }
      client.destroy();
      await eventually(() => sockets.connectionCount === 1);
      bystander.write(hello);
      assert.equal(String((await once(bystander, 'data'))[0].subarray(2)), 'hello');
    });
  }
});
