import { type StripeLedger } from './ledger';

const escaped = (value: unknown): string =>
  String(value).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

const money = (amount: number, currency: string): string =>
  `${amount} ${currency.toUpperCase()} (minor units)`;

const table = (title: string, columns: string[], rows: unknown[][]): string => `
<h2>${escaped(title)} (${rows.length})</h2>
<table><tr>${columns.map((column) => `<th>${escaped(column)}</th>`).join('')}</tr>
${rows.map((row) => `<tr>${row.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`).join('\n')}
</table>`;

/** What a person sees at `GET /_sandbox`: intents, charges, refunds and events, newest first, all text escaped. */
export const ledgerPage = (ledger: StripeLedger): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Stripe sandbox</title>
<style>body{font:14px system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px 8px;text-align:left}</style>
</head><body><h1>Stripe sandbox</h1>
<p>A stand-in: no real money, forgotten when it stops.</p>
${table(
  'Totals',
  ['currency', 'captured', 'refunded', 'refunds pending', 'kept'],
  Object.entries(ledger.totals).map(([currency, sum]) => [
    currency,
    sum.captured,
    sum.refunded,
    sum.refundsPending,
    sum.kept,
  ]),
)}
${table(
  'Payment intents',
  ['at', 'id', 'amount', 'status', 'metadata'],
  ledger.intents
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      money(one.amount, one.currency),
      one.status,
      JSON.stringify(one.metadata),
    ]),
)}
${table(
  'Charges',
  ['at', 'id', 'intent', 'amount', 'refunded', 'status', 'failure'],
  ledger.charges
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      one.paymentIntent,
      money(one.amount, one.currency),
      one.amountRefunded,
      one.status,
      one.failureCode ?? '',
    ]),
)}
${table(
  'Refunds',
  ['at', 'id', 'intent', 'amount', 'status', 'failure', 'metadata'],
  ledger.refunds
    .toReversed()
    .map((one) => [
      one.at,
      one.id,
      one.paymentIntent,
      money(one.amount, one.currency),
      one.status,
      one.failureReason ?? '',
      JSON.stringify(one.metadata),
    ]),
)}
${table(
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
)}
</body></html>`;
