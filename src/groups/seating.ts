import { Cohort } from '../connection/sending/cohort.js';
import type { SharedMessage } from '../connection/sending/shared-message.js';
import type { Member } from '../member.js';

/** Which members of a group sit in its cohort, and which have to be looked at when a message comes. */
export class Seating {
  readonly #cohort: Cohort<Member> = new Cohort();
  readonly #others: Set<Member>;

  /** @param members those that the group has; they sit down with the first message that they can take there */
  constructor(members: Iterable<Member>) {
    this.#others = new Set(members);
  }

  /** How many sit in the cohort. */
  get size(): number {
    return this.#cohort.size;
  }

  /** Those who have to be looked at. */
  get others(): ReadonlySet<Member> {
    this.#admitLeavers();
    return this.#others;
  }

  /** Somebody has become a member. */
  add(member: Member): void {
    this.#others.add(member);
  }

  /** Somebody is not a member any more. */
  delete(member: Member): void {
    this.leaveCohort(member);
    this.#admitLeavers();
    this.#others.delete(member);
  }

  /** The next message is not for a member. */
  leaveCohort(member: Member): void {
    member.connection.leaveCohort(this.#cohort);
  }

  /**
   * Sends a message to those who sit in the cohort.
   *
   * @returns false if all members have to be looked at one by one, and none of them has got anything
   */
  trySend(message: SharedMessage): boolean {
    return this.#cohort.trySend(message);
  }

  /**
   * Gives the message that {@link trySend} was last given to one of the others, who sits down if that can be.
   *
   * @returns false if the message is volatile, and the member slow
   */
  give(member: Member, message: SharedMessage): boolean {
    const { size } = this.#cohort;
    const isGiven = member.connection.sendShared(message, this.#cohort, member);
    if (this.#cohort.size > size) this.#others.delete(member);
    return isGiven;
  }

  #admitLeavers(): void {
    for (const member of this.#cohort.takeLeavers()) this.#others.add(member);
  }
}
