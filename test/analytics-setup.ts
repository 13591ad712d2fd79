/** A made-up day of attempts for the tests of analytics: told first, then written as rows, and counted a second way from the telling. */
import type { Knex } from 'knex';

/** Money of one attempt, or of none, and what became of it. */
export interface Money {
  amountMinor: number;
  disposition: 'booked' | 'returned' | 'unmatched';
  refunds: { amountMinor: number; status: 'unsent' | 'pending' | 'succeeded' | 'failed'; reason: string }[];
  /** An open case: about the first refund, or, without any, about the money itself. */
  openCase: boolean;
}

/** One attempt as it went. */
export interface Story {
  startedAt: Date;
  method: 'stripe' | 'razorpay' | 'wallet' | null;
  kinds: ('slot' | 'consultation')[];
  currency: 'EUR' | 'JPY';
  /** Failures before the end, in order; `retry` says that the customer asked for another try after it. */
  failures: { type: 'payment-declined' | 'payment-canceled'; retry: boolean }[];
  end: 'awaiting_payment' | 'processing' | 'confirmed' | 'refunded' | 'expired' | 'canceled' | 'failed';
  /** With a refused start or a lost race: why. */
  refusal?: string;
  /** With a booking. */
  seconds?: number;
  payments: Money[];
}

/** Numbers of one group, as the API spells them. */
export interface Numbers {
  attempts: number;
  confirmed: number;
  successRate: number | null;
  abandoned: number;
  failures: { type: string; count: number }[];
  retries: number;
  refunds: { reason: string; count: number; amountMinor: number; currency: string }[];
  secondsToConfirm: { p50: number | null; p95: number | null };
}

/** Random numbers that are the same in every run (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Tells a day of attempts, from midnight on. */
export function tellDay(midnight: Date, attempts: number, random: () => number): Story[] {
  const one = <T>(...of: readonly T[]): T => of[Math.floor(random() * of.length)] as T;
  return Array.from({ length: attempts }, (): Story => {
    const end = one<Story['end']>(
      ...(['awaiting_payment', 'processing', 'confirmed', 'confirmed', 'confirmed'] as const),
      ...(['refunded', 'expired', 'expired', 'canceled', 'failed'] as const),
    );
    const method = one('stripe', 'stripe', 'razorpay', 'wallet', null);
    const failed = end === 'failed' ? 0 : Math.floor(random() * 4);
    const amountMinor = 100 + Math.floor(random() * 9_900);
    return {
      startedAt: new Date(midnight.getTime() + Math.floor(random() * 86_400_000)),
      method,
      kinds: one<Story['kinds']>(['slot'], ['slot', 'slot'], ['consultation'], ['slot', 'consultation']),
      currency: one('EUR', 'EUR', 'JPY'),
      failures: Array.from({ length: failed }, () => ({
        type: one('payment-declined', 'payment-declined', 'payment-canceled'),
        retry: random() < 0.6,
      })),
      end,
      ...(end === 'refunded'
        ? { refusal: one('slot-unavailable', 'slot-unavailable', 'offering-closed') }
        : {}),
      ...(end === 'failed'
        ? { refusal: one('slot-unavailable', 'insufficient-funds', 'gateway-unavailable') }
        : {}),
      ...(end === 'confirmed'
        ? { seconds: method === null ? 0 : Math.floor(random() * 900_000) / 1000 }
        : {}),
      payments: tellMoney(end, method, amountMinor, random),
    };
  });
}

function tellMoney(
  end: Story['end'],
  method: Story['method'],
  amountMinor: number,
  random: () => number,
): Money[] {
  const back = (reason: string, amount = amountMinor): Money['refunds'][number] => ({
    amountMinor: amount,
    reason,
    status:
      (['unsent', 'pending', 'succeeded', 'succeeded', 'failed'] as const)[Math.floor(random() * 5)] ??
      'unsent',
  });
  const returned = (reason: string): Money => {
    const refund = back(reason);
    return { amountMinor, disposition: 'returned', refunds: [refund], openCase: refund.status === 'failed' };
  };
  if (method === null) return [];
  if (end === 'refunded') return [returned('race')];
  if (end === 'expired' && random() < 0.3) return [returned('late-payment')];
  if (end !== 'confirmed') return [];
  const part = { ...back('external', Math.ceil(amountMinor / 3)), status: 'succeeded' as const };
  const booked: Money = {
    amountMinor,
    disposition: 'booked',
    refunds: random() < 0.2 ? [part] : [],
    openCase: false,
  };
  return random() < 0.15 ? [booked, returned('second-payment')] : [booked];
}

