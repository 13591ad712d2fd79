/** L2: all the money. Every amount is summed from the gateways' books and the wallet's entries. */
import type { Charge, Evidence, Refund, Rows } from '../evidence/evidence';
import { chargeKey } from './payments';
import { objectKey, openCases, type Stories, type Story } from './story';
import { groupBy, lookAtEach, sumOf, together, unless, type Finding, type Look, type Rule } from './verdict';

type CaseRow = Rows['cases'][number];

/** Where captured money of one currency is, in its smallest unit. */
export interface Balance {
  captured: number;
  booked: number;
  refunded: number;
  inCases: number;
}

/** Cases that stand for money nobody has given back yet. The others ask about something else. */
export const moneyCases: readonly string[] = ['refund-failed', 'refund-overdue', 'unmatched-payment'];

/** Sums by currency; what has none that anybody knows is summed under `?`, where it cannot come out even. */
class Sums {
  readonly byCurrency = new Map<string, Balance>();

  add(currency: string | undefined, what: keyof Balance, amountMinor: number): void {
    const key = currency ?? '?';
    let balance = this.byCurrency.get(key);
    if (balance === undefined)
      this.byCurrency.set(key, (balance = { captured: 0, booked: 0, refunded: 0, inCases: 0 }));
    balance[what] += amountMinor;
  }
}

/** Money that is back for good: what the gateway still works on is not, and what failed is with us. */
const isBack = ({ status }: Refund): boolean => status === 'succeeded';

/** Where all money of one attempt is. */
function balanceOf(story: Story, stories: Stories): Sums {
  const sums = new Sums();
  const own = story.attempt?.currency;
  for (const charge of story.charges) sums.add(charge.currency, 'captured', charge.amountMinor);
  for (const refund of story.refunds.filter(isBack))
    sums.add(stories.currencyOf(refund) ?? own, 'refunded', refund.amountMinor);
  if (story.booking?.status === 'confirmed')
    sums.add(story.booking.currency, 'booked', story.booking.total_minor);
  for (const one of openCases(story).filter(({ kind }) => moneyCases.includes(kind)))
    sums.add(own, 'inCases', one.amount_minor ?? 0);
  return sums;
}

/** Where all money of the run is, by currency: summed from the books themselves, not from the attempts they name. */
export function totals({ charges, refunds, rows }: Evidence, stories: Stories): Map<string, Balance> {
  const sums = new Sums();
  for (const charge of charges) sums.add(charge.currency, 'captured', charge.amountMinor);
  for (const refund of refunds.filter(isBack)) {
    const own = refund.bookingId === null ? undefined : stories.of(refund.bookingId)?.attempt?.currency;
    sums.add(stories.currencyOf(refund) ?? own, 'refunded', refund.amountMinor);
  }
  for (const booking of rows.bookings)
    if (booking.status === 'confirmed') sums.add(booking.currency, 'booked', booking.total_minor);
  const payments = new Map(rows.payments.map((payment) => [payment.id, payment]));
  const books = new Map(charges.map((charge) => [chargeKey(charge.gateway, charge.chargeId), charge]));
  for (const one of rows.cases.filter((row) => row.resolved_at === null && moneyCases.includes(row.kind))) {
    const payment = one.payment_id === null ? undefined : payments.get(one.payment_id);
    const charge = payment && books.get(chargeKey(payment.gateway, payment.gateway_payment_id));
    const own = one.booking_id === null ? undefined : stories.of(one.booking_id)?.attempt?.currency;
    sums.add(charge?.currency ?? own, 'inCases', one.amount_minor ?? 0);
  }
  return sums.byCurrency;
}

function uneven(of: string, balances: Map<string, Balance>, about: Partial<Finding> = {}): Finding[] {
  return [...balances].flatMap(([currency, { captured, booked, refunded, inCases }]) => {
    const missing = captured - booked - refunded - inCases;
    return unless(missing === 0, () => ({
      text:
        `${of}: captured ${captured} ${currency}, booked ${booked}, refunded ${refunded}, in open cases ${inCases}: ` +
        (missing > 0 ? `${missing} bought nothing and did not go back.` : `${-missing} more than came.`),
      ...about,
    }));
  });
}

