/** S3 to S7: single payments. What the gateways' books hold is the truth; rows are held against it. */
import type { Charge, Evidence, Rows } from '../evidence/evidence';
import { paidObject, type Stories, type Story } from './story';
import { groupBy, lookAtEach, sumOf, together, unless, type Finding, type Look, type Rule } from './verdict';

type PaymentRow = Rows['payments'][number];

/** Names captured money among all gateways. */
export const chargeKey = (gateway: string, chargeId: string): string => `${gateway}/${chargeId}`;

/** Charges that at least one answered event told of: that they are known is L4's matter, and S3 does not say it twice. */
export type ToldOf = (charge: Charge) => boolean;

/** The charge that bought the booking, by the row that says so. */
function buyingCharge(story: Story): Charge | undefined {
  const row = story.payments.find(({ disposition }) => disposition === 'booked');
  return (
    row && story.charges.find((one) => one.gateway === row.gateway && one.chargeId === row.gateway_payment_id)
  );
}

const paidBookings = (stories: Stories): Story[] =>
  stories.all.filter(({ booking }) => booking !== undefined && booking.total_minor > 0);

function rowAgainstBook(row: PaymentRow, stories: Stories, books: Map<string, Charge>): Finding[] {
  const charge = books.get(chargeKey(row.gateway, row.gateway_payment_id));
  const at = { gateway: row.gateway, ...(row.booking_id === null ? {} : { bookingId: row.booking_id }) };
  if (charge === undefined)
    return [
      {
        text: `Payment ${row.id} says ${row.gateway_payment_id}, which ${row.gateway} never captured.`,
        ...at,
      },
    ];
  const owns = row.booking_id === null || stories.of(row.booking_id)?.charges.includes(charge) === true;
  return unless(owns, () => ({
    text: `Payment ${row.id} is written to ${row.booking_id}, but its charge ${charge.chargeId} was for ${charge.bookingId ?? 'nobody'}.`,
    ...at,
  }));
}

function onePaymentEach({ charges, rows }: Evidence, stories: Stories, toldOf: ToldOf): Look {
  const books = new Map(charges.map((charge) => [chargeKey(charge.gateway, charge.chargeId), charge]));
  const known = groupBy(rows.payments, (row) => chargeKey(row.gateway, row.gateway_payment_id));
  return together(
    lookAtEach(rows.payments, (row) => rowAgainstBook(row, stories, books)),
    lookAtEach([...books], ([key, charge]) => {
      const count = known.get(key)?.length ?? 0;
      if (count === 1 || (count === 0 && toldOf(charge))) return [];
      return [
        {
          text: `${charge.gateway} captured ${charge.amountMinor} ${charge.currency} as ${charge.chargeId}; ${count} payments rows know it.`,
          gateway: charge.gateway,
          ...(charge.bookingId === null ? {} : { bookingId: charge.bookingId }),
        },
      ];
    }),
    lookAtEach(paidBookings(stories), ({ bookingId, payments }) => {
      const count = payments.filter(({ disposition }) => disposition === 'booked').length;
      // None at all means that its charge is unknown, and that has been said above or under L4.
      return unless(count < 2, () => ({ text: `${count} payments bought one booking.`, bookingId }));
    }),
    lookAtEach(
      rows.payments.filter(({ disposition }) => disposition === 'booked'),
      (row) => {
        const booking = row.booking_id === null ? undefined : stories.of(row.booking_id)?.booking;
        return unless(booking !== undefined, () => ({
          text: `Payment ${row.id} is said to have bought a booking, and there is none.`,
          gateway: row.gateway,
          ...(row.booking_id === null ? {} : { bookingId: row.booking_id }),
        }));
      },
    ),
  );
}

/** One payment each way. Charges whose event was acknowledged are left to L4. */
export const onePayment = (toldOf: (evidence: Evidence) => ToldOf): Rule => ({
  name: 'S3',
  rule: 'Every captured charge is one payment, every payment a captured charge, and one payment buys one booking.',
  look: (evidence, stories) => onePaymentEach(evidence, stories, toldOf(evidence)),
});

