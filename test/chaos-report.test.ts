/** The report of a chaos run says what was planted in its evidence: figures, faults, outcomes, and on failure the whole story. */
import type { Evidence } from '../chaos/evidence/evidence';
import { judge } from '../chaos/judge/judge';
import { jsonOf, reportOf, type Report } from '../chaos/report/report';
import { pageOf } from '../chaos/report/page';
import { loadFrom, wholeEvidence } from './judge-evidence';
import { bookingOf, numberOf } from './judge-people';
import { drop, the, visitOf } from './judge-plant';

const reported = (evidence: Evidence): { report: Report; page: string } => {
  const report = reportOf(evidence, judge(evidence));
  return { report, page: pageOf(report) };
};

test('A whole run is told in one page: verdicts, attempts, faults, outcomes, money, figures', () => {
  const evidence = wholeEvidence();
  const { report, page } = reported(evidence);
  expect(report.passed).toBe(true);
  expect(page).toContain('# Chaos run, start value 20261121');
  expect(page).toContain('All 20 invariants hold.');
  expect(page).toContain('| Attempts | 11 |');
  expect(page).toContain('| Faults landed, of those planned | 2 of 3 |');
  expect(page).toContain('| api-stopped | 1 | 0 |');
  expect(page).toMatch(/\| S1 \| No offering has more seats .* \| 4 \| holds \|/);
  expect(page).toContain('| confirmed | 1 | 1 | 1 | 1 | 4 |');
  expect(page).toContain('| refunded after a cancellation | 0 | 0 | 0 | 1 | 1 |');
  expect(page).toContain('| needs_attention (slot-unavailable) | 1 | 0 | 0 | 0 | 1 |');
  expect(report.payers.lost).toBe(0);
  expect(page).toMatch(
    /\| Paid at a gateway: of them booked, refunded, in cases, lost \| \d+: \d+, \d+, 1, 0 \|/,
  );
  expect(page).toContain('| EUR | 25000 | 10000 | 12500 | 2500 |');
  expect(page).toContain('| From the last fault until everything was over | 12.50 s |');
  expect(page).toContain('| Calls at the gateways for each booking | 7.0 |');
  expect(page).toContain('| worker-1 | 40 | 43 | 191 MiB | 305 MiB |');
  expect(page).not.toContain('What broke');
  expect(page).not.toContain('Stories');
});

test('What proves too little says so, and has not passed', () => {
  const evidence = wholeEvidence();
  evidence.replays = [];
  evidence.samples = [];
  evidence.faults = [];
  evidence.rows.gateway_events = [];
  const { report, page } = reported(evidence);
  expect(report.verdicts.filter(({ broken }) => broken.length > 0)).toEqual([]);
  expect(report.passed).toBe(false);
  expect(report.unproved).toEqual([
    'Nobody looked during the run.',
    'No history was replayed.',
    'S10 had nothing to look at.',
    '0 faults landed; 2 were wanted.',
  ]);
  expect(page).toContain('All 20 invariants hold. **But the run proves too little.**');
  expect(page).toContain('## Faults\n\nNone.');
  expect(page).toMatch(/\| S10 \| .* \| 0 \| nothing to look at \|/);
});

test('A kind of fault that landed too seldom is named; an end that never came has no figure', () => {
  const evidence = wholeEvidence();
  evidence.mustLand = { all: 2, each: 1 };
  delete evidence.quietAt;
  const { report, page } = reported(evidence);
  expect(report.unproved).toEqual(['api-stopped landed 0 times; 1 were wanted.']);
  expect(page).toContain('| From the last fault until everything was over | it never was |');
});

test('Mails that came twice under one id are a figure', () => {
  const evidence = wholeEvidence();
  evidence.mails.push({ ...the(evidence.mails, () => true) });
  const { report } = reported(evidence);
  expect(report.passed).toBe(true);
  expect(report.mails.rawDuplicates).toBe(1);
});

