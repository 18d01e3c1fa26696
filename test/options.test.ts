import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { DEFLATE_DEFAULTS } from '../src/framing/deflate-options.js';
import { resolveOptions, resolveRouteOptions } from '../src/options.js';

/** Options as plain JavaScript may pass them. */
const loose = (options: unknown): object => options as object;

describe('resolveOptions()', () => {
  it('fills in the documented defaults', () => {
    assert.deepEqual(resolveOptions(), {
      origin: 'same-origin',
      subProtocols: [],
      receiveBufferLimit: 4194304,
      maxPayload: Number.POSITIVE_INFINITY,
      sendBufferLimit: 16777216,
      keepAliveInterval: 30000,
      keepAliveTimeout: 20000,
      handshakeTimeout: 10000,
      closeTimeout: 10000,
      perMessageDeflate: false,
      maxConnections: Number.POSITIVE_INFINITY,
      onError: undefined,
      backplane: undefined,
      onBackplane: undefined,
    });
  });

  it('freezes the options and the lists in them', () => {
    const resolved = resolveOptions({ subProtocols: ['chat'], perMessageDeflate: {} });

    assert.ok(Object.isFrozen(resolved));
    assert.ok(Object.isFrozen(resolved.subProtocols));
    assert.ok(Object.isFrozen(resolved.perMessageDeflate));
  });

  it('does not see what is done to the given options later', () => {
    const subProtocols = ['chat'];
    const resolved = resolveOptions({ subProtocols });
    subProtocols.push('other');
    assert.deepEqual(resolved.subProtocols, ['chat']);
  });

  it('takes every option in its range', () => {
    const onError = (): void => {};
    const resolved = resolveOptions({
      origin: 'any',
      receiveBufferLimit: 1,
      maxPayload: 2,
      sendBufferLimit: Number.POSITIVE_INFINITY,
      keepAliveInterval: 0,
      keepAliveTimeout: 0x7fffffff,
      handshakeTimeout: 0,
      closeTimeout: 5,
      maxConnections: 10,
      onError,
    });

    assert.equal(resolved.origin, 'any');
    assert.equal(resolved.receiveBufferLimit, 1);
    assert.equal(resolved.maxPayload, 2);
    assert.equal(resolved.sendBufferLimit, Number.POSITIVE_INFINITY);
    assert.equal(resolved.keepAliveInterval, 0);
    assert.equal(resolved.keepAliveTimeout, 0x7fffffff);
    assert.equal(resolved.handshakeTimeout, 0);
    assert.equal(resolved.closeTimeout, 5);
    assert.equal(resolved.maxConnections, 10);
    assert.equal(resolved.onError, onError);
  });

  it('takes an option that is undefined for one that is not given', () => {
    assert.deepEqual(resolveOptions(loose({ origin: undefined, onError: undefined })), resolveOptions());
  });

  it('throws a TypeError that lists the accepted names for an unknown one', () => {
    assert.throws(() => resolveOptions(loose({ orign: 'any' })), {
      name: 'TypeError',
      message:
        /^Cannot use the option orign: there is none of that name, must be one of origin, subProtocols, .*onBackplane$/,
    });
  });

  it('throws a TypeError for options that are no object', () => {
    for (const [options, found] of [
      [null, 'null'],
      [[], 'an array'],
      [new Map(), 'a Map'],
      ['any', '"any"'],
      [1, '1'],
      [() => {}, 'a function'],
    ] as const) {
      assert.throws(() => resolveOptions(loose(options)), {
        name: 'TypeError',
        message: `Cannot use the options: they are ${found}, must be an object`,
      });
    }
  });

  for (const name of ['keepAliveInterval', 'keepAliveTimeout', 'handshakeTimeout', 'closeTimeout']) {
    it(`takes only whole milliseconds that a timer can wait for ${name}`, () => {
      for (const value of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 0x80000000]) {
        assert.throws(() => resolveOptions({ [name]: value }), {
          name: 'RangeError',
          message: `Cannot use the option ${name}: it is ${value}, must be an integer from 0 to 2147483647 (milliseconds)`,
        });
      }
      assert.throws(() => resolveOptions(loose({ [name]: '10s' })), {
        name: 'TypeError',
        message: `Cannot use the option ${name}: it is "10s", must be an integer from 0 to 2147483647 (milliseconds)`,
      });
    });
  }

  for (const name of ['maxPayload', 'sendBufferLimit', 'maxConnections']) {
    it(`takes only a positive integer or Infinity for ${name}`, () => {
      for (const value of [0, -1, 1.5, Number.NaN, Number.NEGATIVE_INFINITY]) {
        assert.throws(() => resolveOptions({ [name]: value }), {
          name: 'RangeError',
          message: `Cannot use the option ${name}: it is ${value}, must be a positive integer or Infinity`,
        });
      }
      assert.throws(() => resolveOptions(loose({ [name]: {} })), {
        name: 'TypeError',
        message: /it is an object, must/,
      });
      assert.throws(() => resolveOptions(loose({ [name]: 10n })), {
        name: 'TypeError',
        message: /it is a bigint, must/,
      });
    });
  }

  it('takes only a finite positive integer for receiveBufferLimit', () => {
    for (const value of [0, -1, 1.5, Number.POSITIVE_INFINITY, 2 ** 53]) {
      assert.throws(() => resolveOptions({ receiveBufferLimit: value }), {
        name: 'RangeError',
        message: `Cannot use the option receiveBufferLimit: it is ${value}, must be a positive integer`,
      });
    }
    assert.equal(resolveOptions({ receiveBufferLimit: 2 ** 53 - 1 }).receiveBufferLimit, 2 ** 53 - 1);
  });

  it('takes only a function for onError', () => {
    assert.throws(() => resolveOptions(loose({ onError: true })), {
      name: 'TypeError',
      message: 'Cannot use the option onError: it is true, must be a function',
    });
  });

  describe('origin', () => {
    it('keeps a function', () => {
      const origin = (): boolean => true;
      assert.equal(resolveOptions({ origin }).origin, origin);
    });

    it('brings a list into the form in which browsers send origins', () => {
      const { origin } = resolveOptions({
        origin: [
          'https://Example.COM',
          'http://example.com:80',
          'https://example.com:8443',
          'https://bücher.example',
          'http://[::1]:3000',
          'chrome-extension://abcdef',
        ],
      });

      assert.deepEqual(
        [...(origin as ReadonlySet<string>)],
        [
          'https://example.com',
          'http://example.com',
          'https://example.com:8443',
          'https://xn--bcher-kva.example',
          'http://[::1]:3000',
          'chrome-extension://abcdef',
        ],
      );
    });

    it('takes an empty list, which lets no browser in', () => {
      assert.deepEqual(resolveOptions({ origin: [] }).origin, new Set());
    });

    for (const value of [
      'https://example.com/',
      'https://example.com/path',
      'https://user@example.com',
      'https://example.com?',
      'https://',
      'https://exa mple.com',
      'https://example.com:99999',
      'example.com',
      '//example.com',
      'null',
      '*',
      '',
    ]) {
      it(`refuses ${JSON.stringify(value)} in a list, naming its place`, () => {
        assert.throws(() => resolveOptions({ origin: ['https://example.com', value] }), {
          name: 'RangeError',
          message: `Cannot use the option origin[1]: it is ${JSON.stringify(value)}, must be a scheme and a host, perhaps a port, such as 'https://example.com'`,
        });
      });
    }

    it('refuses what is no string in a list', () => {
      assert.throws(() => resolveOptions(loose({ origin: [/example/] })), {
        name: 'TypeError',
        message: /origin\[0\]/,
      });
    });

    it('refuses a string that is not the name of a policy, and shows no more than its beginning', () => {
      assert.throws(() => resolveOptions(loose({ origin: 'https://example.com' })), {
        name: 'RangeError',
        message:
          "Cannot use the option origin: it is \"https://example.com\", must be 'same-origin', 'any', a list of origins such as ['https://example.com'], or a function",
      });
      assert.throws(() => resolveOptions(loose({ origin: 'x'.repeat(101) })), {
        message: new RegExp(`it is "${'x'.repeat(100)}…", must`),
      });
    });

    it('refuses other types', () => {
      for (const origin of [true, null, 1, {}]) {
        assert.throws(() => resolveOptions(loose({ origin })), {
          name: 'TypeError',
          message: /the option origin: it is/,
        });
      }
    });
  });

  describe('subProtocols', () => {
    it('keeps the order of a list, and a function', () => {
      const subProtocols = (): undefined => undefined;
      assert.deepEqual(resolveOptions({ subProtocols: ['b', 'a'] }).subProtocols, ['b', 'a']);
      assert.equal(resolveOptions({ subProtocols }).subProtocols, subProtocols);
    });

    it('refuses names that are no tokens', () => {
      for (const value of ['', 'a b', 'a,b', 'é', 'a\r\nb', '(x)']) {
        assert.throws(() => resolveOptions({ subProtocols: [value] }), {
          name: 'RangeError',
          message: `Cannot use the option subProtocols[0]: it is ${JSON.stringify(value)}, must be a token (letters, digits and !#$%&'*+-.^_\`|~)`,
        });
      }
      assert.throws(() => resolveOptions(loose({ subProtocols: [1] })), { name: 'TypeError' });
    });

    it('refuses other types', () => {
      assert.throws(() => resolveOptions(loose({ subProtocols: 'chat' })), {
        name: 'TypeError',
        message: 'Cannot use the option subProtocols: it is "chat", must be a list of subprotocol names or a function',
      });
    });
  });

  describe('perMessageDeflate', () => {
    it('takes true for the defaults, without context takeover', () => {
      const { perMessageDeflate } = resolveOptions({ perMessageDeflate: true });

      assert.equal(perMessageDeflate, DEFLATE_DEFAULTS);
      assert.equal(DEFLATE_DEFAULTS.serverNoContextTakeover, true);
      assert.equal(DEFLATE_DEFAULTS.clientNoContextTakeover, true);
    });

    it('takes false for none, also over a base that has it', () => {
      assert.equal(resolveOptions({ perMessageDeflate: false }).perMessageDeflate, false);
      const base = resolveOptions({ perMessageDeflate: true });
      assert.equal(resolveRouteOptions(base, { perMessageDeflate: false }).perMessageDeflate, false);
    });

    it('puts an object over the defaults', () => {
      const given = {
        serverNoContextTakeover: false,
        clientNoContextTakeover: false,
        serverMaxWindowBits: 10,
        clientMaxWindowBits: 11,
        zlibDeflateOptions: { level: 9 },
        zlibInflateOptions: { chunkSize: 1024 },
        threshold: 0,
        concurrencyLimit: 1,
      };
      assert.deepEqual(resolveOptions({ perMessageDeflate: given }).perMessageDeflate, given);
      assert.deepEqual(resolveOptions({ perMessageDeflate: { threshold: 5 } }).perMessageDeflate, {
        ...DEFLATE_DEFAULTS,
        threshold: 5,
      });
    });

    it('refuses what ws and zlib could not use, naming the member', () => {
      const bad: ReadonlyArray<readonly [object, string, string]> = [
        [
          { serverMaxWindowBits: 8 },
          'RangeError',
          'perMessageDeflate.serverMaxWindowBits: it is 8, must be an integer from 9 to 15',
        ],
        [
          { clientMaxWindowBits: 16 },
          'RangeError',
          'perMessageDeflate.clientMaxWindowBits: it is 16, must be an integer from 9 to 15',
        ],
        [
          { clientNoContextTakeover: 1 },
          'TypeError',
          'perMessageDeflate.clientNoContextTakeover: it is 1, must be true or false',
        ],
        [
          { threshold: -1 },
          'RangeError',
          'perMessageDeflate.threshold: it is -1, must be a non-negative integer or Infinity',
        ],
        [
          { concurrencyLimit: 0 },
          'RangeError',
          'perMessageDeflate.concurrencyLimit: it is 0, must be a positive integer or Infinity',
        ],
        [
          { zlibDeflateOptions: 9 },
          'TypeError',
          'perMessageDeflate.zlibDeflateOptions: it is 9, must be an object of zlib options',
        ],
        [
          { zlibInflateOptions: null },
          'TypeError',
          'perMessageDeflate.zlibInflateOptions: it is null, must be an object of zlib options',
        ],
      ];
      for (const [perMessageDeflate, name, message] of bad) {
        assert.throws(() => resolveOptions({ perMessageDeflate }), {
          name,
          message: `Cannot use the option ${message}`,
        });
      }
      assert.throws(() => resolveOptions({ perMessageDeflate: { zlibDeflateOptions: { level: 10 } } }), RangeError);
    });

    it('refuses unknown members and other types', () => {
      assert.throws(() => resolveOptions(loose({ perMessageDeflate: { level: 1 } })), {
        name: 'TypeError',
        message: /^Cannot use the option perMessageDeflate\.level: there is none of that name, must be one of serverNo/,
      });
      for (const perMessageDeflate of ['yes', null, []]) {
        assert.throws(() => resolveOptions(loose({ perMessageDeflate })), {
          name: 'TypeError',
          message: /must be true, false or an object$/,
        });
      }
    });
  });
});

