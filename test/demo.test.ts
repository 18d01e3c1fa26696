import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { on, once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it, type TestContext } from 'node:test';
import { setTimeout as delay, setImmediate } from 'node:timers/promises';
import { type ClientOptions, WebSocket } from 'ws';
import { eventually } from './support/apps.js';
import { hasBroker, startBroker } from './support/brokers.js';
import { runDemo, startDemo, startSample } from './support/demo.js';

/** What the broadcast page is told. */
interface BroadcastReport {
  readonly backplane: { readonly status: string; readonly nodes: number; readonly unavailable: number };
  /** How many messages have been read at each of the processes. */
  readonly clients: {
    /** By the clients' clock, in milliseconds. */
    readonly at: number;
    readonly readAt: readonly [number, number];
    readonly groups: readonly { readonly fast: { readonly open: number; readonly count: number } }[];
  };
}

interface Client {
  readonly socket: WebSocket;
  /** The next message, however early it came: text as a string. */
  readonly next: () => Promise<string | Buffer>;
  readonly closed: Promise<{ code: number; reason: string }>;
}

/** Connects; rejects when the server refuses. */
async function connect(
  t: TestContext,
  url: string,
  options: ClientOptions & { protocols?: string[] } = {},
): Promise<Client> {
  const socket = new WebSocket(url, options.protocols, options);
  t.after(() => socket.terminate());
  const messages = on(socket, 'message');
  const closed = once(socket, 'close').then(([code, reason]) => ({ code, reason: reason.toString() }));
  const next = async () => {
    const { value } = await messages.next();
    const [data, isBinary] = value;
    return isBinary ? data : data.toString();
  };
  await once(socket, 'open');
  return { socket, next, closed };
}

/** The answer of a server that refuses the handshake. */
async function refusal(
  url: string,
  options: ClientOptions = {},
): Promise<{ status: number | undefined; headers: IncomingMessage['headers']; body: string }> {
  const socket = new WebSocket(url, options);
  const [, response] = (await once(socket, 'unexpected-response')) as [unknown, IncomingMessage];
  return { status: response.statusCode, headers: response.headers, body: await text(response) };
}

async function roundTrip(client: Client, message: string | Buffer): Promise<void> {
  client.socket.send(message);
  assert.deepEqual(await client.next(), message);
}

async function closeFromHere(client: Client): Promise<void> {
  client.socket.close(4001, 'enough');
  assert.deepEqual(await client.closed, { code: 4001, reason: 'enough' });
}

