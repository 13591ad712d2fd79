import { type Delivery } from './deliveries';
import { type Totals } from './ledger';

/** Text made harmless in HTML. */
export const escaped = (value: unknown): string =>
  String(value).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);

/** An amount with its unit. */
export const money = (amount: number, currency: string): string =>
  `${amount} ${currency.toUpperCase()} (minor units)`;

/** A table with a heading; all text escaped. */
export const table = (title: string, columns: string[], rows: unknown[][]): string => `
<h2>${escaped(title)} (${rows.length})</h2>
<table><tr>${columns.map((column) => `<th>${escaped(column)}</th>`).join('')}</tr>
${rows.map((row) => `<tr>${row.map((cell) => `<td>${escaped(cell)}</td>`).join('')}</tr>`).join('\n')}
</table>`;

/** The sums of a ledger, by currency. */
export const totalsTable = (totals: Record<string, Totals>): string =>
  table(
    'Totals',
    ['currency', 'captured', 'refunded', 'refunds pending', 'disputed', 'kept'],
    Object.entries(totals).map(([currency, sum]) => [
      currency,
      sum.captured,
      sum.refunded,
      sum.refundsPending,
      sum.disputed,
      sum.kept,
    ]),
  );

/** The events of a ledger, newest first, and what each delivery was answered. */
export const eventsTable = <Event extends { at: string; id: string; type: string; deliveries: Delivery[] }>(
  events: readonly Event[],
  about: (event: Event) => string,
): string =>
  table(
    'Events',
    ['at', 'id', 'type', 'about', 'deliveries'],
    events
      .toReversed()
      .map((one) => [
        one.at,
        one.id,
        one.type,
        about(one),
        one.deliveries.map((delivery) => delivery.status ?? 'no answer').join(', '),
      ]),
  );

/** A whole page. `content` is HTML. */
export const htmlPage = (title: string, content: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<style>body{font:14px system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px 8px;text-align:left}</style>
</head><body><h1>${escaped(title)}</h1>
<p>A stand-in: no real money, forgotten when it stops.</p>
${content}
</body></html>`;
