import { Cohort } from '../connection/sending/cohort.js';
import type { SharedMessage } from '../connection/sending/shared-message.js';
import type { Member } from '../member.js';

/** Which members of a group sit in its cohort, and which have to be looked at when a message comes. */
export class Seating {
  readonly cohort: Cohort<Member> = new Cohort();
  readonly #others: Set<Member> = new Set();

  /** Those who have to be looked at. */
  get others(): ReadonlySet<Member> {
    for (const member of this.cohort.takeLeavers()) this.#others.add(member);
    return this.#others;
  }

  /** A member that does not sit in the cohort. */
  add(member: Member): void {
    this.#others.add(member);
  }

  /** Somebody is not a member any more. */
  delete(member: Member): void {
    member.connection.leaveCohort(this.cohort);
    (this.others as Set<Member>).delete(member);
  }

  /**
   * Gives a message to a member that does not sit in the cohort, where it sits from now on if it can.
   *
   * @returns false if the message is volatile, and the member slow
   */
  give(member: Member, message: SharedMessage): boolean {
    const { size } = this.cohort;
    const isGiven = member.connection.sendShared(message, this.cohort, member);
    if (this.cohort.size > size) this.#others.delete(member);
    else this.#others.add(member);
    return isGiven;
  }
}
