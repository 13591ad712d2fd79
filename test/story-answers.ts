/** Whether what those who asked an attempt were told was true. */
import { isOpen, type AttemptStatus } from '../src/booking';
import type { FailureType } from '../src/failures';
import type { Answer } from '../src/workflows/messages';
import type { List } from './story-lists';
import type { State } from './story-model';
import type { Play, Question } from './story-play';

/** Names the answers that nothing made true between question and answer. */
export function untrueAnswers(play: Play): string[] {
  return [...play.questions.flatMap((question) => whyUntrue(play, question)), ...ownBookingDenied(play)];
}

function whyUntrue({ model, list }: Play, { asked, from, to, answer }: Question): string[] {
  // Who comes too late is told so by what the story knows: while money goes back, that is what it heard last of it.
  const decided = model.journal.slice(0, from).filter(({ status }) => !isOpen(status));
  const then = [...decided, ...model.journal.slice(from, to)];
  // Whatever is typed must be answered; what Temporal itself says of it is its own affair.
  const is = asked === 'junk' || isTrue(asked, answer, asked === 'open' ? model.journal : then, list);
  if (answer.kind === 'silent') return [`${asked} got no answer`];
  return is
    ? []
    : [`${asked} was told ${JSON.stringify(answer)}, which was never true: ${JSON.stringify(then)}`];
}

function isTrue(
  asked: Question['asked'],
  answer: Question['answer'],
  then: readonly State[],
  list: List,
): boolean {
  switch (answer.kind) {
    case 'silent':
      return false;
    case 'over': {
      const last = then.at(-1);
      return last !== undefined && !isOpen(last.status);
    }
    case 'refused':
      if (answer.type === 'idempotency-key-reused') return asked === 'other body';
      return then.some((state) => isTrueRefusal(asked, answer.type, state, list));
    case 'answered':
      return then.some((state) => isTrueAnswer(asked, answer.answer, state));
  }
}

function isTrueRefusal(asked: Question['asked'], type: FailureType, state: State, list: List): boolean {
  if (asked === 'open') return state.failure === type;
  switch (type) {
    case 'attempt-over':
      return asked === 'cancel' ? ['expired', 'failed'].includes(state.status) : !isOpen(state.status);
    case 'not-cancelable':
      return asked === 'cancel' && ['processing', 'needs_attention'].includes(state.status);
    case 'not-retryable':
      return asked !== 'cancel' && state.status === 'processing';
    case 'retry-limit':
      return asked !== 'cancel' && state.triesLeft <= 0;
    case 'insufficient-funds':
      return asked === 'retry by wallet' && !list.funds;
    default:
      return state.outOfTime === true;
  }
}

function isTrueAnswer(asked: Question['asked'], { status, version }: Answer, state: State): boolean {
  const fits = isOpen(status) ? state.version === version : state.version >= version;
  return fits && state.status === status && isGranted(asked, status, state);
}

/** Whether this is what was wished: the end, or something to pay by, unless it is paid already. */
function isGranted(asked: Question['asked'], status: AttemptStatus, { failure }: State): boolean {
  switch (asked) {
    case 'cancel':
      return ['canceled', 'confirmed', 'refunding', 'refunded'].includes(status);
    case 'retry':
    case 'retry by wallet':
      return status === 'awaiting_payment' ? failure === undefined : !isOpen(status);
    default:
      return asked === 'open';
  }
}

/** Of those who wished to pay from the wallet while it was, one did: they must not be told that they came too late. */
function ownBookingDenied({ model, questions }: Play): string[] {
  const booked = model.journal.findIndex(({ byWallet }) => byWallet === true);
  const wished = questions.filter(
    ({ asked, from, to }) => asked === 'retry by wallet' && from < booked && booked < to,
  );
  const denied = wished.every(
    ({ answer, times }) => times === 1 && answer.kind === 'refused' && answer.type === 'attempt-over',
  );
  return wished.length > 0 && denied ? ['who paid from the wallet was told that it is over'] : [];
}
