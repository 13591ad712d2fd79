/** The daily comparison of the gateways' books with ours, started by a Schedule, or by hand for any interval. */
import { proxyActivities, setCurrentDetails, workflowInfo } from '@temporalio/workflow';
import { defineSearchAttributeKey, SearchAttributeType } from '@temporalio/common';
import type { Activities } from '../activities';
import type { Compared, Interval } from '../activities/compare';
import { startKeeper } from './keeper';

const {
  compare: compareGateway,
  gatewaysToCompare,
  forgetOldEvents,
} = proxyActivities<Activities>({
  // A day of 100,000 payments is 1,000 pages; a gateway that is down is waited for.
  startToCloseTimeout: '2 hours',
  heartbeatTimeout: '1 minute',
  retry: { initialInterval: '1 second', backoffCoefficient: 2, maximumInterval: '5 minutes' },
});

/** Set by Temporal on what a Schedule starts. Source: docs.temporal.io/search-attribute#default-search-attribute. */
const scheduledStart = defineSearchAttributeKey('TemporalScheduledStartTime', SearchAttributeType.DATETIME);

/** A day in ms. */
const dayMs = 86_400_000;

/**
 * Compares an interval, by default the whole UTC day before the one it was due on, and gives every difference a case that stays
 * open until an operator resolves it.
 */
export async function compare(given?: Partial<Interval>): Promise<Compared[]> {
  const interval = intervalOf(given);
  setCurrentDetails(`Comparing ${interval.from} to ${interval.to} with every gateway.`);
  const results: Compared[] = [];
  for (const name of await gatewaysToCompare()) {
    const summary = `Compare ${name}`;
    const found = await compareGateway.executeWithOptions({ summary }, [name, interval]);
    for (const caseId of found.caseIds) await startKeeper(caseId, null);
    results.push(found);
  }
  await forgetOldEvents();
  const cases = results.reduce((sum, { caseIds }) => sum + caseIds.length, 0);
  setCurrentDetails(`Compared ${interval.from} to ${interval.to}: ${cases} differences became cases.`);
  return results;
}

/** An operator may start this by hand: what is no instant counts as not given. */
function intervalOf(given: Partial<Interval> | undefined): Interval {
  // A night that is made up for later, or backfilled by hand, compares its own day and not the last one again.
  const { typedSearchAttributes: attributes, startTime } = workflowInfo();
  const due = attributes.get(scheduledStart) ?? startTime;
  const midnight = Math.floor(due.getTime() / dayMs) * dayMs;
  const at = (text: unknown, otherwise: number): string => {
    const told = typeof text === 'string' ? Date.parse(text) : Number.NaN;
    return new Date(Number.isNaN(told) ? otherwise : told).toISOString();
  };
  return { from: at(given?.from, midnight - dayMs), to: at(given?.to, midnight) };
}
