import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { describe, it } from 'node:test';
import { WebSocketServer } from 'ws';
import { DEFLATE_DEFAULTS } from '../src/framing/deflate-options.js';
import { checkBridge, HandshakeRefused, openAsWs, type ValidatedRequest, WsBridge } from '../src/upgrade/ws-bridge.js';
import { handOverOptions, Recorder, requestOn, shakingServer } from './support/bridging.js';
import { ACCEPT, KEY, rawUpgrade } from './support/raw-client.js';

const neverOpened = (): never => assert.fail('opened');

describe('ws, as far as it is not documented', () => {
  it('creates the WebSocket class with null, undefined and its options, and sets the socket before the callback', () => {
    const calls: unknown[] = [];
    class Spy {
      _protocol = '';
      constructor(...args: unknown[]) {
        calls.push(['new', args[0], args[1], typeof args[2]]);
      }
      setSocket(socket: unknown, head: unknown, options: unknown): void {
        calls.push(['setSocket', socket, head, typeof options, this._protocol]);
      }
    }
    const server: WebSocketServer = Reflect.construct(WebSocketServer, [
      { noServer: true, clientTracking: false, WebSocket: Spy },
    ]);
    server.on('headers', (lines) => calls.push(['headers', lines[0]]));
    const socket = new Recorder();
    const head = Buffer.from('early');
    const headers = {
      upgrade: 'websocket',
      'sec-websocket-key': KEY,
      'sec-websocket-version': '13',
      'sec-websocket-protocol': 'a',
    };

    Reflect.apply(server.handleUpgrade, server, [
      { method: 'GET', headers },
      socket,
      head,
      (made: unknown) => calls.push(['callback', made instanceof Spy]),
    ]);

    assert.deepEqual(calls, [
      ['new', null, undefined, 'object'],
      ['headers', 'HTTP/1.1 101 Switching Protocols'],
      ['setSocket', socket, head, 'object', 'a'],
      ['callback', true],
    ]);
  });

  it('calls back in the same breath', () => {
    let called = false;
    new WsBridge().writeHandshake(requestOn(new Recorder()), () => {
      called = true;
    });
    assert.ok(called);
  });

  it('leaves no listener of its own on the socket', () => {
    const socket = new Recorder();
    const before = socket.eventNames().map((event) => [event, socket.listenerCount(event)]);
    new WsBridge().writeHandshake(requestOn(socket), () => {});
    assert.deepEqual(
      socket.eventNames().map((event) => [event, socket.listenerCount(event)]),
      before,
    );
  });

  it('has the classes and members that a connection is handed over with', () => {
    const webSocket = openAsWs(
      new Recorder(),
      Buffer.alloc(0),
      handOverOptions({ subProtocol: 'a', maxPayload: 1, closeTimeout: 7 }),
    );
    for (const member of ['_protocol', '_extensions', '_socket', '_receiver', '_closeTimeout', '_autoPong']) {
      assert.ok(member in webSocket, member);
    }
    assert.equal(Reflect.get(webSocket, '_closeTimeout'), 7);
    assert.equal(Reflect.get(webSocket, '_autoPong'), true);
  });
});