describe('the samples', () => {
  it('echo.ts sends text and binary back and acknowledges the close', async (t) => {
    const { socketUrl } = await startSample(t, 'echo');
    const client = await connect(t, `${socketUrl}/echo`);

    await roundTrip(client, 'grüß Gott');
    await roundTrip(client, randomBytes(300_000));
    await closeFromHere(client);
  });

  it('three-styles.ts does the same thing in each style', async (t) => {
    const { socketUrl } = await startSample(t, 'three-styles');

    for (const path of ['/messages', '/fragments', '/native']) {
      const client = await connect(t, `${socketUrl}${path}`);
      await roundTrip(client, path);
      await roundTrip(client, randomBytes(300_000));
      client.socket.close(4001, 'enough');
      const answer = path === '/messages' ? { code: 4001, reason: 'enough' } : { code: 1000, reason: 'goodbye' };
      assert.deepEqual(await client.closed, answer);
    }
  });

  it('middleware.ts shakes hands in app.use and serves plain HTTP on the same route', async (t) => {
    const { url, socketUrl } = await startSample(t, 'middleware');

    const client = await connect(t, `${socketUrl}/live/ticker`);
    assert.equal(await client.next(), 'tick');
    assert.deepEqual(await client.closed, { code: 1000, reason: 'done' });
    const response = await fetch(`${url}/live/ticker`);
    assert.equal(response.status, 200);
    assert.match(await response.text(), /WebSocket/);
  });

  it('authenticate.ts answers 401 with a body before the handshake, and greets who signed in', async (t) => {
    const { url, socketUrl } = await startSample(t, 'authenticate');

    const refused = await refusal(`${socketUrl}/account`);
    assert.equal(refused.status, 401);
    assert.equal(refused.headers['www-authenticate'], 'Bearer');
    assert.deepEqual(JSON.parse(refused.body), { error: 'Sign in first' });

    const client = await connect(t, `${socketUrl}/account`, { headers: { authorization: 'Bearer 4f0c' } });
    assert.equal(await client.next(), 'Hello, Ada');
    assert.deepEqual(await client.closed, { code: 1000, reason: 'done' });
    assert.equal((await fetch(`${url}/account`)).status, 404);
  });

  it('session.ts sets its cookie on the 101 and finds the session again', async (t) => {
    const { socketUrl } = await startSample(t, 'session');
    const socket = new WebSocket(`${socketUrl}/visits`);
    // The message may come with the 101.
    const message = once(socket, 'message');
    const [response] = (await once(socket, 'upgrade')) as [IncomingMessage];
    const [cookie = ''] = response.headers['set-cookie'] ?? [];
    const [first] = await message;
    assert.equal(first.toString(), 'Visit 1');

    const again = await connect(t, `${socketUrl}/visits`, { headers: { cookie: cookie.split(';')[0] ?? '' } });
    assert.equal(await again.next(), 'Visit 2');
    assert.equal((await again.closed).code, 1000);
  });

  it('passport.ts serves who has signed in, until the session ends', async (t) => {
    // On a busy machine a session may end before anything has been said: then the next one is longer.
    for (let sessionMs = 2000; ; sessionMs *= 4) {
      const began = performance.now();
      try {
        await visit(sessionMs);
        return;
      } catch (error) {
        if (performance.now() - began < sessionMs) throw error;
      }
    }

    async function visit(sessionMs: number): Promise<void> {
      const { url, socketUrl } = await startSample(t, 'passport', { SESSION_MS: `${sessionMs}` });
      assert.equal((await refusal(`${socketUrl}/account`)).status, 401);
      const wrong = new URLSearchParams({ username: 'Ada', password: 'guessed' });
      assert.equal((await fetch(`${url}/login`, { method: 'POST', body: wrong })).status, 401);

      const right = new URLSearchParams({ username: 'Ada', password: 'secret' });
      const signedIn = await fetch(`${url}/login`, { method: 'POST', body: right });
      const cookie = signedIn.headers.get('set-cookie')?.split(';')[0] ?? '';
      const client = await connect(t, `${socketUrl}/account`, { headers: { cookie } });

      assert.equal(await client.next(), 'Hello, {"username":"Ada"}');
      await roundTrip(client, 'still here');
      assert.deepEqual(await client.closed, { code: 4401, reason: 'session expired' });
    }
  });

  it('origins.ts lets each page in where it may, and nowhere else', async (t) => {
    const { socketUrl } = await startSample(t, 'origins');
    const [app, acme, stranger] = ['https://app.example.com', 'https://www.acme.example', 'https://elsewhere.example'];
    const atAcme = { host: 'acme.example.com' };

    for (const [path, origin, headers] of [
      ['private', app, {}],
      ['tenant', acme, atAcme],
      ['public', stranger, {}],
    ] as const) {
      const client = await connect(t, `${socketUrl}/${path}`, { origin, headers });
      assert.equal(await client.next(), `Hello, ${origin}`);
    }
    for (const [path, origin, headers] of [
      ['private', stranger, {}],
      ['private', acme, atAcme],
      ['tenant', app, atAcme],
      ['tenant', acme, {}],
    ] as const) {
      assert.equal((await refusal(`${socketUrl}/${path}`, { origin, headers })).status, 403, `${path} for ${origin}`);
    }
  });

  it('three-ways.ts echoes on each way, and answers plain requests', async (t) => {
    const { url, socketUrl } = await startSample(t, 'three-ways');

    for (const [path, plainStatus] of [
      ['echo', 426],
      ['live/echo', 404],
      ['manual', 404],
    ] as const) {
      const client = await connect(t, `${socketUrl}/${path}`);
      await roundTrip(client, path);
      client.socket.close(4001, 'enough');
      assert.deepEqual(await client.closed, { code: 1000, reason: '' });
      assert.equal((await fetch(`${url}/${path}`)).status, plainStatus, path);
    }
  });

  it('session-changes.ts keeps what others have stored, and does not bring back a session that has ended', async (t) => {
    const { url, socketUrl } = await startSample(t, 'session-changes');
    const login = await fetch(`${url}/login`, { method: 'POST' });
    const headers = { cookie: login.headers.get('set-cookie')?.split(';')[0] ?? '' };
    const stored = async () => (await fetch(`${url}/session`, { headers })).json() as Promise<{ draft?: string }>;
    const client = await connect(t, `${socketUrl}/draft`, { headers });
    await fetch(`${url}/seen`, { method: 'POST', headers });
    client.socket.send('Dear Ada');
    while ((await stored()).draft !== 'Dear Ada');
    assert.deepEqual(await stored(), { draft: 'Dear Ada', seen: 1 });

    await fetch(`${url}/logout`, { method: 'POST', headers });
    client.socket.send('too late');
    assert.deepEqual(await client.closed, { code: 4401, reason: 'Signed out' });
    assert.deepEqual(await stored(), {});
    assert.equal((await refusal(`${socketUrl}/draft`, { headers })).status, 401);
  });

  it('sign-out.ts closes all connections of a user who signs out, and lets nobody back in', async (t) => {
    const { url, socketUrl } = await startSample(t, 'sign-out');
    const login = await fetch(`${url}/login`, { method: 'POST' });
    const headers = { cookie: login.headers.get('set-cookie')?.split(';')[0] ?? '' };
    const clients = [
      await connect(t, `${socketUrl}/account`, { headers }),
      await connect(t, `${socketUrl}/account`, { headers }),
    ] as const;
    for (const client of clients) await roundTrip(client, 'hello');

    assert.equal((await fetch(`${url}/logout`, { method: 'POST', headers })).status, 204);
    for (const client of clients) assert.deepEqual(await client.closed, { code: 4401, reason: 'signed out' });
    assert.equal((await refusal(`${socketUrl}/account`, { headers })).status, 401);
  });

  it('ticket.ts lets in whoever has fetched a ticket, once', async (t) => {
    const { url, socketUrl } = await startSample(t, 'ticket');
    assert.equal((await refusal(`${socketUrl}/account`)).status, 401);
    assert.equal((await fetch(`${url}/ticket`, { method: 'POST' })).status, 401);
    const answer = await fetch(`${url}/ticket`, { method: 'POST', headers: { authorization: 'Bearer 4f0c' } });
    const { ticket } = (await answer.json()) as { ticket: string };
    const address = `${socketUrl}/account?ticket=${ticket}`;

    const client = await connect(t, address);
    assert.equal(await client.next(), 'Hello, Ada');
    assert.equal((await client.closed).code, 1000);
    assert.equal((await refusal(address)).status, 401);
  });

  it('typed.ts knows its user, its room and its query', async (t) => {
    const { socketUrl } = await startSample(t, 'typed');
    const client = await connect(t, `${socketUrl}/feed/42?since=today`);
    assert.equal(await client.next(), 'Ada in 42 since today');
  });

  it('timer.ts sends the time and prices, and lives on when its clients vanish', async (t) => {
    const { socketUrl, output } = await startSample(t, 'timer');
    for (let visits = 0; visits < 3; visits++) {
      const client = await connect(t, `${socketUrl}/prices`);
      const seen = new Set<string>();
      while (seen.size < 2) seen.add(String(await client.next()).replace(/[\d.]+/, 'price'));
      assert.deepEqual([...seen].sort(), ['price', 'tick']);
      client.socket.terminate();
    }
    assert.doesNotMatch(output(), /WebSocketError|unhandled/i);
  });

  it('subprotocols.ts speaks the best that both know and refuses strangers', async (t) => {
    const { socketUrl } = await startSample(t, 'subprotocols');

    const client = await connect(t, `${socketUrl}/chat`, { protocols: ['v1.chat', 'v2.chat', 'v3.chat'] });
    assert.equal(client.socket.protocol, 'v2.chat');
    assert.equal(await client.next(), 'We speak v2.chat');
    const refused = await refusal(`${socketUrl}/chat`);
    assert.equal(refused.status, 400);
    assert.match(refused.body, /Speak v1\.chat or v2\.chat/);
  });

  it('json.ts answers orders with receipts, and says what is wrong with others', async (t) => {
    const { socketUrl } = await startSample(t, 'json');
    const client = await connect(t, `${socketUrl}/orders`);

    client.socket.send('{"item":"tea","count":2}');
    const { at, ...receipt } = JSON.parse(String(await client.next()));
    assert.deepEqual(receipt, { item: 'tea', count: 2 });
    assert.equal(new Date(at).toISOString(), at);
    client.socket.send('{"item":"tea","count":0}');
    const { code, reason } = await client.closed;
    assert.equal(code, 1007);
    assert.match(reason, /^count: /);

    const patient = await connect(t, `${socketUrl}/patient`);
    patient.socket.send('tea, please');
    assert.deepEqual(JSON.parse(String(await patient.next())), { errors: [{ message: 'The message is not JSON' }] });
    patient.socket.send('{"item":"tea","count":0}');
    assert.deepEqual(JSON.parse(String(await patient.next())).errors[0].path, ['count']);
    patient.socket.send('{"item":"tea","count":3}');
    assert.deepEqual(JSON.parse(String(await patient.next())), { taken: 3 });
    await closeFromHere(patient);
  });

  it('upload.ts stores each message, fragmented or not, in a file', async (t) => {
    const { socketUrl } = await startSample(t, 'upload');
    const client = await connect(t, `${socketUrl}/upload`);
    const parts = [randomBytes(3_000_000), Buffer.alloc(0), randomBytes(1), randomBytes(70_000)];

    for (const [index, part] of parts.entries()) client.socket.send(part, { fin: index === parts.length - 1 });
    const path = String(await client.next());
    t.after(() => rm(path));
    client.socket.send(Buffer.alloc(0));
    const empty = String(await client.next());
    t.after(() => rm(empty));

    assert.deepEqual(await readFile(path), Buffer.concat(parts));
    assert.deepEqual(await readFile(empty), Buffer.alloc(0));
    await closeFromHere(client);
  });

  for (const [leaves, leave] of [
    ['closes', (socket: WebSocket) => socket.close(4001)],
    ['vanishes', (socket: WebSocket) => socket.terminate()],
  ] as const) {
    it(`upload.ts keeps no file of a client that ${leaves} in the middle of a message`, async (t) => {
      const folder = await mkdtemp(join(tmpdir(), 'uploads-'));
      t.after(() => rm(folder, { recursive: true }));
      const { socketUrl } = await startSample(t, 'upload', { TMPDIR: folder });
      const client = await connect(t, `${socketUrl}/upload`);

      client.socket.send(randomBytes(1000), { fin: false });
      while ((await readdir(folder)).length === 0) await setImmediate();
      leave(client.socket);
      await client.closed;
      while ((await readdir(folder)).length > 0) await setImmediate();
    });
  }

  it('streams.ts pipes messages through a transform and answers the close', async (t) => {
    const { socketUrl } = await startSample(t, 'streams');
    const client = await connect(t, `${socketUrl}/shout`);

    client.socket.send('louder');
    assert.equal(await client.next(), 'LOUDER');
    client.socket.close(4001, 'enough');
    assert.equal((await client.closed).code, 1000);
  });

  it('push.ts sends no faster than its client reads', async (t) => {
    const { socketUrl } = await startSample(t, 'push');
    const client = await connect(t, `${socketUrl}/numbers`);
    for (let number = 0; number < 1000; number += 1) assert.equal(await client.next(), String(number));

    client.socket.pause();
    const other = await connect(t, `${socketUrl}/numbers`);
    for (let number = 0; number < 50_000; number += 1) assert.equal(await other.next(), String(number));
    client.socket.resume();

    for (let number = 1000; number < 20_000; number += 1) assert.equal(await client.next(), String(number));
  });

  it('push.ts and subscription.ts let their clients go as soon as these want to', async (t) => {
    for (const [name, path] of [
      ['push', 'numbers'],
      ['subscription', 'prices'],
    ] as const) {
      const { socketUrl } = await startSample(t, name);
      const client = await connect(t, `${socketUrl}/${path}`);
      assert.match(String(await client.next()), /^\d/);
      const began = performance.now();
      client.socket.close(4001, 'enough');
      assert.deepEqual(await client.closed, { code: 4001, reason: 'enough' });
      // Far from closeTimeout, on any machine
      assert.ok(performance.now() - began < 8000, name);
    }
  });

  it('half-close.ts hears what the client says after the server’s close', async (t) => {
    const { socketUrl, output, stop } = await startSample(t, 'half-close');
    const client = new WebSocket(`${socketUrl}/last-words`);
    t.after(() => client.terminate());
    // At once: ws answers the close, which may have come together with this and with the 101, by itself
    client.on('message', (question) => client.send(`${question} Good luck`));
    const [code, reason] = await once(client, 'close');

    assert.deepEqual({ code, reason: reason.toString() }, { code: 1000, reason: 'I have said everything' });
    // Its handler may run behind the end of TCP, and what it prints takes its time
    await eventually(() => output() !== '');
    await stop('SIGTERM');
    assert.equal(output(), 'Received after our close: Anything else? Good luck\n');
  });

  it('answer-after-close.ts answers when the client has said everything', async (t) => {
    const { socketUrl } = await startSample(t, 'answer-after-close');
    const client = await connect(t, `${socketUrl}/orders`);
    client.socket.send('tea');
    client.socket.send('rice');
    client.socket.close(4001, 'that is all');

    assert.equal(await client.next(), 'rice is on its way');
    assert.equal(await client.next(), 'tea is on its way');
    assert.deepEqual(await client.closed, { code: 1000, reason: '' });
  });

  it('fragments.ts sends one message, made of many', async (t) => {
    const { socketUrl } = await startSample(t, 'fragments');
    const client = await connect(t, `${socketUrl}/report`);

    const days = [1, 2, 3, 4, 5, 6, 7].map((day) => `${day},${day * 100}\n`);
    assert.equal(await client.next(), `day,visitors\n${days.join('')}end\n`);
    assert.equal((await client.closed).code, 1000);
  });

  it('iis-style.ts echoes fragments through completion callbacks', async (t) => {
    const { socketUrl } = await startSample(t, 'iis-style');
    const client = await connect(t, `${socketUrl}/echo`);

    await roundTrip(client, 'text');
    await roundTrip(client, randomBytes(100_000));
    await closeFromHere(client);
    const empty = await connect(t, `${socketUrl}/echo`);
    empty.socket.close();
    assert.equal((await empty.closed).code, 1005);
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`drain.ts closes everybody with 1001, reports and exits at ${signal}`, async (t) => {
      const { socketUrl, output, stop } = await startSample(t, 'drain');
      const clients = await Promise.all([connect(t, `${socketUrl}/echo`), connect(t, `${socketUrl}/echo`)]);

      const exit = await stop(signal);

      for (const client of clients) assert.deepEqual(await client.closed, { code: 1001, reason: 'restarting' });
      assert.equal(output(), '{ closed: 2, aborted: 0 }\n');
      assert.deepEqual(exit, { code: 0, signal: null });
    });
  }

  it('behind-a-proxy.ts compares the origin with what the client saw', async (t) => {
    const { socketUrl } = await startSample(t, 'behind-a-proxy');
    const forwarded = {
      'x-forwarded-for': '203.0.113.9',
      'x-forwarded-host': 'example.com',
      'x-forwarded-proto': 'https',
    };

    const client = await connect(t, `${socketUrl}/address`, { headers: forwarded, origin: 'https://example.com' });
    assert.equal(await client.next(), 'https://example.com for 203.0.113.9');
    const refused = await refusal(`${socketUrl}/address`, { headers: forwarded, origin: 'http://example.com' });
    assert.equal(refused.status, 403);
  });

  it('connect.ts echoes under Connect', async (t) => {
    const { socketUrl } = await startSample(t, 'connect');
    const client = await connect(t, `${socketUrl}/echo`);

    await roundTrip(client, 'Connect');
    await closeFromHere(client);
    assert.equal((await refusal(`${socketUrl}/elsewhere`)).status, 404);
  });

  it('express-4.ts turns a rejected handler into a close code', async (t) => {
    const { socketUrl } = await startSample(t, 'express-4');
    const client = await connect(t, `${socketUrl}/teapot`);

    assert.deepEqual(await client.closed, { code: 4418, reason: 'I am a teapot' });
  });
});

