import { htmlPage, money, table } from '../gateway/page';
import { type PhonepeLedger } from './ledger';

/** What a person sees at `GET /_sandbox`: orders, payments, refunds and events, newest first, all text escaped. */
export const ledgerPage = (ledger: PhonepeLedger): string =>
  htmlPage(
    'PhonePe sandbox',
    [
      table(
        'Totals',
        ['currency', 'captured', 'refunded', 'refunds pending', 'kept'],
        Object.entries(ledger.totals).map(([currency, sum]) => [
          currency,
          sum.captured,
          sum.refunded,
          sum.refundsPending,
          sum.kept,
        ]),
      ),
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
      table(
        'Events',
        ['at', 'id', 'event', 'order', 'deliveries'],
        ledger.events
          .toReversed()
          .map((one) => [
            one.at,
            one.id,
            one.type,
            one.order,
            one.deliveries.map((delivery) => delivery.status ?? 'no answer').join(', '),
          ]),
      ),
    ].join('\n'),
  );