let made = 0;
const id = (prefix: string): string => `${prefix}_${String((made += 1)).padStart(24, '0')}`;

/** Writes the stories as activities would: step by step, so that the triggers see each of them. */
export async function write(db: Knex, stories: readonly Story[]): Promise<void> {
  await db.transaction(async (trx) => {
    for (const story of stories) await writeOne(trx, story);
  });
}

async function writeOne(trx: Knex.Transaction, story: Story): Promise<void> {
  const bookingId = id('bkg');
  const attempt = () => trx('attempts').where({ booking_id: bookingId });
  const refused = story.end === 'failed' ? { failure: JSON.stringify({ type: story.refusal }) } : {};
  await trx('attempts').insert({
    booking_id: bookingId,
    request_hash: 'hash',
    customer_id: 'ada',
    method: story.method,
    quote: JSON.stringify({ items: story.kinds.map((kind) => ({ offeringId: 'off_x', kind, seats: 1 })) }),
    total_minor: 100,
    currency: story.currency,
    contact: '{}',
    status: story.end === 'failed' ? 'failed' : 'awaiting_payment',
    ...refused,
    tries_max: 5,
    window_seconds: 900,
    started_at: story.startedAt,
  });
  const key = { booking_id: bookingId, try: 1 };
  await trx('payment_tries').insert({ ...key, gateway: 'stripe', gateway_ref: id('pi'), status: 'open' });
  for (const { type, retry } of story.failures) {
    if (type === 'payment-declined')
      await trx('payment_tries')
        .where(key)
        .update({ failure_ref: id('ch') });
    // The same reason each time: it is still another failure.
    await attempt().update({ failure: JSON.stringify({ type, code: 'card_declined' }) });
    const tried = { failure: null, tries: trx.raw('tries + 1') };
    // A payment object that was closed is followed by another only through a retry.
    if (retry || type === 'payment-canceled') await attempt().update(tried);
  }
  await end(trx, bookingId, story);
  for (const money of story.payments) await writeMoney(trx, bookingId, story, money);
}

async function end(trx: Knex.Transaction, bookingId: string, story: Story): Promise<void> {
  const become = (change: Record<string, unknown>) =>
    trx('attempts').where({ booking_id: bookingId }).update(change);
  if (story.end === 'refunded') {
    await become({ status: 'refunding', failure: JSON.stringify({ type: story.refusal }) });
    await become({ status: 'refunded' });
  } else if (story.end === 'confirmed') {
    await become({ status: 'confirmed', failure: null });
    const confirmedAt = new Date(story.startedAt.getTime() + (story.seconds ?? 0) * 1000);
    const { currency } = story;
    await trx('bookings').insert({
      ...{ id: bookingId, reference: id('BK'), customer_id: 'ada', status: 'confirmed' },
      ...{ total_minor: 100, currency, confirmed_at: confirmedAt },
    });
  } else if (story.end !== 'failed') await become({ status: story.end });
}

/** Why a refund exists, in the rows' words. */
const reasonOf = (story: Story, reason: string): string =>
  reason === 'race' ? (story.refusal ?? '') : reason;

async function writeMoney(
  trx: Knex.Transaction,
  bookingId: string,
  story: Story,
  money: Money,
): Promise<void> {
  await writePayment(trx, money, {
    bookingId,
    gateway: story.method ?? 'none',
    currency: story.currency,
    reason: (reason) => reasonOf(story, reason),
  });
}

