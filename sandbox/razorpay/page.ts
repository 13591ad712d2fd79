import { htmlPage, money, table } from '../gateway/page';
import { type RazorpayLedger } from './ledger';

/** What a person sees at `GET /_sandbox`: orders, payments, refunds, disputes and events, newest first, all text escaped. */
export const ledgerPage = (ledger: RazorpayLedger): string =>
  htmlPage(
    'Razorpay sandbox',
    [
      table(
        'Totals',
        ['currency', 'captured', 'refunded', 'refunds pending', 'disputed', 'kept'],
        Object.entries(ledger.totals).map(([currency, sum]) => [
          currency,
          sum.captured,
          sum.refunded,
          sum.refundsPending,
          sum.disputed,
          sum.kept,
        ]),
      ),
      table(
        'Orders',
        ['at', 'id', 'amount', 'status', 'attempts', 'notes'],
        ledger.orders
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            money(one.amount, one.currency),
            one.status,
            one.attempts,
            JSON.stringify(one.metadata),
          ]),
      ),
      table(
        'Payments',
        ['at', 'id', 'order', 'amount', 'status', 'captured', 'refunded', 'late'],
        ledger.payments
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            one.order,
            money(one.amount, one.currency),
            one.status,
            one.captured ? 'yes' : '',
            one.amountRefunded,
            one.lateAuthorized ? 'yes' : '',
          ]),
      ),
      table(
        'Refunds',
        ['at', 'id', 'payment', 'amount', 'status', 'made by', 'notes'],
        ledger.refunds
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            one.payment,
            money(one.amount, one.currency),
            one.status,
            one.automatic ? 'Razorpay' : one.byHand ? 'hand' : 'API',
            JSON.stringify(one.metadata),
          ]),
      ),
      table(
        'Disputes',
        ['at', 'id', 'payment', 'amount', 'withdrawn', 'status', 'reason'],
        ledger.disputes
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            one.payment,
            money(one.amount, one.currency),
            one.withdrawn,
            one.status,
            one.reason,
          ]),
      ),
      table(
        'Events',
        ['at', 'id', 'type', 'object', 'deliveries'],
        ledger.events
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            one.type,
            one.objectId,
            one.deliveries.map((delivery) => delivery.status ?? 'no answer').join(', '),
          ]),
      ),
    ].join('\n'),
  );
