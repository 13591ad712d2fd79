/** What took money back, and the list of an interval. */
import type { ListedPage } from '../src/gateways/gateway';
import { newId, opened, paid, type Case, type Counterpart } from './gateway-counterpart';

/** A day long past: 2026-03-01. */
const from = new Date('2026-03-01T00:00:00.000Z');
const to = new Date('2026-03-02T00:00:00.000Z');
const day = from.getTime() / 1000;

/** All pages of the interval; fails when one is unknown. */
async function everything(at: Counterpart, start = from, end = to): Promise<ListedPage & { pages: number }> {
  const all: ListedPage & { pages: number } = { status: 'known', payments: [], refunds: [], pages: 0 };
  let cursor: string | undefined;
  do {
    const page = await at.gateway.list?.(start, end, cursor);
    if (page?.status !== 'known') throw new Error(`page ${all.pages}: ${JSON.stringify(page)}`);
    all.payments.push(...page.payments);
    all.refunds.push(...page.refunds);
    all.pages += 1;
    cursor = page.next;
  } while (cursor !== undefined);
  return all;
}

const reversals: readonly Case[] = [
  {
    name: 'Nothing took money back from what nobody touched',
    async run(at) {
      const nothing = { status: 'known', refunds: [], disputes: [] };
      expect(await at.gateway.reversals((await opened(at)).ref)).toEqual(nothing);
      expect(await at.gateway.reversals((await paid(at)).ref)).toEqual(nothing);
    },
  },
  {
    name: 'Refunds of ours and refunds made by hand are told apart',
    needs: ['refundByHand'],
    async run(at) {
      const wanted = await paid(at);
      const half = { ...wanted, amountMinor: wanted.amountMinor / 2 };
      await at.gateway.refund(half);
      await at.refundByHand(wanted.ref, 100);
      const seen = await at.gateway.reversals(wanted.ref);
      if (seen.status !== 'known') throw new Error(seen.status);
      const summary = seen.refunds.map(({ refundId, amountMinor }) => ({ refundId, amountMinor }));
      expect(summary).toHaveLength(2);
      expect(summary).toEqual(
        expect.arrayContaining([
          { refundId: wanted.refundId, amountMinor: half.amountMinor },
          { refundId: null, amountMinor: 100 },
        ]),
      );
      expect(seen.disputes).toEqual([]);
    },
  },
  {
    name: 'A dispute is told from its beginning to its end',
    needs: ['dispute'],
    async run(at) {
      for (const outcome of ['won', 'lost'] as const) {
        const { ref } = await paid(at);
        const { end } = await at.dispute(ref, 300);
        const open = { amountMinor: 300, currency: at.total.currency };
        expect(await at.gateway.reversals(ref)).toMatchObject({ disputes: [{ ...open, status: 'open' }] });
        await end(outcome);
        expect(await at.gateway.reversals(ref)).toMatchObject({ disputes: [{ ...open, status: outcome }] });
      }
    },
  },
  {
    name: 'An object that is not there has no reversals to tell',
    needs: ['lists'],
    async run(at) {
      expect(await at.gateway.reversals(at.nowhere.ref)).toEqual({ status: 'missing' });
    },
  },
  {
    name: 'Reversals without a usable answer are unknown',
    needs: ['lists'],
    async run(at) {
      const { ref } = await paid(at);
      for (const fault of ['lost-done', '500-done', '429', 'garbled', 'page'] as const) {
        at.wire.cut(fault, () => true);
        expect(await at.gateway.reversals(ref)).toMatchObject({ status: 'unknown' });
      }
    },
  },
];

