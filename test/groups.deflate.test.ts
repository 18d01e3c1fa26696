import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { constants, createInflateRaw, inflateRawSync } from 'node:zlib';
import { DEFLATE_DEFAULTS, type DeflateParameters, type NegotiatedDeflate } from '../src/framing/deflate-options.js';
import { DeflateSetting } from '../src/framing/deflate-pool.js';
import { negotiated, noise, PerMessageDeflate, TRAILER } from './support/deflate.js';
import { passTurns, until } from './support/fake-socket.js';
import type { ParsedFrame } from './support/frames.js';
import { type FakeMember, Hall } from './support/members.js';

const RSV1 = 4;
const NO_TAKEOVER: DeflateParameters = { server_no_context_takeover: true };
/** Text that is compressed before the call of `sendAsync` is over. */
const text = (seed: number): string => noise(1000, seed).toString('base64').repeat(2);
/** Text that is compressed in another thread. */
const longText = (seed: number): string => text(seed).repeat(2);

function enter(hall: Hall, params: DeflateParameters, options = DEFLATE_DEFAULTS): FakeMember {
  const [member] = hall.enterGroup('room', 1, { compression: { negotiated: negotiated(params), options } });
  assert.ok(member);
  return member;
}

/** What a client with a window of its own for all messages makes of the frames that it gets. */
async function inflateAll(t: TestContext, frames: readonly ParsedFrame[]): Promise<string[]> {
  const inflater = createInflateRaw({ finishFlush: constants.Z_SYNC_FLUSH });
  t.after(() => inflater.close());
  const texts: string[] = [];
  for (const { payload, rsv } of frames) {
    if (rsv !== RSV1) {
      texts.push(payload.toString());
      continue;
    }
    let inflated = '';
    const collect = (chunk: Buffer): void => {
      inflated += chunk.toString('latin1');
    };
    inflater.on('data', collect);
    await new Promise((resolve) => inflater.write(Buffer.concat([payload, TRAILER]), resolve));
    inflater.off('data', collect);
    texts.push(inflated);
  }
  return texts;
}

const inflated = ({ payload }: ParsedFrame): string =>
  inflateRawSync(Buffer.concat([payload, TRAILER]), { finishFlush: constants.Z_SYNC_FLUSH }).toString();

