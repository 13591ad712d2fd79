/** A small, whole and true evidence: attempts of every kind, each as Payfirst leaves it, with the books that belong to it. */
import { deriveId } from '../src/activities/dependencies';
import type { MessageKind } from '../src/booking';
import { bookingWorkflowId, courierId, paymentWatchId } from '../src/workflows/messages';
import type { Evidence } from '../chaos/evidence/evidence';
import { the } from './judge-plant';
import { bookingOf, everybody, numberOf, people, type Money, type Person, type Told } from './judge-people';

export const priceMinor = 2500;

/** When the load began. */
export const loadFrom = Date.UTC(2026, 10, 21, 12, 0, 0);

export const provider = 'provider@example.test';

/** A new one each time, to be broken at will. */
export function wholeEvidence(): Evidence {
  const evidence: Evidence = {
    startValue: 20261121,
    providerEmail: provider,
    calls: 35,
    mustLand: { all: 2, each: 0 },
    visits: [],
    objects: [],
    charges: [],
    refunds: [],
    events: [],
    mails: [],
    rows: {
      attempts: [],
      bookings: [],
      booking_items: [],
      offerings: [
        { id: 'off_slot', capacity: 10 },
        { id: 'off_hot', capacity: 1 },
        { id: 'off_undone', capacity: 2 },
        { id: 'off_talk', capacity: null },
      ],
      seats: [],
      payments: [],
      refunds: [],
      cases: [],
      messages: [],
      payment_tries: [],
      gateway_events: [],
      wallets: [],
    },
    samples: [{ at: loadFrom + 1000, broken: [] }],
    workflows: [paymentWatchId, courierId].map((workflowId) => ({
      workflowId,
      type: workflowId,
      status: 'RUNNING',
      history: 40,
    })),
    footprints: [
      {
        name: 'worker-1',
        pooled: 0,
        cached: 0,
        before: { memory: 200e6, files: 40 },
        after: { memory: 320e6, files: 43 },
      },
    ],
    connections: { before: 20, after: 22, pooled: 0 },
    faults: [
      { kind: 'worker-killed', from: loadFrom + 1000, to: loadFrom + 2000, proof: 'its pid is gone' },
      { kind: 'refund-fails', from: loadFrom + 3000, to: loadFrom + 5000, proof: 'one failed' },
      { kind: 'api-stopped', from: loadFrom + 6000, to: loadFrom + 7000 },
    ],
    loadFrom,
    lastFaultEndedAt: loadFrom + 7000,
    quietAt: loadFrom + 19_500,
    replays: [{ build: 'this build', replayed: 30, broken: [] }],
  };
  for (const person of people) addPerson(evidence, person);
  const { offerings, seats } = evidence.rows;
  for (const { id, capacity } of offerings) {
    const taken = evidence.rows.booking_items.filter(
      (item) =>
        item.offering_id === id &&
        evidence.rows.bookings.some((b) => b.id === item.booking_id && b.status === 'confirmed'),
    );
    for (let seat = 1; seat <= (capacity ?? 0); seat++)
      seats.push({
        offering_id: id,
        seat_no: seat,
        booking_id: taken[seat - 1]?.booking_id ?? null,
        held_by: null,
      });
  }
  return evidence;
}

