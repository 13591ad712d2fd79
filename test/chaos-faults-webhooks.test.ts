/** The faults of webhooks: what they prove, and what they leave. A forged event that is believed is an error, not a proof. */
import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import Stripe from 'stripe';
import { forgedWebhooks } from '../chaos/faults/forgeries';
import { webhookFaults } from '../chaos/faults/webhooks';
import { gatewayNames, type GatewayName } from '../dev/gateways';
import { hmacHex, isAmong, sha256Hex } from '../src/gateways/signatures';
import {
  answered,
  confirm,
  deeds,
  die,
  during,
  env,
  ground,
  named,
  openCheckout,
  openIntent,
  openOrder,
  pass,
  postRazorpay,
  razorpay,
  receiver,
  stripe,
  useGround,
} from './chaos-faults-setup';
import { until } from './sandbox-receiver';

useGround();

describe('webhooks', () => {
  const all = webhookFaults(pass);
  /** Pays, and waits until its webhooks were answered so often. */
  const paid =
    (name: GatewayName, times = deeds[name].told) =>
    async () => {
      await deeds[name].pay();
      await answered(name, times);
    };

  test('late: events that were not sent though it was their time', async () => {
    const fault = named(all, 'webhooks-late');
    const proof = await during(fault, die('stripe'), async () => {
      await deeds.stripe.pay();
      await sleep(1_100);
    });
    expect(proof).toBe('3 events of stripe');
  });

  test('late: an event that is only young is no proof', async () => {
    expect(await during(named(all, 'webhooks-late'), die('phonepe'), deeds.phonepe.pay)).toBeUndefined();
  });

  test.each(['stripe', 'razorpay'] as const)(
    'out of order: events of %s that were overtaken',
    async (name) => {
      const fault = named(all, 'webhooks-out-of-order');
      expect(await during(fault, die(name, ['stripe', 'razorpay']), paid(name))).toBe(`2 events of ${name}`);
      const came = receiver.heard.map(({ body }) => String(body.event ?? body.type));
      expect(came[0]).toBe(name === 'stripe' ? 'payment_intent.succeeded' : 'order.paid');
      expect(came).toHaveLength(deeds[name].told);
    },
  );

  test('out of order: an event that nothing follows is no proof, and comes in the end', async () => {
    const fault = named(all, 'webhooks-out-of-order');
    expect(await during(fault, 0, openIntent)).toBeUndefined();
    await until(() => receiver.heard.length === 1);
  });

  test('out of order: a decline can come after the success', async () => {
    const { id } = await openIntent();
    const proof = await during(named(all, 'webhooks-out-of-order'), 0, async () => {
      await confirm(id, 'pm_card_visa_chargeDeclined').catch(() => undefined);
      await confirm(id);
      await answered('stripe', 5);
    });
    // The failed charge came first, and in its order.
    expect(proof).toBe('2 events of stripe');
    const types = receiver.heard.map(({ body }) => String(body.type));
    expect(types.indexOf('payment_intent.payment_failed')).toBeGreaterThan(
      types.indexOf('payment_intent.succeeded'),
    );
  });

  test.each(gatewayNames)('twice: events of %s that came as two copies', async (name) => {
    const fault = named(all, 'webhooks-twice');
    const { told } = deeds[name];
    expect(await during(fault, die(name), paid(name, 2 * told))).toBe(`${told} events of ${name}`);
    expect(receiver.heard).toHaveLength(2 * told);
  });

  test('twice: copies that nobody heard are no proof', async () => {
    await stripe.setWebhookUrl('http://127.0.0.1:9/nobody');
    const copied = async (): Promise<boolean> => {
      const { events } = await stripe.ledger();
      return events.flatMap(({ deliveries }) => deliveries).some(({ duplicate }) => duplicate);
    };
    const proof = await during(named(all, 'webhooks-twice'), die('stripe'), async () => {
      await deeds.stripe.pay();
      await until(copied);
    });
    expect(proof).toBeUndefined();
    expect(await copied()).toBe(true);
  });

  test('before the answer: events of a call that were taken before it was answered', async () => {
    const fault = named(all, 'webhooks-before-answer');
    const { id: payment } = await razorpay.pay(await openOrder(), 'ok');
    await answered('razorpay', 3);
    // The payer's own page is no call of the API, so nothing there waits for the webhook.
    const order = await openOrder();
    const payerPays = async (): Promise<void> => {
      await razorpay.pay(order, 'ok');
      await answered('razorpay', 6);
    };
    expect(await during(fault, 0, payerPays)).toBeUndefined();
    const proof = await during(fault, 0, async () => {
      const before = receiver.heard.length;
      await openIntent();
      expect(receiver.heard).toHaveLength(before + 1);
      await postRazorpay(`/payments/${payment}/refund`, { amount: 100 });
    });
    expect(proof).toBe('1 events of stripe, 2 events of razorpay');
  });

  test.each(['razorpay', 'phonepe'] as const)(
    '%s signs with the second secret, and then with the first',
    async (name) => {
      const fault = named(all, 'secret-changed');
      const first = die(name, ['razorpay', 'phonepe']);
      const isSignedBy = (n: 0 | 1) =>
        receiver.heard.every(({ raw, headers }) =>
          name === 'razorpay'
            ? headers['x-razorpay-signature'] === hmacHex(['first', 'next'][n] ?? '', raw)
            : headers.authorization === sha256Hex(['user:password1', 'user-next:password2'][n] ?? ''),
        );
      const { pay, told } = deeds[name];
      expect(await during(fault, first, paid(name))).toBe(
        `${told} events of ${name}, signed with the second secret, were believed`,
      );
      expect(receiver.heard).toHaveLength(told);
      expect(isSignedBy(1)).toBe(true);
      receiver.heard.length = 0;
      await pay();
      await until(() => receiver.heard.length === told);
      expect(isSignedBy(0)).toBe(true);
      receiver.answers = Array<number>(20).fill(400);
      // Those of before, and at least the first of these.
      expect(await during(fault, first, paid(name, 2 * told + 1))).toBeUndefined();
    },
  );

  test('without a second secret there is nothing to change to', async () => {
    ground.env = { ...env, RAZORPAY_WEBHOOK_SECRET: 'first' };
    await expect(named(all, 'secret-changed').play(ground, [0, 0])).rejects.toThrow('no two secrets');
  });
});

