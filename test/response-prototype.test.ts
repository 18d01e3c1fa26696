import assert from 'node:assert/strict';
import { createServer, IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { describe, it } from 'node:test';
import connect from 'connect';
import express from 'express';
import express4 from 'express4';
import { webSockets } from '../src/index.js';
import { constructorOf, responsePrototypeOf, responseWith } from '../src/upgrade/response-prototype.js';
import { hasFastProperties, haveSameLayout } from './support/layouts.js';
import { rawUpgrade } from './support/raw-client.js';
import { listen, type TestContext } from './support/servers.js';

const request = (): IncomingMessage => new IncomingMessage(new Socket());

/** The prototype of the response where an application gets the request, and in its route. */
async function prototypes(t: TestContext, app: ReturnType<typeof express>): Promise<(object | null)[]> {
  const seen: (object | null)[] = [];
  const server = createServer();
  const sockets = webSockets({ onError: assert.ifError });
  const entrance = Object.assign((...args: Parameters<typeof app>) => {
    seen.push(Object.getPrototypeOf(args[1]));
    return app(...args);
  }, app);
  sockets.attach(server, entrance);
  app.get('/', (req, res) => {
    seen.push(Object.getPrototypeOf(res));
    return sockets.accept(req);
  });
  await listen(t, server);
  await (await rawUpgrade(t, server)).readHead();
  return seen;
}

describe('the response of an upgrade request', () => {
  it('has the prototype that the application gives its responses before it gets there', async (t) => {
    for (const app of [express(), express4() as unknown as ReturnType<typeof express>]) {
      assert.deepEqual(
        (await prototypes(t, app)).map((prototype) => prototype === app.response),
        [true, true],
      );
    }
  });

  it('has that of Node where an application has none of its own', () => {
    const noResponse = Object.assign(() => {}, { response: { status: 200 } });
    for (const app of [connect(), () => {}, noResponse, express.Router()]) {
      assert.equal(responsePrototypeOf(app), ServerResponse.prototype);
    }
  });

  it('is what Node makes, in one layout for all of an application', () => {
    const { response } = express();
    const [one, other, ofNode] = [response, response, ServerResponse.prototype].map((prototype) =>
      responseWith(prototype, request()),
    );
    assert.ok(one && other && ofNode);
    assert.deepEqual(Reflect.ownKeys(one), Reflect.ownKeys(new ServerResponse(request())));
    assert.ok(one instanceof ServerResponse && haveSameLayout(one, other) && hasFastProperties(one));
    assert.equal(Object.getPrototypeOf(one), response);
    assert.equal(Object.getPrototypeOf(ofNode), ServerResponse.prototype);
    assert.equal(one.constructor, ServerResponse);
  });

  it('has that of Node until Express changes it, where its own would get in the way of what is set on a response', async (t) => {
    const app = express();
    Object.defineProperty(app.response, 'end', {
      configurable: true,
      get: () => ServerResponse.prototype.end,
      set: () => assert.fail('set'),
    });
    const frozen = express();
    Object.freeze(frozen.response);
    for (const one of [app, frozen]) {
      const [before, inRoute] = await prototypes(t, one);
      assert.ok(before === ServerResponse.prototype && inRoute === one.response);
    }
  });

  it('could be made by a class as well', () => {
    class Response extends ServerResponse {
      readonly isOfClass = true;
    }
    const { response } = express();
    const made = new (constructorOf(response, Response))(request());
    assert.equal(Object.getPrototypeOf(made), response);
    assert.ok('isOfClass' in made && made.sendDate);
  });
});
