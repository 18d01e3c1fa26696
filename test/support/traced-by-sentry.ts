// A server that Sentry follows, and its clients. Prints what has been seen of them; see instrumentation.test.ts.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const Sentry: typeof import('@sentry/node') = require('@sentry/node');
const spans: unknown[] = [];
/** By the error that each of them met: Sentry looks at several at a time. */
const users: Record<string, unknown> = {};
Sentry.init({
  dsn: 'http://key@127.0.0.1:9/1',
  tracesSampleRate: 1,
  traceLifecycle: 'static',
  // It drops those of a 401 otherwise
  integrations: [Sentry.httpIntegration({ ignoreStatusCodes: [] })],
  beforeSend(event) {
    users[event.exception?.values?.[0]?.value ?? ''] = event.user?.id;
    return null;
  },
  beforeSendTransaction({ transaction, contexts }) {
    const { data } = contexts?.trace ?? {};
    spans.push([transaction, data?.['http.response.status_code']]);
    return null;
  },
});
const express: typeof import('express') = require('express');
const { webSockets } = await import('../../src/index.js');
const { visitTracedServer } = await import('./traced-server.js');

const app = express();
const sockets = webSockets({ onError: (error) => void Sentry.captureException(error) });
app.use((req, _res, next) => {
  Sentry.setUser({ id: String(req.query['user']) });
  next();
});
await visitTracedServer(app, sockets);
await Sentry.flush(60_000);
console.log(JSON.stringify({ spans, users }));
process.exit();