describe('forged webhooks', () => {
  /** Stands in for the API: believes what the gateways' own ways of signing say. */
  let door: {
    /** Age of a signature of Stripe's that is still believed, in s. */
    tolerance: number;
    server: http.Server;
    heard: { name: string; raw: string }[];
    believes: (name: string) => boolean;
  };

  const isRight = (name: string, raw: string, headers: http.IncomingHttpHeaders): boolean => {
    if (name === 'phonepe')
      return isAmong(
        headers.authorization ?? '',
        ['user:password1', 'user-next:password2'].map((login) => sha256Hex(login)),
      );
    if (name === 'razorpay')
      return isAmong(
        String(headers['x-razorpay-signature']),
        ['first', 'next'].map((secret) => hmacHex(secret, raw)),
      );
    try {
      Stripe.webhooks.constructEvent(
        raw,
        headers['stripe-signature'] ?? '',
        env.STRIPE_WEBHOOK_SECRET,
        door.tolerance,
      );
      return true;
    } catch {
      return false;
    }
  };

  beforeEach(async () => {
    const server = http.createServer();
    door = { tolerance: 300, server, heard: [], believes: () => false };
    server.on('request', (request, response) => {
      const name = request.url?.split('/').at(-1) ?? '';
      let raw = '';
      request.on('data', (piece: Buffer) => (raw += piece.toString()));
      request.on('end', () => {
        door.heard.push({ name, raw });
        response.writeHead(isRight(name, raw, request.headers) || door.believes(name) ? 200 : 400).end();
      });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    ground.api = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterEach(() => new Promise((resolve) => door.server.close(resolve)));

  test('of all gateways, for what is open, are refused', async () => {
    const open = [(await openIntent()).id, await openOrder(), await openCheckout()];
    expect(await forgedWebhooks(300).play(ground, [0, 0])).toBe('4 forged events were answered 400');
    expect(door.heard.map(({ name }) => name)).toEqual(['stripe', 'stripe', 'razorpay', 'phonepe']);
    for (const [n, { raw }] of door.heard.entries()) expect(raw).toContain(open[Math.max(0, n - 1)]);
    // Nothing but its age is wrong about the second.
    door.tolerance = 3_600;
    await expect(forgedWebhooks(300).play(ground, [0, 0])).rejects.toThrow('of stripe was answered 200');
  });

  test.each(gatewayNames)('that are believed at %s are no proof, but an error', async (name) => {
    await Promise.all([openIntent(), openOrder(), openCheckout()]);
    door.believes = (at) => at === name;
    await expect(forgedWebhooks(300).play(ground, [0, 0])).rejects.toThrow(`of ${name} was answered 200`);
  });

  test('are no proof where nothing is open, or nobody answers', async () => {
    await openIntent();
    expect(await forgedWebhooks(300).play(ground, [0, 0])).toBeUndefined();
    await Promise.all([openOrder(), openCheckout()]);
    ground.api = 'http://127.0.0.1:9';
    expect(await forgedWebhooks(300).play(ground, [0, 0])).toBeUndefined();
  });
});
