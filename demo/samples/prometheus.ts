import { subscribe } from 'node:diagnostics_channel';
import express from 'express';
import { Counter, Gauge, Histogram, register } from 'prom-client';
import { type ConnectionCloseMessage, webSockets } from 'websocket-context';

const app = express();
const sockets = webSockets();
const totals = ['accepted', 'refused', 'bytesReceived', 'bytesSent', 'messagesReceived', 'messagesSent'] as const;

for (const name of totals) {
  new Counter({
    name: `websocket_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}_total`,
    help: `${name} since the server was started`,
    collect() {
      this.reset();
      this.inc(sockets.totals[name]);
    },
  });
}
new Gauge({ name: 'websocket_connections', help: 'Open connections', collect: gaugeConnections });
const closes = new Histogram({ name: 'websocket_duration_seconds', help: 'Lives by close code', labelNames: ['code'] });
subscribe('websocket-context:connection:close', (message) => {
  const { code, duration } = message as ConnectionCloseMessage;
  closes.observe({ code }, duration / 1000);
});

function gaugeConnections(this: Gauge): void {
  this.set(sockets.connectionCount);
}

const echo = sockets.handler(async (socket) => {
  for await (const message of socket) await socket.sendAsync(message);
});
app.get('/echo', echo);
app.get('/metrics', async (_req, res) => void res.type(register.contentType).send(await register.metrics()));

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
