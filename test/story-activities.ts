/** The activities of the story over models of its world, going well or ill as their lists say. */
import { ApplicationFailure, Context } from '@temporalio/activity';
import type { Activities } from '../src/activities';
import { bookingWorkflowId, type Ring } from '../src/workflows/messages';
import type { Go } from './story-lists';
import type { Play } from './story-play';

/** The activities that `book` and `attendCase` call. */
type Played = Pick<
  Activities,
  | 'open'
  | 'giveUpOpening'
  | 'settle'
  | 'lookUp'
  | 'retry'
  | 'end'
  | 'closeLeftovers'
  | 'sendRefund'
  | 'readRefund'
  | 'reportOverdue'
  | 'resolveCase'
>;

/** Ms after which a go that failed is made again: as soon as a server does it, so that lists are short. */
const nextGoMs = 10;
/** The same while the gateway is away for long. */
const nextLookMs = 100;

/** Activities that ask no gateway. */
const atHome: readonly string[] = ['lookUp', 'giveUpOpening', 'reportOverdue', 'resolveCase'];
/** Activities that end by a limit of their own. */
const limited: readonly string[] = ['open', 'retry', 'closeLeftovers'];
/** Goes in one list after which the story is taken to run in circles: the longest lists have a third of them. */
const goesMax = 300;

/** Id of the workflow whose activity this is. */
const reader = (): string => Context.current().info.workflowExecution?.workflowId ?? '';

function unavailable(afterMs: number): ApplicationFailure {
  return ApplicationFailure.create({
    type: 'gateway-unavailable',
    message: 'No usable answer',
    nextRetryDelay: afterMs,
  });
}

/** Makes the activities. `playOf` finds the list that a booking, a refund or a case belongs to. */
export function storyActivities(playOf: (id: string) => Play): Played {
  async function go<T>(name: string, id: string, act: (play: Play) => T | Promise<T>): Promise<T> {
    const play = playOf(id);
    const drawn = play.nextGo();
    const where = Context.current().info.isLocal ? 'local' : 'regular';
    play.beat(`${name} begins, ${where}, ${drawn}`);
    try {
      if (play.goes >= goesMax) throw new Error(`Runs in circles: ${name}`);
      await before(name, drawn, play);
      const done = await act(play);
      if (drawn === 'late') await play.untilSent(2);
      if (drawn === 'lost') throw unavailable(nextGoMs);
      return done;
    } finally {
      play.beat(`${name} ends`);
    }
  }

  /** What keeps a go from doing anything. */
  async function before(name: string, drawn: Go, play: Play): Promise<void> {
    const { isLocal } = Context.current().info;
    // What its limit ends was tried, too.
    if (name === 'closeLeftovers') play.model.tidied = true;
    if (limited.includes(name) && (drawn === 'out of time' || play.outOfTime === name)) {
      // Only the regular activity has the limit; it ends the goes that are left, too.
      play.outOfTime = isLocal ? name : undefined;
      if (isLocal) throw unavailable(nextGoMs);
      if (name === 'retry') play.model.outOfTime();
      throw ApplicationFailure.nonRetryable('Its time is over');
    }
    if (drawn === 'silent' || drawn === 'out of time') throw unavailable(nextGoMs);
    if (atHome.includes(name)) return;
    if (drawn === 'away') play.awayUntil = Date.now() + play.model.windowMs + nextLookMs;
    if (Date.now() < play.awayUntil) throw unavailable(nextLookMs);
  }

  return {
    open: ({ bookingId }) => go('open', bookingId, ({ model }) => model.open()),
    giveUpOpening: ({ bookingId }) => go('giveUpOpening', bookingId, ({ model }) => model.giveUpOpening()),
    settle: (bookingId, heard) => go('settle', bookingId, ({ model }) => model.settle(heard, reader())),
    lookUp: (bookingId) => go('lookUp', bookingId, ({ model }) => model.standing()),
    retry: (bookingId, method) => go('retry', bookingId, ({ model }) => model.retry(method)),
    end: (bookingId, outcome, heard) => go('end', bookingId, ({ model }) => model.end(outcome, heard)),
    closeLeftovers: (bookingId) => go('closeLeftovers', bookingId, () => undefined),
    sendRefund: (id) => go('sendRefund', id, ({ model }) => model.refunds.send(id, reader())),
    readRefund: (id, heard) =>
      go('readRefund', id, async (play) => {
        const fresh = heard.filter(({ gateway }) => gateway !== undefined);
        const [ring] = fresh;
        const keepers = play.model.refunds.followed().map(({ keeper }) => keeper);
        const told = play.model.readRefund(id, heard, reader());
        if (ring !== undefined) await play.passOn({ by: ring.by, at: ring.at }, keepers, reader());
        return told;
      }),
    reportOverdue: (id) => go('reportOverdue', id, ({ model }) => model.refunds.reportOverdue(id, reader())),
    resolveCase: (resolution) =>
      go('resolveCase', resolution.caseId, async (play) => {
        const { refunds } = play.model;
        const resolved = refunds.resolveCase(resolution);
        const about = refunds.cases.find(({ id }) => id === resolution.caseId);
        const keepers = refunds.cases.filter((one) => one.refundId === about?.refundId);
        const waiting = [bookingWorkflowId(play.bookingId), ...keepers.map(({ keeper }) => keeper)];
        const ring: Ring = { by: 'operator', at: new Date().toISOString() };
        if (resolved.accepted) await play.passOn(ring, waiting, reader());
        return resolved;
      }),
  };
}
