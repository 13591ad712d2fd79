/** Attempts played without HTTP, straight at Temporal and the sandbox, and the books that must balance after each test. */
import { randomBytes } from 'node:crypto';
import { WorkflowNotFoundError, type WorkflowHandle } from '@temporalio/client';
import { makeId, type Outcome } from '../src/booking';
import type { AttemptRow, CaseRow, PaymentRow, RefundRow, TryRow } from '../src/database';
import {
  bookingWorkflowId,
  resolveCaseSignal,
  workflowTypes,
  type BookInput,
  type Resolution,
} from '../src/workflows/messages';
import type { AtGateway } from './at-gateways';
import { gatewayOf, type Method } from './book-setup';
import { eventually, type World } from './world';

/** A running attempt. Its id is known before anything happens, so that faults can be aimed at it. */
export interface Attempt {
  bookingId: string;
  offeringId: string;
  handle: WorkflowHandle;
}

/** The price of a seat in these tests: 20.00 dollars. */
export const priceMinor = 2000;

export function newBookingId(): string {
  return makeId('booking', randomBytes(15));
}

/** Publishes a slot for tomorrow. */
export async function addSlot(world: World, capacity = 1, currency = 'USD'): Promise<string> {
  const id = makeId('offering', randomBytes(15));
  await world.db.raw(
    `INSERT INTO offerings (id, provider_id, kind, title, starts_at, ends_at, time_zone, capacity, price_minor, currency)
     VALUES (?, 'provider', 'slot', 'A slot', now() + interval '1 day', now() + interval '25 hours', 'UTC', ?, ?, ?)`,
    [id, capacity, priceMinor, currency],
  );
  return id;
}

/** Starts an attempt for one seat, of a slot of its own unless told. */
export async function startAttempt(
  world: World,
  options: { bookingId?: string; offeringId?: string; taskQueue?: string; method?: Method } = {},
): Promise<Attempt> {
  const { bookingId = newBookingId(), method = 'stripe' } = options;
  const currency = options.method === undefined ? 'USD' : gatewayOf(world, options.method).currency;
  const offeringId = options.offeringId ?? (await addSlot(world, 1, currency));
  const input: BookInput = {
    bookingId,
    customerId: 'customer',
    requestHash: 'hash',
    request: {
      items: [{ offeringId, seats: 1 }],
      payment: { method },
      customer: { name: 'A Payer', email: `${bookingId}@example.org` },
    },
    requestId: 'request',
  };
  const handle = await world.temporal.workflow.start(workflowTypes.book, {
    workflowId: bookingWorkflowId(bookingId),
    taskQueue: options.taskQueue ?? world.taskQueue,
    args: [input],
  });
  return { bookingId, offeringId, handle };
}

export async function attemptRow(world: World, bookingId: string): Promise<AttemptRow | undefined> {
  return world.db<AttemptRow>('attempts').where({ booking_id: bookingId }).first();
}

/** Waits until the attempt can be paid; gives the intent's id. */
export async function payable(world: World, bookingId: string, ms = 90_000): Promise<string> {
  return eventually(
    `a payment object of ${bookingId}`,
    async () => {
      const row = await world
        .db<TryRow>('payment_tries')
        .where({ booking_id: bookingId, status: 'open' })
        .first();
      return row?.gateway_ref ?? undefined;
    },
    ms,
  );
}

/** Starts an attempt and waits until it can be paid. */
export async function openAttempt(world: World, method?: Method): Promise<Attempt & { ref: string }> {
  const attempt = await startAttempt(world, method === undefined ? {} : { method });
  return { ...attempt, ref: await payable(world, attempt.bookingId) };
}

/** The customer pays on Stripe's page; a refused card is no error here. */
export async function pay(world: World, ref: string, card = 'pm_card_visa'): Promise<void> {
  const response = await fetch(`${world.sandbox.url}/v1/payment_intents/${ref}/confirm`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk_test_tests_only' },
    body: new URLSearchParams({ payment_method: card }),
  });
  if (response.ok || response.status === 402) return;
  throw new Error(`Paying ${ref} was answered ${response.status}: ${await response.text()}`);
}

