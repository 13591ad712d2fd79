/** A fault of the chaos runs has a proof when it struck something, none when there was nothing to strike, and leaves all whole. */
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { createTransport } from 'nodemailer';
import Stripe from 'stripe';
import { oneOf, replacing } from '../chaos/faults/fault';
import { gatewayFaults } from '../chaos/faults/gateways';
import { logOffMs } from '../chaos/faults/log-clock';
import { mailFaults } from '../chaos/faults/mails';
import { processFaults } from '../chaos/faults/processes';
import { thenClear } from '../chaos/faults/switches';
import { webhookFaults } from '../chaos/faults/webhooks';
import type { Ground } from '../chaos/stack/stack';
import { gatewayNames } from '../dev/gateways';
import {
  answered,
  api,
  confirm,
  deeds,
  die,
  during,
  ground,
  mail,
  named,
  openIntent,
  pass,
  stripe,
  useGround,
} from './chaos-faults-setup';
import { until } from './sandbox-receiver';

useGround();

test.each([
  [0, 'a'],
  [0.34, 'b'],
  [0.999, 'c'],
])('a die of %d picks %s', (one, picked) => {
  expect(oneOf(['a', 'b', 'c'], one)).toBe(picked);
});

const gateways = gatewayFaults(pass);

test.each(gatewayNames)('where nothing happens at %s meanwhile, nothing is proven', async (name) => {
  // What was before is not meant.
  await deeds[name].pay();
  await answered(name, deeds[name].told);
  // Longer than it takes for an event to be late.
  const idle = (): Promise<void> => sleep(1_200);
  const all = [...gatewayFaults(idle), ...webhookFaults(idle), ...mailFaults(idle)];
  const proofs = await Promise.all(all.map((fault) => fault.play(ground, [die(name), 0])));
  expect(proofs).toEqual(all.map(() => undefined));
});

describe('gateways', () => {
  const answering = gateways.filter(({ kind }) => /^gateway-(status|hang|lost|malformed)/.test(kind));

  test.each(answering)('$kind is proven by the calls it struck, and is over afterwards', async (fault) => {
    // Some are never answered: it is enough that they came.
    const call = async (): Promise<void> => {
      void openIntent().catch(() => undefined);
      await until(async () => (await stripe.ledger()).requests.length === 1);
    };
    expect(await during(fault, die('stripe'), call)).toBe('1 calls of stripe');
    expect((await openIntent()).id).toMatch(/^pi_/);
  });

  test('what payers call is no proof', async () => {
    const { id } = await openIntent();
    expect(
      await during(named(gateways, 'gateway-status-429'), die('stripe'), () => confirm(id)),
    ).toBeUndefined();
    expect(await during(named(gateways, 'gateway-away'), die('stripe'), () => confirm(id))).toBeUndefined();
  });

  test.each(gatewayNames)('%s that is away is proven by the calls it did not take', async (name) => {
    const fault = named(gateways, 'gateway-away');
    const { call } = deeds[name];
    expect(await during(fault, die(name), () => Promise.allSettled([call(), call()]))).toBe(
      `2 calls of ${name}`,
    );
    await call();
  });

  test('a call that was under way when the gateway went is counted, too', async () => {
    await stripe.gate({ name: 'slow', operation: 'payment_intents.create', when: 'before' });
    const lost = openIntent().catch(() => undefined);
    await stripe.waitForGate('slow', 1);
    expect(await during(named(gateways, 'gateway-away'), die('stripe'), () => lost)).toBe(
      '1 calls of stripe',
    );
  });

  test('refunds that fail are proven by those that did', async () => {
    const fault = named(gateways, 'refunds-fail');
    const { id } = await openIntent();
    await confirm(id);
    const refund = () => api.refunds.create({ payment_intent: id, amount: 100 });
    await refund();
    const proof = await during(fault, die('stripe'), async () => {
      await refund();
      await until(async () => (await stripe.ledger()).refunds.some(({ status }) => status === 'failed'));
    });
    expect(proof).toBe('1 refunds');
    expect((await refund()).status).toBe('succeeded');
  });

  test('refunds whose answers are lost are proven by those that were made all the same', async () => {
    const fault = named(gateways, 'refunds-unanswered');
    const { id } = await openIntent();
    await confirm(id);
    const refund = () => api.refunds.create({ payment_intent: id, amount: 100 });
    let told: unknown;
    const proof = await during(
      fault,
      0,
      async () => (told = await refund().catch((error: unknown) => error)),
    );
    // Stripe's package tries once more by itself, under the same key.
    expect([proof, told]).toEqual(['2 calls for refunds', expect.any(Stripe.errors.StripeConnectionError)]);
    expect((await stripe.ledger()).refunds).toMatchObject([{ status: 'succeeded' }]);
    expect((await refund()).status).toBe('succeeded');
  });
});

