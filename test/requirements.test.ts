/** docs/requirements.md is no promise but a list of proofs: each requirement once, each with a test that exists by that name. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  createSourceFile,
  forEachChild,
  isCallExpression,
  isIdentifier,
  isPropertyAccessExpression,
  isStringLiteralLike,
  isTaggedTemplateExpression,
  ScriptTarget,
  type CallExpression,
  type Expression,
  type Node,
} from 'typescript';

const root = join(__dirname, '..');

/** How many requirements each story has. */
const stories: Readonly<Record<string, number>> = { A: 72, B: 47, C: 56, D: 56, E: 49 };

/** Between the file, the describes and the test in a test's full name. */
const step = ' › ';

/** One row of a story's table. */
interface Row {
  line: number;
  cells: string[];
}

/** What the page is compared with. */
interface Known {
  /** How many requirements each story has, by its letter. */
  stories: Readonly<Record<string, number>>;
  /** Full names of the tests, by file. */
  tests: ReadonlyMap<string, readonly string[]>;
  /** Whether a path of the project is there. */
  exists(path: string): boolean;
}

/** The names a call goes through, the first one first: `it.each(table)` is `it`, `each`. */
function calleeOf(expression: Expression): string[] {
  if (isIdentifier(expression)) return [expression.text];
  if (isPropertyAccessExpression(expression))
    return [...calleeOf(expression.expression), expression.name.text];
  if (isCallExpression(expression)) return calleeOf(expression.expression);
  if (isTaggedTemplateExpression(expression)) return calleeOf(expression.tag);
  // A method of something else, such as a regular expression's `test`.
  return [''];
}

/** What a call declares, if it is one of Jest's. What never runs, or is meant to fail, shows nothing. */
function declared(
  call: CallExpression,
): { kind: 'describe' | 'test' | 'nothing'; title: string } | undefined {
  const [title, ...rest] = call.arguments;
  if (title === undefined || rest.length === 0 || !isStringLiteralLike(title)) return undefined;
  const [name = '', ...modifiers] = calleeOf(call.expression);
  if (!['describe', 'test', 'it'].includes(name)) return undefined;
  if (modifiers.some((one) => ['skip', 'todo', 'failing'].includes(one)))
    return { kind: 'nothing', title: '' };
  return { kind: name === 'describe' ? 'describe' : 'test', title: title.text };
}

/** Full names of the tests in a file's source, as it spells them: of `.each` the pattern, not what it becomes. */
function testNames(source: string): string[] {
  const names: string[] = [];
  const walk = (node: Node, path: readonly string[]): void => {
    const found = isCallExpression(node) ? declared(node) : undefined;
    if (found?.kind === 'nothing') return;
    if (found?.kind === 'test') names.push([...path, found.title].join(step));
    const inside = found?.kind === 'describe' ? [...path, found.title] : path;
    forEachChild(node, (child) => walk(child, inside));
  };
  walk(createSourceFile('a.test.ts', source, ScriptTarget.Latest), []);
  return names;
}

/** The rows of all tables of the page, without heads and lines. */
function rowsOf(page: string): Row[] {
  return page
    .split('\n')
    .map((text, index) => ({ text, line: index + 1 }))
    .filter(({ text }) => text.startsWith('|') && !/^\| *(id|:?-+:?) *\|/.test(text))
    .map(({ text, line }) => ({
      line,
      cells: text
        .replace(/^\|/, '')
        .replace(/\| *$/, '')
        .split('|')
        .map((cell) => cell.trim()),
    }));
}

/** What is wrong with the last cell of a row: the tests that show it, or why there is none. */
function faultsOfProof(cell: string, tests: Known['tests']): string[] {
  const named = [...cell.matchAll(/`(test\/[^`]+)`( \(to write\))?/g)];
  const faults = named.flatMap(([, name = '', toWrite]) => {
    const [file = '', ...title] = name.split(step);
    const known = tests.get(file.replace('test/', ''));
    const isThere = known?.includes(title.join(step)) === true;
    if (toWrite !== undefined)
      return [isThere ? `“${name}” is written: take the mark away` : `“${name}” is still to write`];
    if (known === undefined) return [`there is no test file ${file}`];
    return isThere ? [] : [`${file} has no test “${title.join(step)}”`];
  });
  if (cell.replace(/`[^`]*` \(to write\)/g, '').includes('(to write)')) faults.push('something is to write');
  if (named.length === 0 && !/\b(front end|later|not here): \S/.test(cell))
    faults.push('names neither a test nor “front end: …”, “later: …” or “not here: …”');
  return faults;
}