/** The customer pays at the attempt's own gateway, once there is something to pay. */
export async function payAt(at: AtGateway, world: World, bookingId: string, ms?: number): Promise<void> {
  const ref = await payable(world, bookingId, ms);
  const row = await world
    .db<TryRow>('payment_tries')
    .where({ booking_id: bookingId, gateway_ref: ref })
    .first();
  const booking = { id: bookingId, payment: { gatewayRef: ref, ...(row?.how_to_pay as object) } };
  if (!(await at.pay(booking))) throw new Error(`${at.method} did not take the payment of ${ref}`);
}

/** The provider closes the offering while somebody pays: what arrives buys nothing and must go back. */
export async function closeOffering(world: World, offeringId: string): Promise<void> {
  await world.db('offerings').where({ id: offeringId }).update({ status: 'closed' });
}

/** An attempt whose money arrives and buys nothing, up to the payment. */
export async function payForNothing(world: World): Promise<Attempt & { ref: string }> {
  const attempt = await openAttempt(world);
  await closeOffering(world, attempt.offeringId);
  await pay(world, attempt.ref);
  return attempt;
}

/** Waits until the attempt's row has the status. */
export async function reaches(
  world: World,
  bookingId: string,
  status: AttemptRow['status'],
  ms = 90_000,
): Promise<AttemptRow> {
  return eventually(
    `${bookingId} ${status}`,
    async () => {
      const row = await attemptRow(world, bookingId);
      return row?.status === status && row;
    },
    ms,
  );
}

