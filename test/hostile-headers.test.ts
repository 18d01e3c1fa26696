import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import express from 'express';
import { webSockets } from '../src/index.js';
import { rawConnect } from './support/raw-client.js';
import { serve, type TestContext } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

/** About as much as Node takes of a head: 16 KiB. */
const SIZE = 15_000;

const filled = (unit: string): string => unit.repeat(Math.ceil(SIZE / unit.length)).slice(0, SIZE);

const numbered = (make: (i: number) => string): string =>
  filled(Array.from({ length: SIZE / 5 }, (_, i) => make(i)).join(''));

/** International names, no character of which occurs twice: what is slow to be turned into ASCII. */
const international = numbered((i) => encodeURIComponent(String.fromCodePoint(0x4e00 + i)));

/** What is worst for a parser that looks again at what it has seen, for each header that is read. */
const hostile: ReadonlyArray<readonly [header: string, values: readonly string[]]> = [
  [
    'Connection',
    [filled(','), filled(' '), `Upgrade, ${filled('a ')}`, filled('upgrade ,'), filled('\t,')].map(upgrade),
  ],
  [
    'Upgrade',
    [filled(','), `a${filled(' ')}b`, filled('a ,'), filled('websocket/')].map((value) => `websocket, ${value}`),
  ],
  ['Sec-WebSocket-Key', [filled('='), filled('A'), `${filled('A')}==`, `A${filled(' ')}A`]],
  ['Sec-WebSocket-Version', [filled('1'), `1${filled(' ')}3`, filled('13,')]],
  [
    'Sec-WebSocket-Protocol',
    [
      `a${filled(' ')}b`,
      filled('a \t '),
      filled(','),
      filled(' ,'),
      numbered((i) => `${i.toString(36)},`),
      `${numbered((i) => `${i.toString(36)},`)}0`,
      filled('"'),
    ],
  ],
  [
    'Sec-WebSocket-Extensions',
    [
      `a${filled(' ')}b`,
      `a; b="${filled('\\a')}`,
      `a; b="${filled('\\a')}"`,
      `a; b=${filled('"')}`,
      filled('a;'),
      filled(','),
      filled('permessage-deflate;x,'),
      `${filled('permessage-deflate;x=1,')}permessage-deflate`,
      numbered((i) => `${i.toString(36)},`),
      `a${numbered((i) => `;${i.toString(36)}`)}`,
    ],
  ],
  [
    'Origin',
    [
      `http://${international}`,
      `http://xn--${filled('a')}`,
      `http://${filled('xn--9ca.')}`,
      `http://[${filled(':')}]`,
      filled('a.'),
      filled('a:'),
      `a${filled(' ')}b`,
    ],
  ],
  ['Host', [international, `xn--${filled('a')}`, filled(':'), `a:${filled('0')}`, `a${filled(' ')}b`]],
  ['X-Forwarded-Host', [international, filled(','), `a${filled(' ')}b`, filled(' ,')]],
  ['X-Forwarded-Proto', [filled(','), `a${filled(' ')}b`, filled('https,')]],
  [
    'Cookie',
    [
      numbered((i) => `${i.toString(36)}=%;`),
      numbered((i) => `${i.toString(36)}=%ff;`),
      filled('='),
      `${filled(';')}=`,
      `${filled('a;')}a=b`,
      `a=${filled(' ')}b`,
      `a=${filled('%41')}`,
    ],
  ],
  ['User-Agent', [filled(' ('), filled('(')]],
];

const targets = [
  `/${filled('../')}`,
  `/${filled('%2e%2e/')}`,
  `/?${filled('a=b&')}`,
  `/?${filled('[')}`,
  `/${filled('%')}`,
  `http://${international}/`,
  `http://${filled('a@')}/`,
];

function upgrade(value: string): string {
  return `Upgrade, ${value}`;
}

/** An application that looks at all that a request says of itself, whether it is accepted or refused. */
async function server(t: TestContext): Promise<(target: string, headers: Record<string, string>) => Promise<number>> {
  const sockets = webSockets({ subProtocols: ['a', 'chat'], perMessageDeflate: true, origin: ['https://example.com'] });
  const app = express();
  app.set('trust proxy', true);
  app.use((req, _res, next) => {
    sockets.requestedProtocols(req);
    next();
  });
  const facts = (socket: Awaited<ReturnType<typeof sockets.accept>>): unknown[] => [
    socket.cookies,
    socket.isLocal,
    socket.isSecureConnection,
    socket.origin,
    socket.requestUri,
    socket.secWebSocketProtocols,
    socket.userAgent,
    socket.userHostAddress,
  ];
  app.use(sockets.handler((socket) => void facts(socket), { origin: 'same-origin' }));
  const listening = await serve(t, app);
  sockets.attach(listening, app);
  // Every header but the one under test is what a client sends
  const usual = {
    Host: 'localhost',
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
  };
  return async (target, headers) => {
    const client = await rawConnect(t, listening);
    const lines = Object.entries({ ...usual, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    const request = `GET ${target} HTTP/1.1\r\n${lines.join('')}\r\n`;
    const before = process.cpuUsage();
    client.write(request);
    const { status } = await client.readHead();
    const { user, system } = process.cpuUsage(before);
    assert.ok(status >= 101 && status < 500, `${status}`);
    client.socket.destroy();
    return user + system;
  };
}

/** The least of a few measurements: what the machine does beside is in none of them, or in one. */
async function least(measure: () => Promise<number>): Promise<number> {
  let fastest = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 7; i++) fastest = Math.min(fastest, await measure());
  return fastest;
}

// What takes time in proportion to its length takes a millisecond here; with its square, a hundred times that.
const TIMES = 12;

describe('reading a request', () => {
  for (const [header, values] of hostile) {
    it(`takes no longer for a hostile ${header} than for any other of its length`, async (t) => {
      const request = await server(t);
      const benign = await least(() => request('/', { 'X-Any': filled('a') }));
      for (const value of values) {
        const taken = await least(() => request('/', { [header]: value }));
        assert.ok(taken < TIMES * benign, `${taken} µs instead of ${benign} µs for ${value.slice(0, 50)}`);
      }
    });
  }

  it('takes no longer for a hostile target than for any other of its length', async (t) => {
    const request = await server(t);
    const benign = await least(() => request(`/${filled('a')}`, {}));
    for (const target of targets) {
      const taken = await least(() => request(target, {}));
      assert.ok(taken < TIMES * benign, `${taken} µs instead of ${benign} µs for ${target.slice(0, 50)}`);
    }
  });
});