/** Money of no attempt must all have gone back, or be in a case. */
function lookAtStrays({ rows }: Evidence, { strays }: Stories): Look {
  const unmatched = rows.cases.filter((one) => one.resolved_at === null && one.kind === 'unmatched-payment');
  const inCase = (charge: Charge): boolean =>
    rows.payments.some(
      (payment) =>
        payment.gateway_payment_id === charge.chargeId &&
        unmatched.some((one) => one.payment_id === payment.id),
    );
  const back = groupBy(strays.refunds.filter(isBack), (one) => objectKey(one.gateway, one.objectRef));
  return lookAtEach(strays.charges, (charge) => {
    const refunded = sumOf(back.get(objectKey(charge.gateway, charge.ref)) ?? [], (one) => one.amountMinor);
    return unless(inCase(charge) || refunded >= charge.amountMinor, () => ({
      text: `${charge.gateway} captured ${charge.amountMinor} ${charge.currency} as ${charge.chargeId} for no attempt; ${refunded} went back.`,
      gateway: charge.gateway,
    }));
  });
}

/** A case is work for a person. The one fault of a run that asks for one is a gateway that cannot give money back. */
function unprovoked(one: CaseRow, { refunds }: Evidence, stories: Stories): Finding[] {
  const story = one.booking_id === null ? undefined : stories.of(one.booking_id);
  const failed = (story?.refunds ?? refunds).some(({ status }) => status === 'failed');
  return unless(one.kind === 'refund-failed' && failed, () => ({
    text: `Case ${one.id} (${one.kind}) is open, and no refund failed by the gateways' books.`,
    ...(one.booking_id === null ? {} : { bookingId: one.booking_id }),
  }));
}

/** A wallet holds what was put in, less what was taken out, and what came back. */
function lookAtWallets({ visits, rows }: Evidence, stories: Stories): Look {
  const wallets = new Map(rows.wallets.map((row) => [row.customer_id, row.balance_minor]));
  const own = groupBy(stories.all, ({ attempt, visit }) => attempt?.customer_id ?? visit?.customerId ?? '');
  const isWallet = ({ gateway }: Charge | Refund): boolean => gateway === 'wallet';
  return lookAtEach(
    visits.flatMap(({ customerId, creditedMinor }) =>
      creditedMinor === undefined ? [] : [{ customerId, creditedMinor }],
    ),
    ({ customerId, creditedMinor }) => {
      const attempts = own.get(customerId) ?? [];
      const taken = sumOf(attempts, ({ charges }) =>
        sumOf(charges.filter(isWallet), (one) => one.amountMinor),
      );
      const back = sumOf(attempts, ({ refunds }) =>
        sumOf(refunds.filter(isWallet), (one) => one.amountMinor),
      );
      const balance = wallets.get(customerId);
      return unless(balance === creditedMinor - taken + back, () => ({
        text: `The wallet of ${customerId} was given ${creditedMinor}, paid ${taken}, got back ${back}, and holds ${balance ?? 'nothing: it is not there'}.`,
        ...(attempts[0] && { bookingId: attempts[0].bookingId }),
      }));
    },
  );
}

/** What rows say is back must be back by the books. */
function rowsAgainstBooks({ bookingId, refunds, refundRows }: Story): Finding[] {
  const said = sumOf(
    refundRows.filter(({ status }) => status === 'succeeded'),
    (row) => row.amount_minor,
  );
  const back = sumOf(refunds.filter(isBack), (refund) => refund.amountMinor);
  return unless(said <= back, () => ({
    text: `Refund rows say that ${said} went back; the books know of ${back}.`,
    bookingId,
  }));
}

export const moneyAddsUp: Rule = {
  name: 'L2',
  rule: 'Captured = booked + refunded + open cases, for each attempt and in total for each currency; wallets hold what is left; and no case without a fault that provoked it.',
  look: (evidence, stories) =>
    together(
      lookAtEach(stories.all, (story) =>
        uneven('Attempt', balanceOf(story, stories).byCurrency, { bookingId: story.bookingId }),
      ),
      lookAtEach([...totals(evidence, stories)], (total) => uneven('In total', new Map([total]))),
      lookAtStrays(evidence, stories),
      lookAtWallets(evidence, stories),
      lookAtEach(
        evidence.rows.cases.filter(({ resolved_at }) => resolved_at === null),
        (one) => unprovoked(one, evidence, stories),
      ),
      lookAtEach(
        stories.all.filter(({ refundRows }) => refundRows.length > 0),
        rowsAgainstBooks,
      ),
    ),
};
