import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { describe, it } from 'node:test';
import express from 'express';
import { hasFastProperties } from './support/layouts.js';
import { collectGarbage } from './support/memory.js';
import { rawUpgrade } from './support/raw-client.js';
import { accept, attached } from './support/upgrades.js';

describe('requests and responses whose prototypes Express changes', () => {
  it('have a layout that V8 is fast with, before and behind the handshake and a collection of garbage', async (t) => {
    const requests: IncomingMessage[] = [];
    const slow: string[] = [];
    const look = (where: string, object: object): unknown => hasFastProperties(object) || slow.push(where);
    const app = express();
    app.get('/', (req, res) => {
      look('request', req);
      look('response', res);
      void accept(req);
      requests.push(req);
    });
    const server = await attached(t, app);
    for (let round = 0; round < 3; round++) {
      for (let at = 0; at < 20; at++) await (await rawUpgrade(t, server)).readHead();
      collectGarbage();
      for (const req of requests) look('accepted request', req);
    }
    assert.deepEqual(slow, []);
  });
});
