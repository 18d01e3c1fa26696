import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { describe, it } from 'node:test';
import { promisify } from 'node:util';

const module = new URL('../src/outside-requests.js', import.meta.url).href;

describe('outsideRequests', () => {
  it('makes nothing that a test runner takes for an open handle', async () => {
    const program = `
      import { createHook } from 'node:async_hooks';
      const handles = [];
      createHook({ init: (_id, type, _trigger, handle) => void handles.push([type, handle]) }).enable();
      await import(${JSON.stringify(module)});
      const own = handles.filter(([type]) => type === 'websocket-context');
      console.log(JSON.stringify(own.map(([, handle]) => handle.hasRef())));`;
    const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
    assert.equal(stdout, '[false]\n');
  });
});
