/** The controls of a chaos run can be made of this build: a text that is missing would be found an hour later, or not at all. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { buildControl } from '../chaos/builds';
import { controls } from '../chaos/controls';
import { countPending, countSessions, readRows } from '../chaos/evidence/rows';
import { sampleWith } from '../chaos/evidence/samples';
import { faults } from '../chaos/faults/table';
import { projectRoot } from '../dev/project';
import { rules } from '../chaos/judge/judge';
import { runSql, withClient } from '../dev/postgres';
import { freshDatabase } from './database';

test.each(controls.filter(({ changes, replay }) => changes !== undefined || replay !== undefined))(
  '$name is made beside the build, and leaves nothing',
  ({ name, changes = [], replay }) => {
    const all = [...changes, ...(replay === undefined ? [] : [replay])];
    const { folder, remove } = buildControl(name, all);
    for (const { file, to } of all) {
      expect(readFileSync(join(folder, file), 'utf8')).toContain(to);
      expect(readFileSync(join(projectRoot, 'dist', file), 'utf8')).not.toContain(to);
    }
    remove();
    expect(existsSync(folder)).toBe(false);
  },
);

test('a text that is not there stops it', () => {
  expect(() => buildControl('none', [{ file: 'src/worker.js', from: 'no such text', to: '' }])).toThrow(
    'src/worker.js holds 0 times: no such text',
  );
});

test('a build goes with the process that made it, whatever ends that', async () => {
  const builds = join(projectRoot, 'dist', 'chaos', 'builds.js');
  const code = `console.log(require(${JSON.stringify(builds)}).buildControl('none', []).folder); process.exit(130)`;
  const made = await new Promise<{ code: unknown; folder: string }>((resolve) => {
    execFile(process.execPath, ['-e', code], (error, stdout) =>
      resolve({ code: error?.code, folder: stdout.trim() }),
    );
  });
  expect(made.code).toBe(130);
  expect(made.folder).toContain(join('.payfirst', 'control-none-'));
  expect(existsSync(made.folder)).toBe(false);
});

test.each(controls.filter(({ sql }) => sql !== undefined))(
  'the statements of $name are taken, and the rows can be judged all the same',
  async ({ sql }) => {
    const database = await freshDatabase(1);
    try {
      await runSql(database.url, sql ?? '');
      const { url } = database;
      const sample = await withClient(url, sampleWith);
      expect(sample.broken).toEqual([]);
      for (const look of [readRows, countPending, countSessions]) await look(url);
    } finally {
      await database.close();
    }
  },
);

test('each names an invariant of the judge, and faults of the table', () => {
  const names = rules.map(({ name }) => name);
  const kinds = faults.map(({ kind }) => kind);
  for (const { breaks, faults: wanted = [] } of controls) {
    expect(names).toContain(breaks);
    for (const kind of wanted) expect(kinds).toContain(kind);
  }
});
