/** After each activity, whichever way it ended, those who wait for what it is about are told to look again. */
import type { Notices, Subject } from '../notices';
import type { Activities } from './index';

/** Tells of nothing: no attempt and no seat is changed there, or it tells by itself. */
const nothing = (): undefined => undefined;
const booking = (bookingId: string): Subject => ({ bookingId });
const refund = (refundId: string): Subject => ({ refundId });

/** What each activity is about. An activity that is missing here does not compile, so none can be forgotten. */
const subjects: {
  [Name in keyof Activities]: (...given: Parameters<Activities[Name]>) => Subject | undefined;
} = {
  open: ({ bookingId }) => ({ bookingId }),
  giveUpOpening: ({ bookingId }) => ({ bookingId }),
  retry: booking,
  settle: booking,
  end: booking,
  closeLeftovers: booking,
  lookUp: nothing,
  sendRefund: refund,
  readRefund: refund,
  reportOverdue: refund,
  reconcile: ({ gateway, ref }) => ({ gateway, ref }),
  cancelBooking: booking,
  // It runs for long, and tells of each booking when it has undone it.
  callOff: (offeringId) => ({ offeringId }),
  resolveCase: ({ caseId }) => ({ caseId }),
  gatewaysToCompare: nothing,
  compare: nothing,
  forgetOldEvents: nothing,
  watchPayments: nothing,
  carryMessages: nothing,
};

type Run = (...given: never[]) => Promise<unknown>;

/** The same activities, each of which tells when it is over. Also when it failed: it may have committed before. */
export function tellAfterEach(activities: Activities, notices: Notices): Activities {
  const told = Object.entries(activities as Record<string, Run>).map(([name, run]) => {
    const subjectOf = subjects[name as keyof Activities];
    const telling: Run = async (...given) => {
      try {
        return await run(...given);
      } finally {
        const subject = subjectOf(...given);
        if (subject !== undefined) notices.tell(subject);
      }
    };
    return [name, telling];
  });
  return Object.fromEntries(told) as Activities;
}
