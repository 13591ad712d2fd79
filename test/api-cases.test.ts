import { ServiceError, WorkflowNotFoundError } from '@temporalio/client';
import { makeMetrics } from '../src/telemetry';
import { readImbalances, refreshGauges } from '../src/api/money';
import { emptyTemporal, slot, startApi, writeAttempt, type ApiUnderTest, type Json } from './api-setup';

let api: ApiUnderTest;
let olga: string;
let offering: Json;

beforeAll(async () => {
  api = await startApi();
  olga = await api.token('olga', 'ops');
  const doctor = await api.token('doctor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot() })).body;
});
afterAll(() => api.stop());
beforeEach(() => Object.assign(api.temporal, emptyTemporal()));

let made = 0;
async function openCase(kind: string, more: Record<string, unknown> = {}): Promise<string> {
  const id = `cas_${String((made += 1)).padStart(24, '0')}`;
  await api.db('cases').insert({ id, workflow_id: `case/${id}`, kind, detail: 'Look.', ...more });
  return id;
}
const resolve = (id: string, body: unknown, token = olga) =>
  api.call('POST', `/v1/cases/${id}/resolve`, { token, body });
const decide = (id: string, by: string, resolution: string, note: string | null = null) =>
  api.db('cases').where({ id }).update({ resolved_at: new Date(), resolved_by: by, resolution, note });

describe('cases', () => {
  it('are listed by status, newest first, for operators', async () => {
    // Whatever the tests before left behind.
    await api.db('cases').del();
    const ids: string[] = [];
    for (let n = 0; n < 3; n += 1) {
      ids.unshift(await openCase('message-failed', { opened_at: new Date(Date.now() + n * 1000) }));
    }
    await decide(ids[1] ?? '', 'olga', 'resend', 'The address was wrong.');
    const list = async (query: string) =>
      (await api.call('GET', `/v1/cases?${query}`, { token: olga })).body.items.map((one: Json) => one.id);
    expect(await list('')).toEqual([ids[0], ids[2]]);
    expect(await list('status=resolved')).toEqual([ids[1]]);
    expect(await list('status=all')).toEqual(ids);
    const first = await api.call('GET', '/v1/cases?status=all&limit=2', { token: olga });
    const rest = await api.call('GET', `/v1/cases?status=all&cursor=${first.body.nextCursor}`, {
      token: olga,
    });
    expect([...first.body.items, ...rest.body.items].map((one: Json) => one.id)).toEqual(ids);
    const one = await api.call('GET', `/v1/cases/${ids[1]}`, { token: olga });
    expect(one.body).toMatchObject({
      status: 'resolved',
      resolvedBy: 'olga',
      note: 'The address was wrong.',
    });
    expect((await api.call('GET', '/v1/cases', { token: await api.token('ada') })).status).toBe(403);
  });

  it('are decided by a signal, and the answer waits until it is written down', async () => {
    const id = await openCase('refund-failed');
    const heard: Json[] = [];
    api.temporal.signal = (workflowId, name, args) => {
      heard.push([workflowId, name, args[0]]);
      setTimeout(() => void decide(id, 'olga', 'mark-settled').then(), 300);
      return Promise.resolve();
    };
    const answer = await resolve(id, { action: 'mark-settled', note: 'Paid in cash.' });
    expect([answer.status, answer.body.status, answer.body.resolution]).toEqual([
      200,
      'resolved',
      'mark-settled',
    ]);
    expect(heard).toEqual([
      [
        `case/${id}`,
        'resolveCase',
        { caseId: id, action: 'mark-settled', note: 'Paid in cash.', by: 'olga' },
      ],
    ]);
    expect((await resolve(id, { action: 'mark-settled', note: 'Again.' })).status).toBe(409);
  });

  it('that another operator decides meanwhile are 409', async () => {
    const id = await openCase('refund-failed');
    api.temporal.signal = async () => {
      await decide(id, 'peter', 'retry-refund');
    };
    const answer = await resolve(id, { action: 'mark-settled', note: 'x' });
    expect([answer.status, answer.body.type]).toEqual([409, '/problems/case-resolved']);
    const closed = await openCase('refund-failed');
    api.temporal.signal = async (workflowId) => {
      await decide(closed, 'peter', 'retry-refund');
      throw new WorkflowNotFoundError('closed', workflowId, undefined);
    };
    expect((await resolve(closed, { action: 'retry-refund' })).status).toBe(409);
  });

  it('whose workflow is gone bring a workflow of their own', async () => {
    const id = await openCase('refund-failed');
    api.temporal.signal = (workflowId) =>
      Promise.reject(new WorkflowNotFoundError('gone', workflowId, undefined));
    const started: Json[] = [];
    api.temporal.signalWithStart = async (options) => {
      started.push(options);
      await decide(id, 'olga', 'retry-refund');
    };
    expect((await resolve(id, { action: 'retry-refund' })).status).toBe(200);
    expect(started).toMatchObject([
      { workflowId: `case/${id}`, signalArgs: [{ caseId: id, action: 'retry-refund', by: 'olga' }] },
    ]);
  });

  it('take only answers that fit, with a note for what was settled', async () => {
    for (const [kind, body, pointer] of [
      ['refund-failed', { action: 'resend' }, '/action'],
      ['refund-overdue', { action: 'resend' }, '/action'],
      ['unmatched-payment', { action: 'retry-refund' }, '/action'],
      ['message-failed', { action: 'retry-refund' }, '/action'],
      ['refund-failed', { action: 'mark-settled' }, '/note'],
      ['refund-failed', { action: 'mark-settled', note: '' }, '/note'],
      ['refund-failed', { action: 'mark-settled', note: 'x'.repeat(2001) }, '/note'],
      ['refund-failed', { action: 'forget' }, '/action'],
    ] as const) {
      const answer = await resolve(await openCase(kind), body);
      expect([kind, body, answer.status]).toEqual([kind, body, 400]);
      expect(answer.body.errors[0].pointer).toBe(pointer);
    }
    expect((await resolve('cas_zzzzzzzzzzzzzzzzzzzzzzzz', { action: 'resend' })).status).toBe(404);
  });

  it('are 503 while Temporal is away', async () => {
    api.temporal.signal = () => Promise.reject(new ServiceError('away'));
    expect((await resolve(await openCase('refund-failed'), { action: 'retry-refund' })).status).toBe(503);
  });
});

describe('the balance', () => {
  const settle = (booking: string, payment: string, amount = 2500) =>
    api.db.raw('SELECT * FROM settle_payment(?, ?, ?, ?, ?, ?, ?, ?, ?)', [
      booking,
      'stripe',
      `pi_${payment}`,
      `ch_${payment}`,
      amount,
      'EUR',
      `pay_${payment}`,
      `ref_${payment}`,
      [`BK-${payment.toUpperCase().padStart(10, '0')}`],
    ]);

  it('is 0 while every payment is kept, on its way, returned or in a case, and tells what is lost', async () => {
    await settle(await writeAttempt(api.db, offering), 'kept');
    await settle(await writeAttempt(api.db, offering), 'lost');
    await settle(await writeAttempt(api.db, offering), 'wrong', 2400);
    const eur = async () => (await readImbalances(api.db)).get('EUR');
    expect(await eur()).toBe(0);
    await api.db('refunds').where({ id: 'ref_lost' }).update({ status: 'succeeded' });
    expect(await eur()).toBe(0);
    await api.db('refunds').where({ id: 'ref_wrong' }).update({ status: 'failed' });
    expect(await eur()).toBe(2400);
    await openCase('refund-failed', {
      payment_id: 'pay_wrong',
      refund_id: 'ref_wrong',
      amount_minor: 2400,
      currency: 'EUR',
    });
    expect(await eur()).toBe(0);
    // Still on its way at the gateway: not counted a second time because a case asks about it.
    await api.db('refunds').where({ id: 'ref_wrong' }).update({ status: 'pending' });
    expect(await eur()).toBe(0);
    await api.db('payments').insert({
      id: 'pay_stray',
      gateway: 'stripe',
      gateway_ref: 'pi_stray',
      gateway_payment_id: 'ch_stray',
      amount_minor: 700,
      currency: 'JPY',
      status: 'captured',
      disposition: 'unmatched',
    });
    expect((await readImbalances(api.db)).get('JPY')).toBe(700);
    const stray = await openCase('unmatched-payment', {
      payment_id: 'pay_stray',
      amount_minor: 700,
      currency: 'JPY',
    });
    expect((await readImbalances(api.db)).get('JPY')).toBe(0);
    await decide(stray, 'olga', 'mark-settled');
    await api.db('refunds').insert({
      id: 'ref_stray',
      payment_id: 'pay_stray',
      amount_minor: 700,
      status: 'succeeded',
      reason: 'external',
    });
    expect((await readImbalances(api.db)).get('JPY')).toBe(0);

    // A gauge beside what waits.
    const metrics = makeMetrics();
    await refreshGauges(api.db, metrics);
    const text = await metrics.registry.metrics();
    expect(text).toContain('money_imbalance_minor{currency="EUR"} 0');
    expect(text).toContain('money_imbalance_minor{currency="JPY"} 0');
    expect(text).toMatch(/payfirst_refunds_under_way 1\n/);
    expect(text).toMatch(/payfirst_messages_queued 1\n/);
    const scraped = await api.call('GET', '/metrics');
    expect(scraped.status).toBe(200);
    expect(scraped.body).toContain('money_imbalance_minor{currency="EUR"} 0');
  });
});
