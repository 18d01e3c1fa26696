import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);

// Each in a process of its own, because they patch what all servers have in common.
describe('what follows requests', { timeout: 150_000 }, () => {
  for (const [name, program] of [
    ['OpenTelemetry', 'traced-by-opentelemetry.js'],
    ['Sentry', 'traced-by-sentry.js'],
  ] as const) {
    it(`sees each upgrade by its route and status, and knows whose error it is (${name})`, async () => {
      const path = fileURLToPath(new URL(`support/${program}`, import.meta.url));
      const { stdout } = await run(process.execPath, ['--enable-source-maps', path]);
      const { spans, users } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
      assert.deepEqual(spans.map(String).sort(), ['GET /private/:id,401', 'GET /room/:id,101', 'GET /room/:id,101']);
      assert.deepEqual(users, { 'boom in room /room/0': 'ann', 'boom in room /room/1': 'bob' });
    });
  }
});
