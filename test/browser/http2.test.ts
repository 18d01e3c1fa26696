import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Server } from 'node:net';
import { it, type TestContext } from 'node:test';
import { type CloseInfo, type WebSocketContext, type WebSockets, webSockets } from '../../src/index.js';
import { anyFramework, eventually } from '../support/apps.js';
import { listen, makeHttp2Server, makeServer, urlOf } from '../support/servers.js';
import { type Tab, type Visitor, withEachBrowser } from './visit.js';

/** A server of HTTP/2 with TLS that also serves HTTP/1.1, and what has come to it. */
interface Site {
  readonly url: string;
  readonly server: Server;
  readonly sockets: WebSockets;
  /** By session, in the order in which the sessions came: the requests on it, such as `GET /` or `websocket /echo`. */
  readonly sessions: readonly string[][];
  /** How the connections ended, as the server sees it. */
  readonly closes: readonly CloseInfo[];
  /** By WebSocket that came: the version of HTTP, and the extensions that were agreed on. */
  readonly versions: readonly string[];
}

async function startSite(t: TestContext): Promise<Site> {
  const sessions: string[][] = [];
  const closes: CloseInfo[] = [];
  const versions: string[] = [];
  // The page of the last test comes from another server
  const sockets = webSockets({ origin: 'any', perMessageDeflate: true, onError: () => {} });
  const app = anyFramework();
  app.use((req, _res, next) => {
    versions.push(req.httpVersion);
    next();
  });
  app.use('/no', (_req, res) => {
    res.statusCode = 403;
    res.end('not you');
  });
  app.use((_req, res, next) => {
    res.setHeader('Set-Cookie', 'seen=yes; Path=/');
    next();
  });
  const routes: Record<string, (socket: WebSocketContext) => unknown> = {
    '/echo': async (socket) => {
      for await (const message of socket) await socket.sendAsync(message);
    },
    '/bye': (socket) => socket.closeAsync(4002, 'by the server'),
    '/abort': async (socket) => {
      await socket.receiveMessageAsync();
      socket.abort();
    },
    '/unread': (socket) => socket.closed,
  };
  for (const [path, route] of Object.entries(routes)) {
    app.use(
      path,
      sockets.handler(async (socket) => {
        void socket.closed.then((close) => closes.push(close));
        await route(socket);
      }),
    );
  }
  const server = makeHttp2Server(
    (req, res) => {
      res.setHeader('Content-Type', 'text/html');
      res.end(`${PAGE}<p>${req.headers.cookie ?? 'no cookie'}`);
    },
    { secure: true },
  );
  server.on('session', (session: ServerHttp2Session) => {
    const requests: string[] = [];
    sessions.push(requests);
    session.on('stream', (_stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
      requests.push(`${headers[':protocol'] ?? headers[':method']} ${headers[':path']}`);
    });
  });
  sockets.attach(server, app);
  await listen(t, server);
  return { url: urlOf(server), server, sockets, sessions, closes, versions };
}

/** What the page of a site has for the tests. */
interface PageSocket {
  readonly socket: WebSocket;
  /** The next message. */
  next(): Promise<string>;
  /** How it ends, or has ended. */
  readonly end: Promise<CloseInfo>;
}
declare function openSocket(url: string): Promise<PageSocket>;

// An icon of its own, or the browser asks for one when it likes
const PAGE = `<!doctype html><title>Page</title><link rel="icon" href="data:,"><script>
  async function openSocket(url) {
    const socket = new WebSocket(url);
    const end = new Promise((resolve) => {
      socket.onclose = ({ code, reason, wasClean }) => resolve({ code, reason, wasClean });
    });
    const messages = [];
    let arrived = () => {};
    socket.onmessage = ({ data }) => {
      messages.push(data);
      arrived();
    };
    async function next() {
      if (messages.length === 0) await Promise.race([new Promise((resolve) => { arrived = resolve; }), end]);
      if (messages.length === 0) throw new Error('No message, but ' + JSON.stringify(await end));
      return messages.shift();
    }
    await Promise.race([new Promise((resolve) => { socket.onopen = resolve; }), end]);
    if (socket.readyState !== WebSocket.OPEN) throw new Error('No WebSocket: ' + url);
    return { socket, next, end };
  }
</script>`;

/** Firefox says of sockets that are open when their page is left, or that are aborted, that they were interrupted. */
const INTERRUPTED = /was interrupted while the page was loading/;

/** A page that has `openSocket`. */
async function openPage(t: TestContext, visitor: Visitor, url: string): Promise<Tab> {
  const tab = await visitor.open(t, url);
  tab.expectMessages(INTERRUPTED);
  return tab;
}

/** What a socket to `path` says of its end, which the server brings about when the page has sent a message. */
function endOf(tab: Tab, path: string): Promise<CloseInfo> {
  return tab.page.evaluate(async (url) => {
    const { socket, end } = await openSocket(url);
    socket.send('now');
    return end;
  }, path);
}

