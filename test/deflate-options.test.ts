import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { checkDeflateOptions, DEFLATE_DEFAULTS } from '../src/framing/deflate-options.js';

describe('DEFLATE_DEFAULTS', () => {
  it('take no context over, so that an idle connection needs no memory for compression', () => {
    assert.equal(DEFLATE_DEFAULTS.serverNoContextTakeover, true);
    assert.equal(DEFLATE_DEFAULTS.clientNoContextTakeover, true);
    assert.doesNotThrow(() => checkDeflateOptions(DEFLATE_DEFAULTS));
  });
});

describe('checkDeflateOptions', () => {
  it('throws for options that zlib would refuse later', () => {
    assert.throws(() => checkDeflateOptions({ zlibDeflateOptions: { level: 10 } }), RangeError);
    assert.throws(() => checkDeflateOptions({ zlibInflateOptions: { chunkSize: 1 } }), RangeError);
    assert.doesNotThrow(() => checkDeflateOptions({}));
  });
});
