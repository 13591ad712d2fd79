/** What goes wrong on purpose in the sandboxes that share `sandbox/gateway`: one table, run for each of them. */
import { type Receiver, until } from './sandbox-receiver';

/** What a call is answered. */
export interface Answer {
  status: number;
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  body: any;
  headers: Headers;
}

/** Specs of the switches, as far as the cases use them. */
type Struck = { kind: string; operation?: string; event?: string; times?: number | null; ms?: number };

/** The switches that are common to all; each sandbox has its own names in the specs. */
interface Switches {
  url: string;
  fault(spec: never): Promise<void>;
  webhookFault(spec: never): Promise<void>;
  gate(spec: never): Promise<void>;
  gateState(name: string): Promise<object>;
  waitForGate(name: string, count: number, timeoutMs?: number): Promise<object>;
  releaseGate(name: string): Promise<object>;
  clearFaults(): Promise<void>;
  rateLimit(perSecond: number | null): Promise<void>;
  setKeepAliveDown(down: boolean): Promise<void>;
  resend(eventId: string, times: number): Promise<(number | null)[]>;
  ledger(): Promise<{
    orders: { id: string }[];
    events: { id: string; deliveries: { status: number | null; duplicate: boolean }[] }[];
    requests: { operation: string; status: number | null; fault: string | null }[];
    refusedByRate: number;
  }>;
}

/** One sandbox, and how its cases call it. */
export interface Bench {
  control: () => Switches;
  /** The same in process. */
  sandbox: () => Pick<Switches, 'waitForGate'>;
  receiver: () => Receiver;
  /** Asks for a new order of this name, which its metadata carry. */
  create: (name: string) => Promise<Answer>;
  /** The metadata that match such an order. */
  metadata: (name: string) => Record<string, string>;
  retrieve: (id: string) => Promise<Answer>;
  /** The id that `create` answered, or stands under. */
  idOf: (name: string, answer: Answer) => string;
  /** Somebody does something to an order of which the two events tell, one after the other. */
  act: (id: string) => Promise<unknown>;
  events: readonly [string, string];
}

