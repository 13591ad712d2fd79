/**
 * Webhooks that are not what they seem, at every gateway: a wrong signature, another gateway's secret, an old event, the same
 * event again, and at PhonePe, whose header does not cover the body, a body that somebody made up. None books anything, and
 * nothing is written but what was heard.
 */
import { createHash, createHmac } from 'node:crypto';
import { atPhonepe, phonepeLogin, type AtPhonepe } from './at-phonepe';
import { atRazorpay } from './at-razorpay';
import { gatewayOf, lookedBeside, outcomeOf, priceMinor, publish, Shopper, tracesOf } from './book-setup';
import { rowsOf } from './row-snapshots';
import { asTheyCame, Receiver, until } from './sandbox-receiver';
import { gatewayNames, type GatewayName } from './tiers';
import { eventually, startWorld, type Json, type World } from './world';

let phonepe: AtPhonepe;
let world: World;
beforeAll(async () => {
  phonepe = await atPhonepe();
  world = await startWorld({ gateways: [await atRazorpay(), phonepe], standing: false });
});
afterAll(() => world.stop());

/** A webhook as it travels. */
interface Letter {
  raw: string;
  headers: Record<string, string>;
}

/** What signs each gateway's webhooks in this world. */
const secretOf = (method: GatewayName): string =>
  ({
    stripe: String(gatewayOf(world, 'stripe').env['STRIPE_WEBHOOK_SECRET']),
    razorpay: String(gatewayOf(world, 'razorpay').env['RAZORPAY_WEBHOOK_SECRET']),
    phonepe: `${phonepeLogin.username}:${phonepeLogin.password}`,
  })[method];

const hmac = (secret: string, text: string): string =>
  createHmac('sha256', secret).update(text).digest('hex');

/** Signs as the gateway does, with any secret. */
function signed(method: GatewayName, { raw, headers }: Letter, secret: string, ageSeconds = 0): Letter {
  const at = Math.floor(Date.now() / 1000) - ageSeconds;
  const signature: Record<GatewayName, Record<string, string>> = {
    stripe: { 'stripe-signature': `t=${at},v1=${hmac(secret, `${at}.${raw}`)}` },
    razorpay: { 'x-razorpay-signature': hmac(secret, raw) },
    phonepe: { authorization: createHash('sha256').update(secret).digest('hex') },
  };
  return { raw, headers: { ...headers, ...signature[method] } };
}

/** Brings it to our door; the status of the answer. */
async function post(method: GatewayName, { raw, headers }: Letter): Promise<number> {
  return (await fetch(`${world.api}/webhooks/${method}`, { method: 'POST', headers, body: raw })).status;
}

/** Starts an attempt, and keeps the webhook that tells of its money from us. */
async function paidUnheard(
  method: GatewayName,
): Promise<{ booking: Json; shopper: Shopper; letter: Letter }> {
  const at = gatewayOf(world, method);
  const shopper = new Shopper(world);
  const price = { amountMinor: priceMinor, currency: at.currency };
  const booking = await shopper.start(await publish(world, { price }), undefined, method);
  const receiver = await Receiver.start(asTheyCame);
  try {
    await at.setWebhookUrl(receiver.url);
    expect(await at.pay(booking)).toBe(true);
    const isIt = ({ raw, body }: Receiver['heard'][number]) =>
      (body.event ?? body.type) === at.paidEvent && raw.includes(String(booking.payment.gatewayRef));
    await until(
      async () => receiver.heard.some(isIt) && (await at.toldOf(String(booking.payment.gatewayRef))),
    );
    const heard = receiver.heard.find(isIt);
    const names = [
      'content-type',
      'stripe-signature',
      'x-razorpay-signature',
      'x-razorpay-event-id',
      'authorization',
    ];
    const headers = Object.entries(heard?.headers ?? {}).filter(([name]) => names.includes(name));
    return {
      booking,
      shopper,
      letter: { raw: heard?.raw ?? '', headers: Object.fromEntries(headers) as Letter['headers'] },
    };
  } finally {
    await at.setWebhookUrl(`${world.api}/webhooks/${method}`);
    await receiver.close();
  }
}