function faultsOfRow({ cells }: Row, known: Known): string[] {
  const [, asks = '', where = '', proof = ''] = cells;
  if (cells.length !== 4) return [`has ${cells.length} cells, not 4`];
  const files = [...where.matchAll(/`((?:src|migrations|dev|docs|deploy|sandbox|test)\/[^`\s]*)`/g)];
  const missing = files.map(([, path = '']) => path).filter((path) => !known.exists(path));
  return [
    ...(asks === '' ? ['does not say what it asks'] : []),
    ...(where === '' ? ['does not say where it is done'] : []),
    ...missing.map((path) => `there is no ${path}`),
    ...faultsOfProof(proof, known.tests),
  ];
}

/** Everything that is wrong with the page, each fault with its row. Nothing: all requirements are there and shown. */
function faultsOf(page: string, known: Known): string[] {
  const rows = rowsOf(page);
  const wanted = Object.entries(known.stories).flatMap(([letter, count]) =>
    Array.from({ length: count }, (_, n) => `${letter}${n + 1}`),
  );
  const linesOf = new Map<string, number[]>(wanted.map((id) => [id, []]));
  for (const { line, cells } of rows) linesOf.get(cells[0] ?? '')?.push(line);
  return [
    ...rows
      .filter(({ cells }) => !linesOf.has(cells[0] ?? ''))
      .map(({ line, cells }) => `line ${line}: “${cells[0]}” is no requirement`),
    ...wanted.flatMap((id) => {
      const lines = linesOf.get(id) ?? [];
      if (lines.length === 0) return [`${id} is missing`];
      return lines.length === 1 ? [] : [`${id} stands twice: lines ${lines.join(', ')}`];
    }),
    ...rows.flatMap((row) =>
      faultsOfRow(row, known).map((fault) => `${row.cells[0]} (line ${row.line}): ${fault}`),
    ),
  ];
}

function testsOfProject(): Map<string, string[]> {
  const files = readdirSync(__dirname).filter((name) => name.endsWith('.test.ts'));
  return new Map(files.map((name) => [name, testNames(readFileSync(join(__dirname, name), 'utf8'))]));
}

describe('docs/requirements.md', () => {
  it('names every requirement once, where it is done, and tests that exist', () => {
    const page = readFileSync(join(root, 'docs', 'requirements.md'), 'utf8');
    const faults = faultsOf(page, {
      stories,
      tests: testsOfProject(),
      exists: (path) => existsSync(join(root, path)),
    });
    expect(faults).toEqual([]);
  });
});

describe('the names of tests', () => {
  it('are found in every spelling, with what they are nested in', () => {
    const source = `
      describe('a', () => {
        test('one', () => { /x/.test('no', 1); });
        describe.each(['b'])('%s', () => it.each([[1]])('is %d', () => undefined));
      });
      test.each\`n\${1}\`('plain', () => undefined);
      for (const n of [1]) it.only('in a loop', () => undefined);
      it.skip('never runs', () => undefined);
      describe.skip('away', () => it('neither', () => undefined));
      it.todo('later');
    `;
    expect(testNames(source)).toEqual(['a › one', 'a › %s › is %d', 'plain', 'in a loop']);
  });
});

describe('control: the check', () => {
  const good = [
    '| A1 | asks | `src/a.ts` | `test/a.test.ts › a › one`<br>later: more |',
    '| A2 | asks | `seats` | front end: the status |',
  ];
  const faultsIn = (...rows: string[]): string[] =>
    faultsOf(['| id | a | b | c |', '| --- | --- | --- | --- |', ...rows].join('\n'), {
      stories: { A: 2 },
      tests: new Map([['a.test.ts', ['a › one']]]),
      exists: (path) => path === 'src/a.ts',
    });
  const [first = '', second = ''] = good;

  it('has nothing to say of what is right', () => {
    expect(faultsIn(...good)).toEqual([]);
  });

  it.each<[string, string[], string]>([
    ['a wrong name', [first.replace('one', 'two'), second], 'A1 (line 3): test/a.test.ts has no test “a › two”'],
    ['a wrong file', [first.replace('test/a', 'test/b'), second], 'A1 (line 3): there is no test file test/b.test.ts'],
    ['a describe instead of a test', [first.replace(' › one', ''), second], 'A1 (line 3): test/a.test.ts has no test “a”'],
    ['a missing row', [first], 'A2 is missing'],
    ['a row twice', [...good, first], 'A1 stands twice: lines 3, 5'],
    ['a row of its own', [...good, first.replace('A1', 'A3')], 'line 5: “A3” is no requirement'],
    ['a test to write', [first.replace('one`', 'two` (to write)'), second], 'A1 (line 3): “test/a.test.ts › a › two” is still to write'],
    ['a mark too many', [first.replace('one`', 'one` (to write)'), second], 'A1 (line 3): “test/a.test.ts › a › one” is written: take the mark away'],
    ['a mark without a test', [first, second.replace('the status', '(to write)')], 'A2 (line 4): something is to write'],
    ['no proof', [first, second.replace('front end: the status', '')], 'A2 (line 4): names neither a test nor “front end: …”, “later: …” or “not here: …”'],
    ['an empty reason', [first, second.replace('the status', '')], 'A2 (line 4): names neither a test nor “front end: …”, “later: …” or “not here: …”'],
    ['no place', [first, second.replace('`seats`', '')], 'A2 (line 4): does not say where it is done'],
    ['a place that is gone', [first.replace('src/a', 'src/b'), second], 'A1 (line 3): there is no src/b.ts'],
    ['too few cells', [first, '| A2 | asks | later: more |'], 'A2 (line 4): has 3 cells, not 4'],
  ])('reports %s, and where', (_, rows, fault) => {
    expect(faultsIn(...rows)).toContain(fault);
  }); // prettier-ignore
});
