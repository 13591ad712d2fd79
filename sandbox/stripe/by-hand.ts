import { type Account } from './account';
import { type StripeControl } from './control';
import { closeDispute, openDispute, updateDispute } from './disputes';
import { backdate, forget, plantPayment, plantRefund, recapture } from './planting';
import { type RefundDesk } from './refund-desk';

/** What payers, banks and people in the dashboard do, and what was never so: the switches that move money. */
export type HandControl = Pick<
  StripeControl,
  | 'dispute'
  | 'updateDispute'
  | 'closeDispute'
  | 'refundByHand'
  | 'plantPayment'
  | 'plantRefund'
  | 'recapture'
  | 'backdate'
  | 'forget'
>;

/** Makes them for one account. `act` runs a deed and sends the events it made. */
export const handControl = (
  account: Account,
  refunds: RefundDesk,
  act: <Result>(deed: () => Result) => Result,
): HandControl => ({
  dispute: async (intentId, spec = {}) => ({ id: act(() => openDispute(account, intentId, spec)).id }),
  updateDispute: async (id, status) => act(() => updateDispute(account, id, status)),
  closeDispute: async (id, outcome) => act(() => closeDispute(account, id, outcome)),
  refundByHand: async (intentId, spec = {}) => ({ id: act(() => refunds.createByHand(intentId, spec)).id }),
  plantPayment: async (payment) => plantPayment(account, payment),
  plantRefund: async (intentId, refund = {}) => ({ id: plantRefund(account, intentId, refund) }),
  recapture: async (intentId, capture) => recapture(account, intentId, capture),
  backdate: async (id, created) => backdate(account, id, created),
  forget: async (id) => forget(account, id),
});
