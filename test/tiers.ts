/**
 * How much is played of what can be played for ever. `npm test` shows every case, with so many rounds that it ends within
 * minutes on two cores; `TEST_TIER=long npm test` plays every gateway in full, and more rounds.
 */
export const isLong = process.env['TEST_TIER'] === 'long';

/** Rounds of each race of activities: each is a hot moment of up to 50 transactions. */
export const activityRounds = isLong ? 50 : 10;

/** Ways to pay whose money is at a gateway: what tables of cases are played for. */
export const gatewayNames = ['stripe', 'razorpay', 'phonepe'] as const;
export type GatewayName = (typeof gatewayNames)[number];

/** Whether everything is played at this gateway. */
export const isInFull = (name: string): boolean => isLong || name === 'stripe';

/** Rounds of each race after the booking, through HTTP and Temporal: a cancellation, a refund, an offering called off. */
export const afterRounds = isLong ? 5 : 2;

/** Rounds of each race through HTTP and Temporal. */
export const roundsAt = (name: string): number => {
  if (isLong) return 20;
  return isInFull(name) ? 5 : 3;
};

/** Questions about statuses that must write nothing. */
export const questions = isLong ? 10_000 : 2_000;
