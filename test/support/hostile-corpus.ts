import { deflateRawSync } from 'node:zlib';
import {
  BINARY_FRAME,
  CLOSE_FRAME,
  CONTINUATION,
  clientClose,
  clientFrame,
  PING_FRAME,
  PONG_FRAME,
  TEXT_FRAME,
} from './frames.js';
import { KEY, requestBytes, upgradeHeaders } from './raw-client.js';

/** Input of a client behind its handshake, and what an echo makes of it. */
export interface FrameCase {
  readonly name: string;
  readonly bytes: Buffer;
  /** The messages that come back. */
  readonly echoed: readonly string[];
  /** The code of the close frame that comes then. */
  readonly close: number;
  /** Negotiates permessage-deflate first. */
  readonly compressed: boolean;
}

/** Input of a client instead of a proper handshake, and the status of the answer. */
export interface RequestCase {
  readonly name: string;
  readonly bytes: Buffer;
  readonly status: number;
  /** It does not get past the HTTP parser of Node, which answers by itself. */
  readonly byParser: boolean;
}

/** Longest message of the server under test. */
export const MAX_PAYLOAD: number = 64 * 1024;

const FIRST = clientFrame({ payload: 'first' });

function frames(
  close: number,
  named: Readonly<Record<string, Buffer | readonly Buffer[]>>,
  { compressed = false, echoed = ['first'] }: { compressed?: boolean; echoed?: readonly string[] } = {},
): FrameCase[] {
  return Object.entries(named).map(([name, bytes]) => ({
    name,
    // Something proper before it, which must have been answered, and behind it, which must not be.
    bytes: Buffer.concat([FIRST, ...[bytes].flat(), clientFrame({ payload: 'behind' })]),
    echoed,
    close,
    compressed,
  }));
}

const text = (payload: string | number[], more: object = {}): Buffer =>
  clientFrame({ payload: typeof payload === 'string' ? payload : Buffer.from(payload), ...more });

const each = <T extends string | number>(
  values: readonly T[],
  name: (value: T) => string,
  make: (value: T) => Buffer,
) => Object.fromEntries(values.map((value) => [name(value), make(value)]));

/** Compressed as permessage-deflate wants it: without the empty block at the end (RFC 7692, section 7.2.1). */
const deflate = (data: string | Buffer): Buffer => {
  const out = deflateRawSync(data, { finishFlush: 2 });
  return out.subarray(0, out.length - 4);
};

const IMPOSSIBLE_TEXT: Readonly<Record<string, number[]>> = {
  'a lone continuation byte': [0x80],
  'an overlong slash': [0xc0, 0xaf],
  'an overlong NUL': [0xe0, 0x80, 0x80],
  'half of a surrogate pair': [0xed, 0xa0, 0x80],
  'a character beyond U+10FFFF': [0xf4, 0x90, 0x80, 0x80],
  'a byte that no character has': [0xff],
  'a character that is cut off': [0x61, 0xe2, 0x82],
};