test.each(mailFaults(pass))(
  '$kind is proven by the mails it struck, and is over afterwards',
  async (fault) => {
    const transport = createTransport({ url: mail.smtpUrl });
    const send = () => transport.sendMail({ from: 'a@example.org', to: 'b@example.org', text: 'hello' });
    expect(await during(fault, 0, send)).toBe('1 mails');
    await send();
  },
);

test('a fault is taken back also when a step fails', async () => {
  const cleared = jest.fn(async () => undefined);
  await expect(
    thenClear({ clearFaults: cleared }, async () => Promise.reject(new Error('the ledger is away'))),
  ).rejects.toThrow('the ledger is away');
  expect(cleared).toHaveBeenCalledTimes(1);
});

describe('processes', () => {
  /** A supervisor under whose names these processes run, one after the other. */
  const running = (pids: Record<string, (number | undefined)[]>): Ground => {
    const turns = new Map<string, number>();
    const next = (name: string): void => void turns.set(name, (turns.get(name) ?? 0) + 1);
    const supervisor = {
      pid: (name: string) => pids[name]?.[turns.get(name) ?? 0],
      kill: async (names: readonly string[]) => names.forEach(next),
      replace: async ({ name }: { name: string }) => next(name),
    };
    const part = {
      supervisor,
      apis: ['api'],
      workers: Object.keys(pids),
      worker: (name: string) => ({ name, command: '', args: [] }),
    };
    return part as unknown as Ground;
  };
  const played = (kind: string, on: Ground) => named(processFaults, kind).play(on, [0, 0]);

  test.each(['workers-killed', 'workers-replaced'])('%s is proven by other process ids', async (kind) => {
    expect(await played(kind, running({ one: [1, 3], two: [2, 4] }))).toBe(
      'one was 1, is 3; two was 2, is 4',
    );
    expect(await played(kind, running({ one: [1, 3], two: [2, 2] }))).toBeUndefined();
    expect(await played(kind, running({ one: [1, 3], two: [undefined, 4] }))).toBeUndefined();
    expect(await played(kind, running({ one: [1, 3], two: [2, undefined] }))).toBeUndefined();
  });

  test('of none there is no proof that one was replaced', async () => {
    const stack = running({ one: [1, 1] });
    expect(await replacing(stack, ['one'], async () => undefined)).toBeUndefined();
  });
});

describe('the clock of a log', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'payfirst-log-'));
    file = join(folder, 'worker.log');
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const line = (offMs: number): string =>
    `${JSON.stringify({ level: 30, time: new Date(Date.now() + offMs).toISOString(), event: 'x' })}\n`;

  test.each([90_000, -90_000])('that is %d ms off is told by its newest line', async (offMs) => {
    writeFileSync(file, `${line(0).repeat(2_000)}${line(offMs)}2026-11-21T23:22:57Z WARN of the core\n`);
    expect(Math.abs(((await logOffMs(file)) ?? 0) - offMs)).toBeLessThan(5_000);
    appendFileSync(file, line(0));
    expect(Math.abs((await logOffMs(file)) ?? offMs)).toBeLessThan(5_000);
  });

  test('without a line of its own tells nothing', async () => {
    writeFileSync(file, '2026-11-21T23:22:57Z WARN of the core\n{"half":');
    expect(await logOffMs(file)).toBeUndefined();
  });
});
