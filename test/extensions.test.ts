import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isHttpError } from 'http-errors';
import type { PerMessageDeflateOptions } from 'ws';
import * as ws from 'ws';
import { acceptableDeflate, type ExtensionOffer, parseExtensions } from '../src/upgrade/extensions.js';
import { WsBridge } from '../src/upgrade/ws-bridge.js';
import { Recorder, requestOn } from './support/bridging.js';

describe('parseExtensions()', () => {
  const wellFormed: ReadonlyArray<readonly [header: string, offers: ReadonlyArray<readonly [string, ...string[]]>]> = [
    ['permessage-deflate', [['permessage-deflate']]],
    ['a; b; c=1; d="2"', [['a', 'b', 'c=1', 'd=2']]],
    ['a, b;c , a;d', [['a'], ['b', 'c'], ['a', 'd']]],
    ['a;b;b=1', [['a', 'b', 'b=1']]],
    ['\ta \t;\t b  =  1\t, c', [['a', 'b=1'], ['c']]],
    ['a; b = "1" ; c', [['a', 'b=1', 'c']]],
    [',, a,\t, b ,', [['a'], ['b']]],
    ['a; b="\\1\\2"', [['a', 'b=12']]],
    ["!#$%&'*+-.^_`|~09azAZ", [["!#$%&'*+-.^_`|~09azAZ"]]],
    ['__proto__; constructor=1', [['__proto__', 'constructor=1']]],
  ];
  for (const [header, offers] of wellFormed) {
    it(`reads ${header}`, () => {
      const flat = ({ name, parameters }: ExtensionOffer): string[] => [
        name,
        ...parameters.map(([parameter, value]) => (value === undefined ? parameter : `${parameter}=${value}`)),
      ];
      assert.deepEqual(parseExtensions(header).map(flat), offers);
    });
  }

  const malformed: ReadonlyArray<readonly [header: string, at: number, expected: string]> = [
    ['', 0, 'an extension'],
    [' , ,', 4, 'an extension'],
    ['a b', 2, 'a comma or a semicolon'],
    ['a;', 2, 'a parameter'],
    ['a;;b', 2, 'a parameter'],
    ['a; =1', 2, 'a parameter'],
    ['a=1', 1, 'a comma or a semicolon'],
    ['a; b=', 5, 'a token, perhaps in quotes'],
    ['a; b=;', 5, 'a token, perhaps in quotes'],
    ['a; b=""', 7, 'a token, perhaps in quotes'],
    ['a; b="1', 5, 'a token, perhaps in quotes'],
    ['a; b="1\\"', 5, 'a token, perhaps in quotes'],
    ['a; b="1 2"', 10, 'a token, perhaps in quotes'],
    ['a; b=" 1"', 9, 'a token, perhaps in quotes'],
    ['a; b="1,2"', 10, 'a token, perhaps in quotes'],
    ['a; b="1"2', 8, 'a comma or a semicolon'],
    ['a; "b"', 2, 'a parameter'],
    ['"a"', 0, 'a comma or a semicolon'],
    ['a\u00a0', 1, 'a comma or a semicolon'],
    ['a, (b)', 2, 'a comma or a semicolon'],
    ['a/1', 1, 'a comma or a semicolon'],
  ];
  for (const [header, at, expected] of malformed) {
    it(`takes ${JSON.stringify(header)} for malformed`, () => {
      assert.throws(
        () => parseExtensions(header),
        (error) =>
          isHttpError(error) &&
          error.status === 400 &&
          error.message.endsWith(
            `Sec-WebSocket-Extensions is malformed at character ${at}, must have ${expected} there`,
          ),
      );
    });
  }

  it('reads whatever ws reads, and the same in it', () => {
    const extension: { parse(header: string): Record<string, object[]> } = Reflect.get(ws, 'extension');
    const parts = ['a', 'b', ';', ',', '=', '"', ' ', '\\', '1'];
    let read = 0;
    const visit = (header: string, left: number): void => {
      if (header !== '' && header === header.trim()) {
        let theirs: Record<string, object[]> | undefined;
        try {
          theirs = extension.parse(header);
        } catch {}
        if (theirs !== undefined) {
          read++;
          const ours = new Map<string, Map<string, unknown[]>[]>();
          for (const { name, parameters } of parseExtensions(header)) {
            const values = new Map<string, unknown[]>();
            for (const [parameter, value] of parameters) {
              values.set(parameter, [...(values.get(parameter) ?? []), value ?? true]);
            }
            ours.set(name, [...(ours.get(name) ?? []), values]);
          }
          const plain = [...ours].map(([name, list]) => [name, list.map((values) => Object.fromEntries(values))]);
          assert.equal(JSON.stringify(Object.fromEntries(plain)), JSON.stringify(theirs), header);
        }
      }
      if (left > 0) for (const part of parts) visit(header + part, left - 1);
    };
    // All that can be made of so many parts behind each beginning
    for (const beginning of ['', 'a;b=', 'a;b="']) visit(beginning, 4);
    assert.ok(read > 500, `${read}`);
  });
});

