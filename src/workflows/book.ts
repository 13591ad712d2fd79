/**
 * The story of one booking attempt, in a straight line:
 *
 *   open ──> wait ──> settle ──> confirmed              (what is free or paid from the wallet is settled by `open`)
 *             │          └─────> give back ──> refunded      (a case, when the gateway cannot)
 *             ├─ retry ─> wait
 *             └─ the window ends, or the customer cancels ─> close the payment, then expired or canceled
 *
 * Nobody else can notice an attempt before its money is there, save a hold that its offering asks for. The doorbell
 * carries no truth: `settle` reads the gateway.
 */
import {
  allHandlersFinished,
  ApplicationFailure,
  CancellationScope,
  condition,
  log,
  setCurrentDetails,
  setHandler,
  upsertSearchAttributes,
} from '@temporalio/workflow';
import { ApplicationFailureCategory } from '@temporalio/common';
import type { Refusal, Standing } from '../activities/dependencies';
import type { Opened } from '../activities/open';
import { cancelVerdict, isOpen, retryVerdict, type AttemptStatus, type Outcome } from '../booking';
import type { FailureType } from '../failures';
import { giveBack } from './give-back';
import { openInbox } from './inbox';
import {
  calledOffSignal,
  cancelUpdate,
  openUpdate,
  retryPaymentSignal,
  retryUpdate,
  searchAttributes,
  type Answer,
  type BookInput,
} from './messages';
import { closeLeftovers, end, lookUp, open, patient, retryPayment, settle } from './steps';

/** A wish that came by update, and its answer once the story has dealt with it. */
interface Wish {
  kind: 'retry' | 'cancel';
  method?: string;
  /** Why the customer cancels, in their words; kept with the attempt. */
  reason?: string;
  /** Whether it is the provider who cancels. */
  calledOff?: true;
  answer?: Standing | Refusal;
}

/** How often to look by ourselves at what the gateway calls `processing` when the window has ended; its own limit ends that. */
const processingLook = '1 hour';

/** Where the money is, for operators who read the workflow in the Temporal UI. */
const whereTheMoneyIs: Readonly<Record<AttemptStatus, string>> = {
  awaiting_payment:
    'No money has come. The seats are free for everyone, unless the offering holds them for a while.',
  processing: 'The gateway is still processing the payment. No seat is taken.',
  confirmed: 'The money is here, where any was due, and the booking stands.',
  refunding: 'The money came but bought nothing. It is on its way back.',
  refunded: 'The money came but bought nothing. It went back.',
  needs_attention: 'The money should go back and did not. A person must decide: see the open case.',
  expired:
    'No money came in time. Where the gateway can close the payment, it is closed; what comes all the same goes back.',
  canceled:
    'Canceled before any money came. Where the gateway can close the payment, it is closed; what comes all the same goes back.',
  failed: 'The start was refused. No money came.',
};

/** One customer's try to book, from the request to the booking or the money back. Idempotent by its workflow id. */
export function book(input: BookInput): Promise<Outcome> {
  // An operator's "cancel" in the UI is a wish like the customer's: nothing here may be cut off half-way.
  const root = CancellationScope.current();
  return CancellationScope.nonCancellable(() => story(input, root.cancelRequested));
}

