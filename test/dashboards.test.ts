/**
 * The dashboard and the alerts ask only for what the processes tell: every metric and label they name is compared with
 * the processes' own registry. A renamed metric would else be a dashboard that shows nothing, and an alert that never comes.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { makeMetrics } from '../src/telemetry';

const root = join(__dirname, '..');
const text = (path: string): string => readFileSync(join(root, path), 'utf8');

interface Panel {
  type: string;
  title: string;
  targets?: { expr: string; legendFormat: string }[];
  gridPos: { x: number; y: number; w: number; h: number };
}
interface Rule {
  alert: string;
  expr: string;
  for?: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}

const dashboard = JSON.parse(text('deploy/grafana/payfirst.json')) as { panels: Panel[]; uid: string };
const alerts = (
  parse(text('deploy/prometheus/alerts.yml')) as { groups: { name: string; rules: Rule[] }[] }
).groups.flatMap(({ rules }) => rules);
const jobs = (
  parse(text('deploy/prometheus/prometheus.yml')) as { scrape_configs: { job_name: string }[] }
).scrape_configs.map((one) => one.job_name);

/** Labels that Prometheus itself puts on everything it scrapes. */
const byPrometheus = ['job', 'instance'];
/** What may stand in an expression beside metrics and labels. */
const words = new Set([
  ...['sum', 'max', 'by', 'rate', 'increase', 'histogram_quantile', 'absent'],
  ...['and', 'or', 'unless'],
]);
const ranges = /^\[(\d+[smhd]|\$__rate_interval|\$__interval|\$__range)\]$/;

/** Names of all series the processes expose, each with its labels. */
async function exposed(): Promise<Map<string, readonly string[]>> {
  const found = new Map<string, readonly string[]>([['up', []]]);
  const { registry } = makeMetrics();
  // Some of Node's own are named only after they were collected once.
  await registry.metrics();
  for (const { name, type } of await registry.getMetricsAsJSON()) {
    const metric = registry.getSingleMetric(name) as unknown as { labelNames?: string[] } | undefined;
    const labels = metric?.labelNames ?? [];
    if (`${type}` !== 'histogram') found.set(name, labels);
    else {
      found.set(`${name}_bucket`, [...labels, 'le']);
      found.set(`${name}_sum`, labels);
      found.set(`${name}_count`, labels);
    }
  }
  return found;
}

/** Everything that is wrong with an expression. A small reading of PromQL: words, selectors, ranges, brackets. */
function faultsOf(expression: string, known: ReadonlyMap<string, readonly string[]>): string[] {
  const faults: string[] = [];
  const metrics: string[] = [];
  let rest = expression.replace(/\s+/g, ' ');
  const take = (pattern: RegExp, use: (match: RegExpMatchArray) => void) => {
    rest = rest.replace(new RegExp(pattern, 'g'), (...match) => {
      use(match);
      return ' ';
    });
  };
  const grouped: string[] = [];
  take(/\bby \(([^()]*)\)/, ([, names = '']) => grouped.push(...names.split(',').map((name) => name.trim())));
  take(/\[[^\]]*\]/, ([range = '']) => void (ranges.test(range) || faults.push(`no range: ${range}`)));
  take(/([a-z_:][\w:]*)?\{([^{}]*)\}/, ([, name = '', selectors = '']) => {
    metrics.push(name);
    for (const selector of selectors.split(/, ?(?=\w+[=!])/)) {
      const [, label = '', operator, value = ''] = /^(\w+)(=~|!=|!~|=)"([^"]*)"$/.exec(selector) ?? [];
      if (operator === undefined) faults.push(`no selector: ${selector}`);
      else if (![...(known.get(name) ?? []), ...byPrometheus].includes(label))
        faults.push(`${name} has no label ${label}`);
      else if (label === 'job' && !jobs.some((job) => new RegExp(`^(${value})$`).test(job)))
        faults.push(`no job ${value}`);
    }
  });
  take(/[a-z_][\w:]*/, ([word = '']) => void (words.has(word) || metrics.push(word)));
  for (const name of metrics)
    if (!known.has(name)) faults.push(`nobody tells ${name || 'a nameless metric'}`);
  const labels = new Set([...metrics.flatMap((name) => known.get(name) ?? []), ...byPrometheus]);
  for (const label of grouped) if (!labels.has(label)) faults.push(`nothing has the label ${label}`);
  if (metrics.length === 0) faults.push('asks for nothing');
  if (!/^[\d\s()+\-*/<>=!.,]*$/.test(rest)) faults.push(`not understood: ${rest.trim()}`);
  let depth = 0;
  for (const sign of rest) {
    depth += sign === '(' ? 1 : sign === ')' ? -1 : 0;
    if (depth < 0) break;
  }
  if (depth !== 0) faults.push('brackets do not match');
  return faults;
}

