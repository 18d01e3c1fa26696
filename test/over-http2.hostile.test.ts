// As over-http2.test.ts, in a process of their own: they take their time, and measure memory.
import { overHttp2 } from './support/servers.js';

overHttp2();
await import('./floods.test.js');
await import('./hostile.test.js');
