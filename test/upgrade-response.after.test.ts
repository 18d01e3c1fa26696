import assert from 'node:assert/strict';
import { once } from 'node:events';
import { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { describe, it } from 'node:test';
import express from 'express';
import express4 from 'express4';
import { rawUpgrade } from './support/raw-client.js';
import { accept, assertClean, attached, Deferred, RecordedEvents } from './support/upgrades.js';

describe('the response behind the 101', () => {
  it('finishes and closes, once each, with status 101', async (t) => {
    const events: string[] = [];
    const closed = new Deferred<void>();
    const server = await attached(t, (req, res) => {
      for (const event of ['finish', 'close', 'error', 'prefinish'] as const) {
        res.on(event, () => events.push(`${event} ${res.statusCode}`));
      }
      res.on('close', closed.resolve);
      return accept(req);
    });
    await (await rawUpgrade(t, server)).readHead();
    await closed.promise;
    assert.deepEqual(events, ['finish 101', 'close 101']);
  });

  it('is no longer connected to the socket', async (t) => {
    const seen: unknown[] = [];
    const server = await attached(t, async (req, res) => {
      const finished = once(res, 'finish');
      await accept(req);
      await finished;
      seen.push(res.socket, res.headersSent, res.writableEnded, res.writableFinished);
    });
    await (await rawUpgrade(t, server)).readHead();
    assert.deepEqual(seen, [null, true, true, true]);
  });

  it('has finished, also where Node keeps that in a private field', async (t) => {
    const finished = new Deferred<unknown>();
    const server = await attached(t, (req, res) => {
      const get = (): boolean => false;
      Object.setPrototypeOf(res, Object.create(ServerResponse.prototype, { writableFinished: { get } }));
      res.on('finish', () => finished.resolve([res.writableFinished, Object.hasOwn(res, 'undefined')]));
      return accept(req);
    });
    await (await rawUpgrade(t, server)).readHead();
    assert.deepEqual(await finished.promise, [true, false]);
  });

  it('has finished by the field of its own that Node has for that, where it has one', async (t) => {
    const finished = new Deferred<unknown>();
    const server = await attached(t, (req, res) => {
      const ofNode = Object.getOwnPropertySymbols(res).find(({ description }) => description === 'kWritableFinished');
      const field = ofNode ?? Symbol('kWritableFinished');
      const get = (): unknown => Reflect.get(res, field);
      Object.setPrototypeOf(res, Object.create(ServerResponse.prototype, { writableFinished: { get } }));
      Object.assign(res, { [Symbol('kOther')]: false, [field]: false });
      res.on('finish', () => finished.resolve([res.writableFinished, Object.hasOwn(res, 'writableFinished')]));
      return accept(req);
    });
    await (await rawUpgrade(t, server)).readHead();
    assert.deepEqual(await finished.promise, [true, false]);
  });

  it('takes anything that is done to it without a byte, an exception or an error event', async (t) => {
    const record = new RecordedEvents();
    const done = new Deferred<number>();
    const server = await attached(t, async (req, res) => {
      res.on('error', done.reject);
      await accept(req, {}, record);
      let callbacks = 0;
      const count = (): void => {
        callbacks++;
      };
      assert.equal(res.setHeader('X-Late', '1'), res);
      assert.equal(res.appendHeader('X-Late', '1'), res);
      res.removeHeader('X-Late');
      Reflect.get(res, 'setHeaders').call(res, new Map([['x', 'y']]));
      res.addTrailers({ x: 'y\n' });
      assert.equal(res.writeHead(200, { 'X-Late': '1' }), res);
      res.flushHeaders();
      res.writeContinue(count);
      // Nobody has to wait for room
      assert.equal(Reflect.apply(res.writeProcessing, res, []), true);
      assert.equal(Reflect.apply(Reflect.get(res, '_writeRaw'), res, ['raw']), true);
      res.writeEarlyHints({ link: '</style.css>; rel=preload' }, count);
      assert.equal(res.write('body', count), true);
      assert.equal(res.write('body', 'utf8', count), true);
      assert.equal(res.end('body', 'utf8', count), res);
      res.statusCode = 418;
      res.end(count);
      res.destroy(new Error('late'));
      setImmediate(() => done.resolve(callbacks));
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    assert.equal(await done.promise, 6);
    assert.deepEqual(record.events, [
      ['response', 101],
      ['response', 418],
    ]);
    await assertClean(client);
  });

  it('takes a stream that is piped into it', async (t) => {
    const record = new RecordedEvents();
    const server = await attached(t, async (req, res) => {
      await accept(req, {}, record);

      Readable.from(['a', 'b']).pipe(res);
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    assert.deepEqual(await record.until(1), [['response', 101]]);
    await assertClean(client);
  });

  for (const [name, make] of [
    ['Express 5', express],
    ['Express 4', express4],
  ] as const) {
    it(`takes whatever an application answers late (${name})`, async (t) => {
      const record = new RecordedEvents();
      const app = (make as typeof express)();
      app.get('/', (req, res, next) => {
        void accept(req, {}, record);
        res.status(201).json({ late: true });
        res.send('late');
        res.redirect('/elsewhere');
        res.cookie('late', '1').sendStatus(204);
        // The folder of the compiled tests begins with a dot.
        res.sendFile(import.meta.filename, { dotfiles: 'allow' });
        next();
      });
      app.use((_req, res) => {
        res.status(404).type('html').send('not found');
        throw new Error('late');
      });
      const server = await attached(t, app);
      const client = await rawUpgrade(t, server);
      await client.readHead();
      // The package that sends files may find later that headers have been sent, which is an error, or that all is over.
      const events = await record.until(6);
      assert.equal(events.slice(0, 5).filter((event) => Array.isArray(event) && event[0] === 'response').length, 5);
      assert.deepEqual(events[0], ['response', 201]);
      assert.ok(events.some((event) => Array.isArray(event) && event[0] === 'chain' && /late/.test(String(event[1]))));
      await assertClean(client);
    });

    it(`tells the events how the chain ended (${name})`, async (t) => {
      const record = new RecordedEvents();
      const app = (make as typeof express)();
      const error = new Error('behind the handshake');
      app.get('/next', (req, _res, next) => {
        void accept(req, {}, record);
        next();
      });
      app.get('/error', (req, _res, next) => {
        void accept(req, {}, record);
        next(error);
      });
      app.get('/throw', (req) => {
        void accept(req, {}, record);
        throw error;
      });
      const server = await attached(t, app);
      for (const path of ['/next', '/error', '/throw']) {
        const client = await rawUpgrade(t, server, { path });
        await client.readHead();
        await assertClean(client);
      }
      assert.deepEqual(record.events, [
        ['chain', undefined],
        ['chain', error],
        ['chain', error],
      ]);
    });
  }

  it('reports the rejection of a function behind the handshake to the events', async (t) => {
    const record = new RecordedEvents();
    const server = await attached(t, async (req) => {
      await accept(req, {}, record);
      throw new Error('rejected');
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    assert.match(String(await record.until(1)), /chain,Error: rejected/);
    await assertClean(client);
  });

  it('ends once only if a session is stored late, and what ends it meanwhile is ignored', async (t) => {
    const finished = new Deferred<void>();
    const record = new RecordedEvents();
    let finishes = 0;
    const server = await attached(t, (req, res) => {
      const inner = res.end;
      res.end = (...args: unknown[]) => {
        setImmediate(() => Reflect.apply(inner, res, args));
        return res;
      };
      res.on('finish', () => {
        finishes++;
        setImmediate(finished.resolve);
      });
      void accept(req, {}, record);
      res.end('late');
      Reflect.apply(inner, res, []);
      Reflect.apply(inner, res, []);
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    await finished.promise;
    assert.equal(finishes, 1);
    assert.deepEqual(record.events, [['response', 101]]);
    await assertClean(client);
  });

  it('does not finish if it was destroyed before its end', async (t) => {
    const events: string[] = [];
    const done = new Deferred<void>();
    const server = await attached(t, (req, res) => {
      const inner = res.end;
      res.end = () => res;
      for (const event of ['finish', 'close'] as const) res.on(event, () => events.push(event));
      void accept(req);
      res.destroy();
      Reflect.apply(inner, res, []);
      setImmediate(done.resolve);
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    await done.promise;
    assert.ok(!events.includes('finish'));
    await assertClean(client);
  });

  it('reports what fails at its end as that, and not as an error of the application', async (t) => {
    const record = new RecordedEvents();
    const error = new Error('store');
    const server = await attached(t, (req, res) => {
      res.end = () => {
        throw error;
      };
      return accept(req, {}, record);
    });
    const client = await rawUpgrade(t, server);
    await client.readHead();
    assert.deepEqual(record.events, [['end', error]]);
    await assertClean(client);
  });
});
