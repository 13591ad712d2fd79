/** What Temporal stores holds nothing private in clear; and does, as a control, when payloads are not sealed. */
import { temporal } from '@temporalio/proto';
import { atStripe, outcomeOf, pay, publish, Shopper } from './book-setup';
import { startWorld, type World } from './world';

/** Words that occur nowhere else, so that finding one is finding a leak. */
const secrets = {
  name: 'Wilhelmina Quisling-Oakes',
  email: 'wilhelmina.quisling@private.example',
  phone: '+49 30 90210 4711',
  details: 'persistent hiccups since Tuesday',
  inFailure: 'zanzibar-token-5150',
};

/** Everything the server keeps of this world's workflows: histories as they lie there, and what lists show. */
async function dump(world: World): Promise<string> {
  const service = world.temporal.workflowService;
  const parts: string[] = [];
  for await (const listed of world.temporal.workflow.list({ query: `TaskQueue = '${world.taskQueue}'` })) {
    const execution = { workflowId: listed.workflowId, runId: listed.runId };
    const history = await service.getWorkflowExecutionHistory({ namespace: 'default', execution });
    const described = await service.describeWorkflowExecution({ namespace: 'default', execution });
    for (const message of [
      temporal.api.workflowservice.v1.GetWorkflowExecutionHistoryResponse.encode(history).finish(),
      temporal.api.workflowservice.v1.DescribeWorkflowExecutionResponse.encode(described).finish(),
    ]) {
      // Protobuf keeps text as it is, so clear text would stand in the bytes.
      parts.push(Buffer.from(message).toString('latin1'));
    }
  }
  return parts.join('\n');
}

/** One attempt of each kind, with private words wherever a customer, a gateway or a failure could put them. */
async function playAttempts(world: World): Promise<string[]> {
  const offeringId = await publish(world, { capacity: 10 });
  const last = await publish(world, { capacity: 1 });
  const consultation = await publish(world, { kind: 'consultation' });
  const clientSecrets: string[] = [];
  const book = async (where: string) => {
    const shopper = new Shopper(world);
    const { status, body } = await shopper.call(
      'POST',
      '/v1/bookings',
      {
        items: [{ offeringId: where, details: { complaint: secrets.details } }],
        payment: { method: 'stripe' },
        customer: { name: secrets.name, email: secrets.email, phone: secrets.phone },
      },
      'a-key',
    );
    if (status !== 201) throw new Error(`A start was answered ${status}`);
    clientSecrets.push(String(body.payment.clientSecret));
    return { shopper, booking: body };
  };
  const [confirmed, asked, declined, canceled, winner, loser] = await Promise.all(
    [offeringId, consultation, offeringId, offeringId, last, last].map(book),
  );
  if (!confirmed || !asked || !declined || !canceled || !winner || !loser)
    throw new Error('Bug: six attempts were started');
  await pay(world, confirmed.booking);
  await pay(world, asked.booking);
  await pay(world, declined.booking, 'pm_card_visa_chargeDeclinedInsufficientFunds');
  await declined.shopper.until(declined.booking.id, (now) => now.retryable === true);
  await declined.shopper.cancel(declined.booking.id);
  await canceled.shopper.cancel(canceled.booking.id);
  for (const { booking } of [winner, loser]) {
    await atStripe(world, `payment_intents/${String(booking.payment.gatewayRef)}/confirm`, {
      payment_method: 'pm_card_visa',
    });
  }
  for (const { booking } of [confirmed, asked, declined, canceled, winner, loser])
    await outcomeOf(world, booking.id);
  return clientSecrets;
}

/** A world whose gateway stumbles once per attempt, with a secret in the error that reaches Temporal as a failure. */
function stumbling(env: Record<string, string> = {}): Promise<World> {
  const stumbled = new Set<string>();
  return startWorld({
    standing: false,
    env,
    wrapActivities: (activities) => ({
      ...activities,
      settle: (bookingId, heard) => {
        if (stumbled.has(bookingId)) return activities.settle(bookingId, heard);
        stumbled.add(bookingId);
        return Promise.reject(new Error(`could not reach ${secrets.inFailure}`));
      },
    }),
  });
}

test('With keys, names, addresses, details, client secrets and failure messages occur nowhere', async () => {
  const world = await stumbling();
  try {
    const clientSecrets = await playAttempts(world);
    const stored = await dump(world);
    expect(stored).toContain('booking/bkg_');
    for (const secret of [...Object.values(secrets), ...clientSecrets, 'pm_card', 'insufficient_funds']) {
      expect(stored.includes(secret) ? `${secret} leaked` : 'sealed').toBe('sealed');
    }
  } finally {
    await world.stop();
  }
});

test('Control: without keys they are found; client secrets never reach Temporal at all', async () => {
  const world = await stumbling({ PAYLOAD_KEYS: '' });
  try {
    const clientSecrets = await playAttempts(world);
    const stored = await dump(world);
    for (const secret of Object.values(secrets)) expect(stored).toContain(secret);
    for (const secret of clientSecrets) expect(stored.includes(secret)).toBe(false);
  } finally {
    await world.stop();
  }
});