describe.each(gatewayNames)('%s', (method) => {
  test('refuses what it did not sign, books by what it did, and takes the same again without effect', async () => {
    const { booking, shopper, letter } = await paidUnheard(method);
    const ref = String(booking.payment.gatewayRef);
    const before = await rowsOf(world.db);
    const refused: [string, Letter][] = [
      ['no signature', { raw: letter.raw, headers: { 'content-type': 'application/json' } }],
      ['a wrong one', signed(method, letter, 'a secret of nobody')],
      ...gatewayNames
        .filter((other) => other !== method)
        .map((other): [string, Letter] => [`${other}’s secret`, signed(method, letter, secretOf(other))]),
      // Only Stripe signs a time; elsewhere an old event is one that comes again, and that is below.
      ...(method === 'stripe'
        ? [['ten minutes old', signed(method, letter, secretOf(method), 600)] as [string, Letter]]
        : []),
      // PhonePe's header does not cover the body: that is the test after this.
      ...(method === 'phonepe'
        ? []
        : [['another body', { ...letter, raw: letter.raw.replace(ref, `${ref}0`) }] as [string, Letter]]),
    ];
    for (const [what, forged] of refused) expect([what, await post(method, forged)]).toEqual([what, 400]);
    expect(await rowsOf(world.db)).toEqual(before);
    expect((await shopper.read(booking.id)).body.status).toBe('awaiting_payment');

    expect(await post(method, letter)).toBe(200);
    expect(await outcomeOf(world, booking.id)).toBe('confirmed');
    expect(await world.db('gateway_events').where({ gateway_ref: ref })).toHaveLength(1);
    const after = await rowsOf(world.db);
    expect(await Promise.all(Array.from({ length: 5 }, () => post(method, letter)))).toEqual(
      Array(5).fill(200),
    );
    expect(await lookedBeside(world, method, ref)).toBe('nothing owed');
    expect(await rowsOf(world.db)).toEqual(after);
  });
});

describe('a body that PhonePe never sent, under the right header', () => {
  const forgedBody = (order: string) => ({
    event: 'checkout.order.completed',
    payload: { merchantOrderId: order, state: 'COMPLETED', amount: priceMinor },
  });

  test('of an open attempt makes us look, and books nothing', async () => {
    const shopper = new Shopper(world);
    const price = { amountMinor: priceMinor, currency: 'INR' };
    const booking = await shopper.start(await publish(world, { price }), undefined, 'phonepe');
    const ref = String(booking.payment.gatewayRef);
    const before = await rowsOf(world.db, ['gateway_events']);
    const asked = await phonepe.asked('read');
    expect(await phonepe.sandbox.forge(forgedBody(ref))).toBe(200);
    await eventually('the look', async () => (await phonepe.asked('read')) > asked);
    // Whoever asks for a retry has the gateway looked at first, so the ring before it has been dealt with.
    expect((await shopper.retry(booking.id)).status).toBe(200);
    expect(await rowsOf(world.db, ['gateway_events'])).toEqual(before);
    expect(await world.db('gateway_events').where({ gateway_ref: ref })).toHaveLength(1);
    expect(await tracesOf(world, booking.id)).toMatchObject({
      status: 'awaiting_payment',
      bookings: 0,
      seats: 0,
      messages: [],
    });
  });

  test('of an attempt that is over, or of none, moves nothing', async () => {
    const shopper = new Shopper(world);
    const price = { amountMinor: priceMinor, currency: 'INR' };
    const booking = await shopper.start(await publish(world, { price }), undefined, 'phonepe');
    const ref = String(booking.payment.gatewayRef);
    await shopper.cancel(booking.id);
    const before = await rowsOf(world.db, ['gateway_events']);
    const nowhere = `bkg_${'0'.repeat(24)}_1`;
    for (const order of [ref, nowhere, 'somebody-else_1', '']) {
      expect(await phonepe.sandbox.forge(forgedBody(order))).toBe(200);
    }
    expect(await lookedBeside(world, 'phonepe', ref)).toBe('nothing owed');
    expect(await lookedBeside(world, 'phonepe', nowhere)).toBe('nothing owed');
    expect(await rowsOf(world.db, ['gateway_events'])).toEqual(before);
  });
});
