/** The import table has teeth: each forbidden import is red with its own message, and each allowed one is green. */
import { execFile } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ESLint } from 'eslint';

const root = join(__dirname, '..');

interface Row {
  /** Folder the snippet stands in. */
  folder: string;
  code: string;
  /** Part of the message; undefined: nothing to complain about. */
  message?: string;
}

const table: Row[] = [
  { folder: 'src/workflows', code: `import { openDatabase } from '../database'; export { openDatabase };`, message: 'a workflow or gateway must not' },
  { folder: 'src/workflows', code: `import { createActivities } from '../activities'; export { createActivities };`, message: 'import its type only' },
  { folder: 'src/workflows', code: `import type { Activities } from '../activities'; export type { Activities };` },
  { folder: 'src/workflows', code: `import { stripeGateway } from '../gateways/stripe'; export { stripeGateway };`, message: 'must not learn a gateway' },
  { folder: 'src/workflows', code: `import type { Gateway } from '../gateways/gateway'; export type { Gateway };` },
  { folder: 'src/workflows', code: `import { createApp } from '../api/app'; export { createApp };`, message: 'outermost layer' },
  { folder: 'src/workflows', code: `import { readConfig } from '../config'; export { readConfig };`, message: 'Settings are read by the processes' },
  { folder: 'src/workflows', code: `import { makeLogger } from '../telemetry'; export { makeLogger };`, message: 'silent on replay' },
  { folder: 'src/workflows', code: `import { makeDataConverter } from '../payloads'; export { makeDataConverter };`, message: 'payload codec' },
  { folder: 'src/workflows', code: `import { readFileSync } from 'node:fs'; export { readFileSync };`, message: 'no Node modules' },
  { folder: 'src/workflows', code: `import { isOpen } from '../booking'; import { failures } from '../failures'; export { isOpen, failures };` },
  { folder: 'src/activities', code: `import { book } from '../workflows/book'; export { book };`, message: 'started by name' },
  { folder: 'src/activities', code: `import { bookingWorkflowId } from '../workflows/messages'; export { bookingWorkflowId };` },
  { folder: 'src/activities', code: `import { createApp } from '../api/app'; export { createApp };`, message: 'outermost layer' },
  { folder: 'src/activities', code: `import { readConfig } from '../config'; export { readConfig };`, message: 'Settings are read by the processes' },
  { folder: 'src/activities', code: `import Stripe from 'stripe'; export { Stripe };`, message: 'speaks Stripe' },
  { folder: 'src/activities', code: `import { openDatabase } from '../database'; export { openDatabase };` },
  { folder: 'src/gateways', code: `import { openDatabase } from '../database'; export { openDatabase };`, message: 'a workflow or gateway must not' },
  { folder: 'src/gateways', code: `import { createActivities } from '../activities'; export { createActivities };`, message: 'Only the worker builds activities' },
  { folder: 'src/gateways', code: `import { doorbellSignal } from '../workflows/messages'; import type { Config } from '../config'; export { doorbellSignal }; export type { Config };` },
  { folder: 'src/api', code: `import { book } from '../workflows/book'; export { book };`, message: 'started by name' },
  { folder: 'src/api', code: `import { createActivities } from '../activities'; export { createActivities };`, message: 'Only the worker builds activities' },
  { folder: 'src/api', code: `import { stripeGateway } from '../gateways/stripe'; export { stripeGateway };`, message: 'through the interface it is given' },
  { folder: 'src/api', code: `import { readConfig } from '../config'; export { readConfig };`, message: 'Settings are read by the processes' },
  { folder: 'src/api', code: `import type { Config } from '../config'; import type { Gateway } from '../gateways/gateway'; export type { Config, Gateway };` },
  { folder: 'src', code: `import { startStripeSandbox } from '../sandbox/stripe/sandbox'; export { startStripeSandbox };`, message: 'never depends on stand-ins' },
]; // prettier-ignore

const floating: Row[] = [
  {
    folder: 'src/workflows',
    code: `import { patient } from './steps'; export function run(): void { patient.sendRefund('ref_1'); }`,
    message: 'Promises must be awaited',
  },
  {
    folder: 'src/workflows',
    code: `import { patient } from './steps'; export async function run(): Promise<void> { await patient.sendRefund('ref_1'); }`,
  },
];

/** What ESLint says of each row, by row. */
const said = new Map<Row, string[]>();

/** Typed lint wants files on disk and in the project, and ESLint its own process: all snippets are linted in one go. */
beforeAll(async () => {
  const rows = [...table, ...floating];
  const paths = rows.map((row, n) => join(root, row.folder, `lint-probe-${n}.ts`));
  try {
    rows.forEach((row, n) => writeFileSync(paths[n] as string, row.code));
    const output = await new Promise<string>((resolve, reject) => {
      const command = [
        join(root, 'node_modules', 'eslint', 'bin', 'eslint.js'),
        '--format',
        'json',
        ...paths,
      ];
      execFile(process.execPath, command, { cwd: root, maxBuffer: 1e8 }, (error, stdout) => {
        if (stdout === '') reject(error ?? new Error('ESLint said nothing'));
        else resolve(stdout);
      });
    });
    for (const result of JSON.parse(output) as ESLint.LintResult[]) {
      const row = rows[paths.indexOf(result.filePath)];
      if (row !== undefined)
        said.set(
          row,
          result.messages.map((found) => found.message),
        );
    }
  } finally {
    for (const path of paths) rmSync(path, { force: true });
  }
}, 120_000);

function expectRow(row: Row): void {
  const messages = said.get(row);
  if (row.message === undefined) {
    expect(messages).toEqual([]);
    return;
  }
  const wanted = row.message;
  expect(messages?.filter((text) => text.includes(wanted))).toHaveLength(1);
}

describe('the import table', () => {
  it.each(table.filter((row) => row.message !== undefined))('forbids, in $folder: $code', expectRow);
  it.each(table.filter((row) => row.message === undefined))('allows, in $folder: $code', expectRow);
});

describe('a promise in a workflow', () => {
  it.each(floating)('is awaited or red: $code', expectRow);
});
