import { eventsTable, htmlPage, money, table, totalsTable } from '../gateway/page';
import { type RazorpayLedger } from './ledger';

/** What a person sees at `GET /_sandbox`: orders, payments, refunds, disputes and events, newest first, all text escaped. */
export const ledgerPage = (ledger: RazorpayLedger): string =>
  htmlPage(
    'Razorpay sandbox',
    [
      totalsTable(ledger.totals),
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
      eventsTable(ledger.events, ({ objectId }) => objectId),
    ].join('\n'),
  );
