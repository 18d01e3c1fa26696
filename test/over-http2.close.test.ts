// As over-http2.test.ts, in a process of their own: every order in which two sides can close, or leave.
import { overHttp2 } from './support/servers.js';

overHttp2();
await import('./web-socket-context.close.test.js');
await import('./lingering.test.js');
await import('./departures.test.js');
