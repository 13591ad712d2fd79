/** The API with no Temporal behind its address: the client's own errors, not those a test makes up. */
import {
  booking,
  clientOfNobody,
  slot,
  startApi,
  writeAttempt,
  type ApiUnderTest,
  type Json,
} from './api-setup';

describe('with Temporal away', () => {
  let alone: ApiUnderTest;
  const nobody = clientOfNobody();
  beforeAll(async () => {
    alone = await startApi({ client: nobody.client });
  });
  afterAll(async () => {
    await alone.stop();
    await nobody.close();
  });

  it('everything that asks it is 503, and readiness says which is away', async () => {
    const everybody = await alone.token('ada', 'bookings catalog ops');
    const made = await alone.call('POST', '/v1/offerings', { token: everybody, body: slot() });
    const called = await alone.call('POST', '/v1/offerings', { token: everybody, body: slot() });
    const open = await writeAttempt(alone.db, made.body);
    const confirmed = await writeAttempt(alone.db, made.body, { status: 'confirmed' });
    const caseId = 'cas_000000000000000000000001';
    const aCase = { id: caseId, workflow_id: 'w', kind: 'message-failed', detail: 'x' };
    await alone.db('cases').insert(aCase);
    const asking: [string, Json][] = [
      ['/v1/bookings', booking(made.body.id)],
      ['/v1/bookings/bkg_222222222222222222222222/cancel', {}],
      [`/v1/bookings/${open}/retry`, {}],
      [`/v1/bookings/${open}/return`, {}],
      [`/v1/bookings/${open}/cancel`, {}],
      [`/v1/bookings/${confirmed}/cancel`, {}],
      [`/v1/offerings/${called.body.id}/cancel`, {}],
      [`/v1/cases/${caseId}/resolve`, { action: 'resend', note: 'again' }],
    ];
    const answers = await Promise.all(
      asking.map(async ([path, body]) => {
        const { status, body: said } = await alone.call('POST', path, {
          token: everybody,
          key: 'alone',
          body,
        });
        return [path, status, said.type];
      }),
    );
    expect(answers).toEqual(asking.map(([path]) => [path, 503, '/problems/unavailable']));
    const ready = await alone.call('GET', '/readyz');
    expect([ready.status, ready.body.detail]).toEqual([503, 'Away: Temporal.']);
  });
});
