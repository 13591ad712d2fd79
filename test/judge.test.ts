/** The judge of a chaos run: silent on a whole evidence, and red for each thing that is broken in it, and for that only. */
import type { Evidence } from '../chaos/evidence/evidence';
import { judge } from '../chaos/judge/judge';
import { messageId } from '../chaos/judge/mails';
import { loadFrom, wholeEvidence } from './judge-evidence';
import { bookingOf } from './judge-people';
import { drop, the, visitOf, type Plant } from './judge-plant';
import { plantsAtTheEnd } from './judge-plants-end';
import { plantsAtMoments } from './judge-plants-moments';

const plants = [...plantsAtMoments, ...plantsAtTheEnd];

/** Names of the rules that are broken. */
const broken = (evidence: Evidence): string[] =>
  judge(evidence)
    .filter((verdict) => verdict.broken.length > 0)
    .map(({ name }) => name);

test('On a whole evidence nothing is broken, and every rule looked at something', () => {
  const verdicts = judge(wholeEvidence());
  expect(verdicts.flatMap(({ name, broken }) => broken.map(({ text }) => `${name}: ${text}`))).toEqual([]);
  expect(verdicts.filter(({ checked }) => checked === 0).map(({ name }) => name)).toEqual([]);
});

test.each(plants)('%s alone is broken when %s', (name, _what, plant) => {
  const evidence = wholeEvidence();
  plant(evidence);
  expect(broken(evidence)).toEqual([name]);
});

test('Every rule has a plant that breaks it', () => {
  const planted = new Set(plants.map(([name]) => name));
  expect(
    judge(wholeEvidence())
      .map(({ name }) => name)
      .filter((name) => !planted.has(name)),
  ).toEqual([]);
});

/** Harm that several rules see, each in its own way. */
const harms: [what: string, names: string[], plant: Plant[2]][] = [
  [
    'a booking stands and all its money went back',
    ['S4', 'S7', 'L2'],
    ({ charges, refunds }) => {
      const { gateway, ref, bookingId, amountMinor, at } = the(
        charges,
        (one) => one.bookingId === bookingOf('paysByStripe'),
      );
      refunds.push({
        gateway,
        ref: 'refund_x',
        objectRef: ref,
        bookingId,
        amountMinor,
        status: 'succeeded',
        at,
      });
    },
  ],
  [
    'a booking stands that nobody paid',
    ['S5', 'L2'],
    ({ charges, rows }) => {
      drop(charges, ({ bookingId }) => bookingId === bookingOf('paysByWallet'));
      drop(rows.payments, ({ booking_id }) => booking_id === bookingOf('paysByWallet'));
    },
  ],
  [
    'money went back twice',
    ['S4', 'L2'],
    ({ refunds }) => {
      refunds.push({
        ...the(refunds, ({ bookingId }) => bookingId === bookingOf('comesSecond')),
        ref: 'refund_x',
      });
    },
  ],
  [
    'money was captured in another currency',
    ['S6', 'L2'],
    ({ charges }) => {
      the(charges, ({ bookingId }) => bookingId === bookingOf('paysByStripe')).currency = 'USD';
    },
  ],
  [
    // The rest of the money bought nothing: it is owed, and so is a notice.
    'a booking says another price than was quoted',
    ['S6', 'L2', 'L3'],
    ({ rows }) => {
      the(rows.bookings, ({ id }) => id === bookingOf('paysByStripe')).total_minor -= 1;
    },
  ],
];

test.each(harms)('When %s, %j are broken', (_what, names, plant) => {
  const evidence = wholeEvidence();
  plant(evidence);
  expect(broken(evidence)).toEqual(names);
});

/** What looks odd and is as it should be. */
const oddities: [what: string, plant: Plant[2]][] = [
  [
    'a mail came twice under one id',
    ({ mails }) => {
      mails.push({ ...the(mails, () => true) });
    },
  ],
  [
    'an unpaid object stays payable where none can be closed',
    (evidence) => {
      evidence.objects.push({
        gateway: 'phonepe',
        ref: 'left',
        bookingId: bookingOf('abandons'),
        payable: true,
        told: true,
      });
    },
  ],
  [
    'an object stays payable that Stripe told nobody of',
    (evidence) => {
      const bookingId = bookingOf('abandons');
      evidence.objects.push({ gateway: 'stripe', ref: 'pi_x', bookingId, payable: true, told: false });
    },
  ],
  [
    'the customer missed states between',
    (evidence) => {
      visitOf(evidence, 'comesSecond').told.splice(1, 1);
    },
  ],
  [
    'a cancellation took effect, and its answer was lost',
    (evidence) => {
      delete visitOf(evidence, 'cancelsBooked').canceledAt;
    },
  ],
  [
    'a refund succeeded, was told, and failed afterwards',
    ({ mails, rows }) => {
      const bookingId = bookingOf('cannotBeGivenBack');
      const due = the(rows.messages, (row) => row.booking_id === bookingId);
      mails.push({
        messageId: messageId(bookingId, 'payment-refunded', due.recipient),
        to: due.recipient,
        subject: '',
        at: loadFrom,
      });
    },
  ],
  [
    'seats were refused of an offering where a booking was undone',
    (evidence) => {
      visitOf(evidence, 'comesSecond').offeringId = 'off_undone';
      visitOf(evidence, 'findsItSoldOut').offeringId = 'off_undone';
    },
  ],
  [
    'a start was never answered, and its attempt expired',
    (evidence) => {
      const visit = visitOf(evidence, 'abandons');
      delete visit.bookingId;
      visit.told = [];
    },
  ],
  [
    'of two clicks the older answer was written down last',
    (evidence) => {
      const { told } = visitOf(evidence, 'paysByWallet');
      told.push({ at: loadFrom, status: 'awaiting_payment', version: 0 });
    },
  ],
  [
    'a worker took up what it had not at its start',
    ({ footprints }) => {
      the(footprints, () => true).after = { memory: 400e6, files: 45 };
    },
  ],
];

test.each(oddities)('Nothing is broken when %s', (_what, plant) => {
  const evidence = wholeEvidence();
  plant(evidence);
  expect(broken(evidence)).toEqual([]);
});

test('A sample that names no rule is a mistake in whoever wrote it', () => {
  const evidence = wholeEvidence();
  evidence.samples.push({ at: loadFrom, broken: ['X1 something'] });
  expect(() => judge(evidence)).toThrow('names no rule');
});