/** Declares the cases. */
export const describeFaults = (bench: Bench): void => {
  const { control, receiver, create, retrieve } = bench;
  const strike = (spec: Struck & { match?: object }): Promise<void> => control().fault(spec as never);
  const strikeEvent = (spec: Struck): Promise<void> => control().webhookFault(spec as never);
  const orders = async (): Promise<number> => (await control().ledger()).orders.length;
  const made = async (name = 'n1'): Promise<string> => bench.idOf(name, await create(name));

  describe('faults', () => {
    test.each([
      ['lost-done', 1],
      ['lost-undone', 0],
    ])('%s: no answer, %i orders', async (kind, count) => {
      await strike({ operation: 'orders.create', kind });
      await expect(create('n1')).rejects.toThrow();
      expect(await orders()).toBe(count);
      expect((await create('n2')).status).toBe(200);
    });

    test.each([
      ['hang-done', 1],
      ['hang-undone', 0],
    ])('%s: never answered, until the faults are cleared; %i orders', async (kind, count) => {
      await strike({ operation: 'orders.create', kind });
      let isOver = false;
      const lost = expect(create('n1').finally(() => (isOver = true))).rejects.toThrow();
      await until(async () => (await control().ledger()).requests.some(({ fault }) => fault === kind));
      await new Promise((resolve) => setTimeout(resolve, 60));
      expect(isOver).toBe(false);
      expect(await orders()).toBe(count);
      await control().clearFaults();
      await lost;
    });

    test.each([
      ['status-500-done', 500, 1],
      ['status-500-undone', 500, 0],
      ['status-429', 429, 0],
    ])('%s: %i and %i orders', async (kind, status, count) => {
      await strike({ operation: 'orders.create', kind });
      expect((await create('n1')).status).toBe(status);
      expect(await orders()).toBe(count);
      expect((await control().ledger()).requests.at(-1)).toMatchObject({
        operation: 'orders.create',
        status,
        fault: kind,
      });
    });

    test('malformed-done: the order is there, the JSON is not', async () => {
      await strike({ operation: 'orders.create', kind: 'malformed-done' });
      await expect(create('n1')).rejects.toThrow('JSON');
      expect(await orders()).toBe(1);
    });

    test('A delay only takes time', async () => {
      await strike({ operation: '*', kind: 'delay', ms: 120 });
      const start = Date.now();
      expect((await create('n1')).status).toBe(200);
      expect(Date.now() - start).toBeGreaterThanOrEqual(115);
    });

    test('A fault strikes what it matches, by metadata before the order is there, and by id', async () => {
      await strike({
        operation: 'orders.create',
        kind: 'status-500-undone',
        match: { metadata: bench.metadata('n1') },
      });
      const other = await made('n2');
      expect((await create('n1')).status).toBe(500);
      const id = await made('n1');
      await strike({ operation: '*', kind: 'status-429', times: null, match: { id } });
      await strike({ operation: '*', kind: 'status-500-undone', times: null, match: { order: other } });
      const statuses = async (): Promise<number[]> => [
        (await retrieve(id)).status,
        (await retrieve(other)).status,
      ];
      expect(await statuses()).toEqual([429, 500]);
      await control().clearFaults();
      expect(await statuses()).toEqual([200, 200]);
    });

    test('A gateway that is down destroys every connection until it is up again, and counts them', async () => {
      const id = await made();
      await control().setKeepAliveDown(true);
      for (let turn = 0; turn < 2; turn++) await expect(retrieve(id)).rejects.toThrow();
      await expect(fetch(`${control().url}/nowhere`)).rejects.toThrow();
      await control().setKeepAliveDown(false);
      expect((await retrieve(id)).status).toBe(200);
      const { requests } = await control().ledger();
      expect(requests.slice(-3)).toMatchObject([
        { id, status: null, fault: 'down' },
        { id, status: null, fault: 'down' },
        { id, status: 200, fault: null },
      ]);
    });

    test('A rate limit turns away what is too much, and counts it', async () => {
      const id = await made();
      await control().rateLimit(3);
      let statuses: number[];
      let refusedBefore: number;
      let began: number;
      do {
        // A second without a request; and again where a busy machine took more than a second for eight.
        await new Promise((resolve) => setTimeout(resolve, 1010));
        refusedBefore = (await control().ledger()).refusedByRate;
        began = Date.now();
        statuses = (await Promise.all(Array.from({ length: 8 }, () => retrieve(id)))).map(
          ({ status }) => status,
        );
      } while (Date.now() - began > 900);
      expect(statuses.filter((status) => status === 200)).toHaveLength(3);
      expect(statuses.filter((status) => status === 429)).toHaveLength(5);
      expect((await control().ledger()).refusedByRate - refusedBefore).toBe(5);
    });

    test('A fault that the gateway does not know is refused by the switches', async () => {
      await expect(strike({ operation: 'orders.create', kind: 'gremlin' })).rejects.toThrow('faults');
      await expect(strike({ operation: 'orders.destroy', kind: 'lost-done' })).rejects.toThrow('faults');
    });
  });

  describe('gates', () => {
    test('A gate before a deed holds it; one after it holds only the answer', async () => {
      const gate = (name: string, when: string): Promise<void> =>
        control().gate({ name, operation: 'orders.create', when } as never);
      await gate('before', 'before');
      await gate('after', 'after');
      const making = create('n1');
      expect(await control().waitForGate('before', 1)).toEqual({
        name: 'before',
        waiting: 1,
        released: 0,
        open: false,
      });
      expect(await orders()).toBe(0);
      await control().releaseGate('before');
      await control().waitForGate('after', 1);
      expect(await orders()).toBe(1);
      await control().releaseGate('after');
      expect((await making).status).toBe(200);
      expect(await control().gateState('after')).toMatchObject({ waiting: 0, released: 1, open: true });
    });

    test('Waiting for a gate ends with an error when nobody comes', async () => {
      await control().gate({ name: 'lonely', operation: 'orders.create', when: 'before' } as never);
      await expect(control().waitForGate('lonely', 1, 50)).rejects.toThrow('0 of 1');
      await expect(bench.sandbox().waitForGate('lonely', 1, 50)).rejects.toThrow('0 of 1');
    });

    test('A gate holds a webhook while those of another order pass', async () => {
      const [first] = bench.events;
      const held = await made('n1');
      const other = await made('n2');
      await control().gate({ name: 'hook', event: first, match: { order: held } } as never);
      await bench.act(held);
      await control().waitForGate('hook', 1);
      await bench.act(other);
      await until(() => receiver().of(first).length === 1);
      await control().releaseGate('hook');
      await until(() => receiver().of(first).length === 2);
    });
  });

  describe('deliveries', () => {
    test('A dropped event never comes', async () => {
      const [first, second] = bench.events;
      await strikeEvent({ event: first, kind: 'drop' });
      await bench.act(await made());
      await until(() => receiver().of(second).length === 1);
      expect(receiver().of(first)).toEqual([]);
    });

    test('A doubled event comes twice, and the copy is marked in the ledger', async () => {
      const [first] = bench.events;
      await strikeEvent({ event: first, kind: 'double' });
      await bench.act(await made());
      await until(() => receiver().of(first).length === 2);
      const [event] = (await control().ledger()).events;
      expect(event?.deliveries.map(({ duplicate }) => duplicate).sort()).toEqual([false, true]);
    });

    test('A late event comes later, a reordered one after the next of its order', async () => {
      const [first, second] = bench.events;
      await strikeEvent({ event: first, kind: 'late', ms: 150 });
      const start = Date.now();
      await bench.act(await made('n1'));
      await until(() => receiver().of(first).length === 1);
      expect(Date.now() - start).toBeGreaterThanOrEqual(145);
      receiver().heard.length = 0;
      await strikeEvent({ event: first, kind: 'reorder' });
      await bench.act(await made('n2'));
      await until(() => receiver().of(first).length === 1);
      const types = receiver().types();
      expect(types.indexOf(first)).toBeGreaterThan(types.indexOf(second));
      expect(types).toContain(second);
    });

    test('Twenty copies can be sent at once', async () => {
      await bench.act(await made());
      await until(() => receiver().heard.length > 0);
      const { events } = await control().ledger();
      const before = receiver().heard.length;
      const answers = await control().resend(events[0]?.id ?? '', 20);
      expect(answers).toEqual(Array.from({ length: 20 }, () => 200));
      expect(receiver().heard.length).toBeGreaterThanOrEqual(before + 20);
    });
  });

  test('The page of the ledger shows what a caller sent only escaped', async () => {
    await create('<script>alert(1)</script>');
    await bench.act(await made('n2'));
    const page = await (await fetch(`${control().url}/_sandbox`)).text();
    expect(page).toContain('&#60;script&#62;');
    expect(page).not.toContain('<script>');
  });
};