function addPerson(evidence: Evidence, person: Person): void {
  const told: Told = everybody[person];
  const n = numberOf(person);
  const at = loadFrom + n * 1000;
  const { rows } = evidence;
  const [bookingId, customerId, email] = [bookingOf(person), `customer-${n}`, `${n}@example.test`];
  const status = told.path.at(-1) ?? 'failed';
  evidence.visits.push({
    n,
    customerId,
    email,
    behaviour: told.behaviour,
    method: told.method,
    offeringId: `off_${told.offering}`,
    plannedAt: at,
    bookingId,
    told: told.path.map((one, step) => ({ at: at + 100 + step * 700, status: one, version: step + 1 })),
    troubles: [],
    ...(told.refused === undefined ? {} : { refused: told.refused }),
    ...(told.money === undefined ? {} : { paidAt: at + 500 }),
    ...(told.behaviour.startsWith('cancel') ? { canceledAt: at + 900 } : {}),
  });
  if (told.method === 'wallet') {
    the(evidence.visits, (visit) => visit.n === n).creditedMinor = priceMinor;
    rows.wallets.push({
      customer_id: customerId,
      currency: 'EUR',
      balance_minor: told.booked === 'canceled' ? priceMinor : 0,
    });
  }
  rows.attempts.push({
    booking_id: bookingId,
    customer_id: customerId,
    status,
    total_minor: priceMinor,
    currency: 'EUR',
    method: told.method,
    failure: told.failure === undefined ? null : { type: told.failure },
  });
  evidence.workflows.push({
    workflowId: bookingWorkflowId(bookingId),
    type: 'book',
    status: status === 'needs_attention' ? 'RUNNING' : 'COMPLETED',
    history: 25,
  });
  if (told.booked !== undefined) {
    rows.bookings.push({
      id: bookingId,
      status: told.booked,
      total_minor: priceMinor,
      currency: 'EUR',
      confirmed_at: at + 700 + n * 100,
    });
    rows.booking_items.push({ booking_id: bookingId, offering_id: `off_${told.offering}`, seats: 1 });
  }
  const objects = told.money ?? (told.refused === undefined ? [undefined] : []);
  objects.forEach((money, index) => addObject(evidence, person, told, money, index));
  for (const kind of told.mails ?? []) addMail(evidence, person, kind, email);
}

function addObject(
  { objects, charges, refunds, events, rows }: Evidence,
  person: Person,
  told: Told,
  money: Money | undefined,
  index: number,
): void {
  const { method: gateway } = told;
  const bookingId = bookingOf(person);
  const at = loadFrom + numberOf(person) * 1000 + 500 + index;
  const name = `${numberOf(person)}_${index}`;
  const ref = `object_${name}`;
  if (gateway !== 'wallet') objects.push({ gateway, ref, bookingId, payable: false, told: true });
  rows.payment_tries.push({
    booking_id: bookingId,
    try: index + 1,
    gateway,
    gateway_ref: ref,
    status: money === undefined ? 'closed' : 'paid',
  });
  if (money === undefined) return;
  charges.push({
    gateway,
    ref,
    chargeId: `charge_${name}`,
    bookingId,
    amountMinor: priceMinor,
    currency: 'EUR',
    at,
  });
  const { back } = money;
  rows.payments.push({
    id: `pay_${name}`,
    booking_id: bookingId,
    gateway,
    gateway_ref: ref,
    gateway_payment_id: `charge_${name}`,
    amount_minor: priceMinor,
    disposition: told.booked !== undefined && index === 0 ? 'booked' : 'returned',
  });
  if (gateway !== 'wallet') {
    const type = {
      stripe: 'payment_intent.succeeded',
      razorpay: 'payment.captured',
      phonepe: 'checkout.order.completed',
    }[gateway];
    events.push({ gateway, eventId: `event_${name}`, type, ref, answers: [null, 503, 200] });
    rows.gateway_events.push({ gateway, event_id: gateway === 'phonepe' ? `hash_${name}` : `event_${name}` });
  }
  if (back === undefined) return;
  refunds.push({
    gateway,
    ref: `refund_${name}`,
    // A wallet's movement back names no object.
    objectRef: gateway === 'wallet' ? `refund_${name}` : ref,
    bookingId,
    amountMinor: priceMinor,
    status: back.status,
    at: at + 300,
  });
  rows.refunds.push({
    id: `ref_${name}`,
    payment_id: `pay_${name}`,
    amount_minor: priceMinor,
    status: back.status,
    reason: back.reason,
  });
  if (back.status === 'failed')
    rows.cases.push({
      id: `cas_${name}`,
      workflow_id: bookingWorkflowId(bookingId),
      booking_id: bookingId,
      payment_id: `pay_${name}`,
      kind: 'refund-failed',
      amount_minor: priceMinor,
      resolved_at: null,
    });
}

function addMail(evidence: Evidence, person: Person, kind: MessageKind, email: string): void {
  const bookingId = bookingOf(person);
  const to = kind.startsWith('provider') ? provider : email;
  const at = loadFrom + numberOf(person) * 1000 + 1500;
  evidence.rows.messages.push({ booking_id: bookingId, kind, recipient: to, sent_at: at });
  evidence.mails.push({
    messageId: `<${deriveId('booking', bookingId, kind, to)}@payfirst>`,
    to,
    subject: kind,
    at,
  });
}
