import { subscribe } from 'node:diagnostics_channel';
import { metrics } from '@opentelemetry/api';
import { ConsoleMetricExporter, MeterProvider, PeriodicExportingMetricReader } from '@opentelemetry/sdk-metrics';
import express from 'express';
import { type ConnectionCloseMessage, type HandshakeRefusedMessage, webSockets } from 'websocket-context';

// In a program of yours the SDK is set up before this, with an exporter that sends to your collector.
const reader = new PeriodicExportingMetricReader({ exporter: new ConsoleMetricExporter(), exportIntervalMillis: 1000 });
metrics.setGlobalMeterProvider(new MeterProvider({ readers: [reader] }));

const app = express();
const sockets = webSockets();
const meter = metrics.getMeter('websocket-context');
const refusals = meter.createCounter('websocket.handshake.refused');
const durations = meter.createHistogram('websocket.connection.duration', { unit: 's' });
const connections = meter.createObservableGauge('websocket.connections');
connections.addCallback((result) => result.observe(sockets.connectionCount));

subscribe('websocket-context:handshake:refused', (message) => {
  const { error } = message as HandshakeRefusedMessage;
  const status = error instanceof Error && 'status' in error ? Number(error.status) : 500;
  refusals.add(1, { 'http.response.status_code': status });
});
subscribe('websocket-context:connection:close', (message) => {
  const { code, wasClean, duration } = message as ConnectionCloseMessage;
  durations.record(duration / 1000, { 'websocket.close.code': code, 'websocket.close.clean': wasClean });
});

const echo = sockets.handler(async (socket) => {
  for await (const message of socket) await socket.sendAsync(message);
});
app.get('/echo', echo);

export const server = app.listen(process.env.PORT ?? 8080);
sockets.attach(server, app);
