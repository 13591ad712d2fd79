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

/** A whole page. `content` is HTML. */
export const htmlPage = (title: string, content: string): string => `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>${escaped(title)}</title>
<style>body{font:14px system-ui;margin:2em}table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:4px 8px;text-align:left}</style>
</head><body><h1>${escaped(title)}</h1>
<p>A stand-in: no real money, forgotten when it stops.</p>
${content}
</body></html>`;