async function story(input: BookInput, cancelRequested: Promise<never>): Promise<Outcome> {
  const { bookingId } = input;
  const inbox = openInbox();
  const wishes: Wish[] = [];
  let standing: Standing | undefined;
  let shown: AttemptStatus = 'awaiting_payment';
  let calling = false;
  let givingBack = false;
  let boughtNothing = false;
  let method = input.request.payment?.method;

  setHandler(
    openUpdate,
    async () => {
      await patiently(() => standing !== undefined);
      if (standing === undefined) throw new Error('Bug: answered before opened');
      return answerOf(standing);
    },
    { validator: ({ requestHash }: { requestHash: string }) => refuseOtherBody(input, requestHash) },
  );
  // An operator may call an update by hand, without input: a handler that threw a TypeError would stop the workflow.
  setHandler(retryUpdate, (input?: { method?: string }) =>
    grant({ kind: 'retry', ...(typeof input?.method === 'string' ? { method: input.method } : {}) }),
  );
  setHandler(cancelUpdate, (input?: { reason?: string }) =>
    grant({ kind: 'cancel', ...(typeof input?.reason === 'string' ? { reason: input.reason } : {}) }),
  );
  setHandler(retryPaymentSignal, () => {
    wishes.push({ kind: 'retry' });
  });
  setHandler(calledOffSignal, () => {
    wishes.push({ kind: 'cancel', calledOff: true });
  });
  cancelRequested.catch(() => wishes.push({ kind: 'cancel' }));

  async function grant(wish: Wish): Promise<Answer> {
    // Money may take weeks to go back; nobody waits that long to hear that they came too late. What the story knows is enough: a
    // look of the handler's own, beside those of the story, would not replay in the order it was played in.
    if (givingBack && standing !== undefined) wish.answer = afterTheEnd(wish, { ...standing, status: shown });
    else wishes.push(wish);
    await patiently(() => wish.answer !== undefined);
    if (wish.answer === undefined || 'refused' in wish.answer) {
      throw refusal(wish.answer?.refused ?? 'attempt-over');
    }
    return answerOf(wish.answer);
  }

  function answerOf(now: Standing): Answer {
    if (now.status === 'failed') throw refusal(now.failure ?? 'unavailable');
    return { status: now.status, version: now.version, startedBy: input.requestId };
  }

  /** @param call whether a person is needed; also for money that came beside what the status tells of */
  function show(status: AttemptStatus, call = status === 'needs_attention'): void {
    setCurrentDetails(whereTheMoneyIs[status]);
    if (status === shown && call === calling) return;
    [shown, calling] = [status, call];
    upsertSearchAttributes([
      { key: searchAttributes.bookingStatus, value: status },
      { key: searchAttributes.needsAttention, value: call },
    ]);
  }

  function showMethod(wanted: string | undefined): void {
    if (wanted === undefined || wanted === method) return;
    method = wanted;
    upsertSearchAttributes([{ key: searchAttributes.gateway, value: wanted }]);
  }

  /** Answers one wish. */
  async function deal(wish: Wish, now: Standing): Promise<Standing> {
    if (!isOpen(now.status)) {
      wish.answer = afterTheEnd(wish, now);
      return now;
    }
    if (wish.kind === 'cancel') {
      const ended = await end(bookingId, 'canceled', inbox.takeRings(), wish.reason, wish.calledOff);
      wish.answer = ended;
      return 'refused' in ended ? lookUp(bookingId) : ended;
    }
    // What the gateway said last decides whether there is anything to retry.
    await settle(bookingId, inbox.takeRings());
    try {
      const retried = await retryPayment(bookingId, wish.method);
      wish.answer = retried;
      // Histories from before a standing told its method have it from the wish.
      if (!('refused' in retried)) showMethod(retried.method ?? wish.method);
      return 'refused' in retried ? await lookUp(bookingId) : retried;
    } catch {
      // The gateway did not answer in time. The try stands in its row; the next retry, or the end of the window, goes on with it.
      wish.answer = { refused: 'gateway-unavailable' };
      return lookUp(bookingId);
    }
  }

  const opened = await openOrGiveUp(input);
  standing = opened;
  if (input.request.cartId !== undefined) {
    upsertSearchAttributes([{ key: searchAttributes.offeringIds, value: opened.offeringIds }]);
  }
  // Who waits for an answer comes first, then money that is owed, then the doorbell; the window's end comes last, so that
  // nothing that arrived in time is overlooked.
  for (;;) {
    show(standing.status);
    showMethod(standing.method);
    boughtNothing ||= standing.status === 'refunding' || standing.status === 'refunded';
    const wish = wishes.shift();
    const [refundId] = standing.refundIds;
    if (wish !== undefined) {
      standing = await deal(wish, standing);
    } else if (refundId !== undefined) {
      const refunding = standing.status === 'refunding' || standing.status === 'needs_attention';
      givingBack = true;
      await giveBack(inbox, refundId, (state) =>
        show(refunding ? state : shown, state === 'needs_attention'),
      );
      givingBack = false;
      standing = await lookUp(bookingId);
    } else if (inbox.rang()) {
      standing = await settle(bookingId, inbox.takeRings());
    } else if (!isOpen(standing.status)) {
      if (standing.failure === 'gateway-unavailable') await tidyUp(bookingId);
      if (wishes.length === 0 && !inbox.rang()) break;
    } else if (standing.status === 'processing' && standing.windowMs <= 0) {
      await condition(stirred, processingLook, { summary: 'The gateway still processes the payment' });
      standing = await settle(bookingId, inbox.takeRings());
    } else if (!(await paidOrStirred(standing.windowMs))) {
      const ended = await end(bookingId, 'expired', inbox.takeRings());
      standing = 'refused' in ended ? await lookUp(bookingId) : ended;
    }
  }
  await condition(allHandlersFinished);
  return outcomeOf(standing.status, boughtNothing);

  function stirred(): boolean {
    return inbox.rang() || wishes.length > 0;
  }

  async function paidOrStirred(windowMs: number): Promise<boolean> {
    if (windowMs <= 0) return stirred();
    const inTime = await condition(stirred, windowMs, { summary: 'The payment window' });
    // A "cancel" in the UI that comes with the end of the timer is heard only after it.
    return inTime || stirred();
  }
}

