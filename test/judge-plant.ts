/** What is broken on purpose in a whole evidence, and how it is found there. */
import type { Evidence } from '../chaos/evidence/evidence';
import { bookingOf, numberOf, type Person } from './judge-people';

/** The name of the rule that alone must see it, what happened, and the deed. */
export type Plant = [name: string, what: string, plant: (evidence: Evidence) => void];

/** The first that fits; a plant that finds nothing to break would prove nothing. */
export function the<Thing>(things: readonly Thing[], fits: (thing: Thing) => boolean): Thing {
  const found = things.find(fits);
  if (found === undefined) throw new Error('There is no such thing in the evidence');
  return found;
}

export function drop<Thing>(things: Thing[], fits: (thing: Thing) => boolean): Thing {
  const found = the(things, fits);
  things.splice(things.indexOf(found), 1);
  return found;
}

export const visitOf = (evidence: Evidence, person: Person) =>
  the(evidence.visits, ({ n }) => n === numberOf(person));
export const attemptOf = (evidence: Evidence, person: Person) =>
  the(evidence.rows.attempts, (row) => row.booking_id === bookingOf(person));
export const objectOf = (evidence: Evidence, person: Person) =>
  the(evidence.objects, ({ bookingId }) => bookingId === bookingOf(person));
