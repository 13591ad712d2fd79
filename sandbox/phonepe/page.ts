import { eventsTable, htmlPage, money, table, totalsTable } from '../gateway/page';
import { type PhonepeLedger } from './ledger';

/** What a person sees at `GET /_sandbox`: orders, payments, refunds and events, newest first, all text escaped. */
export const ledgerPage = (ledger: PhonepeLedger): string =>
  htmlPage(
    'PhonePe sandbox',
    [
      totalsTable(ledger.totals),
      table(
        'Orders',
        ['at', 'id', 'amount', 'state', 'refunded', 'expires', 'metaInfo'],
        ledger.orders
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            money(one.amount, one.currency),
            one.status,
            one.amountRefunded,
            one.expireAt,
            JSON.stringify(one.metadata),
          ]),
      ),
      table(
        'Payments',
        ['at', 'id', 'order', 'amount', 'state', 'failure'],
        ledger.payments
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            one.order,
            money(one.amount, one.currency),
            one.status,
            one.failureCode ?? '',
          ]),
      ),
      table(
        'Refunds',
        ['at', 'id', 'order', 'amount', 'state', 'failure'],
        ledger.refunds
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            one.order,
            money(one.amount, one.currency),
            one.status,
            one.failureReason ?? '',
          ]),
      ),
      eventsTable(ledger.events, ({ order }) => order),
    ].join('\n'),
  );
