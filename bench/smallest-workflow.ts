/**
 * The smallest workflow of the same shape as `book`: what opens it is handed the pay page, a signal tells of the money or
 * the window ends, one transaction books. It is what Temporal itself costs; all above it is ours.
 */
import {
  condition,
  defineSignal,
  defineUpdate,
  proxyLocalActivities,
  setHandler,
} from '@temporalio/workflow';
import type { SmallestActivities } from './smallest';

/** Answers the pay page once there is one. */
export const opened = defineUpdate<string>('opened');
export const paid = defineSignal('paid');

const { open, confirm } = proxyLocalActivities<SmallestActivities>({ startToCloseTimeout: '5 seconds' });

/** @returns how it ended */
export async function smallest(id: string): Promise<'confirmed' | 'expired'> {
  let page = '';
  let isPaid = false;
  setHandler(opened, async () => {
    await condition(() => page !== '');
    return page;
  });
  setHandler(paid, () => {
    isPaid = true;
  });
  page = await open(id);
  if (!(await condition(() => isPaid, '1 hour'))) return 'expired';
  await confirm(id);
  return 'confirmed';
}
