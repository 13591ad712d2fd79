/** S1, S2, S9, L6: seats. Counted from bookings and their items, and the seats' own rows held against them. */
import type { Evidence, Rows, Visit } from '../evidence/evidence';
import type { Stories, Story } from './story';
import { groupBy, lookAtEach, sumOf, together, unless, type Rule } from './verdict';

const slotUnavailable = 'slot-unavailable';

/** Slots only: what has no capacity cannot be sold out. */
const slots = ({ rows }: Evidence): { id: string; capacity: number }[] =>
  rows.offerings.flatMap(({ id, capacity }) => (capacity === null ? [] : [{ id, capacity }]));

/** What standing bookings hold, by offering. */
function itemsSold({ rows }: Evidence, stories: Stories): Map<string, Rows['booking_items']> {
  const standing = rows.booking_items.filter(
    (item) => stories.of(item.booking_id)?.booking?.status === 'confirmed',
  );
  return groupBy(standing, ({ offering_id }) => offering_id);
}

export const neverOversold: Rule = {
  name: 'S1',
  rule: 'No offering has more seats in confirmed bookings than its capacity.',
  look(evidence, stories) {
    const sold = itemsSold(evidence, stories);
    return lookAtEach(slots(evidence), ({ id, capacity }) => {
      const seats = sumOf(sold.get(id) ?? [], (item) => item.seats);
      return unless(seats <= capacity, () => ({
        text: `Offering ${id} has ${capacity} seats and ${seats} are booked.`,
      }));
    });
  },
};

export const seatsAreBookings: Rule = {
  name: 'S2',
  rule: 'Every taken seat belongs to a booking that stands, and every such booking has as many seats as it bought.',
  look(evidence, stories) {
    const taken = groupBy(
      evidence.rows.seats.filter(({ booking_id }) => booking_id !== null),
      (seat) => `${seat.booking_id} ${seat.offering_id}`,
    );
    const capacities = new Map(slots(evidence).map(({ id, capacity }) => [id, capacity]));
    const items = [...itemsSold(evidence, stories).values()]
      .flat()
      .filter(({ offering_id }) => capacities.has(offering_id));
    return together(
      lookAtEach([...taken.values()].flat(), (seat) => {
        const story = stories.of(seat.booking_id ?? '');
        return unless(story?.booking?.status === 'confirmed', () => ({
          text: `Seat ${seat.seat_no} of ${seat.offering_id} is taken by a booking that ${story?.booking === undefined ? 'does not exist' : 'is canceled'}.`,
          ...(seat.booking_id === null ? {} : { bookingId: seat.booking_id }),
        }));
      }),
      lookAtEach(items, ({ booking_id: bookingId, offering_id: offeringId, seats }) => {
        const found = taken.get(`${bookingId} ${offeringId}`)?.length ?? 0;
        return unless(found === seats, () => ({
          text: `It bought ${seats} seats of ${offeringId} and has ${found}.`,
          bookingId,
        }));
      }),
    );
  },
};

/**
 * Free seats at the end, of offerings where no booking was ever undone. Seats are only taken there, so what is free at the
 * end was free at every moment, and nobody could honestly be told otherwise. Holds are not played in a run.
 */
function freeAllAlong(evidence: Evidence, stories: Stories): Map<string, number> {
  const undone = new Set(
    evidence.rows.booking_items
      .filter((item) => stories.of(item.booking_id)?.booking?.status === 'canceled')
      .map(({ offering_id }) => offering_id),
  );
  const sold = itemsSold(evidence, stories);
  return new Map(
    slots(evidence)
      .filter(({ id }) => !undone.has(id))
      .map(({ id, capacity }) => [id, capacity - sumOf(sold.get(id) ?? [], (item) => item.seats)]),
  );
}

/** A problem's type is a path whose last part is the failure's name (`/problems/slot-unavailable`). */
const turnedAway = ({ refused }: Visit): boolean => refused?.split('/').at(-1) === slotUnavailable;

/** Whether seats were refused to this attempt. */
const wasRefused = ({ attempt, visit }: Story): boolean =>
  attempt?.failure?.type === slotUnavailable || (visit !== undefined && turnedAway(visit));

export const unpaidTakesNothing: Rule = {
  name: 'S9',
  rule: 'An attempt that is not paid changes nothing that others see: nobody is turned away before paying while a seat is free.',
  look(evidence, stories) {
    const free = freeAllAlong(evidence, stories);
    return lookAtEach(
      evidence.visits.filter((visit) => {
        const story = visit.bookingId === undefined ? undefined : stories.of(visit.bookingId);
        if (story !== undefined) return story.charges.length === 0 && wasRefused(story);
        return turnedAway(visit);
      }),
      ({ n, offeringId, bookingId }) =>
        unless((free.get(offeringId) ?? 0) <= 0, () => ({
          text: `Visit ${n} was told before paying that ${offeringId} is sold out, which has ${free.get(offeringId)} seats free at the end.`,
          ...(bookingId === undefined ? {} : { bookingId }),
        })),
    );
  },
};

export const noSeatLost: Rule = {
  name: 'L6',
  rule: 'No seat is lost: where seats are free at the end and nobody canceled, nobody who paid was given the money back as sold out.',
  look(evidence, stories) {
    const free = freeAllAlong(evidence, stories);
    return lookAtEach(
      stories.all.filter((story) => story.charges.length > 0 && wasRefused(story)),
      ({ bookingId, visit }) => {
        const left = visit === undefined ? 0 : (free.get(visit.offeringId) ?? 0);
        return unless(left <= 0, () => ({
          text: `Paid and refused as sold out, and ${visit?.offeringId} has ${left} seats free at the end.`,
          bookingId,
        }));
      },
    );
  },
};
