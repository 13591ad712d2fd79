/** Reading a payment object in each of its states. */
import type { PaymentState } from '../src/gateways/gateway';
import { opened, paid, type Case } from './gateway-counterpart';
import type { WireFault } from './gateway-wire';

const faults: readonly [WireFault, string][] = [
  ['lost-done', 'without an answer'],
  ['500-done', 'answered 500'],
  ['429', 'beyond the rate limit'],
  ['garbled', 'whose answer is cut off in its middle'],
  ['page', 'answered with a page of HTML'],
];

export const reading: readonly Case[] = [
  {
    name: 'What is paid says how much, in which currency, and by which charge',
    async run(at) {
      const { ref } = await opened(at);
      await at.pay(ref, 'ok');
      const state = await at.gateway.read(ref);
      expect(state).toMatchObject({
        status: 'paid',
        total: at.total,
        chargeRef: expect.stringMatching(/^[\w-]+$/) as string,
      });
      expect(await at.gateway.read(ref)).toEqual(state);
    },
  },
  {
    name: 'A decline is a failure with a name of its own, and says whether the object can still be paid',
    async run(at) {
      const { ref } = await opened(at);
      await at.pay(ref, 'declined');
      const first = failureOf(await at.gateway.read(ref));
      expect(first.detail).toMatch(/\S/);
      expect(failureOf(await at.gateway.read(ref)).failureRef).toBe(first.failureRef);
      if (!first.payable) return;
      await at.pay(ref, 'declined');
      expect(failureOf(await at.gateway.read(ref)).failureRef).not.toBe(first.failureRef);
      await at.pay(ref, 'ok');
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'paid', total: at.total });
    },
  },
  {
    name: 'Money that is promised and not there yet is processing',
    needs: ['payLater'],
    async run(at) {
      const { ref } = await opened(at);
      await at.payLater(ref);
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'processing' });
    },
  },
  {
    name: 'A payment that failed and is confirmed after all is money',
    needs: ['confirmLate'],
    async run(at) {
      const { ref } = await opened(at);
      await at.pay(ref, 'declined');
      await at.confirmLate(ref);
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'paid', total: at.total });
    },
  },
  {
    name: 'Each payment of one object is money of its own',
    needs: ['payAgain'],
    async run(at) {
      const { ref } = await opened(at);
      await at.pay(ref, 'ok');
      const first = await at.gateway.read(ref);
      await at.payAgain(ref);
      await at.payAgain(ref);
      const state = await at.gateway.read(ref);
      if (first.status !== 'paid' || state.status !== 'paid') throw new Error(`read as ${state.status}`);
      const all = [state, ...(state.others ?? [])];
      expect(all.map(({ total }) => total)).toEqual([at.total, at.total, at.total]);
      // Which of one second's payments comes first is nobody's word.
      const charges = all.map(({ chargeRef }) => chargeRef);
      expect(new Set(charges).size).toBe(3);
      expect(charges).toContain(first.chargeRef);
    },
  },
  {
    name: 'What the gateway gave back by itself was never money',
    needs: ['payInVain'],
    async run(at) {
      const { ref } = await opened(at);
      await at.payInVain(ref);
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'failed', payable: true });
      await at.pay(ref, 'ok');
      const state = await at.gateway.read(ref);
      expect(state).toMatchObject({ status: 'paid', total: at.total });
      expect(state).not.toHaveProperty('others');
      expect(await at.gateway.reversals(ref)).toEqual({ status: 'known', refunds: [], disputes: [] });
    },
  },
  {
    name: 'What went back stays paid',
    async run(at) {
      const wanted = await paid(at);
      await at.gateway.refund(wanted);
      expect(await at.gateway.read(wanted.ref)).toMatchObject({ status: 'paid', total: at.total });
    },
  },
  {
    name: 'An object whose time is over cannot be paid any more',
    needs: ['expire'],
    async run(at) {
      const { ref } = await opened(at);
      await at.expire(ref);
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'failed', payable: false });
      expect(await at.gateway.close(ref)).toEqual({ status: 'closed' });
    },
  },
  {
    name: 'An object that the gateway does not know is missing',
    async run(at) {
      expect(await at.gateway.read(at.nowhere.ref)).toEqual({ status: 'missing' });
    },
  },
  ...faults.map(([fault, words]): Case => ({
    name: `A read ${words} is unknown`,
    async run(at) {
      const { ref } = await opened(at);
      await at.pay(ref, 'ok');
      at.wire.cut(fault, (request) => at.carries('read', request));
      const answer = await at.gateway.read(ref);
      expect(answer).toMatchObject({ status: 'unknown' });
      if (fault === '429') expect(answer).toMatchObject({ retryAfterMs: 7_000 });
      at.wire.mend();
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'paid' });
    },
  })),
];

function failureOf(state: PaymentState): Extract<PaymentState, { status: 'failed' }> {
  if (state.status !== 'failed') throw new Error(`a decline was read as ${state.status}`);
  return state;
}
