import { type Account, type Capture, newId } from './account';
import { amountOf, type Fields, notesIn, refuseUnknown, required, textOf } from './fields';
import { invalid } from './refusals';
import { type Order } from './wire';

const known = [
  'amount',
  'currency',
  'receipt',
  'notes',
  'partial_payment',
  'payment',
  'payment_capture',
  'unique_receipt',
];

/** Minutes; …/payments/payments/capture-settings/api. */
const expiry = { least: 12, most: 7200 };

const isRecord = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const checkMinutes = (options: Fields, name: string): void => {
  const minutes = options[name];
  if (minutes === undefined) return;
  if (typeof minutes !== 'number' || !Number.isInteger(minutes))
    throw invalid(`The ${name} must be an integer.`, name);
  if (minutes < expiry.least || minutes > expiry.most)
    throw invalid(`The ${name} must be between ${expiry.least} and ${expiry.most}.`, name);
};

/** Who captures; the account's own setting is `manual` here, so that whoever forgets to say it finds out. */
const captureIn = (fields: Fields): Capture => {
  if (fields['payment_capture'] === true || fields['payment_capture'] === 1) return 'automatic';
  const payment = fields['payment'];
  if (payment === undefined) return 'manual';
  if (!isRecord(payment)) throw invalid('The payment must be an array.', 'payment');
  const { capture, capture_options: options = {} } = payment;
  if (capture !== 'automatic' && capture !== 'manual')
    throw invalid('The capture must be automatic or manual.', 'capture');
  if (!isRecord(options)) throw invalid('The capture_options must be an array.', 'capture_options');
  refuseUnknown(options, ['automatic_expiry_period', 'manual_expiry_period', 'refund_speed']);
  checkMinutes(options, 'automatic_expiry_period');
  checkMinutes(options, 'manual_expiry_period');
  const { refund_speed: speed = 'normal' } = options;
  if (speed !== 'normal' && speed !== 'optimum')
    throw invalid('The refund_speed is invalid.', 'refund_speed');
  return capture;
};

/** The order of before, where its receipt was to be unique. Throws when the account refuses the repeat. */
const repeated = (account: Account, fields: Fields, order: Order): Order | undefined => {
  if (fields['unique_receipt'] !== true || order.receipt === null) return undefined;
  const before = [...account.orders.values()].find(({ receipt }) => receipt === order.receipt);
  if (before === undefined) return undefined;
  if (account.readings.receipts === 'refused' || before.amount !== order.amount)
    throw invalid('The receipt should be unique', 'receipt');
  return before;
};

/** `POST /v1/orders`. */
export const createOrder = (account: Account, fields: Fields): Order => {
  refuseUnknown(fields, known);
  const amount = required(amountOf(fields), 'amount');
  // Other currencies ask for an approval of the account (…/payments/international-payments), which this one has not.
  if (required(textOf(fields, 'currency', 3), 'currency') !== 'INR')
    throw invalid('Currency is not supported', 'currency');
  const order: Order = {
    id: newId('order'),
    entity: 'order',
    amount,
    amount_paid: 0,
    amount_due: amount,
    currency: 'INR',
    receipt: textOf(fields, 'receipt', 40) ?? null,
    offer_id: null,
    status: 'created',
    attempts: 0,
    notes: notesIn(fields),
    created_at: account.now(),
  };
  const capture = captureIn(fields);
  const before = repeated(account, fields, order);
  if (before !== undefined) return before;
  account.keep(order);
  account.captures.set(order.id, capture);
  return order;
};