/** Waits for the workflow's own end. */
export async function outcomeOf(attempt: Attempt, ms = 120_000): Promise<Outcome> {
  let timer: NodeJS.Timeout | undefined;
  const tooLate = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${attempt.bookingId} did not end within ${ms} ms`)), ms);
  });
  try {
    return (await Promise.race([attempt.handle.result(), tooLate])) as Outcome;
  } finally {
    clearTimeout(timer);
  }
}

export async function refundsOf(world: World, bookingId: string): Promise<RefundRow[]> {
  return world
    .db('refunds')
    .join('payments', 'payments.id', 'refunds.payment_id')
    .where({ booking_id: bookingId })
    .select<RefundRow[]>('refunds.*');
}

/** Waits for an open case of an attempt, and for the workflow that keeps it. */
export async function openCaseOf(world: World, bookingId: string): Promise<CaseRow> {
  const found = await eventually(`a case of ${bookingId}`, async () =>
    world.db<CaseRow>('cases').where({ booking_id: bookingId }).whereNull('resolved_at').first(),
  );
  await eventually(`the workflow ${found.workflow_id}`, async () => {
    try {
      return await world.temporal.workflow.getHandle(found.workflow_id).describe();
    } catch (error) {
      if (error instanceof WorkflowNotFoundError) return undefined;
      throw error;
    }
  });
  return found;
}

/** The operator answers a case, as the API or a hand in the Temporal UI does. */
export async function resolve(world: World, found: CaseRow, action: Resolution['action']): Promise<void> {
  const resolution: Resolution = { caseId: found.id, action, by: 'olga' };
  await world.temporal.workflow.getHandle(found.workflow_id).signal(resolveCaseSignal, resolution);
}

export async function messagesOf(world: World, bookingId: string): Promise<string[]> {
  const rows = await world
    .db('messages')
    .where({ booking_id: bookingId })
    .orderBy('kind')
    .select<{ kind: string }[]>('kind');
  return rows.map((row) => row.kind);
}

/** What the sandbox's own ledger holds of one attempt. */
export async function ledgerFor(world: World, bookingId: string) {
  const ledger = await world.sandbox.ledger();
  const intents = ledger.intents.filter((intent) => intent.metadata['bookingId'] === bookingId);
  const ids = new Set(intents.map((intent) => intent.id));
  const charges = ledger.charges.filter((charge) => ids.has(charge.paymentIntent));
  const refunds = ledger.refunds.filter((refund) => ids.has(refund.paymentIntent));
  return {
    intents,
    payable: intents.filter((intent) => !['succeeded', 'canceled'].includes(intent.status)),
    paid: charges.filter((charge) => charge.status === 'succeeded'),
    refunds,
    returnedMinor: refunds
      .filter((refund) => refund.status === 'succeeded')
      .reduce((sum, refund) => sum + refund.amount, 0),
    requests: ledger.requests,
  };
}

/** A payment with all that became of it, in the smallest unit. */
interface Account extends PaymentRow {
  returned_minor: number;
  by_hand_minor: number;
  on_its_way_minor: number;
  in_case_minor: number;
}

/**
 * Rule 3, at rest: every payment is kept, returned, on its way, or in an open case, exactly once; and our rows tell of the
 * same money as the sandboxes' ledgers, or as the wallets.
 * @param notOurs captured by another shop on the same account
 */
export async function expectBooksToBalance(world: World, notOurs = 0): Promise<void> {
  const { rows } = await world.db.raw<{ rows: Account[] }>(
    `SELECT p.*,
       (SELECT coalesce(sum(amount_minor), 0) FROM refunds r WHERE r.payment_id = p.id AND status = 'succeeded') AS returned_minor,
       (SELECT coalesce(sum(c.amount_minor), 0) FROM cases c WHERE c.payment_id = p.id AND resolution = 'mark-settled'
         AND resolved_by <> 'payfirst') AS by_hand_minor,
       (SELECT coalesce(sum(amount_minor), 0) FROM refunds r WHERE r.payment_id = p.id AND status IN ('unsent', 'pending')
         AND NOT EXISTS (SELECT FROM cases c WHERE c.refund_id = r.id AND resolved_at IS NULL)) AS on_its_way_minor,
       (SELECT coalesce(sum(amount_minor), 0) FROM cases c WHERE c.payment_id = p.id AND resolved_at IS NULL) AS in_case_minor
     FROM payments p`,
  );
  const unbalanced = rows.filter((row) => {
    const kept = row.disposition === 'booked' ? row.amount_minor - row.refunded_minor : 0;
    return row.amount_minor !== kept + row.returned_minor + row.on_its_way_minor + row.in_case_minor;
  });
  expect(unbalanced).toEqual([]);
  const totals = await Promise.all([...world.gateways.values()].map((at) => at.totals()));
  const sum = (of: readonly Account[], amount: (row: Account) => number) =>
    of.reduce((total, row) => total + amount(row), 0);
  const atGateways = rows.filter((row) => row.gateway !== 'wallet');
  expect({
    captured: totals.reduce((total, one) => total + one.captured, 0) - notOurs,
    returned: totals.reduce((total, one) => total + one.refunded, 0),
  }).toEqual({
    captured: sum(atGateways, (row) => row.amount_minor),
    returned: sum(atGateways, (row) => row.returned_minor - row.by_hand_minor),
  });
  const fromWallets = rows.filter((row) => row.gateway === 'wallet');
  expect(await movedInWallets(world)).toEqual({
    payment: sum(fromWallets, (row) => row.amount_minor),
    refund: sum(fromWallets, (row) => row.returned_minor - row.by_hand_minor),
  });
}

/** What left the wallets for bookings, and what came back. */
async function movedInWallets(world: World): Promise<{ payment: number; refund: number }> {
  const { rows } = await world.db.raw<{ rows: { payment: string; refund: string }[] }>(
    `SELECT coalesce(-sum(amount_minor) FILTER (WHERE kind = 'payment'), 0) AS payment,
       coalesce(sum(amount_minor) FILTER (WHERE kind = 'refund'), 0) AS refund
     FROM wallet_entries WHERE account = 'customer'`,
  );
  return { payment: Number(rows[0]?.payment), refund: Number(rows[0]?.refund) };
}
