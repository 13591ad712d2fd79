/** Closing a payment object, or saying that it cannot be closed. */
import { opened, type Case } from './gateway-counterpart';
import type { WireFault } from './gateway-wire';

export const closing: readonly Case[] = [
  {
    name: 'An unpaid object is closed, and cannot be paid any more',
    needs: ['closes'],
    async run(at) {
      const { ref } = await opened(at);
      expect(await at.gateway.close(ref)).toEqual({ status: 'closed' });
      await at.pay(ref, 'ok').catch(() => undefined);
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'expired' });
    },
  },
  {
    name: 'An object that was declined is closed',
    needs: ['closes'],
    async run(at) {
      const { ref } = await opened(at);
      await at.pay(ref, 'declined');
      expect(await at.gateway.close(ref)).toEqual({ status: 'closed' });
    },
  },
  {
    name: 'Closing twice is closing once',
    needs: ['closes'],
    async run(at) {
      const { ref } = await opened(at);
      await at.gateway.close(ref);
      expect(await at.gateway.close(ref)).toEqual({ status: 'closed' });
    },
  },
  {
    name: 'An unpaid object stays open, and says so',
    needs: ['cannot close'],
    async run(at) {
      const { ref } = await opened(at);
      expect(await at.gateway.close(ref)).toEqual({ status: 'open' });
      expect(at.gateway.capabilities.lateForSeconds).toBeGreaterThan(0);
      await at.pay(ref, 'ok');
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'paid' });
    },
  },
  {
    name: 'A paid object is paid',
    async run(at) {
      const { ref } = await opened(at);
      await at.pay(ref, 'ok');
      expect(await at.gateway.close(ref)).toEqual({ status: 'paid' });
      expect(await at.gateway.read(ref)).toMatchObject({ status: 'paid' });
    },
  },
  {
    name: 'An object whose money is on its way is processing',
    needs: ['payLater'],
    async run(at) {
      const { ref } = await opened(at);
      await at.payLater(ref);
      expect(await at.gateway.close(ref)).toEqual({ status: 'processing' });
    },
  },
  {
    name: 'An object that is not there needs no closing',
    async run(at) {
      expect(await at.gateway.close(at.nowhere.ref)).toEqual({ status: 'closed' });
    },
  },
  ...(['lost-done', '500-undone', '429', 'garbled', 'page'] satisfies WireFault[]).map((fault): Case => ({
    name: `A close with nothing but ${fault} is unknown`,
    async run(at) {
      const { ref } = await opened(at);
      at.wire.cut(fault, (request) => at.carries('close', request));
      expect(await at.gateway.close(ref)).toMatchObject({ status: 'unknown' });
      at.wire.mend();
      const { closes } = at.gateway.capabilities;
      expect(await at.gateway.close(ref)).toEqual({ status: closes ? 'closed' : 'open' });
    },
  })),
];
