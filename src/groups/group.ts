import type { JoinedGroup, Member } from '../member.js';

/** A group that has members in this process. One member needs no `Set`. */
export class Group implements JoinedGroup {
  readonly name: string;
  #members: Member | Set<Member>;
  /** Resolves when messages of other processes come; `undefined` when they do. */
  joining: Promise<void> | undefined;

  constructor(name: string, first: Member) {
    this.name = name;
    this.#members = first;
  }

  get size(): number {
    return this.#members instanceof Set ? this.#members.size : 1;
  }

  get members(): Iterable<Member> {
    return this.#members instanceof Set ? this.#members : [this.#members];
  }

  has(member: Member): boolean {
    return this.#members instanceof Set ? this.#members.has(member) : this.#members === member;
  }

  add(member: Member): void {
    if (this.#members instanceof Set) this.#members.add(member);
    else this.#members = new Set([this.#members, member]);
  }

  /** Removes one of several members. */
  remove(member: Member): void {
    const members = this.#members as Set<Member>;
    members.delete(member);
    const [last] = members;
    if (members.size === 1) this.#members = last as Member;
  }
}
