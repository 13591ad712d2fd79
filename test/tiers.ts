/**
 * How much of the tables of cases is played. Every case is played in full at Stripe, and so often at the other gateways that
 * the whole run stays within minutes; `TEST_TIER=long npm test` plays all of it at each.
 */
const isLong = process.env['TEST_TIER'] === 'long';

/** Ways to pay whose money is at a gateway: what tables of cases are played for. */
export const gatewayNames = ['stripe', 'razorpay', 'phonepe'] as const;
export type GatewayName = (typeof gatewayNames)[number];

/** Whether everything is played at this gateway. */
export const isInFull = (name: string): boolean => isLong || name === 'stripe';

/** Rounds of each race. */
export const roundsAt = (name: string): number => (isInFull(name) ? 20 : 5);
