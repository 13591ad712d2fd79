/** Opening a payment object: once, whatever becomes of the answers. */
import type { Case, Counterpart } from './gateway-counterpart';
import { newTry, opened } from './gateway-counterpart';
import type { WireFault } from './gateway-wire';
import type { OpenedTry, TryToOpen } from '../src/gateways/gateway';

/** Opens again as the story would: with the same key, or with the next one where only that can pass. */
async function openedAgain(at: Counterpart, wanted: TryToOpen): Promise<OpenedTry> {
  const again = await at.gateway.open(wanted);
  if (again.status === 'opened') return again;
  expect(again).toMatchObject({ status: 'refused', replayed: true });
  return opened(at, { ...wanted, keyNumber: wanted.keyNumber + 1 });
}

/** Cuts the wire for openings and opens; never a decline, and afterwards the story gets its object. */
async function survives(at: Counterpart, fault: WireFault): Promise<void> {
  const wanted = newTry(at);
  at.wire.cut(fault, (request) => at.carries('open', request));
  const answer = await at.gateway.open(wanted);
  at.wire.mend();
  if (answer.status === 'refused') expect(answer).toMatchObject({ replayed: true });
  else expect(answer).toMatchObject({ status: 'unknown' });
  const { ref } = await openedAgain(at, wanted);
  expect(await at.gateway.read(ref)).toMatchObject({ status: 'unpaid' });
  await at.pay(ref, 'ok');
  expect(await at.gateway.read(ref)).toMatchObject({ status: 'paid', total: at.total });
}

const faults: readonly [WireFault, string][] = [
  ['lost-done', 'whose answer is lost'],
  ['lost-undone', 'that never arrives'],
  ['500-done', 'that is done and answered 500'],
  ['500-undone', 'that is not done and answered 500'],
  ['garbled', 'whose answer is cut off in its middle'],
  ['page', 'that is answered with a page of HTML'],
];

export const opening: readonly Case[] = [
  {
    name: 'An object is unpaid at first, and there is a way to pay it',
    async run(at) {
      const { ref, howToPay } = await opened(at);
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'unpaid' });
      const { clientSecret, checkoutUrl, parameters } = howToPay;
      expect(clientSecret ?? checkoutUrl ?? parameters?.['orderId']).toMatch(/\S/);
    },
  },
  {
    name: 'An object bears the id of its booking',
    async run(at) {
      const wanted = newTry(at);
      const { ref } = await opened(at, wanted);
      await at.pay(ref, 'ok');
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'paid', bookingId: wanted.bookingId });
    },
  },
  {
    name: 'The same key opens the same object, or says that only the next key can pass',
    async run(at) {
      const wanted = newTry(at);
      const first = await opened(at, wanted);
      const again = await at.gateway.open(wanted);
      if (again.status === 'opened') expect(again).toEqual(first);
      else expect(again).toMatchObject({ status: 'refused', replayed: true });
    },
  },
  {
    name: 'The same key many times at once opens one object',
    async run(at) {
      const wanted = newTry(at);
      const answers = await Promise.all(Array.from({ length: 4 }, () => at.gateway.open(wanted)));
      const refs = answers.flatMap((answer) => (answer.status === 'opened' ? [answer.ref] : []));
      expect(new Set(refs).size).toBe(1);
      for (const answer of answers) {
        if (answer.status === 'refused') expect(answer.replayed).toBe(true);
      }
    },
  },
  {
    name: 'Another try, another key number and another booking open other objects',
    async run(at) {
      const wanted = newTry(at);
      const refs = [
        await opened(at, wanted),
        await opened(at, { ...wanted, keyNumber: 2 }),
        await opened(at, { ...wanted, try: 2 }),
        await opened(at),
      ].map(({ ref }) => ref);
      expect(new Set(refs).size).toBe(4);
    },
  },
  ...faults.map(([fault, words]): Case => ({
    name: `An opening ${words} is no decline, and the next one finds or makes the object`,
    run: (at) => survives(at, fault),
  })),
  {
    name: 'An opening beyond the rate limit is unknown, and says how long to wait',
    async run(at) {
      at.wire.cut('429', (request) => at.carries('open', request));
      expect(await at.gateway.open(newTry(at))).toMatchObject({ status: 'unknown', retryAfterMs: 7_000 });
    },
  },
  {
    name: 'An opening that is refused says so, for good and with a reason',
    async run(at) {
      const answer = await at.gateway.open(newTry(at, { total: at.tooSmall }));
      expect(answer).toEqual({
        status: 'refused',
        replayed: false,
        reason: expect.stringMatching(/\S/) as string,
      });
    },
  },
  {
    name: 'Wrong credentials are nobody’s decline: an operator mends them while the story waits',
    async run(at) {
      const stranger = at.stranger();
      const [bench, { ref }] = [newTry(at), await opened(at)];
      expect(await stranger.open(bench)).toMatchObject({ status: 'unknown' });
      expect(await stranger.read(ref)).toMatchObject({ status: 'unknown' });
    },
  },
  {
    name: 'No call takes longer than a local activity',
    timeoutMs: 20_000,
    async run(at) {
      const { ref } = await opened(at);
      at.wire.cut('held', () => true);
      const start = Date.now();
      const took = async (call: Promise<{ status: string }>): Promise<number> => {
        expect(await call).toMatchObject({ status: 'unknown' });
        return Date.now() - start;
      };
      const times = await Promise.all([took(at.gateway.open(newTry(at))), took(at.gateway.read(ref))]);
      expect(Math.max(...times)).toBeLessThan(5_000);
      expect(Math.min(...times)).toBeGreaterThan(3_000);
    },
  },
];
