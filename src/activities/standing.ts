/** The loop of a standing activity: a round, a heartbeat, a pause, until its worker goes or its turn is over. */
import { ApplicationFailure, CancelledFailure, Context } from '@temporalio/activity';
import { describeError } from '../telemetry';

/** How long one turn lasts, in ms. The workflow then starts the next, so that its history stays short. */
const turnMs = 3_600_000;

/**
 * Runs rounds until the turn is over. A round that fails is logged and the next one tries again: one bad row must not
 * stop the rest. When the worker shuts down it throws a retryable failure, so that another worker takes over at once.
 * @param pauseMs pause between rounds
 */
export async function standBy(pauseMs: number, round: () => Promise<void>): Promise<void> {
  const context = Context.current();
  const until = Date.now() + turnMs;
  try {
    while (Date.now() < until) {
      try {
        await round();
      } catch (error) {
        context.log.warn('standing.round-failed', { error: describeError(error) });
      }
      context.heartbeat();
      await context.sleep(pauseMs);
    }
  } catch (error) {
    if (error instanceof CancelledFailure && error.message === 'WORKER_SHUTDOWN') {
      throw ApplicationFailure.retryable('The worker shuts down; the next one goes on', 'worker-shutdown');
    }
    throw error;
  }
}
