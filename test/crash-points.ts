/** Where workers are killed: before and after each outside effect of opening, settling, giving back and ending. */
import type { CrashPoint } from './crash-worker';

export type Stage = 'open' | 'settle' | 'give back' | 'end';

/** Every point at a gateway, by what the process was doing. Those that cost a regular activity's time-out stand first: they wait longest. */
export const points: [name: string, stage: Stage, point: CrashPoint][] = [
  ['before the refund is looked for', 'give back', { call: 'readRefund', when: 'before' }],
  ['before the refund is sent', 'give back', { call: 'refund', when: 'before' }],
  ['after the refund was made', 'give back', { call: 'refund', when: 'after' }],
  ['before its success is written', 'give back', { commitOf: '"settled_at"', when: 'before' }],
  ['after its success was written', 'give back', { commitOf: '"settled_at"', when: 'after' }],
  ['before the payment is closed', 'end', { call: 'close', when: 'before' }],
  ['after the payment was closed', 'end', { call: 'close', when: 'after' }],
  ['before the outcome is written', 'end', { commitOf: 'update "attempts".*"ended_at"', when: 'before' }],
  ['after the outcome was written', 'end', { commitOf: 'update "attempts".*"ended_at"', when: 'after' }],
  ['before the attempt is written', 'open', { commitOf: 'insert into "attempts"', when: 'before' }],
  ['after the attempt was written', 'open', { commitOf: 'insert into "attempts"', when: 'after' }],
  ['before the payment object is made', 'open', { call: 'open', when: 'before' }],
  ['after the payment object was made', 'open', { call: 'open', when: 'after' }],
  ['before how to pay is written', 'open', { commitOf: '"how_to_pay"', when: 'before' }],
  ['after how to pay was written', 'open', { commitOf: '"how_to_pay"', when: 'after' }],
  ['before the payment is read', 'settle', { call: 'read', when: 'before' }],
  ['after the payment was read', 'settle', { call: 'read', when: 'after' }],
  ['before the settlement is sent', 'settle', { statement: 'settle_payment', when: 'before' }],
  ['while the settlement is under way', 'settle', { statement: 'settle_payment', when: 'during' }],
  ['after the settlement was committed', 'settle', { statement: 'settle_payment', when: 'after' }],
];

/**
 * A wallet's money moves in the transaction that books, and in the one that writes the refund's success: its points are the
 * ends of these two.
 */
export const walletPoints: [name: string, stage: 'open' | 'give back', point: CrashPoint][] = [
  ['before the commit', 'open', { commitOf: 'settle_inside', when: 'before' }],
  ['while the statement is under way', 'open', { commitOf: 'settle_inside', when: 'during' }],
  ['after the commit', 'open', { commitOf: 'settle_inside', when: 'after' }],
  ['before the commit', 'give back', { commitOf: '"settled_at"', when: 'before' }],
  ['after the commit', 'give back', { commitOf: '"settled_at"', when: 'after' }],
];
