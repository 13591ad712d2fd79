/** The supervisor of a chaos run, on real processes: whoever ends whom and when, one start at a time, and none for ever; and what stays. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startInMemoryStack } from '../chaos/stack/stack';
import { Supervisor } from '../chaos/stack/supervisor';
import { withClient } from '../dev/postgres';
import { Processes, type Spec } from '../dev/processes';

/** Long enough that a start can be struck in its middle, in ms. */
const startsInMs = 250;

/** For a restart on a busy machine, in ms. */
const withinMs = 20_000;

/** A program that is ready after a while; `mark` stands in its command line, and tells whose it is. */
const program = (
  mark: string,
  { code = '', readyMs = startsInMs }: { code?: string; readyMs?: number } = {},
): Spec => ({
  name: 'one',
  command: process.execPath,
  args: [
    '-e',
    `${code}; setTimeout(() => console.log('ready'), ${readyMs}); setInterval(() => {}, 1000)`,
    mark,
  ],
  ready: { line: /^ready$/ },
});

const first = program('first');
const second = program('second');

let logs: string;
let lines: string[];
let processes: Processes;
let supervisor: Supervisor;

beforeEach(() => {
  logs = mkdtempSync(join(tmpdir(), 'payfirst-supervisor-'));
  lines = [];
  processes = new Processes(logs, (line) => lines.push(line));
  supervisor = new Supervisor(processes, withinMs);
});

afterEach(async () => {
  await supervisor.end();
  await processes.stopAll();
  rmSync(logs, { recursive: true, force: true });
});

async function start(spec = first): Promise<void> {
  await processes.start(spec);
  supervisor.keep([spec.name]);
}

const markOf = (pid: number | undefined): string | undefined =>
  pid === undefined ? undefined : readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').at(-2);

/** Ends it as it would by itself, and waits until its next start has come so far. */
async function dieAndStart(): Promise<void> {
  const pid = supervisor.pid('one') ?? 0;
  process.kill(pid, 'SIGKILL');
  await until(() => ![undefined, pid].includes(supervisor.pid('one')));
}

async function until(holds: () => boolean): Promise<void> {
  const deadline = Date.now() + withinMs;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error('It never came to it');
    await sleep(5);
  }
}

/** The same process for longer than anybody who also starts it would wait. */
async function expectAtRest(): Promise<void> {
  const pid = supervisor.pid('one');
  expect(pid).toBeDefined();
  await sleep(startsInMs + 500);
  expect(supervisor.pid('one')).toBe(pid);
}

test('what ends by itself is started again, and said to have ended by itself', async () => {
  await start();
  await dieAndStart();
  await expectAtRest();
  expect(lines.join('\n')).toContain('one ended by itself (ended by SIGKILL)');
});

test('a replacement in the middle of a start ends that start', async () => {
  await start();
  await dieAndStart();
  await supervisor.replace(second);
  expect(markOf(supervisor.pid('one'))).toBe('second');
  await expectAtRest();
});

test.each([0, 60, 120, 180, 240])(
  'a replacement %i ms after it died, while its next start begins, is what runs in the end',
  async (ms) => {
    await start();
    process.kill(supervisor.pid('one') ?? 0, 'SIGKILL');
    await sleep(ms);
    await supervisor.replace(second);
    expect(markOf(supervisor.pid('one'))).toBe('second');
    await expectAtRest();
    const killed = Date.now();
    await supervisor.kill(['one'], 700);
    expect(Date.now() - killed).toBeGreaterThanOrEqual(700 + startsInMs);
    expect(markOf(supervisor.pid('one'))).toBe('second');
  },
);

test('a kill in the middle of a start strikes the process that starts', async () => {
  await start();
  await dieAndStart();
  const struck = supervisor.pid('one');
  await supervisor.kill(['one'], 0);
  expect(supervisor.pid('one')).not.toBe(struck);
  await expectAtRest();
});

test('a kill during a replacement: both come to an end, and it stays down as long as the kill says', async () => {
  const drains = "process.on('SIGTERM', () => setTimeout(() => process.exit(), 300))";
  await start(program('first', { code: drains }));
  const began = Date.now();
  const replaced = supervisor.replace(second);
  await sleep(100);
  const killed = supervisor.kill(['one'], 4_000);
  await sleep(900);
  expect(supervisor.pid('one')).toBeUndefined();
  await Promise.all([replaced, killed]);
  expect(Date.now() - began).toBeGreaterThanOrEqual(4_100 + startsInMs);
  expect(markOf(supervisor.pid('one'))).toBe('second');
  await expectAtRest();
});

test('the shorter of two kills does not end the longer', async () => {
  await start();
  const began = Date.now();
  await Promise.all([supervisor.kill(['one'], 100), supervisor.kill(['one'], 1_000)]);
  expect(Date.now() - began).toBeGreaterThanOrEqual(1_000 + startsInMs);
});

test('what never comes up is an error, and one that does can replace it', async () => {
  supervisor = new Supervisor(processes, 5_000);
  await start();
  await expect(supervisor.replace(program('broken', { code: 'process.exit(1)' }))).rejects.toThrow(
    'one: not up again after 5 s',
  );
  await supervisor.replace(program('second', { readyMs: 0 }));
  expect(markOf(supervisor.pid('one'))).toBe('second');
});

test('a crash that was asked for is not said to be anything else', async () => {
  await start();
  const before = supervisor.pid('one');
  const began = Date.now();
  await supervisor.crash('one', 'SIGQUIT', 500);
  expect(Date.now() - began).toBeGreaterThanOrEqual(500 + startsInMs);
  expect(supervisor.pid('one')).not.toBe(before);
  expect(lines.join('\n')).not.toContain('by itself');
});

test('at the end nothing is starting any more', async () => {
  await start();
  await dieAndStart();
  await supervisor.end();
  expect(supervisor.pid('one')).toBeUndefined();
  await sleep(500);
  expect(supervisor.pid('one')).toBeUndefined();
});

test('a stack has no setting of the caller, and leaves nothing but its logs', async () => {
  process.env['DATABASE_POOL_MAX'] = '3';
  process.env['STRIPE_PUBLISHABLE_KEY'] = 'pk_test_of_somebody';
  const ground = await startInMemoryStack({ progress: () => undefined });
  try {
    const environment = readFileSync(`/proc/${ground.supervisor.pid('api')}/environ`, 'utf8').split('\0');
    expect(environment).toContain('DATABASE_POOL_MAX=12');
    expect(environment).toContain(`PATH=${process.env['PATH']}`);
    expect(environment.join()).not.toContain('pk_test_of_somebody');
    await ground.supervisor.crash('postgres', 'SIGQUIT', 0);
    const folder = await withClient(ground.postgres.adminUrl, async (client) => {
      const { rows } = await client.query<{ data_directory: string }>('SHOW data_directory');
      return rows[0]?.data_directory ?? '';
    });
    expect(existsSync(folder)).toBe(true);
    await Promise.all([ground.stop(), ground.stop()]);
    expect(existsSync(dirname(folder))).toBe(false);
    expect(existsSync(join(ground.logFolder, 'postgres.log'))).toBe(true);
  } finally {
    await ground.stop();
    rmSync(ground.logFolder, { recursive: true, force: true });
  }
});
