const connectApp = require('connect');
const createError = require('http-errors');

/**
 * What has to hold under fake timers, whoever's they are.
 *
 * @param runner its `test`, `expect` and `timers`, and functions that it has replaced
 * @param library the exports of websocket-context and websocket-context/testing, in the module format of the runner
 */
module.exports = function testUnderFakes({ test, expect, timers, fakes }, library) {
  const { webSockets, WebSocketError, connect, HandshakeRefusedError } = library;

  function appOf(handler, options) {
    const app = connectApp();
    app.use('/refused', (_req, _res, next) => next(createError(403, 'Not you')));
    app.use(webSockets(options).handler(handler));
    return app;
  }

  async function echo(socket) {
    for await (const message of socket) await socket.sendAsync(message);
  }

  test('time stands still', () => {
    for (const replaced of fakes) expect(replaced.clock).toBeDefined();
  });

  test('messages of any size pass in both directions', async () => {
    const client = await connect(appOf(echo), '/');
    for (const message of ['x', 'x'.repeat(300_000), Buffer.alloc(1_000_000, 7)]) {
      await client.sendAsync(message);
      const received = await client.receiveAsync();
      expect(typeof received).toBe(typeof message);
      expect(Buffer.from(received).equals(Buffer.from(message))).toBe(true);
    }
    await client.closeAsync(4000, 'enough');
    expect(await client.closed).toEqual({ code: 4000, reason: 'enough', wasClean: true });
  });

  test('compression, pings and JSON do without time', async () => {
    const app = appOf(async (socket) => {
      await socket.ping();
      for await (const value of socket.json()) await socket.json().sendAsync({ value });
    });
    const client = await connect(app, '/');
    await client.sendAsync('5');
    expect(await client.receiveAsync()).toBe('{"value":5}');
    await client.sendAsync('no JSON');
    expect((await client.closed).code).toBe(1007);
  });

  test('a refusal arrives, and a connection that is cut is noticed', async () => {
    await expect(connect(appOf(echo), '/refused')).rejects.toBeInstanceOf(HandshakeRefusedError);
    const client = await connect(
      appOf((socket) => socket.abort()),
      '/',
    );
    await expect(client.receiveAsync()).rejects.toBeInstanceOf(WebSocketError);
  });

  test('time passes when it is told to', async () => {
    const app = appOf(
      async (socket) => {
        await socket.receiveMessageAsync();
        await new Promise((resolve) => setTimeout(resolve, 5000));
        await socket.sendAsync('late');
      },
      { keepAliveInterval: 0 },
    );
    const client = await connect(app, '/');
    await client.sendAsync('go');
    while (timers.getTimerCount() === 0) await client.sendAsync('again');
    await timers.advanceTimersByTimeAsync(5000);
    expect(await client.receiveAsync()).toBe('late');
    await client[Symbol.asyncDispose]();
  });
};
