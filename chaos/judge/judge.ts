/**
 * The judge of a run: says of each invariant whether the evidence bears it out. Reads what the gateways, the mail server and
 * the customers wrote down, and one snapshot of the rows; asks the service nothing. Invariants: those of the contract (S1 to
 * S11 at every moment, L1 to L9 once everything is quiet). S2 is read as it stands without a counter: seats are rows.
 */
import { everyAttemptEnds, legalSteps, wordsStayTrue } from './attempts';
import type { Evidence } from '../evidence/evidence';
import { nothingLeft } from './leftovers';
import { oneMailEach } from './mails';
import { moneyAddsUp } from './money';
import { bookedMoneyStays, onePayment, paidBefore, priceQuoted, refundsWithin } from './payments';
import { historiesReplay, recoversInTime, resourcesReturn } from './recovery';
import { neverOversold, noSeatLost, seatsAreBookings, unpaidTakesNothing } from './seats';
import { readStories } from './story';
import type { Rule, Verdict } from './verdict';
import { acknowledgedCharges, acknowledgedTookEffect, onlyTrueEvents } from './webhooks';

/** The invariants, in the order of the report. */
export const rules: readonly Rule[] = [
  neverOversold,
  seatsAreBookings,
  onePayment(acknowledgedCharges),
  refundsWithin,
  paidBefore,
  priceQuoted,
  bookedMoneyStays,
  legalSteps,
  unpaidTakesNothing,
  onlyTrueEvents,
  wordsStayTrue,
  everyAttemptEnds,
  moneyAddsUp,
  oneMailEach,
  acknowledgedTookEffect,
  nothingLeft,
  noSeatLost,
  recoversInTime,
  historiesReplay,
  resourcesReturn,
];

/** What must hold at every moment, and so in every sample of the run. */
const atEveryMoment = (name: string): boolean => name.startsWith('S');

/** Judges a run. One verdict for each invariant, S first; what a sample found is counted under the rule it names. */
export function judge(evidence: Evidence): Verdict[] {
  const stories = readStories(evidence);
  const sampled = evidence.samples.flatMap(({ at, broken }) =>
    broken.map((text) => ({
      name: text.split(' ', 1)[0],
      text: `${text} (at ${new Date(at).toISOString()})`,
    })),
  );
  for (const { name, text } of sampled)
    if (!rules.some((rule) => rule.name === name)) throw new Error(`Bug: a sample names no rule: ${text}`);
  return rules.map((one) => {
    const { name, rule } = one;
    const { checked, broken } = one.look(evidence, stories);
    return {
      name,
      rule,
      checked: checked + (atEveryMoment(name) ? evidence.samples.length : 0),
      broken: [
        ...sampled
          .filter((one) => one.name === name)
          .map(({ text }) => ({ text: text.slice(name.length + 1) })),
        ...broken,
      ],
    };
  });
}
