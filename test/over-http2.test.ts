// The promises of the contract once more: the same tests, whose servers speak HTTP/2 and whose clients come by it.
import { overHttp2 } from './support/servers.js';

overHttp2();
await import('./contract.test.js');
await import('./contract.context.test.js');
await import('./drain.test.js');
await import('./keep-alive.test.js');
await import('./authentication.test.js');
await import('./testing.test.js');