describe('acceptableDeflate()', () => {
  const cases: ReadonlyArray<
    readonly [header: string, options: PerMessageDeflateOptions, taken: string | undefined, promise: string]
  > = [
    ['permessage-deflate', {}, 'permessage-deflate', 'takes an offer that leaves everything to the server'],
    ['x-webkit-deflate-frame, x; y', {}, undefined, 'takes nothing of another extension'],
    ['Permessage-Deflate', {}, undefined, 'takes a name in another case for another name'],
    [
      'permessage-deflate; client_max_window_bits',
      {},
      'permessage-deflate; client_max_window_bits',
      'takes what browsers offer',
    ],
    [
      'permessage-deflate; client_max_window_bits="10"; server_max_window_bits=10; client_no_context_takeover; server_no_context_takeover',
      {},
      'permessage-deflate; client_max_window_bits=10; server_max_window_bits=10; client_no_context_takeover; server_no_context_takeover',
      'takes all parameters of RFC 7692',
    ],
    ['permessage-deflate; foo', {}, undefined, 'declines an unknown parameter'],
    ['permessage-deflate; __proto__', {}, undefined, 'declines an unknown parameter that every object has'],
    [
      'permessage-deflate; server_no_context_takeover; server_no_context_takeover',
      {},
      undefined,
      'declines a repeated parameter',
    ],
    [
      'permessage-deflate; client_max_window_bits; client_max_window_bits=10',
      {},
      undefined,
      'declines a parameter that is repeated with a value',
    ],
    [
      'permessage-deflate; foo, permessage-deflate; bar, permessage-deflate',
      {},
      'permessage-deflate',
      'goes on to the next offer',
    ],
    [
      'permessage-deflate; server_no_context_takeover',
      { serverNoContextTakeover: false },
      undefined,
      'declines what the server has ruled out',
    ],
    ['permessage-deflate; server_max_window_bits=8', {}, undefined, 'declines a window that zlib does not have'],
    [
      'permessage-deflate; server_max_window_bits=9',
      {},
      'permessage-deflate; server_max_window_bits=9',
      'takes the smallest that it has',
    ],
    [
      'permessage-deflate; server_max_window_bits=11',
      { serverMaxWindowBits: 12 },
      undefined,
      'declines a window that is too small for the server',
    ],
    [
      'permessage-deflate; server_max_window_bits=12',
      { serverMaxWindowBits: 12 },
      'permessage-deflate; server_max_window_bits=12',
      'takes one that is large enough',
    ],
    ['permessage-deflate', { clientMaxWindowBits: 10 }, undefined, 'declines a client that cannot be told a window'],
    [
      'permessage-deflate; client_max_window_bits',
      { clientMaxWindowBits: 10 },
      'permessage-deflate; client_max_window_bits',
      'takes one that can',
    ],
    [
      'permessage-deflate; client_max_window_bits=9',
      { clientMaxWindowBits: 10 },
      undefined,
      'declines one whose window is smaller',
    ],
    [
      'permessage-deflate; client_max_window_bits=10',
      { clientMaxWindowBits: 10 },
      'permessage-deflate; client_max_window_bits=10',
      'takes one whose window is the same',
    ],
  ];
  for (const [header, options, taken, promise] of cases) {
    it(promise, () => assert.equal(acceptableDeflate(header, options), taken));
  }

  for (const parameter of ['client_no_context_takeover', 'server_no_context_takeover']) {
    it(`declines any value of ${parameter}`, () => {
      for (const value of ['1', 'true', '"0"']) {
        assert.equal(acceptableDeflate(`permessage-deflate; ${parameter}=${value}`, {}), undefined, value);
      }
    });
  }
  for (const parameter of ['client_max_window_bits', 'server_max_window_bits']) {
    it(`declines values of ${parameter} that are none`, () => {
      for (const value of ['7', '16', '09', '+9', '9.0', '1e1', '0xa', 'x', '-9', '100']) {
        assert.equal(acceptableDeflate(`permessage-deflate; ${parameter}=${value}`, {}), undefined, value);
      }
    });
  }
  it('declines server_max_window_bits without a value', () => {
    assert.equal(acceptableDeflate('permessage-deflate; server_max_window_bits', {}), undefined);
  });

  it('never takes what ws refuses, and agrees on what was offered', () => {
    const bits = [undefined, 9, 12, 15] as const;
    const flags = [undefined, false, true] as const;
    const values = ['', '=8', '=9', '=11', '=12', '=15', undefined] as const;
    let taken = 0;
    for (const serverMaxWindowBits of bits)
      for (const clientMaxWindowBits of bits)
        for (const serverNoContextTakeover of flags) {
          const options = Object.fromEntries(
            Object.entries({ serverMaxWindowBits, clientMaxWindowBits, serverNoContextTakeover }).filter(
              ([, value]) => value !== undefined,
            ),
          );
          const bridge = new WsBridge();
          for (const server of values)
            for (const client of values)
              for (const takeover of ['', '; server_no_context_takeover', '; client_no_context_takeover']) {
                const offer = `permessage-deflate${server === undefined ? '' : `; server_max_window_bits${server}`}${
                  client === undefined ? '' : `; client_max_window_bits${client}`
                }${takeover}`;
                const extensions = acceptableDeflate(offer, options);
                if (extensions === undefined) continue;
                taken++;
                const socket = new Recorder();
                bridge.writeHandshake(
                  requestOn(socket, { extensions, perMessageDeflate: options }),
                  ({ perMessageDeflate }) => {
                    const { server_max_window_bits: agreed = 15 } = perMessageDeflate?.params ?? {};
                    assert.ok(Number(agreed) <= Number(server?.slice(1) || 15), offer);
                    if (takeover.startsWith('; server')) {
                      assert.equal(perMessageDeflate?.params?.server_no_context_takeover, true);
                    }
                  },
                );
                assert.match(socket.text, /^HTTP\/1\.1 101 .*Sec-WebSocket-Extensions: permessage-deflate/s);
              }
        }
    assert.ok(taken > 1000, `${taken}`);
  });
});
