import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { z } from 'zod';
import { type FakeMember, Hall } from './support/members.js';

const texts = (member: FakeMember): string[] => member.socket.sent.map(({ payload }) => payload.toString());

async function hallWith(t: TestContext) {
  const hall = new Hall(t);
  const members = [hall.enter(), hall.enter()] as const;
  for (const { context } of members) await context.addToGroupAsync('room');
  return { room: hall.group('room'), members };
}

describe('json of a group', () => {
  it('sends what the schema makes of a value, to all but the excepted', async (t) => {
    const { room, members } = await hallWith(t);
    const [ada, bob] = members;
    const schema = z.object({ at: z.date().transform((date) => date.getTime()) });
    const json = room.json({ send: schema });

    assert.deepEqual(await json.sendAsync({ at: new Date(5) }), { members: 2, skipped: 0, backplane: 'none' });
    await json.sendAsync({ at: new Date(6) }, { except: ada.context });
    assert.deepEqual(texts(ada), ['{"at":5}']);
    assert.deepEqual(texts(bob), ['{"at":5}', '{"at":6}']);
  });

  it('sends anything that can be JSON without a schema', async (t) => {
    const { room, members } = await hallWith(t);
    await room.json().sendAsync([1, null, 'x']);

    assert.deepEqual(texts(members[0]), ['[1,null,"x"]']);
  });

  it('keeps the order of the calls of a group, however long each validation takes', async (t) => {
    const { room, members } = await hallWith(t);
    let slowly = (): void => {};
    const send = z.string().refine(async (text) => {
      if (text === 'slow') await new Promise<void>((resolve) => (slowly = resolve));
      return true;
    });
    const sent = [
      room.json({ send }).sendAsync('slow'),
      room.json({ send }).sendAsync('fast'),
      room.json().sendAsync(3),
    ];
    await new Promise(setImmediate);
    assert.deepEqual(texts(members[0]), []);
    slowly();
    await Promise.all(sent);
    assert.deepEqual(texts(members[0]), ['"slow"', '"fast"', '3']);
    await room.json().sendAsync(4);
    assert.equal(texts(members[0]).at(-1), '4');
  });

  it('rejects what does not validate or cannot be JSON, and nobody gets anything', async (t) => {
    const { room, members } = await hallWith(t);
    const json = room.json({ send: z.object({ id: z.number() }) });

    await assert.rejects(json.sendAsync({ id: 'x' as never }), { name: 'TypeError', message: /id/ });
    for (const value of [undefined, () => {}, 1n]) {
      await assert.rejects(room.json().sendAsync(value), TypeError);
    }
    await assert.rejects(room.json().sendAsync(1, { latest: '' }), TypeError);
    assert.deepEqual(texts(members[0]), []);
  });

  it('throws at once for options that are none', async (t) => {
    const { room } = await hallWith(t);

    assert.throws(() => room.json(null as never), /null, must be an object/);
    assert.throws(() => room.json(5 as never), /number, must be an object/);
    assert.throws(() => room.json(z.number() as never), /options is a schema, pass \{ send: schema \}/);
    assert.throws(() => room.json({ receive: z.string() } as never), /receive/);
    assert.throws(() => room.json({ send: {} as never }), /Standard Schema/);
  });
});