export const frameCases: readonly FrameCase[] = [
  ...frames(1002, {
    'an unmasked message': clientFrame({ payload: 'x', mask: false }),
    'an unmasked close': clientFrame({ opcode: CLOSE_FRAME, mask: false }),
    'an unmasked ping': clientFrame({ opcode: PING_FRAME, mask: false }),
    ...each(
      [1, 2, 3, 4, 5, 6, 7],
      (rsv) => `reserved bits ${rsv}`,
      (rsv) => text('x', { rsv }),
    ),
    ...each(
      [3, 4, 5, 6, 7, 11, 12, 13, 14, 15],
      (opcode) => `opcode ${opcode}`,
      (opcode) => text('x', { opcode }),
    ),
    ...each(
      [CLOSE_FRAME, PING_FRAME, PONG_FRAME],
      (opcode) => `a control frame in fragments, opcode ${opcode}`,
      (opcode) => clientFrame({ fin: false, opcode }),
    ),
    ...each(
      [CLOSE_FRAME, PING_FRAME, PONG_FRAME],
      (opcode) => `a control frame that is too long, opcode ${opcode}`,
      (opcode) => clientFrame({ opcode, payload: Buffer.alloc(126) }),
    ),
    'a control frame with a long length': clientFrame({ opcode: PING_FRAME, payload: 'x', lengthBytes: 8 }),
    'a close frame of one byte': clientFrame({ opcode: CLOSE_FRAME, payload: Buffer.of(3) }),
    ...each(
      [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535],
      (code) => `the close code ${code}`,
      (code) => clientClose(code),
    ),
    'a continuation of nothing': clientFrame({ opcode: CONTINUATION, payload: 'x' }),
    'a message within a message': [text('a', { fin: false }), text('b')],
    'a length with its top bit set': clientFrame({ payload: '', length: 1n << 63n, lengthBytes: 8 }),
  }),
  ...frames(1007, {
    ...Object.fromEntries(Object.entries(IMPOSSIBLE_TEXT).map(([name, bytes]) => [name, text(bytes)])),
    'text that is cut off at the end of its fragments': [
      text([0xf0, 0x9f], { fin: false }),
      clientFrame({ opcode: CONTINUATION, payload: Buffer.of(0x98) }),
    ],
    'text that becomes impossible in its second fragment': [
      text([0xe2, 0x82], { fin: false }),
      clientFrame({ fin: false, opcode: CONTINUATION, payload: 'x' }),
    ],
    'a reason that is not UTF-8': clientClose(1000, Buffer.of(0xc3, 0x28)),
  }),
  ...frames(1009, {
    'a message that announces too much': clientFrame({ opcode: BINARY_FRAME, length: MAX_PAYLOAD + 1 }),
    'a message that announces what no number can hold': clientFrame({ length: (1n << 63n) - 1n, lengthBytes: 8 }),
    'fragments that announce too much together': [
      clientFrame({ fin: false, opcode: BINARY_FRAME, payload: Buffer.alloc(1000) }),
      clientFrame({ opcode: CONTINUATION, length: MAX_PAYLOAD - 999 }),
    ],
  }),
  ...frames(
    1002,
    {
      'a compressed control frame': clientFrame({ opcode: PING_FRAME, rsv: 4 }),
      'a continuation that says it is compressed': [
        clientFrame({ fin: false, rsv: 4, payload: deflate('a') }),
        clientFrame({ opcode: CONTINUATION, rsv: 4 }),
      ],
    },
    { compressed: true },
  ),
  ...frames(
    1007,
    {
      'compressed data that is none': clientFrame({ rsv: 4, payload: Buffer.alloc(40, 0xff) }),
      'a block of an unknown type': clientFrame({ rsv: 4, payload: Buffer.of(0x06, 0x00) }),
      'compressed text that is impossible': clientFrame({ rsv: 4, payload: deflate(Buffer.of(0xc0, 0xaf)) }),
      'a distance beyond the window': clientFrame({ rsv: 4, payload: Buffer.of(0x4a, 0x04, 0x21, 0x00) }),
    },
    { compressed: true },
  ),
  ...frames(
    1009,
    { 'a decompression bomb': clientFrame({ rsv: 4, payload: deflate(Buffer.alloc(8 * 1024 * 1024)) }) },
    { compressed: true },
  ),
  // What looks odd and is right: nobody may be closed for it.
  ...[
    ...frames(1000, { 'empty fragments': emptyFragments(), 'a pong that nobody asked for': pong() }, odd('', 'x')),
    ...frames(1000, { 'pings within a message': pingsWithin() }, odd('half and half')),
    ...frames(1000, { 'lengths in more bytes than needed': [longer(2), longer(8)] }, odd('long', 'long')),
    ...frames(1000, { 'a character in three fragments': cutCharacter() }, odd('€')),
    ...frames(1000, { 'a mask of zeros': text('plain', { mask: Buffer.alloc(4) }) }, odd('plain')),
    ...frames(1000, { 'compressed and not in turns': [text('no'), compressed('yes')] }, oddCompressed('no', 'yes')),
  ].map((one) => ({ ...one, bytes: Buffer.concat([one.bytes, clientClose(1000)]) })),
];

