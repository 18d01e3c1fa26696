import assert from 'node:assert/strict';
import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import express from 'express';
import express4 from 'express4';
import { isOriginAllowed, normalizeOrigin } from '../src/upgrade/origin.js';

interface Given {
  readonly origin?: string;
  readonly host?: string;
  readonly secure?: boolean;
  readonly headers?: Record<string, string>;
  /** What Express makes of the request. */
  readonly prototype?: object;
  /** What other frameworks put on it. */
  readonly added?: object;
}

/** A request that seems to have come over a connection from 127.0.0.1. */
const requestOf = ({ origin, host, secure = false, headers = {}, prototype, added = {} }: Given): IncomingMessage => {
  const socket = Object.defineProperty(new Socket(), 'remoteAddress', { value: '127.0.0.1' });
  if (secure) Object.assign(socket, { encrypted: true });
  const req = new IncomingMessage(socket);
  Object.assign(req.headers, headers);
  if (origin !== undefined) req.headers.origin = origin;
  if (host !== undefined) req.headers.host = host;
  if (prototype !== undefined) Object.setPrototypeOf(req, prototype);
  return Object.assign(req, added);
};

const sameOrigin = (given: Given): unknown => isOriginAllowed(requestOf(given), 'same-origin');

describe('isOriginAllowed()', () => {
  it('allows a request without an Origin, which does not come from a browser', () => {
    const never = (): boolean => false;
    for (const policy of ['same-origin', 'any', new Set<string>(), never] as const) {
      assert.equal(isOriginAllowed(requestOf({ host: 'example.com' }), policy), true);
    }
  });

  it('allows every origin with any', () => {
    assert.equal(isOriginAllowed(requestOf({ origin: 'null' }), 'any'), true);
  });

  describe('same-origin', () => {
    const cases: ReadonlyArray<readonly [promise: string, given: Given, allowed: boolean]> = [
      ['allows the same host', { origin: 'http://example.com', host: 'example.com' }, true],
      ['allows the same host and port', { origin: 'http://example.com:8080', host: 'example.com:8080' }, true],
      ['allows an IPv6 host', { origin: 'http://[::1]:8080', host: '[::1]:8080' }, true],
      ['allows a Host in another case', { origin: 'http://example.com', host: 'EXAMPLE.com' }, true],
      ['allows an Origin in another case', { origin: 'HTTP://Example.com', host: 'example.com' }, true],
      ['allows a default port in Host', { origin: 'http://example.com', host: 'example.com:80' }, true],
      ['allows a default port in Origin', { origin: 'http://example.com:80', host: 'example.com' }, true],
      ['allows https over TLS', { origin: 'https://example.com', host: 'example.com', secure: true }, true],
      ['allows 443 over TLS', { origin: 'https://example.com', host: 'example.com:443', secure: true }, true],
      ['refuses another host', { origin: 'http://evil.example', host: 'example.com' }, false],
      ['refuses a subdomain', { origin: 'http://a.example.com', host: 'example.com' }, false],
      ['refuses a host that only begins alike', { origin: 'http://example.com.evil', host: 'example.com' }, false],
      ['refuses another port', { origin: 'http://example.com:8080', host: 'example.com:8081' }, false],
      ['refuses a port where there is none', { origin: 'http://example.com:8080', host: 'example.com' }, false],
      ['refuses https without TLS', { origin: 'https://example.com', host: 'example.com' }, false],
      ['refuses http over TLS', { origin: 'http://example.com', host: 'example.com', secure: true }, false],
      [
        'refuses the default port of the other scheme',
        { origin: 'http://example.com', host: 'example.com:443' },
        false,
      ],
      ['refuses null', { origin: 'null', host: 'example.com' }, false],
      ['refuses null, though the host be called so', { origin: 'null', host: 'null' }, false],
      ['refuses an empty Origin', { origin: '', host: 'example.com' }, false],
      ['refuses without a Host', { origin: 'http://example.com' }, false],
      ['refuses without a Host, whatever the origin be called', { origin: 'http://undefined' }, false],
      ['refuses with an empty Host', { origin: 'http://', host: '' }, false],
      ['refuses several origins', { origin: 'http://example.com, http://x', host: 'example.com' }, false],
      ['refuses a path behind the origin', { origin: 'http://example.com/', host: 'example.com' }, false],
      ['refuses a user in the origin', { origin: 'http://example.com@x', host: 'example.com' }, false],
      ['refuses a malformed origin, though Host be alike', { origin: 'http://a b', host: 'a b' }, false],
      ['refuses two that are malformed, each in its way', { origin: 'null', host: 'a b' }, false],
      ['refuses a query instead of a host in both', { origin: 'http://?', host: '?' }, false],
      ['refuses a path in both', { origin: 'http://example.com/x', host: 'example.com/x' }, false],
      ['refuses a path behind an empty port in both', { origin: 'http://example.com:/', host: 'example.com:/' }, false],
      ['refuses another scheme', { origin: 'ws://example.com', host: 'example.com' }, false],
    ];
    for (const [promise, given, allowed] of cases) it(promise, () => assert.equal(sameOrigin(given), allowed));

    describe('behind a proxy', () => {
      for (const [name, application] of [
        ['Express 5', express],
        ['Express 4', express4],
      ] as const) {
        const behind = (trustProxy: unknown, headers: Record<string, string>): Given => {
          const app = application();
          app.set('trust proxy', trustProxy);
          return { host: 'inner:3000', headers, prototype: app.request };
        };
        const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'example.com' };

        it(`believes the forwarded scheme and host of a trusted peer (${name})`, () => {
          assert.equal(sameOrigin({ ...behind(true, forwarded), origin: 'https://example.com' }), true);
          assert.equal(sameOrigin({ ...behind('loopback', forwarded), origin: 'https://example.com' }), true);
          assert.equal(sameOrigin({ ...behind(true, forwarded), origin: 'http://inner:3000' }), false);
        });

        it(`does not believe a peer that is not trusted (${name})`, () => {
          assert.equal(sameOrigin({ ...behind(false, forwarded), origin: 'https://example.com' }), false);
          assert.equal(sameOrigin({ ...behind('10.0.0.1', forwarded), origin: 'https://example.com' }), false);
          assert.equal(sameOrigin({ ...behind(false, forwarded), origin: 'http://inner:3000' }), true);
        });

        it(`takes the host next to the client out of several (${name})`, () => {
          const headers = { ...forwarded, 'x-forwarded-host': 'example.com , other' };
          assert.equal(sameOrigin({ ...behind(true, headers), origin: 'https://example.com' }), true);
        });

        it(`understands a proxy that forwards the WebSocket scheme (${name})`, () => {
          const secure = behind(true, { 'x-forwarded-proto': 'wss' });
          assert.equal(sameOrigin({ ...secure, origin: 'https://inner:3000' }), true);
          const plain = behind(true, { 'x-forwarded-proto': 'ws' });
          assert.equal(sameOrigin({ ...plain, origin: 'http://inner:3000' }), true);
        });

        it(`falls back on Host if the proxy forwards none (${name})`, () => {
          const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': '' };
          assert.equal(sameOrigin({ ...behind(true, headers), origin: 'https://inner:3000' }), true);
        });
      }

      it('believes nothing without Express', () => {
        const headers = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'example.com' };
        assert.equal(sameOrigin({ host: 'inner', headers, origin: 'https://example.com' }), false);
        assert.equal(sameOrigin({ host: 'inner', headers, origin: 'http://inner' }), true);
      });

      it('goes by the connection if the forwarded scheme is none', () => {
        const added = { protocol: 'gopher' };
        assert.equal(sameOrigin({ host: 'inner', added, origin: 'http://inner' }), true);
      });
    });
  });

  describe('a list', () => {
    const list = new Set(['https://example.com', 'capacitor://localhost']);

    it('allows its members, however they are written', () => {
      for (const origin of ['https://example.com', 'https://EXAMPLE.com:443', 'capacitor://localhost']) {
        assert.equal(isOriginAllowed(requestOf({ origin }), list), true, origin);
      }
    });

    it('refuses all others, and its own host too', () => {
      for (const origin of ['http://example.com', 'https://example.com.evil', 'null', '', 'http://localhost']) {
        assert.equal(isOriginAllowed(requestOf({ origin, host: 'localhost' }), list), false, origin);
      }
    });
  });

  describe('a function', () => {
    it('decides, given the origin as it was sent and the request', () => {
      const req = requestOf({ origin: 'HTTP://Example.com' });
      const seen: unknown[] = [];
      assert.equal(
        isOriginAllowed(req, (origin, request) => seen.push(origin, request) > 0),
        true,
      );
      assert.equal(seen[0], 'HTTP://Example.com');
      assert.equal(seen[1], req);
    });

    it('may decide later', async () => {
      const later = isOriginAllowed(requestOf({ origin: 'http://x' }), async () => false);
      assert.ok(later instanceof Promise);
      assert.equal(await later, false);
    });
  });
});

describe('normalizeOrigin()', () => {
  it('takes no host that is longer than any name can be', () => {
    assert.equal(normalizeOrigin(`http://${'a'.repeat(1024)}`), `http://${'a'.repeat(1024)}`);
    assert.equal(normalizeOrigin(`http://${'a'.repeat(1025)}`), undefined);
  });

  it('takes schemes literally that the URL parser gives no origin', () => {
    assert.equal(normalizeOrigin('Capacitor://LocalHost'), 'capacitor://localhost');
  });

  it('is undefined for what is no origin', () => {
    for (const origin of [
      '',
      'null',
      'http:',
      'http://',
      '//x',
      'x',
      ' http://x',
      'http://x\\y',
      'http://x#',
      '1http://x',
      'http://%',
      'http://x\ny', // which the URL parser takes for http://xy
    ]) {
      assert.equal(normalizeOrigin(origin), undefined, origin);
    }
  });
});
