/** Customers follow a status by asking again and again: however often, PostgreSQL itself counts no row written. */
import { openDatabase } from '../src/database';
import { slot, startApi, writeAttempt, type ApiUnderTest } from './api-setup';
import { questions } from './tiers';
import { eventually } from './world';

let api: ApiUnderTest;
let ada: string;
/** One attempt in each status that a customer may follow. */
let ids: string[];

beforeAll(async () => {
  api = await startApi();
  ada = await api.token('ada');
  const doctor = await api.token('doctor', 'catalog');
  const { body: offering } = await api.call('POST', '/v1/offerings', { token: doctor, body: slot() });
  ids = [];
  for (const status of ['awaiting_payment', 'processing', 'confirmed', 'refunding', 'refunded', 'expired']) {
    ids.push(await writeAttempt(api.db, offering, { status }));
  }
});
afterAll(() => api.stop());

/** Rows inserted, updated and deleted so far, by table. */
async function rowsWritten(): Promise<Map<string, number>> {
  const counting = openDatabase(api.database.url, { poolMax: 1, name: 'test-counting' });
  try {
    // A session hands its counts over when it ends at the latest; each pool opens others when it needs them.
    const { rows: ended } = await counting.raw<{ rows: { pid: number }[] }>(
      `SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity
       WHERE datname = current_database() AND pid <> pg_backend_pid()`,
    );
    const pids = ended.map(({ pid }) => pid);
    await eventually('every session’s end', async () => {
      const left = await counting('pg_stat_activity').whereIn('pid', pids).first<unknown>('pid');
      return left === undefined;
    });
    const { rows } = await counting.raw<{ rows: { relname: string; written: number }[] }>(
      'SELECT relname, (n_tup_ins + n_tup_upd + n_tup_del)::integer AS written FROM pg_stat_user_tables',
    );
    return new Map(rows.map(({ relname, written }) => [relname, written]));
  } finally {
    await counting.destroy();
  }
}

/** What PostgreSQL counted as written while something happened: rows by table, those with none left out. */
async function writtenWhile(happens: () => Promise<unknown>): Promise<Record<string, number>> {
  const before = await rowsWritten();
  await happens();
  const after = await rowsWritten();
  return Object.fromEntries(
    [...after]
      .map(([table, written]) => [table, written - (before.get(table) ?? 0)] as const)
      .filter(([, written]) => written !== 0),
  );
}

/** Asks so many times, in eight loops side by side; `path` is given the number of the question. */
async function ask(times: number, path: (n: number) => string, status: number): Promise<number> {
  let asked = 0;
  let answered = 0;
  const loops = Array.from({ length: 8 }, async () => {
    for (asked += 1; asked <= times; asked += 1) {
      const at = path(asked);
      const answer = await api.call('GET', at, { token: ada });
      if (answer.status !== status) throw new Error(`${at} was answered ${answer.status}`);
      answered += 1;
    }
  });
  await Promise.all(loops);
  return answered;
}

test('thousands of questions about a status write nothing', async () => {
  const at = (n: number) => `/v1/bookings/${ids[n % ids.length]}`;
  const written = await writtenWhile(async () => {
    const counts = await Promise.all([
      ask(questions - 200, at, 200),
      // Newer than what was seen already, nothing newer within a second, and the list.
      ask(80, (n) => `${at(n)}?wait=30&after=0`, 200),
      ask(40, (n) => `${at(n)}?wait=1&after=1000`, 304),
      ask(80, () => '/v1/bookings?limit=5', 200),
    ]);
    expect(counts.reduce((sum, count) => sum + count)).toBe(questions);
  });
  expect(written).toEqual({});
}, 300_000);

test('one row written is seen by the same measure (control)', async () => {
  const written = await writtenWhile(async () => {
    expect((await api.call('POST', '/v1/carts', { token: ada })).status).toBe(201);
  });
  expect(written).toEqual({ carts: 1 });
});
