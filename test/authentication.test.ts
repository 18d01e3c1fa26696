import assert from 'node:assert/strict';
import type { Server } from 'node:http';
import { describe, it } from 'node:test';
import express from 'express';
import { rateLimit } from 'express-rate-limit';
import session from 'express-session';
import passport from 'passport';
import { Strategy } from 'passport-local';
import { webSockets } from '../src/index.js';
import { rawUpgrade, upgradeHeaders } from './support/raw-client.js';
import { serve, type TestContext, urlOf } from './support/servers.js';

process.env['NODE_ENV'] = 'test';

declare global {
  namespace Express {
    interface User {
      name: string;
    }
  }
}

/** A site with a login, whose WebSocket is for those who have logged in. */
async function site(t: TestContext): Promise<Server> {
  const authenticator = new passport.Passport();
  authenticator.use(new Strategy((name, password, done) => done(null, password === 'secret' && { name })));
  authenticator.serializeUser((user, done) => done(null, user.name));
  authenticator.deserializeUser((name: string, done) => done(null, { name }));

  const app = express();
  const sockets = webSockets();
  app.use(session({ secret: 'test', resave: false, saveUninitialized: false }), authenticator.session());
  app.post('/login', express.json(), authenticator.authenticate('local'), (_req, res) => void res.sendStatus(204));
  app.use('/live', (req, res, next) => {
    if (req.isAuthenticated()) next();
    else res.status(401).json({ error: 'log in first' });
  });
  app.get(
    '/live',
    sockets.handler(async (socket, req) => {
      const { user, isAuthenticated } = socket;
      await socket.sendAsync(JSON.stringify({ user, isAuthenticated, same: req.user === user }));
    }),
  );
  const server = await serve(t, app);
  sockets.attach(server, app);
  return server;
}

describe('Authentication in front of the handshake', { timeout: 120_000 }, () => {
  it('gives a handler the user of a Passport session', async (t) => {
    const server = await site(t);
    const login = await fetch(`${urlOf(server)}/login`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ username: 'ada', password: 'secret' }),
    });
    const Cookie = login.headers.getSetCookie()[0]?.split(';')[0] ?? '';

    const client = await rawUpgrade(t, server, { path: '/live', headers: { ...upgradeHeaders, Cookie } });

    assert.equal((await client.readHead()).status, 101);
    const [, length = 0] = await client.read(2);
    assert.deepEqual(JSON.parse(String(await client.read(length))), {
      user: { name: 'ada' },
      isAuthenticated: true,
      same: true,
    });
  });

  it('refuses a stranger with the response of the application', async (t) => {
    const client = await rawUpgrade(t, await site(t), { path: '/live', headers: { ...upgradeHeaders } });
    const { status, body } = await client.readResponse();
    assert.equal(status, 401);
    assert.deepEqual(JSON.parse(String(body)), { error: 'log in first' });
  });
});

describe('express-rate-limit in front of the handshake', { timeout: 120_000 }, () => {
  it('puts its headers on the 101, and refuses with 429', async (t) => {
    const app = express();
    const sockets = webSockets();
    app.use(rateLimit({ limit: 1, standardHeaders: 'draft-8', legacyHeaders: false, windowMs: 60_000 }));
    app.get(
      '/',
      sockets.handler(() => {}),
    );
    const server = await serve(t, app);
    sockets.attach(server, app);

    const first = await (await rawUpgrade(t, server, { headers: { ...upgradeHeaders } })).readHead();
    const second = await (await rawUpgrade(t, server, { headers: { ...upgradeHeaders } })).readHead();

    assert.equal(first.status, 101);
    assert.match(first.headers['ratelimit'] ?? '', /r=0/);
    assert.equal(second.status, 429);
    assert.ok(second.headers['retry-after']);
  });
});
