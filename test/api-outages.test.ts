import {
  ServiceError,
  WorkflowExecutionAlreadyStartedError,
  WorkflowNotFoundError,
  WorkflowUpdateFailedError,
  WorkflowUpdateRPCTimeoutOrCancelledError,
} from '@temporalio/client';
import { ApplicationFailure } from '@temporalio/common';
import {
  booking,
  emptyTemporal,
  slot,
  startApi,
  writeAttempt,
  type ApiUnderTest,
  type Json,
  describeAttempt,
} from './api-setup';
import { withoutTicket } from './world';

let api: ApiUnderTest;
let ada: string;
let offering: Json;

const nowhere = 'postgres://nobody@127.0.0.1:1/none';
const grpc = (code: number) => Object.assign(new Error('grpc'), { code, details: '', metadata: {} });
const late = () => new WorkflowUpdateRPCTimeoutOrCancelledError('late', { cause: grpc(4) });
const away = () => new ServiceError('away', { cause: grpc(14) });
const refused = (type: string) =>
  new WorkflowUpdateFailedError('refused', ApplicationFailure.create({ type, message: type }));
const owned = (customer: string, known?: Parameters<typeof describeAttempt>[2]) => () =>
  Promise.resolve(describeAttempt(api.config, customer, known));

beforeAll(async () => {
  api = await startApi();
  ada = await api.token('ada');
  const doctor = await api.token('doctor', 'catalog');
  offering = (await api.call('POST', '/v1/offerings', { token: doctor, body: slot() })).body;
});
afterAll(() => api.stop());
beforeEach(() => Object.assign(api.temporal, emptyTemporal()));

let keys = 0;
async function start(more: Json = {}, key = `key-${(keys += 1)}`) {
  return api.call('POST', '/v1/bookings', { token: ada, key, body: booking(offering.id, more) });
}

/** What `open` writes, for the attempt that is being started. */
async function record(input: Json, more: Record<string, unknown> = {}) {
  const id = await writeAttempt(api.db, offering, { request_hash: input.requestHash, ...more });
  for (const table of ['payment_tries', 'failures']) await api.db(table).where({ booking_id: id }).del();
  await api.db('attempts').where({ booking_id: id }).update({ booking_id: input.bookingId });
  return input.bookingId as string;
}
async function recordPayable(input: Json) {
  const bookingId = await record(input);
  await api.db('payment_tries').insert({
    booking_id: bookingId,
    try: 1,
    gateway: 'stripe',
    gateway_ref: `pi_${bookingId}`,
    how_to_pay: JSON.stringify({ clientSecret: 'secret' }),
    status: 'open',
  });
}

