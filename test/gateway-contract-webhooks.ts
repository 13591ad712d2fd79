/** What a gateway says by itself, and who else might say it. */
import {
  hear,
  newId,
  opened,
  paid,
  type Case,
  type Counterpart,
  type EventSketch,
} from './gateway-counterpart';

function sketch(at: Counterpart, kind: 'paid' | 'declined' | 'unheard-of' = 'paid') {
  const bookingId = newId('booking');
  // The object's id as the gateway would make it for that booking.
  return { kind, bookingId, ref: at.nowhere.ref.replace(/bkg_[^_]+/, bookingId) } satisfies EventSketch;
}

/** Bodies that no gateway sends. */
const oddBodies: readonly [string, string][] = [
  ['empty', ''],
  ['no JSON', '{"event":'],
  ['no text', '\u0000\u0001\uFFFD'],
  ['a bare word', 'null'],
];

export const webhooks: readonly Case[] = [
  {
    name: 'News of a payment names the object and the booking, and rings',
    async run(at) {
      const { ref, bookingId, ...rest } = sketch(at);
      const heard = hear(at, at.event({ ref, bookingId, ...rest }));
      expect(heard).toMatchObject({ ref, bookingId, rings: true, reversal: false });
      expect(heard.eventId).toMatch(/^[\w-]{8,}$/);
      expect(heard.type).toMatch(/\w/);
      expect(hear(at, at.event(sketch(at, 'declined')))).toMatchObject({ rings: true, reversal: false });
      return Promise.resolve();
    },
  },
  {
    name: 'A second delivery has the same id, another event has another',
    async run(at) {
      const [one, other] = [at.event(sketch(at)), at.event(sketch(at))];
      expect(hear(at, one).eventId).toBe(hear(at, one).eventId);
      expect(hear(at, one).eventId).not.toBe(hear(at, other).eventId);
      return Promise.resolve();
    },
  },
  {
    name: 'A refund of ours is no news of others',
    async run(at) {
      const { ref, bookingId } = sketch(at);
      const body = at.event({ kind: 'refunded', ref, bookingId, refundId: newId('refund') });
      expect(hear(at, body)).toMatchObject({ ref, rings: true, reversal: false });
      return Promise.resolve();
    },
  },
  {
    name: 'A refund by others, and a dispute, are reversals',
    needs: ['signed bodies'],
    async run(at) {
      const { ref, bookingId } = sketch(at);
      const refund = at.event({ kind: 'refunded', ref, bookingId, refundId: null });
      expect(hear(at, refund)).toMatchObject({ ref, rings: true, reversal: true });
      const dispute = at.event({ kind: 'disputed', ref, bookingId });
      expect(hear(at, dispute)).toMatchObject({ ref, rings: true, reversal: true });
      return Promise.resolve();
    },
  },
  {
    name: 'An event of no interest does not ring',
    needs: ['signed bodies'],
    async run(at) {
      expect(hear(at, at.event(sketch(at, 'unheard-of')))).toMatchObject({ rings: false, reversal: false });
      return Promise.resolve();
    },
  },
  {
    name: 'During rotation both secrets are believed',
    async run(at) {
      const body = at.event(sketch(at));
      expect(hear(at, body, 'second')).toEqual(hear(at, body, 'first'));
      return Promise.resolve();
    },
  },
  {
    name: 'A signature that is wrong, missing, twice there or another gateway’s is refused',
    async run(at) {
      const rawBody = Buffer.from(at.event(sketch(at)));
      expect(() => hear(at, rawBody, 'nobody')).toThrow();
      expect(() => at.gateway.verifyWebhook(rawBody, {})).toThrow();
      const right = at.sign(rawBody, 'first');
      const changed = Object.entries(right).map(
        ([name, value]): [string, Record<string, string | string[]>] => [
          name,
          { ...right, [name]: [value, value] },
        ],
      );
      for (const [name, headers] of changed) {
        if (name === 'x-razorpay-event-id') continue;
        expect(() => at.gateway.verifyWebhook(rawBody, headers)).toThrow();
        expect(() => at.gateway.verifyWebhook(rawBody, { ...right, [name]: '' })).toThrow();
        expect(() =>
          at.gateway.verifyWebhook(rawBody, { ...right, [name]: right[name]?.slice(0, -1) }),
        ).toThrow();
      }
      for (const headers of foreign) expect(() => at.gateway.verifyWebhook(rawBody, headers)).toThrow();
      return Promise.resolve();
    },
  },
  {
    name: 'A body that was changed under its signature is refused',
    needs: ['signed bodies'],
    async run(at) {
      const rawBody = Buffer.from(at.event(sketch(at)));
      const headers = at.sign(rawBody, 'first');
      const changed = Buffer.from(`${rawBody.toString('utf8')} `);
      expect(() => at.gateway.verifyWebhook(changed, headers)).toThrow();
      return Promise.resolve();
    },
  },
  {
    name: 'A forged body with the right header says nothing but where to look',
    needs: ['unsigned bodies'],
    async run(at) {
      const forged = sketch(at);
      const heard = hear(at, at.event(forged));
      expect(heard).toMatchObject({ ref: forged.ref, rings: true, reversal: false });
      expect(await at.gateway.read(forged.ref)).toEqual({ status: 'missing' });
    },
  },
  {
    name: 'An object that is none of ours does not ring, where nothing is signed',
    needs: ['unsigned bodies'],
    async run(at) {
      for (const ref of ['T7_1', '../../order', 'bkg_x_1', 'a'.repeat(300)]) {
        const heard = hear(at, at.event({ kind: 'paid', ref, bookingId: 'T7' }));
        expect(heard).toMatchObject({ ref: null, bookingId: null, rings: false });
      }
      return Promise.resolve();
    },
  },
  {
    name: 'An id that is none never becomes part of a workflow’s',
    async run(at) {
      for (const ref of ['a/b', 'a b', '', 'x'.repeat(4_000), 'ü'.repeat(3)]) {
        expect(hear(at, at.event({ ...sketch(at), ref })).ref).toBeNull();
      }
      return Promise.resolve();
    },
  },
  ...oddBodies.map(([words, body]): Case => ({
    name: `A body that is ${words} is refused, signed or not`,
    async run(at) {
      expect(() => hear(at, body, 'nobody')).toThrow();
      expect(() => hear(at, body)).toThrow();
      return Promise.resolve();
    },
  })),
  {
    name: 'A huge body is judged by its signature like any other, in no time',
    async run(at) {
      const body = at.event(sketch(at)).replace(/^\{/, `{"padding":"${'x'.repeat(1_000_000)}",`);
      const start = Date.now();
      expect(hear(at, body)).toMatchObject({ rings: true });
      expect(() => hear(at, body, 'nobody')).toThrow();
      expect(Date.now() - start).toBeLessThan(1_000);
      return Promise.resolve();
    },
  },
  {
    name: 'What the gateway itself delivers of a payment and of a refund is believed',
    needs: ['delivered'],
    async run(at) {
      const wanted = await paid(at);
      const payment = await at.delivered('paid', wanted.ref);
      const news = { ref: wanted.ref, bookingId: wanted.bookingId, rings: true, reversal: false };
      expect(at.gateway.verifyWebhook(payment.rawBody, payment.headers)).toMatchObject(news);
      await at.gateway.refund(wanted);
      const refund = await at.delivered('refunded', wanted.ref);
      expect(at.gateway.verifyWebhook(refund.rawBody, refund.headers)).toMatchObject(news);
    },
  },
  {
    name: 'What the gateway’s page hands the browser is checked, where it signs that',
    needs: ['handedBack'],
    async run(at) {
      const { ref } = await opened(at);
      const verify = (returned: Record<string, unknown>) => at.gateway.verifyReturn?.(returned);
      const returned = await at.handedBack(ref);
      verify(returned);
      verify({});
      verify({ bookingId: 'x' });
      for (const name of Object.keys(returned)) {
        expect(() => verify({ ...returned, [name]: 'forged' })).toThrow();
        expect(() => verify({ ...returned, [name]: 7 })).toThrow();
      }
    },
  },
];

/** Headers by which other gateways would sign. */
const foreign: readonly Record<string, string>[] = [
  { 'stripe-signature': `t=${Math.floor(Date.now() / 1000)},v1=${'0'.repeat(64)}` },
  { 'x-razorpay-signature': '0'.repeat(64), 'x-razorpay-event-id': 'evt_1' },
  { authorization: '0'.repeat(64) },
  { authorization: `Basic ${Buffer.from('user:password').toString('base64')}` },
  { 'x-verify': `${'0'.repeat(64)}###1` },
];
