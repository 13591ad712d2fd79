/** The PhonePe sandbox on the wire: refunds, and what becomes of them. */
import { until } from './sandbox-receiver';
import { control, open, receiver, refund, refundStatus, usePhonepeSandbox } from './sandbox-phonepe-setup';

usePhonepeSandbox();

describe('refunds', () => {
  const paid = async (): Promise<void> => {
    await open();
    await control.pay('bkg_1_1', 'ok');
  };

  test('A refund is pending, then accepted, then completed, and each is told', async () => {
    await paid();
    const { status, body } = await refund('ref_1', 10_000);
    expect(status).toBe(200);
    expect(body).toEqual({ refundId: expect.stringMatching(/^OMR/), amount: 10_000, state: 'PENDING' });
    await until(async () => (await refundStatus('ref_1')).body.state === 'COMPLETED');
    expect((await refundStatus('ref_1')).body).toMatchObject({
      merchantRefundId: 'ref_1',
      originalMerchantOrderId: 'bkg_1_1',
      refundId: body.refundId,
      amount: 10_000,
    });
    await until(() => receiver.heard.length === 3);
    expect(receiver.types()).toEqual([
      'checkout.order.completed',
      'pg.refund.accepted',
      'pg.refund.completed',
    ]);
    expect(receiver.of('pg.refund.completed')[0]?.body.payload).toMatchObject({
      merchantRefundId: 'ref_1',
      originalMerchantOrderId: 'bkg_1_1',
      state: 'COMPLETED',
    });
    expect((await control.ledger()).totals).toEqual({
      inr: { captured: 25_000, refunded: 10_000, refundsPending: 0, disputed: 0, kept: 15_000 },
    });
  });

  test('More than is left, less than 100 paisa, an unpaid and an unknown order are refused', async () => {
    await open({ merchantOrderId: 'unpaid' });
    expect((await refund('ref_0', 100, 'unpaid')).status).toBe(400);
    expect((await refund('ref_0', 100, 'nobody')).status).toBe(404);
    await paid();
    expect((await refund('ref_0', 99)).status).toBe(400);
    expect((await refund('ref_1', 20_000)).status).toBe(200);
    expect((await refund('ref_2', 5_001)).status).toBe(400);
    expect((await refund('ref_2', 5_000)).status).toBe(200);
    expect((await control.ledger()).refunds).toHaveLength(2);
  });

  test('A repeated id is refused, or the same refund, as the reading says', async () => {
    await paid();
    const first = await refund('ref_1', 10_000);
    expect(await refund('ref_1', 10_000)).toMatchObject({
      status: 400,
      body: { code: 'INVALID_TRANSACTION_ID' },
    });
    await control.setReadings({ refunds: 'same' });
    expect((await refund('ref_1', 10_000)).body.refundId).toBe(first.body.refundId);
    expect((await refund('ref_1', 10_001)).status).toBe(400);
    expect((await control.ledger()).refunds).toHaveLength(1);
  });

  test('A refund can wait, be accepted, and be settled by hand', async () => {
    await paid();
    await control.refundMode({ mode: 'pending' });
    await refund('ref_1', 10_000);
    await control.confirmRefund('ref_1');
    expect((await refundStatus('ref_1')).body.state).toBe('CONFIRMED');
    await control.settleRefund('ref_1', 'succeeded');
    expect((await refundStatus('ref_1')).body.state).toBe('COMPLETED');
  });

  test('A failed refund gives its amount free; its id only gives the failure again', async () => {
    await paid();
    await control.setReadings({ refunds: 'same' });
    await control.refundMode({ mode: 'failed', times: 1 });
    expect((await refund('ref_1')).body.state).toBe('PENDING');
    await until(async () => (await refundStatus('ref_1')).body.state === 'FAILED');
    expect((await refundStatus('ref_1')).body.errorCode).toBe('REFUND_DECLINED');
    expect((await refund('ref_1')).body.state).toBe('FAILED');
    await refund('ref_1_2');
    await until(async () => (await refundStatus('ref_1_2')).body.state === 'COMPLETED');
    await until(() => receiver.of('pg.refund.failed').length === 1);
  });

  test('A refund can fail after it completed', async () => {
    await paid();
    await control.refundMode({ mode: 'fail-after-success', afterMs: 80 });
    await refund('ref_1');
    await until(async () => (await refundStatus('ref_1')).body.state === 'COMPLETED');
    await until(async () => (await refundStatus('ref_1')).body.state === 'FAILED');
    await until(() => receiver.heard.length === 4);
    expect(receiver.types().slice(1)).toEqual([
      'pg.refund.accepted',
      'pg.refund.completed',
      'pg.refund.failed',
    ]);
  });
});
