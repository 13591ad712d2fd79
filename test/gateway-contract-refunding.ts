/** Giving money back: as much as was asked, once, whatever becomes of the answers. */
import type { RefundState, RefundToSend } from '../src/gateways/gateway';
import { newId, paid, type Case, type Counterpart } from './gateway-counterpart';
import type { WireFault } from './gateway-wire';

/** States of a refund that was taken on. */
const underWay = /^(pending|succeeded)$/;

function refundRefOf(state: RefundState): string {
  if (!('refundRef' in state)) throw new Error(`a refund was answered ${JSON.stringify(state)}`);
  return state.refundRef;
}

/** What a refund is read as in the end: some gateways take a moment. */
async function endOf(at: Counterpart, wanted: RefundToSend): Promise<RefundState> {
  for (const end = Date.now() + 3_000; ;) {
    const state = await at.gateway.readRefund(wanted);
    if (state.status !== 'pending' || Date.now() > end) return state;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Sends a refund as the story would after a bad answer: it reads back first, and a key that is no good is left. */
async function sentAgain(at: Counterpart, wanted: RefundToSend, replayed: boolean): Promise<RefundState> {
  const found = await at.gateway.readRefund(wanted);
  if (found.status !== 'missing') return found;
  return at.gateway.refund(replayed ? { ...wanted, keyNumber: wanted.keyNumber + 1 } : wanted);
}

async function survives(at: Counterpart, fault: WireFault): Promise<void> {
  const wanted = await paid(at);
  at.wire.cut(fault, (request) => at.carries('refund', request));
  const answer = await at.gateway.refund(wanted);
  at.wire.mend();
  if (answer.status === 'refused') expect(answer.replayed).toBe(true);
  else expect(answer).toMatchObject({ status: 'unknown' });
  const sent = await sentAgain(at, wanted, answer.status === 'refused');
  expect(sent.status).toMatch(underWay);
  expect(await at.returned(wanted.ref)).toBe(wanted.amountMinor);
}

const sending: readonly Case[] = [
  {
    name: 'A refund in full goes back once, however often it is sent',
    async run(at) {
      const wanted = await paid(at);
      const first = await at.gateway.refund(wanted);
      expect(first.status).toMatch(underWay);
      const again = await at.gateway.refund(wanted);
      expect(refundRefOf(again)).toBe(refundRefOf(first));
      expect(await at.returned(wanted.ref)).toBe(wanted.amountMinor);
    },
  },
  {
    name: 'The same refund many times at once goes back once',
    async run(at) {
      const wanted = await paid(at);
      const half = { ...wanted, amountMinor: wanted.amountMinor / 2 };
      const answers = await Promise.all(Array.from({ length: 3 }, () => at.gateway.refund(half)));
      expect(answers.some(({ status }) => underWay.test(status))).toBe(true);
      expect(await at.returned(wanted.ref)).toBe(half.amountMinor);
    },
  },
  {
    name: 'Two refunds in part are two',
    async run(at) {
      const wanted = await paid(at);
      const half = { ...wanted, amountMinor: wanted.amountMinor / 2 };
      const [one, other] = [
        await at.gateway.refund(half),
        await at.gateway.refund({ ...half, refundId: newId('refund') }),
      ];
      expect(refundRefOf(one)).not.toBe(refundRefOf(other));
      expect(await at.returned(wanted.ref)).toBe(wanted.amountMinor);
    },
  },
  {
    name: 'More than there is, is refused with a reason',
    async run(at) {
      const wanted = await paid(at);
      const answer = await at.gateway.refund({ ...wanted, amountMinor: wanted.amountMinor + 100 });
      expect(answer).toEqual({
        status: 'refused',
        replayed: false,
        reason: expect.stringMatching(/\S/) as string,
      });
      expect(await at.returned(wanted.ref)).toBe(0);
    },
  },
  {
    name: 'A refund of what went back already, by others, is refused and not taken for ours',
    needs: ['refundByHand'],
    async run(at) {
      const wanted = await paid(at);
      await at.refundByHand(wanted.ref, wanted.amountMinor);
      expect(await at.gateway.refund(wanted)).toMatchObject({ status: 'refused', replayed: false });
      expect(await at.gateway.readRefund(wanted)).toEqual({ status: 'missing' });
    },
  },
  {
    name: 'A refund of money that never came is refused',
    async run(at) {
      const wanted = await paid(at);
      const answer = await at.gateway.refund({ ...wanted, ...at.nowhere });
      expect(answer).toMatchObject({ status: 'refused', replayed: false });
    },
  },
  {
    name: 'Another amount under the same key sends nothing more',
    async run(at) {
      const wanted = await paid(at);
      const half = { ...wanted, amountMinor: wanted.amountMinor / 2 };
      const first = await at.gateway.refund(half);
      const other = await at.gateway.refund({ ...wanted, amountMinor: half.amountMinor / 2 });
      if ('refundRef' in other) expect(other.refundRef).toBe(refundRefOf(first));
      expect(await at.returned(wanted.ref)).toBe(half.amountMinor);
    },
  },
  ...(
    [
      ['lost-done', 'whose answer is lost'],
      ['lost-undone', 'that never arrives'],
      ['500-done', 'that is done and answered 500'],
      ['500-undone', 'that is not done and answered 500'],
      ['garbled', 'whose answer is cut off in its middle'],
      ['page', 'that is answered with a page of HTML'],
      ['429', 'beyond the rate limit'],
    ] satisfies [WireFault, string][]
  ).map(([fault, words]): Case => ({
    name: `A refund ${words} is no failure, and goes back once`,
    run: (at) => survives(at, fault),
  })),
];

const readingBack: readonly Case[] = [
  {
    name: 'A refund is found by our id and by the gateway’s',
    async run(at) {
      const wanted = await paid(at);
      expect(await at.gateway.readRefund(wanted)).toEqual({ status: 'missing' });
      const refundRef = refundRefOf(await at.gateway.refund(wanted));
      const found = await at.gateway.readRefund(wanted);
      expect(found.status).toMatch(underWay);
      expect(refundRefOf(found)).toBe(refundRef);
      expect(refundRefOf(await at.gateway.readRefund({ ...wanted, refundRef }))).toBe(refundRef);
    },
  },
  {
    name: 'A read of a refund without a usable answer is unknown, not missing',
    async run(at) {
      const wanted = await paid(at);
      for (const fault of ['lost-done', '500-done', '429', 'garbled', 'page'] as const) {
        at.wire.cut(fault, (request) => at.carries('readRefund', request));
        expect(await at.gateway.readRefund(wanted)).toMatchObject({ status: 'unknown' });
      }
      at.wire.mend();
      expect(await at.gateway.readRefund(wanted)).toEqual({ status: 'missing' });
    },
  },
  {
    name: 'A pending refund is pending until the bank says',
    needs: ['refundMode', 'endRefund'],
    async run(at) {
      await at.refundMode('pending');
      for (const outcome of ['succeeded', 'failed'] as const) {
        const wanted = await paid(at);
        const made = await at.gateway.refund(wanted);
        expect(made).toMatchObject({ status: 'pending' });
        expect(await at.gateway.readRefund(wanted)).toMatchObject({ status: 'pending' });
        await at.endRefund(refundRefOf(made), outcome);
        expect(await at.gateway.readRefund(wanted)).toMatchObject({ status: outcome });
      }
    },
  },
  {
    name: 'A refund that failed after success is failed',
    needs: ['refundMode', 'endRefund'],
    async run(at) {
      await at.refundMode('succeeded');
      const wanted = await paid(at);
      const refundRef = refundRefOf(await at.gateway.refund(wanted));
      expect(await endOf(at, wanted)).toMatchObject({ status: 'succeeded' });
      await at.endRefund(refundRef, 'failed');
      expect(await at.gateway.readRefund({ ...wanted, refundRef })).toMatchObject({ status: 'failed' });
    },
  },
  {
    name: 'A refund that failed for good stays failed, and a new go sends it again',
    needs: ['refundMode'],
    async run(at) {
      const wanted = await paid(at);
      await at.refundMode('failed');
      await at.gateway.refund(wanted);
      expect(await endOf(at, wanted)).toMatchObject({ status: 'failed' });
      await at.refundMode('succeeded');
      const again = { ...wanted, go: 2 };
      expect(await at.gateway.readRefund(again)).toEqual({ status: 'missing' });
      expect((await at.gateway.refund(again)).status).toMatch(underWay);
      expect(await endOf(at, again)).toMatchObject({ status: 'succeeded' });
      expect(await at.gateway.readRefund(wanted)).toMatchObject({ status: 'failed' });
      expect(await at.returned(wanted.ref)).toBe(wanted.amountMinor);
    },
  },
];

export const refunding: readonly Case[] = [...sending, ...readingBack];