describe('the demo', () => {
  it('serves its pages with a policy that allows nothing from elsewhere', async (t) => {
    const { url } = await startDemo(t);
    for (const path of ['/', '/stream', '/broadcast', '/echo', '/chat/lobby', '/close-laboratory']) {
      const response = await fetch(url + path);
      assert.equal(response.status, 200, path);
      assert.match(response.headers.get('content-type') ?? '', /^text\/html/);
      assert.match(response.headers.get('content-security-policy') ?? '', /^default-src 'none'; script-src 'self'/);
      const page = await response.text();
      assert.doesNotMatch(page, /https?:/, `${path} refers to another server`);
      for (const [, asset] of page.matchAll(/(?:href|src)="(\/assets\/[^"]+)"/g)) {
        assert.equal((await fetch(url + asset)).status, 200, asset);
      }
    }
    assert.equal((await fetch(`${url}/nowhere`)).status, 404);
    assert.equal((await fetch(`${url}/chat/%ff`)).status, 400);
  });

  it('echoes fragments as they come, and reports on them to those who ask', async (t) => {
    const { socketUrl } = await startDemo(t);
    const client = await connect(t, `${socketUrl}/echo`, { protocols: ['report'] });
    const parts = [randomBytes(10), randomBytes(20_000), randomBytes(30)];

    for (const [index, part] of parts.entries()) client.socket.send(part, { fin: index === parts.length - 1 });

    assert.deepEqual(await client.next(), Buffer.concat(parts));
    const report = JSON.parse(String(await client.next()));
    assert.equal(report.bytes, 20_040);
    assert.ok(report.fragments >= 3, `${report.fragments} fragments`);
    await closeFromHere(client);
    const quiet = await connect(t, `${socketUrl}/echo`);
    await roundTrip(quiet, 'one');
    await roundTrip(quiet, 'two');
  });

  it('lets nobody into a chat room who has not chosen a name', async (t) => {
    const { url, socketUrl } = await startDemo(t);

    assert.equal((await refusal(`${socketUrl}/chat/lobby`)).status, 401);
    assert.equal((await refusal(`${socketUrl}/chat/NO%20ROOM`)).status, 404);
    for (const name of ['', '   ', 'x'.repeat(25), 'a\u202eb', 7, null]) {
      assert.equal((await putName(url, name)).status, 400, JSON.stringify(name));
    }
  });

  it('brings visitors together in a room, once per person', async (t) => {
    const { url, socketUrl } = await startDemo(t);
    const ada = { headers: { cookie: await cookieOf(url, 'Ada') } };
    const grace = { headers: { cookie: await cookieOf(url, 'Grace') } };

    const adas = await connect(t, `${socketUrl}/chat/engine`, ada);
    const { you, ...first } = await nextEvent(adas);
    assertHas(first, { type: 'history' });
    assert.deepEqual(first.lines, []);
    assertHas(await nextEvent(adas), { type: 'joined', name: 'Ada' });
    assert.deepEqual(await nextPeople(adas), ['Ada']);
    adas.socket.send('anybody there?');
    assertHas(await nextEvent(adas), { type: 'said', id: you, name: 'Ada', text: 'anybody there?' });

    const graces = await connect(t, `${socketUrl}/chat/engine`, grace);
    const history = await nextEvent(graces);
    assert.deepEqual(
      history.lines.map((line: { text: string }) => line.text),
      ['', 'anybody there?'],
    );
    assertHas(await nextEvent(adas), { type: 'joined', name: 'Grace' });
    assert.deepEqual(await nextPeople(adas), ['Ada', 'Grace']);

    const secondTab = await connect(t, `${socketUrl}/chat/engine`, grace);
    assert.deepEqual(await nextPeople(adas), ['Ada', 'Grace']);
    await closeFromHere(secondTab);
    assert.deepEqual(await nextPeople(adas), ['Ada', 'Grace']);
    await closeFromHere(graces);
    assertHas(await nextEvent(adas), { type: 'left', name: 'Grace' });
    assert.deepEqual(await nextPeople(adas), ['Ada']);
  });

  it('closes a chat that sends binary with 1003 and one that sends too much with 1009', async (t) => {
    const { url, socketUrl } = await startDemo(t);
    const visitor = { headers: { cookie: await cookieOf(url, 'Ada') } };

    const binary = await connect(t, `${socketUrl}/chat/lobby`, visitor);
    binary.socket.send(Buffer.of(1));
    assert.equal((await binary.closed).code, 1003);
    const long = await connect(t, `${socketUrl}/chat/lobby`, visitor);
    long.socket.send('x'.repeat(5000));
    assert.equal((await long.closed).code, 1009);
  });

  it('refuses connections under test that belong to no timeline', async (t) => {
    const { url, socketUrl } = await startDemo(t);

    assert.equal((await refusal(`${socketUrl}/close-laboratory?timeline=1&experiment=abort`)).status, 400);
    const response = await postJson(`${url}/close-laboratory/peers`, { timeline: '1', experiment: '__proto__' });
    assert.equal(response.status, 400);
  });

  it('takes no connection away from a page that has not seen it open', async (t) => {
    const { url, socketUrl } = await startDemo(t);
    const gone = new AbortController();
    t.after(() => gone.abort());
    const timeline = await fetch(`${url}/close-laboratory/timeline`, { signal: gone.signal });
    const events = eventsOf(timeline);
    const { value: opened } = await events.next();
    const client = await connect(t, `${socketUrl}/close-laboratory?timeline=${opened?.data.id}&experiment=abort`);

    // Longer than an open connection is left alone.
    await delay(600);
    const told = Date.now();
    await postJson(`${url}/close-laboratory/opened`, { timeline: opened?.data.id });

    assert.equal((await client.closed).code, 1006);
    const entries = new Map<string, number>();
    while (!entries.has('abort()')) {
      const { value } = await events.next();
      entries.set(value?.data.text, value?.data.at);
    }
    const aborted = entries.get('abort()') ?? 0;
    assert.ok(aborted >= told, `abort() was called ${told - aborted} ms before the page said that it is open`);
    assert.equal((await postJson(`${url}/close-laboratory/opened`, {})).status, 400);
  });

  it('tells the broadcast page totals, so that a report that comes twice or late changes no rate', async (t) => {
    const { socketUrl } = await startDemo(t);
    const page = await connect(t, `${socketUrl}/broadcast`);
    const everybody = 500 - 3 * 5;

    const reports: BroadcastReport['clients'][] = [];
    while (reports.length < 6) {
      const { clients }: BroadcastReport = await nextEvent(page);
      if (clients.groups && openOf(clients) === everybody) reports.push(clients);
    }
    for (const [index, { at, groups }] of reports.slice(1).entries()) {
      const before = reports[index];
      assert.ok(before && at >= before.at);
      for (const [place, { fast }] of groups.entries()) {
        const more = fast.count - (before.groups[place]?.fast.count ?? 0);
        assert.ok(at === before.at ? more === 0 : more >= 0, `${more} more after ${at - before.at} ms`);
      }
    }

    function openOf(clients: BroadcastReport['clients']): number {
      return clients.groups.reduce((sum, { fast }) => sum + fast.open, 0);
    }
  });

  const noRedis = !hasBroker('redis-server') && 'redis-server is not installed';
  it('with a broker runs in two processes, and one that stops disturbs nobody at the first', {
    skip: noRedis,
  }, async (t) => {
    const broker = await startBroker(t, 'redis-server');
    const demo = await startDemo(t, { REDIS_URL: `redis://127.0.0.1:${broker.port}` });
    const page = await connect(t, `${demo.socketUrl}/broadcast`);
    const reportWhere = async (isRight: (report: BroadcastReport) => boolean): Promise<BroadcastReport> => {
      for (;;) {
        const report = await nextEvent(page);
        if (report.clients.readAt && isRight(report)) return report;
      }
    };

    await reportWhere(({ backplane, clients }) => backplane.nodes === 2 && clients.readAt[1] > 1000);
    page.socket.send(JSON.stringify({ pauseBroker: true }));
    const during = await reportWhere(({ backplane }) => backplane.unavailable > 0);
    await reportWhere(({ clients }) => clients.readAt[0] > during.clients.readAt[0] + 1000);
    const after = await reportWhere(({ backplane }) => backplane.status === 'ready');
    await reportWhere(({ clients }) => clients.readAt[1] > after.clients.readAt[1] + 1000);

    assert.deepEqual(await demo.stop('SIGTERM'), { code: 0, signal: null });
  });

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`drains on ${signal}: closes every connection with 1001, reports and exits with 0`, async (t) => {
      const demo = await startDemo(t);
      const clients = await Promise.all([connect(t, `${demo.socketUrl}/echo`), connect(t, `${demo.socketUrl}/echo`)]);
      const timeline = await fetch(`${demo.url}/close-laboratory/timeline`);

      const exit = await demo.stop(signal);

      for (const client of clients) assert.deepEqual(await client.closed, { code: 1001, reason: 'restarting' });
      assert.match(demo.output(), /\{ closed: 2, aborted: 0 \}/);
      assert.deepEqual(exit, { code: 0, signal: null });
      assert.match(await timeline.text(), /^event: opened\n/);
    });
  }

  it('says so when its port is taken', async (t) => {
    const occupant = createServer().listen(0, '127.0.0.1');
    t.after(() => occupant.close());
    await once(occupant, 'listening');
    const { port } = occupant.address() as AddressInfo;

    const { code, output } = await runDemo(t, { PORT: String(port) });

    assert.equal(code, 1);
    assert.equal(output, `Port ${port} is taken; set PORT to a free one\n`);
  });
});

function putName(url: string, name: unknown): Promise<Response> {
  return fetch(`${url}/name`, {
    method: 'PUT',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ name }),
  });
}

function postJson(url: string, body: object): Promise<Response> {
  return fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

/** The server-sent events of a response. */
async function* eventsOf({ body }: Response) {
  assert.ok(body);
  let text = '';
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const events = (text + chunk).split('\n\n');
    text = events.pop() ?? '';
    for (const event of events) {
      const data = /^data: (.*)$/m.exec(event)?.[1];
      if (data !== undefined) yield { data: JSON.parse(data) };
    }
  }
}

async function cookieOf(url: string, name: string): Promise<string> {
  const response = await putName(url, name);
  assert.deepEqual(await response.json(), { name });
  return response.headers.get('set-cookie')?.split(';')[0] ?? '';
}

async function nextEvent(client: Client) {
  return JSON.parse(String(await client.next()));
}

async function nextPeople(client: Client): Promise<string[]> {
  const { type, people } = await nextEvent(client);
  assert.equal(type, 'people');
  return people.map(({ name }: { name: string }) => name);
}

function assertHas(actual: Record<string, unknown>, expected: Record<string, unknown>): void {
  assert.deepEqual({ ...actual, ...expected }, actual);
}
