import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { TEXT_FRAME } from '../src/framing/opcodes.js';
import { ALL } from '../src/groups/group-backplane.js';
import { WebSocketState } from '../src/index.js';
import { passTurns } from './support/fake-socket.js';
import { type FakeMember, Hall } from './support/members.js';
import { Random } from './support/random.js';
import { endSlices } from './support/slices.js';

// FUZZ_CASES sets how many stories are tried: one for 30. FUZZ_SEED is the first of them.
const CASES = Math.ceil(Number(process.env.FUZZ_CASES ?? 300) / 30);
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1);

/** The messages that somebody has got. */
function texts({ socket }: FakeMember): string[] {
  return socket.sent.filter(({ opcode }) => opcode === TEXT_FRAME).map(({ payload }) => payload.toString());
}

/** A member of a crowd, and what it is to get, in order. */
interface Person extends FakeMember {
  readonly groups: Set<string>;
  readonly due: string[];
}

/** So many members that to write to all of them takes several turns of the event loop, in which everything else happens. */
class Crowd {
  readonly #random: Random;
  readonly #hall: Hall;
  readonly #people: Person[] = [];
  readonly #results: Promise<void>[] = [];
  readonly #story: string[] = [];
  /** How often the application is still called in the middle of a write. */
  #calls = 0;
  #sent = 0;

  constructor(t: TestContext, random: Random) {
    this.#random = random;
    this.#hall = new Hall(t);
  }

  async play(): Promise<void> {
    for (let count = 30 + this.#random.below(30); count > 0; count--) this.#enter();
    for (let count = 120; count > 0; count--) {
      this.#calls = 3;
      if (this.#random.chance(25)) await passTurns(1);
      else this.#act();
      this.#assertInOrder();
    }
    this.#calls = 0;
    for (const { socket } of this.#people) socket.unstall();
    await Promise.all(this.#results);
    await passTurns();
    for (const person of this.#people) {
      const { context, socket, due, traffic } = person;
      if (socket.destroyed) continue;
      assert.deepEqual(texts(person), due, this.#story.join(', '));
      assert.deepEqual([traffic().messagesSent, context.bufferedAmount], [due.length, 0], this.#story.join(', '));
    }
  }

  #act(): void {
    const random = this.#random;
    const person = random.pick(this.#people);
    const { context, socket, groups } = person;
    const name = random.pick(['a', 'b', 'c']);
    const acts: Readonly<Record<string, () => void>> = {
      join: () => {
        groups.add(name);
        void context.addToGroupAsync(name).catch(() => groups.delete(name));
      },
      leave: () => {
        groups.delete(name);
        void context.removeFromGroupAsync(name);
      },
      own: () => this.#sendTo(person, this.#data()),
      large: () => this.#sendTo(person, `${'.'.repeat(20_000)}${this.#data()}`),
      stall: () => socket.stall(),
      unstall: () => socket.unstall(),
      ping: () => void context.ping().catch(() => {}),
      abort: () => context.abort(),
      enter: () => this.#enter(),
    };
    const isRare = random.chance(10);
    const what = random.pick(
      isRare ? ['abort', 'enter'] : ['send', 'send', 'send', 'send', ...Object.keys(acts).slice(0, -2)],
    );
    this.#story.push(`${what} ${name} ${this.#people.indexOf(person)}`);
    const act = acts[what];
    if (act !== undefined) act();
    else this.#send(random.chance(20) ? ALL : name, random.chance(30) ? [person, random.pick(this.#people)] : []);
  }

  #sendTo({ context, due }: Person, data: string): void {
    if (context.state !== WebSocketState.Open) return;
    due.push(data);
    void context.sendAsync(data).catch(() => {});
  }

  #send(key: typeof ALL | string, except: readonly Person[]): void {
    const data = this.#data();
    const isDue = ({ groups, context }: Person): boolean =>
      context.state === WebSocketState.Open && (key === ALL || groups.has(key));
    const members = this.#people.filter((person) => isDue(person) && !except.includes(person));
    for (const { due } of members) due.push(data);
    const sent = this.#hall.group(key).sendAsync(data, { except: except.map(({ context }) => context) });
    this.#results.push(sent.then((result) => assert.equal(result.members, members.length, this.#story.join(', '))));
  }

  #enter(): void {
    const member = this.#hall.enter();
    const person: Person = { ...member, groups: new Set(), due: [] };
    this.#people.push(person);
    for (const name of ['a', 'b', 'c']) {
      if (!this.#random.chance(60)) continue;
      person.groups.add(name);
      void member.context.addToGroupAsync(name);
    }
    const { socket } = member;
    const write = socket._write.bind(socket);
    socket._write = (...args) => {
      write(...args);
      if (this.#calls === 0 || !this.#random.chance(15)) return;
      this.#calls--;
      this.#act();
    };
  }

  #data(): string {
    this.#sent++;
    return `${this.#sent}`;
  }

  /** Nobody has got what was not for him, or out of turn. */
  #assertInOrder(): void {
    for (const person of this.#people) {
      const got = texts(person);
      assert.deepEqual(
        got,
        person.due.slice(0, got.length),
        `${this.#people.indexOf(person)}: ${this.#story.join(', ')}`,
      );
    }
  }
}

describe('Groups of many', () => {
  it(`give each member what it is due, in order, where to write takes several turns, in ${CASES} stories`, async (t) => {
    endSlices(t);
    for (let seed = FIRST_SEED; seed < FIRST_SEED + CASES; seed++) await new Crowd(t, new Random(seed)).play();
  });
});