withEachBrowser('WebSockets over HTTP/2', (visitor) => {
  it('share one session with their page, in whatever order they are opened and used', async (t) => {
    const site = await startSite(t);
    const tab = await openPage(t, visitor, site.url);
    const echoes = await tab.page.evaluate(async () => {
      const [one, two] = await Promise.all([openSocket('/echo'), openSocket('/echo')]);
      one.socket.send('one');
      two.socket.send('two');
      const three = await openSocket('/echo');
      three.socket.send('three');
      const page = await (await fetch('/other')).text();
      return [await two.next(), await three.next(), await one.next(), page.includes('<title>Page</title>')];
    });
    assert.deepEqual(echoes, ['two', 'three', 'one', true]);
    assert.deepEqual(site.sessions, [['GET /', 'websocket /echo', 'websocket /echo', 'websocket /echo', 'GET /other']]);
    assert.deepEqual(site.versions, ['2.0', '2.0', '2.0']);
  });

  it('carry large messages in both directions, compressed as over HTTP/1.1', async (t) => {
    const tab = await openPage(t, visitor, (await startSite(t)).url);
    const results = await tab.page.evaluate(async () => {
      const { socket, next } = await openSocket('/echo');
      // Noise, which no compression makes small, and text, which it does
      const noise = Array.from({ length: 1 << 16 }, () => Math.random().toString(36)).join();
      const text = 'all work and no play '.repeat(1 << 17);
      socket.send(noise);
      socket.send(text);
      return [socket.extensions.split(';')[0], (await next()) === noise, (await next()) === text];
    });
    assert.deepEqual(results, ['permessage-deflate', true, true]);
  });

  it('do not wait for another of their session that the server does not read', async (t) => {
    const site = await startSite(t);
    const tab = await openPage(t, visitor, site.url);
    const [waiting, echoes] = await tab.page.evaluate(async () => {
      const [unread, other] = await Promise.all([openSocket('/unread'), openSocket('/echo')]);
      const noise = crypto.getRandomValues(new Uint8Array(1 << 16));
      // More than the server holds for one connection
      for (let i = 0; i < 256; i++) unread.socket.send(noise);
      const heard: string[] = [];
      for (const text of ['still', 'as', 'quick']) {
        other.socket.send(text);
        heard.push(await other.next());
      }
      return [unread.socket.bufferedAmount > 0, heard];
    });
    assert.deepEqual([waiting, echoes], [true, ['still', 'as', 'quick']]);
    assert.equal(site.sessions.length, 1);
  });

  it('close cleanly from either side, and not cleanly when aborted; the others of the session stay', async (t) => {
    const site = await startSite(t);
    const tab = await openPage(t, visitor, site.url);
    await tab.page.evaluate(async () => {
      Object.assign(globalThis, { bystander: await openSocket('/echo') });
    });
    const ended = await tab.page.evaluate(async () => {
      const { socket, end } = await openSocket('/echo');
      socket.close(4001, 'by the page');
      return end;
    });
    assert.deepEqual(ended, { code: 4001, reason: 'by the page', wasClean: true });
    assert.deepEqual(await endOf(tab, '/bye'), { code: 4002, reason: 'by the server', wasClean: true });
    assert.deepEqual(await endOf(tab, '/abort'), { code: 1006, reason: '', wasClean: false });
    await eventually(() => site.closes.length === 3);
    assert.deepEqual(site.closes, [
      { code: 4001, reason: 'by the page', wasClean: true },
      { code: 4002, reason: 'by the server', wasClean: true },
      { code: 1006, reason: '', wasClean: false },
    ]);
    const heard = await tab.page.evaluate(() => {
      const { bystander } = globalThis as unknown as { bystander: PageSocket };
      bystander.socket.send('unharmed');
      return bystander.next();
    });
    assert.equal(heard, 'unharmed');
    assert.equal(site.sessions.length, 1);
  });

  it('bring the cookies of the handshake, and fail alone when they are refused', async (t) => {
    const site = await startSite(t);
    const tab = await openPage(t, visitor, site.url);
    // What browsers say of a handshake that has failed
    tab.expectMessages(/WebSocket|can.t establish|interrupted/);
    const [refused, page, echoed] = await tab.page.evaluate(async () => {
      const { socket, next } = await openSocket('/echo');
      const failure = await openSocket('/no').catch(({ message }) => message);
      socket.send('unharmed');
      const response = await fetch('/page');
      return [failure, await response.text(), await next()];
    });
    assert.equal(refused, 'No WebSocket: /no');
    assert.match(String(page), /<p>seen=yes/);
    assert.equal(echoed, 'unharmed');
    assert.equal(site.sessions.length, 1);
  });

  it('hear 1001 when the server drains, which the session of the browser does not keep from closing', async (t) => {
    const site = await startSite(t);
    const tab = await openPage(t, visitor, site.url);
    await tab.page.evaluate(async () => {
      Object.assign(globalThis, { opened: await Promise.all([openSocket('/echo'), openSocket('/echo')]) });
    });
    assert.deepEqual(await site.sockets.close({ reason: 'restart' }), { closed: 2, aborted: 0 });
    const ends = await tab.page.evaluate(() =>
      Promise.all((globalThis as unknown as { opened: PageSocket[] }).opened.map(({ end }) => end)),
    );
    const end = { code: 1001, reason: 'restart', wasClean: true };
    assert.deepEqual(ends, [end, end]);
    const closed = once(site.server, 'close');
    site.server.close();
    await closed;
    assert.equal(site.sessions.length, 1);
  });

  // Chromium asks for a WebSocket over HTTP/2 only where it has a session with the server already, one of the same site;
  // a connection that it makes for a WebSocket speaks HTTP/1.1. Hence `allowHTTP1` in the sample.
  const version = visitor.name === 'Chromium' ? '1.1' : '2.0';
  it(`come by HTTP/${version} if the page is of another server`, async (t) => {
    const { url, versions } = await startSite(t);
    const elsewhere = await listen(
      t,
      makeServer((_req, res) => void res.setHeader('Content-Type', 'text/html').end(PAGE)),
    );
    const tab = await openPage(t, visitor, urlOf(elsewhere));
    const heard = await tab.page.evaluate(
      async (address) => {
        const { socket, next } = await openSocket(address);
        socket.send('from elsewhere');
        return next();
      },
      `${url.replace('https', 'wss')}/echo`,
    );
    assert.equal(heard, 'from elsewhere');
    assert.deepEqual(versions, [version]);
  });
});