describe('resolveRouteOptions()', () => {
  const base = resolveOptions({ origin: 'any', maxPayload: 5, perMessageDeflate: true });

  it('returns the base itself if there is nothing to override', () => {
    assert.equal(resolveRouteOptions(base), base);
  });

  it('overrides the base and keeps the rest', () => {
    const route = resolveRouteOptions(base, { maxPayload: 6 });

    assert.equal(route.maxPayload, 6);
    assert.equal(route.origin, 'any');
    assert.equal(route.perMessageDeflate, base.perMessageDeflate);
    assert.equal(base.maxPayload, 5);
    assert.ok(Object.isFrozen(route));
  });

  it('validates what it is given', () => {
    assert.throws(() => resolveRouteOptions(base, { maxPayload: 0 }), RangeError);
    assert.throws(() => resolveRouteOptions(base, loose(null)), TypeError);
  });

  it('takes every option for a route, and undefined for none', () => {
    const onError = (): void => {};
    const route = resolveRouteOptions(base, { maxConnections: 7, onError });
    assert.deepEqual([route.maxConnections, route.onError], [7, onError]);
    assert.equal(resolveRouteOptions(route, { maxConnections: undefined }).maxConnections, 7);
    assert.throws(() => resolveRouteOptions(base, loose({ onError: 'log' })), TypeError);
  });
});