async function openOrGiveUp(input: BookInput): Promise<Opened> {
  try {
    return await open(input);
  } catch {
    // Ten minutes without a gateway. What was refused for good is in the row already; this writes only what is missing.
    return patient.giveUpOpening.executeWithOptions({ summary: 'No gateway: end the attempt' }, [input]);
  }
}

/** Waits in a handler. Handlers run in the root scope, which an operator's "cancel" in the UI cancels. */
function patiently(holds: () => boolean): Promise<void> {
  return CancellationScope.nonCancellable(() => condition(holds));
}

/** What a failed start may have left at the gateway is closed. After 20 hours its key is forgotten, and nobody can pay it anyway. */
async function tidyUp(bookingId: string): Promise<void> {
  try {
    await closeLeftovers(bookingId);
  } catch {
    log.warn('An unpaid payment object of a failed start may stay open at the gateway', { bookingId });
  }
}

/** The workflow id is made from customer and Idempotency-Key, so another body under the same key arrives here. */
function refuseOtherBody(input: BookInput, requestHash: string): void {
  if (requestHash !== input.requestHash) throw refusal('idempotency-key-reused');
}

/** The answer to a wish that comes too late. */
function afterTheEnd(wish: Wish, now: Standing): Standing | Refusal {
  const verdict = wish.kind === 'retry' ? retryVerdict(now.status) : cancelVerdict(now.status);
  // Who cancels an unpaid attempt that is booked meanwhile is told so; undoing a booking is another wish.
  return verdict === 'granted' || verdict === 'by-policy' ? now : { refused: verdict };
}

/** An expected refusal: final, and no cause for alarm. */
function refusal(type: FailureType): ApplicationFailure {
  return ApplicationFailure.create({
    type,
    message: type,
    nonRetryable: true,
    category: ApplicationFailureCategory.BENIGN,
  });
}

/** @param boughtNothing whether the attempt's own money went back */
function outcomeOf(status: AttemptStatus, boughtNothing: boolean): Outcome {
  switch (status) {
    case 'confirmed':
    case 'refunded':
    case 'expired':
    case 'canceled':
    case 'failed':
      return status;
    case 'refunding':
      // The keeper of a case sends it again.
      return 'refunded';
    case 'needs_attention':
      // A case of its own asks about the money: a refund that failed after it said success, or, where the booking stands, a
      // dispute or a refund by other hands.
      return boughtNothing ? 'refunded' : 'confirmed';
    default:
      throw new Error(`Bug: the story ended as ${status}`);
  }
}
