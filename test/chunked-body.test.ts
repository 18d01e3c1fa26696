import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { ChunkedBody } from '../src/upgrade/chunked-body.js';

const body = '5;name=value\r\nhello\r\n0A\r\n, \r\nworld!\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n';

function decoded(chunked: ChunkedBody, pieces: Iterable<string>): string {
  let text = '';
  for (const piece of pieces) text += chunked.decode(Buffer.from(piece)).join('');
  return text;
}

describe('ChunkedBody', () => {
  it('gives the data and the trailers, however they are cut', () => {
    for (let length = 1; length <= body.length; length++) {
      const pieces: string[] = [];
      for (let at = 0; at < body.length; at += length) pieces.push(body.slice(at, at + length));
      const chunked = new ChunkedBody();
      assert.equal(decoded(chunked, pieces), 'hello, \r\nworld!');
      assert.deepEqual(chunked.trailers, ['X-Sum: 1', 'X-More: 2']);
    }
  });

  it('says what is wrong with a size that is no number', () => {
    for (const size of ['size', '', '-1']) {
      assert.throws(() => new ChunkedBody().decode(Buffer.from(`${size}\r\n`)), {
        name: 'RangeError',
        message: `The size of a chunk is "${size}", must be a number in hex`,
      });
    }
  });
});