describe('WsBridge', () => {
  it('writes the 101 that RFC 6455 section 4.2.2 asks for', () => {
    const socket = new Recorder();
    new WsBridge().writeHandshake(requestOn(socket), () => {});
    assert.equal(
      socket.text,
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n\r\n`,
    );
  });

  it('gives open the socket, the early bytes and what was negotiated, and returns what open returns', () => {
    const socket = new Recorder();
    const head = Buffer.from('early');
    const handshake = new WsBridge().writeHandshake(requestOn(socket, { head, subProtocol: 'chat' }), (given) => given);

    assert.deepEqual(Object.keys(handshake), ['socket', 'head', 'subProtocol', 'perMessageDeflate']);
    assert.equal(handshake.socket, socket);
    assert.equal(handshake.head, head);
    assert.equal(handshake.subProtocol, 'chat');
    assert.equal(handshake.perMessageDeflate, undefined);
    assert.match(socket.text, /\r\nSec-WebSocket-Protocol: chat\r\n/);
  });

  it('neither reads from the socket nor puts the early bytes back into it', () => {
    const socket = new Recorder();
    new WsBridge().writeHandshake(requestOn(socket, { head: Buffer.from('early') }), () => {});
    assert.equal(socket.readableFlowing, null);
    assert.equal(socket.readableLength, 0);
  });

  it('passes on what open throws', () => {
    const error = new Error('no');
    assert.throws(
      () =>
        new WsBridge().writeHandshake(requestOn(new Recorder()), () => {
          throw error;
        }),
      error,
    );
  });

  it('takes the time limit of the HTTP server off the socket', async (t) => {
    const opened = new Promise<Socket>((resolve) => {
      void shakingServer(t, {}, ({ socket }) => resolve(socket as Socket)).then((server) => {
        server.timeout = 60_000;
        return rawUpgrade(t, server);
      });
    });
    assert.equal((await opened).timeout, 0);
  });

  describe('the announcement', () => {
    it('adds its lines behind those of the handshake', () => {
      const socket = new Recorder();
      new WsBridge().writeHandshake(
        requestOn(socket, { headerLines: () => '\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2' }),
        () => {},
      );
      assert.ok(socket.text.endsWith(`${ACCEPT}\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n\r\n`));
    });

    it('is written byte for byte, as Node writes headers', () => {
      const socket = new Recorder();
      new WsBridge().writeHandshake(requestOn(socket, { headerLines: () => '\r\nX-Name: \u00e9\u00ff' }), () => {});
      assert.ok(Buffer.concat(socket.written).includes(Buffer.from('X-Name: \u00e9\u00ff\r\n', 'latin1')));
    });

    it('leaves the socket writing UTF-8', () => {
      const socket = new Recorder();
      new WsBridge().writeHandshake(requestOn(socket, { headerLines: () => '\r\nX-Name: \u00e9' }), () => {
        socket.written.length = 0;
        socket.write('\u00e9');
      });
      assert.deepEqual(Buffer.concat(socket.written), Buffer.from('\u00e9', 'utf8'));
    });

    it('may throw, and nothing has been written then', () => {
      const socket = new Recorder();
      const error = new Error('hook');
      assert.throws(
        () =>
          new WsBridge().writeHandshake(
            requestOn(socket, {
              headerLines: () => {
                throw error;
              },
            }),
            neverOpened,
          ),
        error,
      );
      assert.equal(socket.text, '');
    });
  });

  describe('permessage-deflate', () => {
    const OFFER = 'permessage-deflate; client_max_window_bits';

    it('is not negotiated while it is off', () => {
      const socket = new Recorder();
      const { perMessageDeflate } = new WsBridge().writeHandshake(
        requestOn(socket, { extensions: OFFER }),
        (given) => given,
      );
      assert.equal(perMessageDeflate, undefined);
      assert.doesNotMatch(socket.text, /Extensions/);
    });

    it('is not negotiated while the client does not offer it', () => {
      const bridge = new WsBridge();
      for (const extensions of [undefined, 'x-webkit-deflate-frame']) {
        const request = requestOn(new Recorder(), { perMessageDeflate: DEFLATE_DEFAULTS, extensions });
        assert.equal(
          bridge.writeHandshake(request, (given) => given.perMessageDeflate),
          undefined,
        );
      }
    });

    it('is negotiated by the options, and the agreement is given to open', async () => {
      const socket = new Recorder();
      const { perMessageDeflate } = new WsBridge().writeHandshake(
        requestOn(socket, { perMessageDeflate: DEFLATE_DEFAULTS, extensions: OFFER }),
        (given) => given,
      );

      assert.match(
        socket.text,
        /Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n/,
      );
      assert.deepEqual(
        { ...perMessageDeflate?.params },
        { server_no_context_takeover: true, client_no_context_takeover: true },
      );
      const compressed = await new Promise<Buffer>((resolve, reject) => {
        perMessageDeflate?.compress(Buffer.alloc(1000), true, (error, out) => (error ? reject(error) : resolve(out)));
      });
      assert.ok(compressed.length < 100);
      perMessageDeflate?.cleanup();
    });

    it('may differ from one handshake to the next', () => {
      const bridge = new WsBridge();
      const headerOf = (perMessageDeflate: ValidatedRequest['perMessageDeflate']): string | undefined => {
        const socket = new Recorder();
        bridge.writeHandshake(requestOn(socket, { extensions: OFFER, perMessageDeflate }), () => {});
        return /Extensions: (.*)\r\n/.exec(socket.text)?.[1];
      };
      const small = { serverMaxWindowBits: 10 };

      for (let round = 0; round < 2; round++) {
        assert.equal(headerOf(small), 'permessage-deflate; server_max_window_bits=10');
        assert.equal(headerOf({}), 'permessage-deflate');
        assert.equal(headerOf(false), undefined);
      }
    });

    it('is refused with the reason if the offer is malformed, and nothing is written', () => {
      for (const extensions of [
        'permessage-deflate; =',
        'permessage-deflate; unknown',
        'permessage-deflate; server_max_window_bits=99',
        '',
      ]) {
        const socket = new Recorder();
        assert.throws(
          () =>
            new WsBridge().writeHandshake(
              requestOn(socket, { perMessageDeflate: DEFLATE_DEFAULTS, extensions }),
              neverOpened,
            ),
          (error) =>
            error instanceof HandshakeRefused &&
            error.message === 'Invalid or unacceptable Sec-WebSocket-Extensions header',
        );
        assert.equal(socket.text, '');
        assert.equal(socket.destroyed, false);
      }
    });

    it('does not let one refusal colour the next handshake', () => {
      const bridge = new WsBridge();
      const bad = requestOn(new Recorder(), { perMessageDeflate: DEFLATE_DEFAULTS, extensions: ';' });
      assert.throws(() => bridge.writeHandshake(bad, neverOpened), HandshakeRefused);
      const gone = new Recorder();
      gone.destroy();
      assert.throws(() => bridge.writeHandshake(requestOn(gone), neverOpened), { message: 'The client has left' });
    });
  });

  it('refuses a socket that is closed on either side, and does not open it', () => {
    const half = new Recorder();
    half.end();
    const destroyed = new Recorder();
    destroyed.destroy();
    for (const socket of [half, destroyed]) {
      assert.throws(() => new WsBridge().writeHandshake(requestOn(socket), neverOpened), HandshakeRefused);
      assert.equal(socket.text, '');
      assert.ok(socket.destroyed);
    }
  });
});

describe('checkBridge()', () => {
  it('is content with ws', () => {
    checkBridge(new WsBridge());
  });

  it('says what is missing where another module stands in for ws', () => {
    assert.throws(
      () => checkBridge({ writeHandshake: () => assert.fail('The client has left') }),
      /^Error: Cannot use websocket-context in this runtime: its module ws .* run the program with Node or Deno$/,
    );
  });
});