describe('Waiting', () => {
  /** Who paid and was booked, with the wait until the booking stood; told 100 ms later. Nobody else. */
  function payersWaiting(waits: readonly number[], everyMs: number): Evidence {
    const evidence = wholeEvidence();
    const visit = visitOf(evidence, 'paysByStripe');
    const booking = the(evidence.rows.bookings, () => true);
    evidence.visits = waits.map((wait, n) => ({
      ...visit,
      bookingId: `bkg_w${n}`,
      paidAt: loadFrom + n * everyMs,
      told: [{ at: loadFrom + n * everyMs + wait + 100, status: 'confirmed', version: 2 }],
    }));
    evidence.rows.bookings = waits.map((wait, n) => ({
      ...booking,
      id: `bkg_w${n}`,
      confirmed_at: loadFrom + n * everyMs + wait,
    }));
    evidence.faults = [];
    return evidence;
  }

  test('is told by nearest rank, until booked and until told', () => {
    const waits = Array.from({ length: 200 }, (_, n) => 200 - n);
    const { latency } = reported(payersWaiting(waits, 1000)).report;
    expect(latency.untilBooked.calm).toEqual({ count: 200, p50: 100, p99: 198, max: 200 });
    expect(latency.untilTold.calm).toEqual({ count: 200, p50: 200, p99: 298, max: 300 });
    expect(latency.untilBooked.underFault).toBeUndefined();
  });

  test('is under a fault from its start until 2 s after its end', () => {
    const evidence = payersWaiting([500, 500, 500, 500], 1000);
    evidence.faults = [{ kind: 'worker-killed', from: loadFrom + 700, to: loadFrom + 999 }];
    const { latency } = reported(evidence).report;
    // Booked at 0.5 s: before. Paid at 1 s and 2 s: within. Paid at 3 s: one millisecond too late.
    expect(latency.untilBooked.calm?.count).toBe(2);
    expect(latency.untilBooked.underFault?.count).toBe(2);
  });

  test('never is less than nothing, where a webhook was faster than the page', () => {
    expect(reported(payersWaiting([-50], 1000)).report.latency.untilBooked.calm?.max).toBe(0);
  });

  test('for a pause counts from the confirmation before, or from the first payment that waits', () => {
    // Paid at 0, 1, 2 s; booked at 0.1, 5 and 4 s: the pause is from 1 s, when somebody had paid, to 4 s.
    expect(reported(payersWaiting([100, 4000, 2000], 1000)).report.longestPauseMs).toBe(3000);
    // Booked at 3 s and 3.1 s: the second had paid at 1 s, but somebody was booked meanwhile.
    expect(reported(payersWaiting([3000, 2100], 1000)).report.longestPauseMs).toBe(3000);
    // Nobody waits between the two.
    expect(reported(payersWaiting([100, 100], 60_000)).report.longestPauseMs).toBe(100);
  });
});

test('A broken run is told with its start value, its faults and the whole story of each broken attempt', () => {
  const evidence = wholeEvidence();
  const person = 'comesSecond';
  const bookingId = bookingOf(person);
  visitOf(evidence, person).troubles.push('the page was slow');
  drop(evidence.refunds, (refund) => refund.bookingId === bookingId);
  evidence.replays[0]?.broken.push('booking/bkg_0 does not replay');
  const { report, page } = reported(evidence);
  expect(report.passed).toBe(false);
  expect(page).toContain('**2 of 20 invariants are broken: L2, L8.**');
  expect(page).toContain(
    `- L2: ${bookingId}: Attempt: captured 2500 EUR, booked 0, refunded 0, in open cases 0: 2500 bought nothing`,
  );
  expect(page).toContain('- L8: the run: With this build: booking/bkg_0 does not replay');
  expect(page).toContain('Start value 20261121');
  expect(page).toContain('| worker-killed | 1.00 s | 2.00 s | its pid is gone |');
  expect(report.payers.lost).toBe(1);
  const [story] = report.failure?.stories ?? [];
  expect(report.failure?.stories).toHaveLength(1);
  expect(story).toMatchObject({ bookingId, rules: ['L2'] });
  const n = numberOf(person);
  expect(story?.lines).toEqual([
    `+3.000 s  visit ${n} was to start: pay by phonepe, off_hot`,
    '+3.000 s  fault refund-fails for 2.0 s: one failed',
    '+3.100 s  told awaiting_payment, version 1',
    '+3.500 s  the page said: paid',
    `+3.500 s  phonepe captured 2500 EUR as charge_${n}_0 of object_${n}_0`,
    '+3.800 s  told refunding, version 2',
    '+4.500 s  told refunded, version 3',
    expect.stringMatching(/^\+4\.500 s {2}mail "payment-refunded" <bkg_/),
    'trouble: the page was slow',
    `object object_${n}_0 of phonepe`,
    `webhook checkout.order.completed (event_${n}_0), answered nothing, 503, 200`,
    `workflow booking/${bookingId} is COMPLETED, 25 events long`,
    expect.stringContaining('attempts: {"booking_id":"bkg_3"'),
    expect.stringContaining('payment_tries: ['),
    expect.stringContaining('payments: ['),
    expect.stringContaining('"status":"succeeded"'),
    expect.stringContaining('messages: ['),
  ]);
  for (const line of story?.lines ?? []) expect(page).toContain(line);
  expect(JSON.parse(jsonOf(report))).toEqual(JSON.parse(JSON.stringify(report)));
});

test('Of many broken attempts the page tells some, and says how many there are', () => {
  const evidence = wholeEvidence();
  const row = the(evidence.rows.attempts, ({ status }) => status === 'expired');
  for (let n = 0; n < 25; n += 1)
    evidence.rows.attempts.push({
      ...row,
      booking_id: `bkg_x${n}`,
      customer_id: `x${n}`,
      status: 'processing',
    });
  const { report, page } = reported(evidence);
  expect(report.failure?.stories).toHaveLength(25);
  expect(page).toContain('- L1: 15 more.');
  expect(page).toContain('20 of 25; the JSON has 25.');
  expect(page.match(/^### /gm)).toHaveLength(20);
});