export const refundsWithin: Rule = {
  name: 'S4',
  rule: 'No payment gives back more than it captured, and nothing is given back twice for one reason.',
  look({ charges, refunds, rows }, stories) {
    const captured = groupBy(charges, paidObject);
    const standing = refunds.filter(({ status }) => status !== 'failed');
    const reasons = groupBy(
      rows.refunds.filter(({ reason }) => reason !== 'external'),
      (row) => `${row.payment_id} for ${row.reason}`,
    );
    return together(
      lookAtEach([...groupBy(standing, paidObject)], ([key, back]) => {
        const paid = captured.get(key) ?? [];
        const [first] = back;
        const [paidMinor, backMinor] = [
          sumOf(paid, (one) => one.amountMinor),
          sumOf(back, (one) => one.amountMinor),
        ];
        return unless(backMinor <= paidMinor && back.length <= paid.length, () => ({
          text: `${key} captured ${paidMinor} in ${paid.length} charges and gives back ${backMinor} in ${back.length} refunds.`,
          ...(first && { gateway: first.gateway }),
          ...(first?.bookingId && { bookingId: first.bookingId }),
        }));
      }),
      lookAtEach([...reasons], ([key, same]) =>
        unless(same.length === 1, () => ({ text: `${same.length} refund rows of payment ${key}.` })),
      ),
      lookAtEach(stories.all, ({ bookingId, refunds: made, refundRows }) => {
        const madeMinor = sumOf(
          made.filter(({ status }) => status !== 'failed'),
          (one) => one.amountMinor,
        );
        const owedMinor = sumOf(refundRows, (row) => row.amount_minor);
        return unless(madeMinor <= owedMinor, () => ({
          text: `The books give back ${madeMinor}, and refund rows stand for ${owedMinor} of it.`,
          bookingId,
        }));
      }),
    );
  },
};

export const paidBefore: Rule = {
  name: 'S5',
  rule: 'No booking is confirmed before its money was captured.',
  look: (_evidence, stories) =>
    lookAtEach(paidBookings(stories), (story) => {
      const charges = [buyingCharge(story) ?? story.charges].flat();
      const first = Math.min(...charges.map(({ at }) => at));
      const confirmedAt = story.booking?.confirmed_at ?? 0;
      return unless(first <= confirmedAt, () => ({
        text: Number.isFinite(first)
          ? `Confirmed ${first - confirmedAt} ms before its money was captured.`
          : 'Confirmed, and no book knows of any money for it.',
        bookingId: story.bookingId,
      }));
    }),
};

export const priceQuoted: Rule = {
  name: 'S6',
  rule: 'What bought a booking is the amount and the currency quoted to that attempt, and rows say what was captured.',
  look: ({ charges, rows }, stories) => {
    const books = new Map(charges.map((charge) => [chargeKey(charge.gateway, charge.chargeId), charge]));
    return together(
      lookAtEach(paidBookings(stories), (story) => {
        const { attempt, booking, bookingId } = story;
        const charge = buyingCharge(story);
        const quoted = `${attempt?.total_minor} ${attempt?.currency}`;
        const said = [
          ['was bought with', charge && `${charge.amountMinor} ${charge.currency}`],
          ['says', booking && `${booking.total_minor} ${booking.currency}`],
        ] as const;
        return said.flatMap(([verb, amount]) =>
          unless(amount === undefined || attempt === undefined || amount === quoted, () => ({
            text: `Quoted ${quoted}; the booking ${verb} ${amount}.`,
            bookingId,
          })),
        );
      }),
      lookAtEach(rows.payments, (row) => {
        const charge = books.get(chargeKey(row.gateway, row.gateway_payment_id));
        return unless(charge === undefined || charge.amountMinor === row.amount_minor, () => ({
          text: `${row.gateway} captured ${charge?.amountMinor} as ${row.gateway_payment_id}; payment ${row.id} says ${row.amount_minor}.`,
          gateway: row.gateway,
          ...(row.booking_id === null ? {} : { bookingId: row.booking_id }),
        }));
      }),
    );
  },
};

export const bookedMoneyStays: Rule = {
  name: 'S7',
  rule: 'A booking that stands has its money: it is never both active and given back.',
  look: (_evidence, stories) =>
    lookAtEach(
      paidBookings(stories).filter(({ booking }) => booking?.status === 'confirmed'),
      (story) => {
        const charge = buyingCharge(story);
        if (charge === undefined) return [];
        const bought = paidObject(charge);
        const paid = sumOf(
          story.charges.filter((one) => paidObject(one) === bought),
          (one) => one.amountMinor,
        );
        const back = sumOf(
          story.refunds.filter((one) => one.status !== 'failed' && paidObject(one) === bought),
          (one) => one.amountMinor,
        );
        return unless(paid - back >= charge.amountMinor, () => ({
          text: `It stands, and of the ${paid} captured by ${charge.ref} that bought it ${back} went back.`,
          bookingId: story.bookingId,
          gateway: charge.gateway,
        }));
      },
    ),
};
