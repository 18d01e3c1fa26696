import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { type Content, decode, encode, messageSize, packedSize } from '../src/backplane/envelope.js';
import type { GroupMessage } from '../src/groups/group-backplane.js';

const NODE = 'ab'.repeat(16);
/** Version, kind, node and time. */
const HEADER = 26;

const messages: readonly GroupMessage[] = [
  { text: true, data: Buffer.from('grüße'), compress: undefined, volatile: false, latest: undefined },
  { text: false, data: Buffer.of(0xff, 0), compress: true, volatile: true, latest: undefined },
  { text: true, data: Buffer.alloc(0), compress: false, volatile: false, latest: 'schlüssel' },
  { text: false, data: Buffer.alloc(0), compress: undefined, volatile: false, latest: undefined },
];

/** One of each kind, and how much of its body it needs at least. */
const contents: readonly (readonly [Content, number])[] = [
  [{ kind: 'close', status: 4000, description: 'größer' }, 2],
  [{ kind: 'close', status: 1000, description: '' }, 2],
  [{ kind: 'hello' }, 0],
  [{ kind: 'here', asked: 1234.5 }, 8],
  [{ kind: 'goodbye' }, 0],
  [{ kind: 'count', request: 7, group: 'größe' }, 4],
  [{ kind: 'count', request: 8, group: '' }, 4],
  [{ kind: 'counted', request: 0xffffffff, count: 3 }, 8],
];

describe('An envelope', () => {
  it('holds whatever processes tell each other', () => {
    for (const [content] of contents) {
      assert.deepEqual(decode(encode(NODE, 99.5, content)), { ...content, node: NODE, time: 99.5 });
    }
  });

  it('holds several messages, each with what belongs to it', () => {
    for (let count = 1; count <= messages.length; count++) {
      const content: Content = { kind: 'messages', messages: messages.slice(0, count) };
      const envelope = encode(NODE, 1234, content);
      assert.deepEqual(decode(envelope), { ...content, node: NODE, time: 1234 });
      const sizes = content.messages.reduce((size, message) => size + packedSize(message), HEADER);
      assert.equal(envelope.length, sizes);
    }
    const [one] = messages;
    assert.ok(one !== undefined);
    assert.equal(encode(NODE, 0, { kind: 'messages', messages: [one] }).length, messageSize(one));
  });

  it('is damaged where it is cut before the end of what it needs', () => {
    for (const [content, needed] of contents) {
      const envelope = encode(NODE, 1234, content);
      for (let end = 0; end <= envelope.length; end++) {
        const received = decode(envelope.subarray(0, end));
        // A text may be cut within a character, which leaves one that is as good as any.
        assert.equal(received !== undefined, end >= HEADER + needed, `${content.kind} cut at ${end}`);
      }
    }
    const [first, second] = messages as [GroupMessage, GroupMessage];
    const envelope = encode(NODE, 1234, { kind: 'messages', messages: [first, second] });
    const ends = [messageSize(first), envelope.length];
    for (let end = 0; end <= envelope.length; end++) {
      assert.equal(decode(envelope.subarray(0, end)) !== undefined, ends.includes(end), `messages cut at ${end}`);
    }
  });

  it('is of no use with another version, an unknown kind, a status that nobody may send, or text that is none', () => {
    const hello = encode(NODE, 1234, { kind: 'hello' });
    assert.equal(decode(Buffer.from(hello).fill(2, 0, 1)), undefined);
    assert.equal(decode(Buffer.from(hello).fill(7, 1, 2)), undefined);
    assert.equal(decode(encode(NODE, 1234, { kind: 'close', status: 1006, description: '' })), undefined);
    const bad = (text: boolean): Content => ({ kind: 'messages', messages: [{ text, data: Buffer.of(0xff) }] });
    assert.equal(decode(encode(NODE, 1234, bad(true))), undefined);
    assert.ok(decode(encode(NODE, 1234, bad(false))) !== undefined);
  });
});
