/** What must be true of every list that was played. */
import { untrueAnswers } from './story-answers';
import { untrueHistory } from './story-history';
import type { Play } from './story-play';

/** Names what is untrue of a list that was played; nothing, when all is well. */
export function whatIsUntrue(play: Play): string[] {
  return [...theEnd(play), ...untrueAnswers(play), ...untrueHistory(play)];
}

function theEnd({ model, result, failure, rung, list, stayed }: Play): string[] {
  const found = stayed.map((keeper) => `the keeper of a case did not end: ${keeper}`);
  const { status } = model;
  if (result === undefined) found.push(`the workflow has no result: ${String(failure)}`);
  else if (result !== status) found.push(`the workflow ended as ${result}, the attempt as ${status}`);
  for (const { id, status: reached } of model.refunds.all) {
    if (reached !== 'succeeded') found.push(`refund ${id} was left ${reached}`);
  }
  for (const { id } of model.refunds.openCases) found.push(`case ${id} was left open`);
  const unheard = rung.filter((mark) => !model.heard.has(mark));
  if (unheard.length > 0) found.push(`rings that nobody heard: ${unheard.join()}`);
  if (status === 'failed' && list.opens !== 'refused' && model.failure === 'gateway-unavailable') {
    if (!model.tidied) found.push('what the failed start left at the gateway was not closed');
  }
  return found;
}
