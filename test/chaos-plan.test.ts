/** What a chaos run is going to do: the same for the same start value, on an even timetable, with every kind of fault. */
import { faults } from '../chaos/faults/table';
import { orderFrom } from '../chaos/order';
import { makePlan, type Plan } from '../chaos/plan';

const load = { attempts: 400, perSecond: 20 };
const planOf = (startValue: number, count = 40, atLeast = 1): Plan =>
  makePlan(startValue, load, { count, atLeast, kinds: faults });

/** Every gap between two neighbours. */
const gapsOf = (things: readonly { afterMs: number }[]): number[] =>
  things.slice(1).map(({ afterMs }, n) => afterMs - (things[n]?.afterMs ?? 0));

test('the same start value is the same plan, and another is another', () => {
  expect(planOf(1)).toEqual(planOf(1));
  expect(planOf(2).wishes).not.toEqual(planOf(1).wishes);
  expect(planOf(2).faults).not.toEqual(planOf(1).faults);
});

test('more customers have the same first ones, and change no fault', () => {
  const more = makePlan(1, { attempts: 800, perSecond: 40 }, { count: 40, atLeast: 1, kinds: faults });
  const asThey = ({ behaviour, method, hot }: Plan['wishes'][number]) => ({ behaviour, method, hot });
  expect(more.wishes.slice(0, 400).map(asThey)).toEqual(planOf(1).wishes.map(asThey));
  expect(more.faults).toEqual(planOf(1).faults);
});

test('customers come evenly, and so do faults, from the first to the last moment of the load', () => {
  const { wishes, faults: planned } = planOf(3);
  expect(wishes.map(({ n }) => n)).toEqual(Array.from({ length: 400 }, (_, n) => n));
  expect(wishes[0]?.afterMs).toBe(0);
  for (const gap of gapsOf(wishes)) expect(gap).toBeCloseTo(50);
  for (const gap of gapsOf(planned)) expect(gap).toBeCloseTo(500);
  expect(planned[0]?.afterMs).toBeCloseTo(250);
  expect(planned.at(-1)?.afterMs).toBeCloseTo(19_750);
});

test('a wallet is neither declined on a page nor paid late', () => {
  const behaviours = new Set(
    planOf(4)
      .wishes.filter(({ method }) => method === 'wallet')
      .map(({ behaviour }) => behaviour),
  );
  expect([...behaviours].sort()).toEqual(['cancel-booked', 'double-click', 'pay']);
});

const countsOf = ({ faults: planned }: Plan): number[] =>
  faults.map(({ kind }) => planned.filter((one) => one.kind === kind).length);

test('every kind comes as often as was asked, whatever else is drawn', () => {
  for (const startValue of [1, 2, 3]) {
    for (const atLeast of [1, 4]) {
      const counts = countsOf(planOf(startValue, 200, atLeast));
      expect(Math.min(...counts)).toBeGreaterThanOrEqual(atLeast);
      expect(counts.reduce((sum, count) => sum + count, 0)).toBe(200);
    }
  }
});

test('where there is not room for that, each kind has as much as any other, give or take one', () => {
  for (const count of [faults.length - 1, faults.length, faults.length + 1, 2 * faults.length + 5]) {
    const counts = countsOf(planOf(1, count, 4));
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
  }
});

test('faults are not in the order of the table', () => {
  const kinds = planOf(1, faults.length, 1).faults.map(({ kind }) => kind);
  expect([...kinds].sort()).toEqual(faults.map(({ kind }) => kind).sort());
  expect(kinds).not.toEqual(faults.map(({ kind }) => kind));
});

test('a control has the faults that it names, and no other', () => {
  const kinds = faults.filter(({ kind }) => kind === 'mail-busy');
  const planned = makePlan(1, load, { count: 11, atLeast: 0, kinds }).faults;
  expect(planned.map(({ kind }) => kind)).toEqual(Array.from({ length: 11 }, () => 'mail-busy'));
});

describe('What was asked for', () => {
  test('is the smoke tier, unless another is named', () => {
    expect(orderFrom([])).toMatchObject({
      attempts: 600,
      perSecond: 15,
      startValue: 1,
      control: undefined,
      previous: undefined,
      design: 'payfirst',
    });
    const { faults: count, atLeast, attempts } = orderFrom(['--tier', 'full', '--start-value', '7']);
    expect(attempts).toBe(12_000);
    expect(count).toBeGreaterThanOrEqual(faults.length * atLeast);
  });

  test('can be of another length, with faults as often as in its tier', () => {
    const smoke = orderFrom([]);
    const longer = orderFrom(['--attempts', '1200', '--minutes', '1']);
    expect(longer).toMatchObject({ attempts: 1200, perSecond: 20, faults: Math.round(1.5 * smoke.faults) });
    expect(orderFrom(['--faults', '0']).faults).toBe(0);
    expect(orderFrom(['--design', 'in-memory', '--control', 'all', '--previous', 'v1.2'])).toMatchObject({
      design: 'in-memory',
      control: 'all',
      previous: 'v1.2',
    });
  });

  test.each([
    [['--tier', 'huge'], '--tier is huge; there are smoke and full.'],
    [['--attempts', 'many'], '--attempts is many; it wants a whole number.'],
    [['--minutes', '1.5'], '--minutes is 1.5; it wants a whole number.'],
    [['--start-value', '1e400'], '--start-value is 1e400; it wants a whole number.'],
    [['--design', 'durable'], '--design is durable; there are payfirst and in-memory.'],
    [['--attempt', '7'], '--attempt'],
    [['full'], 'full'],
  ])('is refused in a sentence: %j', (args, sentence) => {
    expect(() => orderFrom(args)).toThrow(sentence);
  });
});
