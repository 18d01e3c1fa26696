// A server that OpenTelemetry follows, and its clients. Prints what has been seen of them; see instrumentation.test.ts.
import { createRequire } from 'node:module';
import { SpanKind, trace } from '@opentelemetry/api';
import { registerInstrumentations } from '@opentelemetry/instrumentation';
import { ExpressInstrumentation } from '@opentelemetry/instrumentation-express';
import { HttpInstrumentation } from '@opentelemetry/instrumentation-http';
import { InMemorySpanExporter, NodeTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-node';

const exporter = new InMemorySpanExporter();
new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register();
registerInstrumentations({ instrumentations: [new HttpInstrumentation(), new ExpressInstrumentation()] });

// It patches what is required, and only behind this point
const require = createRequire(import.meta.url);
require('node:http');
const express: typeof import('express') = require('express');
const { webSockets } = await import('../../src/index.js');
const { visitTracedServer } = await import('./traced-server.js');

const userOfTrace = new Map<string | undefined, unknown>();
const users: Record<string, unknown> = {};
const app = express();
const sockets = webSockets({
  onError(error) {
    users[(error as Error).message] = userOfTrace.get(activeTrace());
  },
});
app.use((req, _res, next) => {
  userOfTrace.set(activeTrace(), req.query['user']);
  next();
});
await visitTracedServer(app, sockets);
const spans = exporter
  .getFinishedSpans()
  .filter(({ kind }) => kind === SpanKind.SERVER)
  .map(({ name, attributes }) => [name, attributes['http.status_code'] ?? attributes['http.response.status_code']]);
console.log(JSON.stringify({ spans, users }));
process.exit();

function activeTrace(): string | undefined {
  return trace.getActiveSpan()?.spanContext().traceId;
}