describe('Groups with compression', () => {
  it('are done with a message when it is compressed, though another one has to be before', async (t) => {
    const hall = new Hall(t);
    const members = [enter(hall, NO_TAKEOVER), enter(hall, NO_TAKEOVER)];
    for (const seed of [1, 2]) void hall.group('room').sendAsync(longText(seed));
    await hall.group('room').sendAsync(longText(3));
    assert.deepEqual(
      members.map(({ socket }) => socket.sent.length),
      [3, 3],
    );
    await hall.group('room').sendAsync('short');
    assert.deepEqual(
      members.map(({ socket }) => socket.sent.length),
      [4, 4],
    );
  });

  it('are done with a short message when those before it are compressed, the last one included', async (t) => {
    const hall = new Hall(t);
    const options = { concurrencyLimit: 1 };
    const members = [1, 2].map(() => enter(hall, NO_TAKEOVER, options));
    const first = hall.group('room').sendAsync(longText(1));
    void hall.group('room').sendAsync(longText(2).repeat(20));
    await first;
    await hall.group('room').sendAsync('short');
    assert.deepEqual(
      members.map(({ socket }) => socket.sent.length),
      [3, 3],
    );
  });

  it('compress a message once for each setting, and not for who has none', async (t) => {
    const compress = t.mock.method(PerMessageDeflate.prototype, 'compress').mock;
    const hall = new Hall(t);
    const members = [
      enter(hall, NO_TAKEOVER),
      enter(hall, NO_TAKEOVER),
      enter(hall, {}),
      enter(hall, { ...NO_TAKEOVER, server_max_window_bits: 10 }),
    ];
    const [plain] = hall.enterGroup('room', 1) as [FakeMember];
    const short = t.mock.method(DeflateSetting.prototype, 'compressAtOnce').mock;
    for (const [index, message] of [text(1), longText(1)].entries()) {
      assert.equal((await hall.group('room').sendAsync(message)).members, 5);
      await passTurns();
      for (const { socket } of members) {
        assert.equal(socket.sent.length, index + 1);
        assert.equal(socket.sent[index]?.rsv, RSV1);
        assert.equal(inflated(socket.sent[index] as ParsedFrame), message);
      }
      assert.equal(plain.socket.sent[index]?.rsv, 0);
      assert.equal(plain.socket.sent[index]?.payload.toString(), message);
    }
    assert.equal(short.callCount(), 2);
    assert.equal(compress.callCount(), 2);
  });

  it('give a message of up to 4 KiB to the sockets in the tick in which it was sent', async (t) => {
    const hall = new Hall(t);
    const member = enter(hall, NO_TAKEOVER);
    for (const size of [4096, 4097]) {
      void hall.group('room').sendAsync('x'.repeat(size));
      await new Promise((resolve) => process.nextTick(resolve));
    }
    assert.deepEqual(
      member.socket.sent.map((frame) => inflated(frame).length),
      [4096],
    );
    await until(() => member.socket.sent.length === 2);
  });

  it('leave short messages as they are, unless told otherwise', async (t) => {
    const hall = new Hall(t);
    const member = enter(hall, NO_TAKEOVER);
    const room = hall.group('room');
    await room.sendAsync('short');
    await room.sendAsync('short', { compress: true });
    await room.sendAsync(text(1), { compress: false });
    await room.sendAsync(Buffer.from(text(2)));
    await passTurns();
    assert.deepEqual(
      member.socket.sent.map(({ rsv }) => rsv),
      [0, RSV1, 0, RSV1],
    );
  });

  it('can be read by a client that keeps its window, among messages of its connection alone', async (t) => {
    const hall = new Hall(t);
    const member = enter(hall, {}, {});
    const other = enter(hall, {}, {});
    const expected: string[] = [];
    for (let round = 0; round < 6; round++) {
      // The same words again and again: a compressor that had not begun anew would refer to what the client has elsewhere.
      const ofSomeLength = round % 2 === 0 ? text : longText;
      const own = `own ${text(3)} ${text(round)}`;
      const shared = `shared ${text(3).slice(0, 1000)} ${ofSomeLength(round + 100)}`;
      void member.context.sendAsync(own);
      void hall.group('room').sendAsync(shared);
      void member.context.sendAsync(`${own} again`);
      void hall.group('room').sendAsync('short');
      expected.push(own, shared, `${own} again`, 'short');
    }
    await until(() => member.socket.sent.length === expected.length && other.socket.sent.length === 12);
    assert.deepEqual(await inflateAll(t, member.socket.sent), expected);
    assert.equal((await inflateAll(t, other.socket.sent)).length, 12);
    assert.ok(member.socket.sent.filter(({ rsv }) => rsv === RSV1).length === 18);
  });

  it('keep their place in the order while they are being compressed', async (t) => {
    const hall = new Hall(t);
    const member = enter(hall, NO_TAKEOVER);
    const room = hall.group('room');
    const message = longText(1);
    const [older, newer] = [longText(2), longText(3)];
    void member.context.sendAsync('1');
    const sent = room.sendAsync(message);
    void room.sendAsync('2');
    void member.context.sendAsync('3');
    void room.sendAsync(older, { latest: 'key' });
    void room.sendAsync(newer, { latest: 'key' });
    await sent;
    await until(() => member.socket.sent.length === 5);
    const texts = member.socket.sent.map((frame) => (frame.rsv === RSV1 ? inflated(frame) : frame.payload.toString()));
    assert.deepEqual(texts, ['1', message, '2', '3', newer]);
  });

  it('resolve when the compressed frame is with the sockets', async (t) => {
    const hall = new Hall(t);
    const member = enter(hall, NO_TAKEOVER);
    await hall.group('room').sendAsync(longText(1));
    assert.equal(member.socket.sent.length, 1);
    void hall.group('room').sendAsync(longText(2));
    await hall.group('room').sendAsync('behind it');
    assert.equal(member.socket.sent.length, 3);
  });

  it('replace what is being compressed for a slot by what is newer', async (t) => {
    const hall = new Hall(t);
    const member = enter(hall, NO_TAKEOVER);
    const room = hall.group('room');
    const waiting: Array<() => void> = [];
    const original = PerMessageDeflate.prototype.compress;
    t.mock.method(
      PerMessageDeflate.prototype,
      'compress',
      function (this: NegotiatedDeflate, ...args: Parameters<NegotiatedDeflate['compress']>) {
        waiting.push(() => original.apply(this, args));
      },
    );
    const [first, second] = [longText(1), longText(2)];
    void room.sendAsync(first, { latest: 'key' });
    await passTurns();
    void room.sendAsync(second, { latest: 'key' });
    void member.context.sendAsync('behind');
    await passTurns();
    assert.equal(waiting.length, 2);
    waiting.shift()?.();
    await passTurns(10);
    assert.deepEqual(member.socket.sentText, []);
    waiting.shift()?.();
    await until(() => member.socket.sent.length === 2);
    assert.equal(inflated(member.socket.sent[0] as ParsedFrame), second);
  });

  it('do not wait for what they have replaced in a slot', async (t) => {
    const hall = new Hall(t);
    const member = enter(hall, NO_TAKEOVER);
    const room = hall.group('room');
    let compressOlder: (() => void) | undefined;
    const original = PerMessageDeflate.prototype.compress;
    t.mock.method(
      PerMessageDeflate.prototype,
      'compress',
      function (this: NegotiatedDeflate, ...args: Parameters<NegotiatedDeflate['compress']>) {
        compressOlder = () => original.apply(this, args);
      },
    );
    void room.sendAsync(longText(1), { latest: 'key' });
    await passTurns();
    void room.sendAsync('newer', { latest: 'key' });
    await passTurns();
    assert.deepEqual(member.socket.sentText, ['text newer']);
    compressOlder?.();
    await room.sendAsync('last');
    await passTurns(10);
    assert.deepEqual(member.socket.sentText, ['text newer', 'text last']);
  });

  it('are sent as they are when they cannot be compressed', async (t) => {
    for (const failing of [
      (_data: Buffer, _fin: boolean, callback: (error: Error, out: Buffer) => void) =>
        callback(new Error('no luck'), Buffer.alloc(0)),
      () => {
        throw new Error('no memory');
      },
    ]) {
      t.mock.method(PerMessageDeflate.prototype, 'compress', failing);
      t.mock.method(DeflateSetting.prototype, 'compressAtOnce', () => undefined);
      const hall = new Hall(t);
      const member = enter(hall, NO_TAKEOVER);
      for (const message of ['message', longText(1)]) {
        await hall.group('room').sendAsync(message, { compress: true });
        await passTurns();
        assert.equal(member.socket.sentText.at(-1), `text ${message}`);
      }
      t.mock.restoreAll();
    }
  });
});