describe('a start', () => {
  it('is 201 for the request that started it, then 200 without asking Temporal, and 422 with another body', async () => {
    api.temporal.open = async (input) => {
      await recordPayable(input);
      return { status: 'awaiting_payment', version: 1, startedBy: input.requestId };
    };
    const first = await start({}, 'fixed');
    expect([first.status, first.body.payment.clientSecret]).toEqual([201, 'secret']);
    expect(first.headers.get('location')).toBe(`/v1/bookings/${first.body.id}`);
    Object.assign(api.temporal, emptyTemporal());
    const again = await start({}, 'fixed');
    expect([again.status, again.body.id]).toEqual([200, first.body.id]);
    const other = await start({ customer: { name: 'Eve', email: 'eve@example.org' } }, 'fixed');
    expect([other.status, other.body.type]).toEqual([422, '/problems/idempotency-key-reused']);
  });

  it('is 200 when another request has started it', async () => {
    api.temporal.open = async (input) => {
      await recordPayable(input);
      return { status: 'awaiting_payment', version: 1, startedBy: 'somebody else' };
    };
    expect((await start()).status).toBe(200);
  });

  it('hands Temporal ids, marks and fixed words only, in all that is shown in clear', async () => {
    let seen: Json;
    api.temporal.open = (_input, options) => {
      seen = options;
      return Promise.reject(late());
    };
    await start({ items: [{ offeringId: offering.id, details: { allergy: 'nuts' } }] });
    const { options } = seen.startWorkflowOperation;
    // Arguments are sealed by the codec, the memo's values too.
    const clear = { ...options, args: 'sealed', updateId: seen.updateId };
    expect(JSON.stringify(clear)).not.toMatch(/ada|nuts|example\.org/i);
    expect(options.workflowId).toMatch(/^booking\/bkg_/);
    expect(options.workflowIdReusePolicy).toBe('REJECT_DUPLICATE');
    expect(options.workflowIdConflictPolicy).toBe('USE_EXISTING');
  });

  it('that got no answer is 202 when it is durable, 503 when it is not', async () => {
    api.temporal.open = () => Promise.reject(late());
    api.temporal.describe = owned('ada');
    const durable = await start();
    expect([durable.status, durable.body.status]).toEqual([202, 'awaiting_payment']);
    expect(durable.body.links.self).toBe(`/v1/bookings/${durable.body.id}`);
    Object.assign(api.temporal, { describe: emptyTemporal().describe });
    const lost = await start();
    expect([lost.status, lost.body.type]).toEqual([503, '/problems/unavailable']);
    expect(lost.headers.get('retry-after')).toBe('2');
    api.temporal.open = () => Promise.reject(away());
    api.temporal.describe = () => Promise.reject(away());
    expect((await start()).status).toBe(503);
  });

  it('whose workflow is closed is told by its record', async () => {
    const closed = (id: string) => new WorkflowExecutionAlreadyStartedError('closed', id, 'book');
    api.temporal.open = async (input) => {
      await record(input, { status: 'expired' });
      throw closed(input.bookingId);
    };
    const over = await start();
    expect([over.status, over.body.status]).toEqual([200, 'expired']);
    api.temporal.open = async (input) => {
      await record(input, { status: 'expired', request_hash: 'another body' });
      throw closed(input.bookingId);
    };
    expect((await start()).status).toBe(422);
    api.temporal.open = (input) => Promise.reject(closed(input.bookingId));
    expect((await start()).status).toBe(410);
  });

  it('that is refused is a problem, kept under its key', async () => {
    for (const [type, status] of [
      ['offering-closed', 409],
      ['slot-unavailable', 409],
      ['not-found', 404],
      ['invalid-request', 400],
      ['gateway-unavailable', 503],
    ] as const) {
      api.temporal.open = async (input) => {
        await record(input, { status: 'failed', failure: JSON.stringify({ type, detail: 'As told.' }) });
        throw refused(type);
      };
      const first = await start({}, `refused-${type}`);
      expect([first.status, first.body.type, first.body.detail]).toEqual([
        status,
        `/problems/${type}`,
        'As told.',
      ]);
      Object.assign(api.temporal, emptyTemporal());
      const again = await start({}, `refused-${type}`);
      expect({ ...again.body, requestId: '' }).toEqual({ ...first.body, requestId: '' });
    }
    api.temporal.open = () => Promise.reject(refused('slot-unavailable'));
    const taken = await start();
    expect(taken.body.links.alternatives).toContain('providerId=doctor');
    api.temporal.open = () => Promise.reject(refused('idempotency-key-reused'));
    expect((await start()).status).toBe(422);
  });
});

describe('an attempt without a record', () => {
  it('is shown to its owner only', async () => {
    api.temporal.describe = owned('ada');
    const path = '/v1/bookings/bkg_222222222222222222222222';
    const own = await api.call('GET', path, { token: ada });
    expect([own.status, own.body.status]).toEqual([200, 'awaiting_payment']);
    expect((await api.call('GET', path, { token: await api.token('bob') })).status).toBe(404);
    expect((await api.call('GET', path, { token: await api.token('olga', 'ops') })).status).toBe(404);
    expect((await api.call('GET', `${path}?wait=1&after=0`, { token: ada })).status).toBe(304);
    api.temporal.describe = () => Promise.reject(away());
    expect((await api.call('GET', path, { token: ada })).status).toBe(503);
  });
});