function odd(...echoed: string[]): { echoed: string[] } {
  return { echoed: ['first', ...echoed, 'behind'] };
}

function oddCompressed(...echoed: string[]): { echoed: string[]; compressed: true } {
  return { ...odd(...echoed), compressed: true };
}

function emptyFragments(): Buffer[] {
  const middle = Array<Buffer>(100).fill(clientFrame({ fin: false, opcode: CONTINUATION }));
  const nothing = [clientFrame({ fin: false }), ...middle, clientFrame({ opcode: CONTINUATION })];
  return [...nothing, clientFrame({ fin: false }), ...middle, clientFrame({ opcode: CONTINUATION, payload: 'x' })];
}

function pong(): Buffer[] {
  return [clientFrame({ opcode: PONG_FRAME, payload: 'unasked' }), clientFrame(), text('x')];
}

function pingsWithin(): Buffer[] {
  const ping = clientFrame({ opcode: PING_FRAME, payload: Buffer.alloc(125, 'p') });
  return [text('half ', { fin: false }), ping, ping, clientFrame({ opcode: CONTINUATION, payload: 'and half' })];
}

function longer(lengthBytes: 2 | 8): Buffer {
  return text('long', { lengthBytes });
}

function cutCharacter(): Buffer[] {
  return [
    text([0xe2], { fin: false, opcode: TEXT_FRAME }),
    clientFrame({ fin: false, opcode: CONTINUATION, payload: Buffer.of(0x82) }),
    clientFrame({ opcode: CONTINUATION, payload: Buffer.of(0xac) }),
  ];
}

function compressed(message: string): Buffer {
  return clientFrame({ rsv: 4, payload: deflate(message) });
}

const head = (lines: string, firstLine = 'GET / HTTP/1.1'): Buffer =>
  Buffer.from(`${firstLine}\r\nHost: localhost\r\n${lines}\r\n`, 'latin1');
const upgradeLines = Object.entries(upgradeHeaders)
  .filter(([name]) => name !== 'Host')
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join('');
const withHeaders = (headers: Readonly<Record<string, string | undefined>>, tail = ''): Buffer =>
  requestBytes({ headers, tail });

function requests(status: number, named: Readonly<Record<string, Buffer>>, byParser = false): RequestCase[] {
  return Object.entries(named).map(([name, bytes]) => ({ name, bytes, status, byParser }));
}

