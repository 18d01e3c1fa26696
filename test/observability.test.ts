import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { describe, it } from 'node:test';
import { WebSocket } from 'ws';
import { eventually } from './support/apps.js';
import { startSample } from './support/demo.js';
import { connectWs, nextClose, nextMessage } from './support/open-pair.js';
import { listen, portOf, type TestContext } from './support/servers.js';

/** Has an echo, leaves cleanly and is refused once; a second client stays. */
async function useEcho(t: TestContext, url: string): Promise<void> {
  const [client, other] = [await connectWs(t, `${url}/echo`), await connectWs(t, `${url}/echo`)];
  client.send('hello');
  assert.equal(await nextMessage(client), 'hello');
  client.close(4001);
  await nextClose(client);
  other.send('still here');
  assert.equal(await nextMessage(other), 'still here');
  await once(new WebSocket(`${url}/echo`, { origin: 'https://elsewhere.example' }), 'error');
}

describe('the samples of docs/observability.md', { timeout: 150_000 }, () => {
  it('prometheus.ts counts handshakes, connections and traffic', async (t) => {
    const sample = await startSample(t, 'prometheus');
    await useEcho(t, sample.socketUrl);
    const response = await fetch(`${sample.url}/metrics`);
    const lines = (await response.text()).split('\n');

    assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
    for (const line of [
      'websocket_accepted_total 2',
      'websocket_refused_total 1',
      'websocket_messages_received_total 2',
      'websocket_messages_sent_total 2',
      // 5 and 10 bytes behind headers of 2 and masks of 4, and the close with its code.
      `websocket_bytes_received_total ${6 + 5 + 6 + 10 + 6 + 2}`,
      `websocket_bytes_sent_total ${2 + 5 + 2 + 10 + 2 + 2}`,
      'websocket_connections 1',
      'websocket_duration_seconds_count{code="4001"} 1',
    ]) {
      assert.ok(lines.includes(line), `${line} is not in\n${lines.filter((one) => !one.startsWith('#')).join('\n')}`);
    }
    // Counters are read, not added up again.
    const again = await (await fetch(`${sample.url}/metrics`)).text();
    assert.ok(again.includes('websocket_accepted_total 2\n'));
  });

  it('sentry.ts reports what is our fault, and not what clients do', async (t) => {
    const reports: string[] = [];
    const collector = createServer((req, res) => {
      void text(req).then((report) => {
        reports.push(report);
        res.end('{}');
      });
    });
    await listen(t, collector);
    const { socketUrl } = await startSample(t, 'sentry', { SENTRY_DSN: `http://key@127.0.0.1:${portOf(collector)}/1` });
    const errors = () => reports.filter((report) => report.includes('"exception"'));

    const vanishing = await connectWs(t, `${socketUrl}/sum`);
    vanishing.send('{"amount":3}');
    assert.equal(await nextMessage(vanishing), '3');
    vanishing.terminate();
    const careless = await connectWs(t, `${socketUrl}/sum`);
    careless.send('three');
    assert.equal((await nextClose(careless)).code, 1011);
    await eventually(() => errors().length > 0);

    assert.equal(errors().length, 1);
    assert.match(errors().join(), /"type":"SyntaxError"/);
  });

  it('opentelemetry.ts exports durations, refusals and connections', async (t) => {
    const sample = await startSample(t, 'opentelemetry');
    await useEcho(t, sample.socketUrl);
    const expected = [
      'websocket.handshake.refused',
      "'websocket.close.code': 4001",
      "'http.response.status_code': 403",
      "'websocket.close.clean': true",
      "name: 'websocket.connections'",
      "name: 'websocket.connection.duration'",
    ];
    while (!expected.every((part) => sample.output().includes(part))) {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  });
});