describe('wishes', () => {
  const wish = (id: string, what: string, body: unknown = {}) =>
    api.call('POST', `/v1/bookings/${id}/${what}`, { token: ada, body });

  it('are asked of the workflow and answered from the record', async () => {
    const id = await writeAttempt(api.db, offering);
    const asked: Json[] = [];
    api.temporal.update = async (workflowId, name, args) => {
      asked.push([workflowId, name, args]);
      await api.db('attempts').where({ booking_id: id }).update({ tries: 2 });
      return { status: 'awaiting_payment', version: 2, startedBy: 'x' };
    };
    const retried = await wish(id, 'retry', { payment: { method: 'stripe' } });
    expect([retried.status, retried.body.payment.try]).toEqual([200, 2]);
    expect((await wish(id, 'cancel', { reason: 'changed my mind' })).status).toBe(200);
    expect(asked).toEqual([
      [`booking/${id}`, 'retry', [{ method: 'stripe' }]],
      [`booking/${id}`, 'cancel', [{ reason: 'changed my mind' }]],
    ]);
    expect((await wish(id, 'retry', { payment: { method: 'cowries' } })).status).toBe(400);
  });

  it('carry the workflow’s refusal', async () => {
    const id = await writeAttempt(api.db, offering);
    for (const [type, status] of [
      ['not-retryable', 409],
      ['retry-limit', 409],
      ['slot-unavailable', 409],
      ['attempt-over', 410],
      ['gateway-unavailable', 503],
    ] as const) {
      api.temporal.update = () => Promise.reject(refused(type));
      const answer = await wish(id, 'retry');
      expect([answer.status, answer.body.type]).toEqual([status, `/problems/${type}`]);
    }
    api.temporal.update = () => Promise.reject(refused('not-cancelable'));
    expect((await wish(id, 'cancel')).status).toBe(409);
    api.temporal.update = () => Promise.reject(late());
    expect((await wish(id, 'retry')).status).toBe(503);
    api.temporal.update = () => Promise.reject(away());
    expect((await wish(id, 'cancel')).status).toBe(503);
  });

  it('after the end are answered from the record alone', async () => {
    for (const [status, retry, cancel] of [
      ['refunding', 410, 200],
      ['refunded', 410, 200],
      ['needs_attention', 410, 409],
      ['expired', 410, 410],
      ['canceled', 410, 200],
      ['failed', 410, 410],
    ] as const) {
      const id = await writeAttempt(api.db, offering, { status });
      expect([status, (await wish(id, 'retry')).status]).toEqual([status, retry]);
      expect([status, (await wish(id, 'cancel')).status]).toEqual([status, cancel]);
      const back = await wish(id, 'return');
      expect([back.status, back.body.status]).toEqual([202, status]);
    }
    const id = await writeAttempt(api.db, offering, { status: 'confirmed' });
    expect((await wish(id, 'retry')).status).toBe(410);
    expect((await wish(id, 'return')).body.status).toBe('confirmed');
  });

  it('to cancel what is confirmed are asked of a workflow of their own', async () => {
    const id = await writeAttempt(api.db, offering, { status: 'confirmed' });
    const asked: Json[] = [];
    const cancel = async (answer: () => Promise<unknown>) => {
      api.temporal.update = (...all) => {
        asked.push(all);
        return answer();
      };
      const { status, body } = await wish(id, 'cancel', { reason: 'changed my mind' });
      return [status, status === 200 ? body.status : body.type];
    };
    for (const silent of [late, away]) {
      expect(await cancel(() => Promise.reject(silent()))).toEqual([503, '/problems/unavailable']);
    }
    expect(await cancel(() => Promise.reject(refused('not-cancelable')))).toEqual([
      409,
      '/problems/not-cancelable',
    ]);
    const granted = await cancel(async () => {
      await api.db('attempts').where({ booking_id: id }).update({ status: 'refunding' });
      return { status: 'refunding', version: 2, startedBy: 'x' };
    });
    expect(granted).toEqual([200, 'refunding']);
    expect(asked).toEqual(Array(4).fill([`cancel/${id}`, 'cancel', [{ reason: 'changed my mind' }]]));
  });

  it('to cancel are asked again when the workflow ended the moment it was asked', async () => {
    const id = await writeAttempt(api.db, offering, { status: 'confirmed' });
    let ended = 2;
    api.temporal.update = (workflowId) =>
      Promise.reject(
        (ended -= 1) >= 0
          ? new WorkflowNotFoundError('closed', workflowId, undefined)
          : refused('not-cancelable'),
      );
    expect((await wish(id, 'cancel')).status).toBe(409);
    expect(ended).toBe(-1);
  });

  it('that find the workflow just ended are answered by what it left', async () => {
    const id = await writeAttempt(api.db, offering);
    api.temporal.update = async (workflowId) => {
      await api.db('attempts').where({ booking_id: id }).update({ status: 'canceled' });
      throw new WorkflowNotFoundError('closed', workflowId, undefined);
    };
    const answer = await wish(id, 'cancel');
    expect([answer.status, answer.body.status]).toEqual([200, 'canceled']);
  });

  it.each([
    ['confirmed', 200],
    ['refunding', 200],
    ['expired', 410],
    ['canceled', 410],
  ])('to retry that find the workflow just ended as %s are answered %i', async (status, code) => {
    const id = await writeAttempt(api.db, offering);
    api.temporal.update = async (workflowId) => {
      await api.db('attempts').where({ booking_id: id }).update({ status });
      throw new WorkflowNotFoundError('closed', workflowId, undefined);
    };
    const answer = await wish(id, 'retry', { payment: { method: 'wallet' } });
    expect([answer.status, answer.body.status]).toEqual([code, code === 200 ? status : code]);
  });

  it('are the owner’s alone', async () => {
    const id = await writeAttempt(api.db, offering);
    for (const token of [await api.token('bob'), await api.token('olga', 'ops bookings')]) {
      for (const what of ['retry', 'return', 'cancel']) {
        expect((await api.call('POST', `/v1/bookings/${id}/${what}`, { token, body: {} })).status).toBe(404);
      }
    }
  });

  it('ring on return, with Stripe’s fields or none, and log none of them', async () => {
    const id = await writeAttempt(api.db, offering);
    const rung: Json[] = [];
    api.temporal.signal = (workflowId, name, args) => {
      rung.push([workflowId, name, args[0].by, args[0].gateway]);
      return Promise.resolve();
    };
    const body = {
      payment_intent: 'pi_1',
      payment_intent_client_secret: 'hush',
      redirect_status: 'succeeded',
    };
    expect((await wish(id, 'return', body)).status).toBe(202);
    const bare = await api.call('POST', `/v1/bookings/${id}/return`, { token: ada });
    expect(bare.status).toBe(202);
    expect(api.logged.join('')).not.toContain('hush');
    // Another gateway's page may bring its fields late, after a retry by this one; what is nobody's is refused.
    expect((await wish(id, 'return', { razorpay_signature: 'x' })).status).toBe(202);
    expect((await wish(id, 'return', { paid: 'yes' })).status).toBe(400);
    expect(rung).toEqual(Array(3).fill([`booking/${id}`, 'doorbell', 'return', 'stripe']));
  });
});