/** Labels that an expression's result has. */
const labelsLeft = (expression: string): string[] =>
  [...expression.matchAll(/\bby \(([^()]*)\)/g)].flatMap(([, names = '']) =>
    names.split(',').map((name) => name.trim()),
  );

const asked = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr, legendFormat }) => ({ title, expr, legendFormat })),
);

test('every expression names metrics and labels that the processes tell', async () => {
  const known = await exposed();
  const all = [
    ...asked.map(({ title, expr }) => ({ name: title, expr })),
    ...alerts.map(({ alert, expr }) => ({ name: alert, expr })),
  ];
  expect(all.length).toBeGreaterThan(30);
  expect(all.flatMap(({ name, expr }) => faultsOf(expr, known).map((fault) => `${name}: ${fault}`))).toEqual(
    [],
  );
});

test('control: what is wrong is found', async () => {
  const known = await exposed();
  expect(
    [
      'sum(payfirst_attempts)',
      'sum by (gateway) (payfirst_attempts_total)',
      'payfirst_attempts_total{gateway="stripe"}',
      'rate(payfirst_retries_total[5 minutes])',
      'sum(payfirst_retries_total',
      'median(payfirst_retries_total)',
      'up{job="payfirst-web"}',
      'payfirst_attempts_total{outcome=confirmed}',
      'payfirst_webhook_to_confirmed_seconds',
      '1 + 1',
      'payfirst_retries_total > "1"',
    ].map((expression) => faultsOf(expression, known).length > 0),
  ).toEqual(Array<boolean>(11).fill(true));
});

test('every metric of our own has its place on the dashboard, and gauges of the database are never summed', async () => {
  const own = [...(await exposed()).keys()].filter((name) => /^(payfirst_|money_)/.test(name));
  expect(own.length).toBeGreaterThan(14);
  const shown = asked.map(({ expr }) => expr).join('\n');
  const missing = own.filter((name) => !shown.includes(name) && !/_seconds_(sum|count)$/.test(name));
  expect(missing).toEqual([]);
  const everything = [shown, ...alerts.map(({ expr }) => expr)].join('\n');
  // Each API process reads the same rows, so that a sum would count them several times.
  expect(everything).not.toMatch(
    /sum[^\n]{0,20}(payfirst_cases_open|_under_way|_oldest_seconds|_queued|money_imbalance)/,
  );
});

test('panels stand beside each other, and their legends and texts name labels there are', () => {
  const placed = new Set<string>();
  for (const { title, gridPos } of dashboard.panels) {
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        expect([title, x < 24, placed.has(`${x} ${y}`)]).toEqual([title, true, false]);
        placed.add(`${x} ${y}`);
      }
    }
  }
  for (const { title, expr, legendFormat } of asked) {
    const named = [...legendFormat.matchAll(/\{\{(\w+)\}\}/g)].map(([, label]) => label ?? '');
    const left = /\bby \(/.test(expr) ? labelsLeft(expr) : byPrometheus;
    expect([title, named.filter((label) => !left.includes(label))]).toEqual([title, []]);
  }
});

test('every alert says what is the matter, how bad it is, and stands in docs/operate.md', () => {
  const page = text('docs/operate.md');
  expect(new Set(alerts.map(({ alert }) => alert)).size).toBe(alerts.length);
  for (const { alert, expr, annotations, labels } of alerts) {
    expect([alert, page.includes(`\`${alert}\``)]).toEqual([alert, true]);
    expect([alert, labels['severity']]).toEqual([alert, expect.stringMatching(/^(warning|critical)$/)]);
    const { summary = '' } = annotations;
    expect([alert, summary.length > 15]).toEqual([alert, true]);
    const named = [...summary.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label ?? '');
    const left = /\bby \(/.test(expr) ? labelsLeft(expr) : byPrometheus;
    expect([alert, named.filter((label) => !left.includes(label))]).toEqual([alert, []]);
  }
});