/** Writes one payment with its refunds and its case. */
export async function writePayment(
  trx: Knex,
  money: Money,
  about: { bookingId: string | null; gateway: string; currency: string; reason?: (reason: string) => string },
): Promise<string> {
  const paymentId = id('pay');
  await trx('payments').insert({
    id: paymentId,
    booking_id: about.bookingId,
    gateway: about.gateway,
    gateway_ref: id('pi'),
    gateway_payment_id: id('ch'),
    amount_minor: money.amountMinor,
    currency: about.currency,
    status: 'captured',
    disposition: money.disposition,
  });
  let first: string | null = null;
  for (const { amountMinor, status, reason } of money.refunds) {
    const refundId = id('ref');
    first ??= refundId;
    const named = about.reason?.(reason) ?? reason;
    await trx('refunds').insert({
      ...{ id: refundId, payment_id: paymentId, amount_minor: amountMinor, status, reason: named },
    });
  }
  if (money.openCase) {
    const caseId = id('cas');
    const amount = money.refunds[0]?.amountMinor ?? money.amountMinor;
    await trx('cases').insert({
      ...{ id: caseId, workflow_id: `case/${caseId}`, booking_id: about.bookingId, payment_id: paymentId },
      ...{ refund_id: first, amount_minor: amount, currency: about.currency, detail: 'Look.' },
      kind: first === null ? 'unmatched-payment' : 'refund-failed',
    });
  }
  return paymentId;
}

/** Linear interpolation between the two nearest ranks. */
function percentile(sorted: readonly number[], share: number): number | null {
  if (sorted.length === 0) return null;
  const at = (sorted.length - 1) * share;
  const below = sorted[Math.floor(at)] ?? 0;
  const above = sorted[Math.ceil(at)] ?? 0;
  return Math.round((below + (above - below) * (at - Math.floor(at))) * 1000) / 1000;
}

function tally<T extends object>(rows: readonly { key: string; as: T; amountMinor: number }[]) {
  const found = new Map<string, T & { count: number; amountMinor: number }>();
  for (const { key, as, amountMinor } of rows) {
    const now = found.get(key) ?? { ...as, count: 0, amountMinor: 0 };
    found.set(key, { ...now, count: now.count + 1, amountMinor: now.amountMinor + amountMinor });
  }
  return [...found].sort(([a, x], [b, y]) => y.count - x.count || (a < b ? -1 : 1)).map(([, one]) => one);
}

/** Counts the stories themselves, without any row. */
export function count(stories: readonly Story[]): Numbers {
  const confirmed = stories.filter((story) => story.end === 'confirmed');
  const seconds = confirmed.map((story) => story.seconds ?? 0).sort((a, b) => a - b);
  const failures = stories.flatMap((story) => [
    ...story.failures.map(({ type }) => type as string),
    ...(story.refusal === undefined ? [] : [story.refusal]),
  ]);
  const refunds = stories.flatMap((story) =>
    story.payments.flatMap((money) =>
      money.refunds.map(({ reason, amountMinor }) => {
        const as = { reason: reasonOf(story, reason), currency: story.currency };
        return { key: `${as.reason} ${as.currency}`, as, amountMinor };
      }),
    ),
  );
  return {
    attempts: stories.length,
    confirmed: confirmed.length,
    successRate: stories.length === 0 ? null : confirmed.length / stories.length,
    abandoned: stories.filter((story) => story.end === 'expired').length,
    failures: tally(failures.map((type) => ({ key: type, as: { type }, amountMinor: 0 }))).map(
      ({ type, count: times }) => ({ type, count: times }),
    ),
    retries: stories.flatMap((story) =>
      story.failures.filter(({ type, retry }) => retry || type === 'payment-canceled'),
    ).length,
    refunds: tally(refunds),
    secondsToConfirm: { p50: percentile(seconds, 0.5), p95: percentile(seconds, 0.95) },
  };
}

/** The balance of the stories' money in one currency. */
export function balance(stories: readonly Story[], currency: string) {
  const all = stories.filter((story) => story.currency === currency).flatMap((story) => story.payments);
  const refunds = all.flatMap((money) =>
    money.refunds.map((refund) => ({ ...refund, openCase: money.openCase })),
  );
  const sum = (amounts: readonly { amountMinor: number }[]) =>
    amounts.reduce((total, one) => total + one.amountMinor, 0);
  const booked = all.filter((money) => money.disposition === 'booked');
  return {
    currency,
    capturedMinor: sum(all),
    keptMinor: sum(booked) - sum(booked.flatMap((money) => money.refunds)),
    returnedMinor: sum(refunds.filter(({ status }) => status === 'succeeded')),
    onItsWayMinor: sum(refunds.filter(({ status }) => status === 'unsent' || status === 'pending')),
    openCasesMinor: sum(refunds.filter(({ status, openCase }) => status === 'failed' && openCase)),
    imbalanceMinor: 0,
  };
}
