/** The import table has teeth: each forbidden import is red with its own message, and each allowed one is green. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';

const root = join(__dirname, '..');

interface Row {
  /** Folder the snippet stands in, or the one file it stands for. */
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
  { folder: 'src/activities', code: `import { openNotices } from '../notices'; export { openNotices };` },
  { folder: 'src/workflows', code: `import { openNotices } from '../notices'; export { openNotices };`, message: 'told after a commit' },
  { folder: 'src/gateways', code: `import { openNotices } from '../notices'; export { openNotices };`, message: 'told after a commit' },
  { folder: 'src/gateways', code: `import { openDatabase } from '../database'; export { openDatabase };`, message: 'a workflow or gateway must not' },
  { folder: 'src/gateways', code: `import { createActivities } from '../activities'; export { createActivities };`, message: 'Only the worker builds activities' },
  { folder: 'src/gateways', code: `import type { Config } from '../config'; import { isOpen } from '../booking'; export { isOpen }; export type { Config };` },
  { folder: 'src/gateways', code: `import { doorbellSignal } from '../workflows/messages'; export { doorbellSignal };`, message: 'A gateway knows payments' },
  { folder: 'src/api', code: `import { book } from '../workflows/book'; export { book };`, message: 'started by name' },
  { folder: 'src/api', code: `import { createActivities } from '../activities'; export { createActivities };`, message: 'Only the worker builds activities' },
  { folder: 'src/api', code: `import { stripeGateway } from '../gateways/stripe'; export { stripeGateway };`, message: 'through the interface it is given' },
  { folder: 'src/api', code: `import { readConfig } from '../config'; export { readConfig };`, message: 'Settings are read by the processes' },
  { folder: 'src/api', code: `import type { Config } from '../config'; import type { Gateway } from '../gateways/gateway'; export type { Config, Gateway };` },
  { folder: 'src', code: `import { startStripeSandbox } from '../sandbox/stripe/sandbox'; export { startStripeSandbox };`, message: 'never depends on stand-ins' },
  { folder: 'src/booking.ts', code: `import { failures } from './failures'; export { failures };`, message: 'it imports nothing' },
  { folder: 'src/failures.ts', code: `import { isOpen } from './booking'; export { isOpen };`, message: 'it imports nothing' },
  { folder: 'src/worker.ts', code: `import { book } from './workflows/book'; export { book };`, message: 'started by name' },
  { folder: 'src/worker.ts', code: `import { createActivities } from './activities'; import { courierId } from './workflows/messages'; export { createActivities, courierId };` },
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

/**
 * Lints texts as if each stood in the place of a file of the project: typed lint knows no others, and nothing is written,
 * so a build that runs meanwhile does not see them. Jest cannot load the configuration, an ES module: a process does.
 */
const linter = `
  import { ESLint } from 'eslint';
  import { text } from 'node:stream/consumers';
  const eslint = new ESLint();
  const said = [];
  for (const { filePath, code } of JSON.parse(await text(process.stdin))) {
    const [result] = await eslint.lintText(code, { filePath });
    said.push(result.messages.map(({ message }) => message));
  }
  process.stdout.write(JSON.stringify(said));
`;

/** The file in whose place the snippets of a folder stand: one whose types no other snippet needs. */
const places: Record<string, string> = {
  'src/workflows': 'src/workflows/cases.ts',
  'src/activities': 'src/activities/standing.ts',
  'src/gateways': 'src/gateways/configured.ts',
  'src/api': 'src/api/marks.ts',
  src: 'src/doorbell.ts',
};

beforeAll(async () => {
  const rows = [...table, ...floating];
  const output = await new Promise<string>((resolve, reject) => {
    const child = execFile(
      process.execPath,
      ['--input-type=module', '--eval', linter],
      { cwd: root, maxBuffer: 1e8 },
      (error, stdout, stderr) =>
        error === null ? resolve(stdout) : reject(new Error(stderr, { cause: error })),
    );
    child.stdin?.end(
      JSON.stringify(rows.map(({ folder, code }) => ({ filePath: places[folder] ?? folder, code }))),
    );
  });
  const messages = JSON.parse(output) as string[][];
  rows.forEach((row, n) => said.set(row, messages[n] ?? []));
});

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
