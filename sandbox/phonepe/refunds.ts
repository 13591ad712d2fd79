import { type Account, newId } from './account';
import { amountIn, idIn } from './orders';
import { duplicate, forbidden, invalid } from './refusals';
import { type Refund } from './wire';

/**
 * `POST …/payments/v2/refund`: always PENDING at first. Throws 400 when the money is not there.
 * @returns the refund, and whether it is a new one
 */
export const createRefund = (
  account: Account,
  fields: Record<string, unknown>,
): { refund: Refund; isNew: boolean } => {
  const merchantRefundId = idIn(fields, 'merchantRefundId');
  const originalMerchantOrderId = idIn(fields, 'originalMerchantOrderId');
  const amount = amountIn(fields);
  const before = account.refunds.get(merchantRefundId);
  if (before !== undefined) {
    const isSame = before.amount === amount && before.originalMerchantOrderId === originalMerchantOrderId;
    if (account.readings.refunds === 'refused' || !isSame) throw duplicate('merchantRefundId');
    return { refund: before, isNew: false };
  }
  const order = account.order(originalMerchantOrderId);
  if (order.state !== 'COMPLETED') throw forbidden('The order is not completed');
  if (amount > order.amount - account.refundedOf(originalMerchantOrderId))
    throw invalid('The refund amount exceeds what is left of the order');
  const refund: Refund = {
    merchantRefundId,
    refundId: newId('OMR'),
    originalMerchantOrderId,
    amount,
    state: 'PENDING',
    timestamp: Date.now(),
  };
  account.refunds.set(merchantRefundId, refund);
  account.bornAt.set(refund.refundId, Date.now());
  return { refund, isNew: true };
};

const isUnderWay = ({ state }: Refund): boolean => state === 'PENDING' || state === 'CONFIRMED';

/** The bank has accepted a pending refund: `pg.refund.accepted`. Throws unless it is PENDING. */
export const confirmRefund = (account: Account, id: string): void => {
  const refund = account.refund(id);
  if (refund.state !== 'PENDING') throw new Error(`${id} is ${refund.state}, not PENDING`);
  refund.state = 'CONFIRMED';
  account.tellRefund('pg.refund.accepted', refund);
};

/** A refund that was under way or completed fails for good: its amount can be refunded again. Throws when it has failed. */
export const failRefund = (account: Account, id: string, failureReason: string): void => {
  const refund = account.refund(id);
  if (refund.state === 'FAILED') throw new Error(`${id} has already failed`);
  Object.assign(refund, { state: 'FAILED', errorCode: failureReason, detailedErrorCode: failureReason });
  account.tellRefund('pg.refund.failed', refund);
};

/** A refund under way reaches its end. Throws when it is over. */
export const settleRefund = (
  account: Account,
  id: string,
  outcome: 'succeeded' | 'failed',
  failureReason: string,
): void => {
  const refund = account.refund(id);
  if (!isUnderWay(refund)) throw new Error(`${id} is ${refund.state}`);
  if (outcome === 'failed') return failRefund(account, id, failureReason);
  if (refund.state === 'PENDING') confirmRefund(account, id);
  refund.state = 'COMPLETED';
  account.tellRefund('pg.refund.completed', refund);
};