export const requestCases: readonly RequestCase[] = [
  ...requests(
    400,
    {
      'bytes that mean nothing': Buffer.from('\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03\r\n\r\n', 'latin1'),
      'the preface of HTTP/2': Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
      'no request line': Buffer.from('\r\n\r\n\r\nHost: localhost\r\n\r\n'),
      'another version': head(upgradeLines, 'GET / HTTP/9.9'),
      'an unknown method': head(upgradeLines, 'HACK / HTTP/1.1'),
      'a header without a colon': head(`${upgradeLines}nonsense\r\n`),
      'a header with a NUL': head(`${upgradeLines}X-Nul: a\0b\r\n`),
      'a space in the name of a header': head(`${upgradeLines}X Space: x\r\n`),
      'a folded header without a beginning': head(` folded\r\n${upgradeLines}`),
      'a length that is none': head(`${upgradeLines}Content-Length: -1\r\n`),
      'two lengths': head(`${upgradeLines}Content-Length: 0\r\nContent-Length: 5\r\n`),
      'a length and a coding': head(`${upgradeLines}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n`),
    },
    true,
  ),
  ...requests(400, {
    'HTTP/1.0': head(upgradeLines, 'GET / HTTP/1.0'),
    'no host': Buffer.from(`GET / HTTP/1.1\r\n${upgradeLines}\r\n`),
    'a body': withHeaders({ 'Content-Length': '5' }, '\x81\x80aaaa'),
    'a body in chunks': withHeaders({ 'Transfer-Encoding': 'chunked' }, '3\r\nabc\r\n0\r\n\r\n'),
    'a path that cannot be decoded': requestBytes({ path: '/decoded/%zz' }),
    'no key': withHeaders({ 'Sec-WebSocket-Key': undefined }),
    'a key that is too short': withHeaders({ 'Sec-WebSocket-Key': 'c2hvcnQ=' }),
    'a key that is enormous': withHeaders({ 'Sec-WebSocket-Key': 'A'.repeat(8000) }),
    'the key twice': withHeaders({ 'Sec-WebSocket-Key': `${KEY}, ${KEY}` }),
    'an extension list that is none': withHeaders({ 'Sec-WebSocket-Extensions': '; = ,,,' }),
  }),
  ...requests(403, {
    'a foreign origin': withHeaders({ Origin: 'https://elsewhere.example' }),
    'the origin null': withHeaders({ Origin: 'null' }),
    'an origin that is none': withHeaders({ Origin: 'javascript:alert(1)//\t"\'<>' }),
    'two origins': withHeaders({ Origin: 'http://localhost, https://elsewhere.example' }),
    'an empty origin': withHeaders({ Origin: '' }),
  }),
  ...requests(404, {
    'a path that nobody serves': requestBytes({ path: '/nowhere' }),
    'a path that climbs': requestBytes({ path: '/../../etc/passwd' }),
    'a path with markup in it': requestBytes({ path: '/%3Cscript%3E' }),
  }),
  ...requests(405, { 'another method': requestBytes({ method: 'POST' }) }),
  ...requests(426, {
    'an old version': withHeaders({ 'Sec-WebSocket-Version': '8' }),
    'no version': withHeaders({ 'Sec-WebSocket-Version': undefined }),
    'an enormous version': withHeaders({ 'Sec-WebSocket-Version': '9'.repeat(8000) }),
    'no wish to upgrade': withHeaders({ Connection: 'close', Upgrade: undefined }),
    'a wish to upgrade to something else': withHeaders({ Connection: 'Upgrade, close', Upgrade: 'h2c' }),
  }),
  ...requests(
    431,
    {
      'a header without end': withHeaders({ 'X-Long': 'x'.repeat(100_000) }),
      'more headers than anybody reads': head(upgradeLines + 'X-Many: x\r\n'.repeat(10_000)),
    },
    true,
  ),
  ...requests(101, {
    'a thousand subprotocols': withHeaders({ 'Sec-WebSocket-Protocol': names(1000).join(',') }),
    'a subprotocol list that is none': withHeaders({ 'Sec-WebSocket-Protocol': 'a b, {}, "' }),
    'windows that do not exist': withHeaders({
      'Sec-WebSocket-Extensions': 'permessage-deflate; server_max_window_bits=99',
    }),
    'a thousand extensions': withHeaders({ 'Sec-WebSocket-Extensions': names(1000).join(',') }),
    'cookies that are none': withHeaders({ Cookie: '=;;; __proto__=1; %zz=%zz; a' }),
    'a query with names of objects': requestBytes({ path: '/?__proto__[x]=1&constructor=2&a[b][c]=3' }),
    'the path of a proxy': requestBytes({ path: 'http://localhost/' }),
    'headers with names of objects': withHeaders({ __proto__x: '1', Constructor: 'x', 'X-Prototype': '{}' }),
  }),
];

function names(count: number): string[] {
  return Array.from({ length: count }, (_, at) => `p${at}`);
}