const lists: readonly Case[] = [
  {
    name: 'A gateway that cannot list says so',
    needs: ['no lists'],
    async run(at) {
      expect('list' in at.gateway).toBe(false);
      return Promise.resolve();
    },
  },
  {
    name: 'The list has what was captured and what went back, whoever did it',
    needs: ['plantPayment', 'plantRefund'],
    async run(at) {
      const [bookingId, refundId] = [newId('booking'), newId('refund')];
      const ours = await at.plantPayment(day + 1, 1500, { bookingId });
      const shops = await at.plantPayment(day + 5, 990, {});
      await at.plantRefund(ours, day + 10, 400, refundId);
      await at.plantRefund(ours, day + 20, 100, null);
      const { payments, refunds } = await everything(at);
      const { currency } = at.total;
      expect(payments).toEqual([
        { ...shops, total: { amountMinor: 990, currency }, bookingId: null, capturedAt: seconds(5) },
        { ...ours, total: { amountMinor: 1500, currency }, bookingId, capturedAt: seconds(1) },
      ]);
      expect(refunds).toMatchObject([
        { ref: ours.ref, refundId: null, amountMinor: 100, currency, createdAt: seconds(20) },
        { ref: ours.ref, refundId, amountMinor: 400, currency, createdAt: seconds(10) },
      ]);
    },
  },
  {
    name: 'The list leaves out what brought no money',
    needs: ['lists'],
    async run(at) {
      const unpaid = (await opened(at)).ref;
      const declined = (await opened(at)).ref;
      await at.pay(declined, 'declined');
      const { ref } = await paid(at);
      const now = Date.now();
      const { payments } = await everything(at, new Date(now - 60_000), new Date(now + 60_000));
      // A stand-in may have others' payments, too.
      const ours = payments.filter((payment) => [unpaid, declined, ref].includes(payment.ref));
      expect(ours.map((payment) => payment.ref)).toEqual([ref]);
    },
  },
  {
    name: 'The list is complete over many pages',
    needs: ['plantPayment', 'plantRefund'],
    async run(at) {
      const made: string[] = [];
      for (let number = 0; number < 205; number++) {
        const planted = await at.plantPayment(day + number, 500, {});
        made.unshift(planted.chargeRef);
        if (number < 101) await at.plantRefund(planted, day + number, 100, newId('refund'));
      }
      const { payments, refunds, pages } = await everything(at);
      expect(payments.map(({ chargeRef }) => chargeRef)).toEqual(made);
      expect(new Set(refunds.map(({ refundRef }) => refundRef)).size).toBe(101);
      expect(pages).toBeGreaterThanOrEqual(5);
    },
  },
  {
    name: 'Neighbouring lists share nothing and leave nothing out',
    needs: ['plantPayment'],
    async run(at) {
      for (const [second, bookingId] of [-1, 0, 1, 2, 3, 86_399, 86_400].entries()) {
        await at.plantPayment(day + bookingId, 500 + second, {});
      }
      const amounts = async (start: Date, end: Date): Promise<number[]> =>
        (await everything(at, start, end)).payments.map(({ total }) => total.amountMinor);
      // Bounds need not be whole seconds, although the gateway's times are.
      const middle = new Date(from.getTime() + 1_500);
      expect(await amounts(from, middle)).toEqual([502, 501]);
      expect(await amounts(middle, to)).toEqual([505, 504, 503]);
      expect(await amounts(middle, middle)).toEqual([]);
    },
  },
  {
    name: 'The list goes on where it was, after a page that was unknown',
    needs: ['plantPayment'],
    async run(at) {
      await at.plantPayment(day, 500, {});
      const first = await at.gateway.list?.(from, to);
      if (first?.status !== 'known' || first.next === undefined) throw new Error('no first page');
      at.wire.cut('429', () => true);
      expect(await at.gateway.list?.(from, to, first.next)).toMatchObject({ status: 'unknown' });
      at.wire.mend();
      const second = await at.gateway.list?.(from, to, first.next);
      expect(second).toMatchObject({ status: 'known', payments: [], refunds: [] });
    },
  },
];

function seconds(after: number): Date {
  return new Date((day + after) * 1000);
}

export const listing: readonly Case[] = [...reversals, ...lists];
