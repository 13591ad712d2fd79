/** The Razorpay sandbox's switches: the faults of every sandbox. */
import { startRazorpaySandbox } from '../sandbox/razorpay/sandbox';
import { describeFaults } from './sandbox-faults';
import { until } from './sandbox-receiver';
import { call, control, order, paid, receiver, sandbox, useRazorpaySandbox } from './sandbox-razorpay-setup';

useRazorpaySandbox();

describeFaults({
  control: () => control,
  sandbox: () => sandbox,
  receiver: () => receiver,
  create: (name) =>
    call('POST', '/orders', {
      amount: 25_000,
      currency: 'INR',
      notes: { bookingId: name },
      payment: { capture: 'automatic' },
    }),
  metadata: (name) => ({ bookingId: name }),
  retrieve: (id) => call('GET', `/orders/${id}`),
  idOf: (_name, { body }) => String(body.id),
  act: (id) => control.pay(id, 'ok'),
  events: ['payment.authorized', 'payment.captured'],
});

test('An event can arrive before the answer to the call that caused it', async () => {
  const id = await order({ payment: { capture: 'manual' } });
  const payment = await control.pay(id, 'ok');
  await control.webhookFault({ event: 'payment.captured', kind: 'before-answer' });
  await call('POST', `/payments/${payment.id}/capture`, { amount: 25_000, currency: 'INR' });
  expect(receiver.of('payment.captured')).toHaveLength(1);
});

test('A refund whose answer is lost is found by its key; one that was not made can be made by it', async () => {
  const { paymentId } = await paid();
  const refund = () =>
    call(
      'POST',
      `/payments/${paymentId}/refund`,
      { amount: 1000 },
      { 'X-Refund-Idempotency': 'refund-key-1' },
    );
  await control.fault({ operation: 'refunds.create', kind: 'lost-undone' });
  await expect(refund()).rejects.toThrow();
  await control.fault({ operation: 'refunds.create', kind: 'status-500-done' });
  expect((await refund()).status).toBe(500);
  const { status, body } = await refund();
  expect([status, body.amount]).toEqual([200, 1000]);
  expect((await control.ledger()).refunds.map(({ id }) => id)).toEqual([body.id]);
});

test('A sandbox that closes leaves nothing waiting', async () => {
  const brief = await startRazorpaySandbox({ webhookUrl: 'http://127.0.0.1:9/none' });
  await brief.gate({ name: 'shut', operation: '*', when: 'before' });
  const basic = Buffer.from('rzp_test_sandbox:razorpay_sandbox_secret').toString('base64');
  const lost = expect(
    fetch(`${brief.url}/v1/orders`, { headers: { authorization: `Basic ${basic}` } }),
  ).rejects.toThrow();
  await brief.waitForGate('shut', 1);
  await brief.close();
  await lost;
});

test('The switches in process and over HTTP are one', async () => {
  await paid();
  await until(() => receiver.heard.length === 3);
  await until(async () =>
    (await sandbox.ledger()).events.every(({ deliveries }) => deliveries[0]?.status === 200),
  );
  expect(await control.ledger()).toEqual(await sandbox.ledger());
});