describe('with PostgreSQL away', () => {
  let blind: ApiUnderTest;
  beforeAll(async () => {
    blind = await startApi({ databaseUrl: nowhere, readonlyUrl: nowhere });
  });
  afterAll(() => blind.stop());

  it('a start is 202, its owner sees it, everything else is 503', async () => {
    const offeringId = offering.id as string;
    blind.temporal.open = (input) =>
      Promise.resolve({ status: 'awaiting_payment', version: 1, startedBy: input.requestId });
    const started = await blind.call('POST', '/v1/bookings', {
      token: ada,
      key: 'blind',
      body: booking(offeringId),
    });
    expect([started.status, started.body.status]).toEqual([202, 'awaiting_payment']);
    blind.temporal.describe = owned('ada');
    const own = await blind.call('GET', started.body.links.self, { token: ada });
    expect([own.status, withoutTicket(own.body)]).toEqual([200, withoutTicket(started.body)]);
    // There may be a record, and its owner may have read it.
    for (const known of [{ activity: 'settle' }, { method: 'wallet' }, { method: 'none' }]) {
      blind.temporal.describe = owned('ada', known);
      expect((await blind.call('GET', started.body.links.self, { token: ada })).status).toBe(503);
    }
    const bob = await blind.token('bob');
    expect((await blind.call('GET', started.body.links.self, { token: bob })).status).toBe(503);
    expect((await blind.call('GET', '/v1/offerings')).status).toBe(503);
    expect((await blind.call('GET', '/v1/bookings', { token: ada })).status).toBe(503);
    const anyone = await blind.token('ada', 'bookings catalog ops');
    const cart = '/v1/carts/crt_zzzzzzzzzzzzzzzzzzzzzzzz';
    for (const [method, path, body] of [
      ['POST', '/v1/carts'],
      ['GET', cart],
      ['PUT', `${cart}/items/${offeringId}`, {}],
      ['DELETE', `${cart}/items/${offeringId}`],
      ['GET', '/v1/provider'],
      ['PUT', '/v1/provider', { displayName: 'Dr', email: 'dr@example.org' }],
      ['GET', '/v1/provider/bookings'],
      ['GET', `/v1/offerings/${offeringId}/bookings`],
      ['GET', '/v1/wallet'],
      ['POST', '/v1/wallets/ada/credits', { amountMinor: 1, currency: 'EUR' }],
    ] as const) {
      const answer = await blind.call(method, path, { token: anyone, key: 'blind', body });
      expect([method, path, answer.status, answer.body.type]).toEqual([
        method,
        path,
        503,
        '/problems/unavailable',
      ]);
      expect(answer.headers.get('retry-after')).toBe('2');
    }
    const ready = await blind.call('GET', '/readyz');
    expect([ready.status, ready.body.detail]).toEqual([503, 'Away: PostgreSQL.']);
    expect((await blind.call('GET', '/healthz')).status).toBe(200);
    expect((await blind.call('GET', '/metrics')).status).toBe(200);
  });
});
