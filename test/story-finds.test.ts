/** What random lists found in the story, each played again in its shortest form. */
import { setTimeout as pause } from 'node:timers/promises';
import type { List } from './story-lists';
import type { Play } from './story-play';
import { openStage, type Stage } from './story-stage';

/** An attempt that goes well, and is left alone. */
const plainly: List = {
  closes: true,
  opens: 'to be paid',
  windowMs: 1_000,
  triesMax: 5,
  seats: true,
  funds: true,
  goes: [],
  refunds: [],
  lastly: 'pays',
  commands: [],
};

let stage: Stage;
beforeAll(async () => (stage = await openStage()));
afterAll(() => stage.close());

async function soundly(list: Partial<List>): Promise<Play> {
  const { untrue, play } = await stage.play({ ...plainly, ...list });
  expect({ untrue, told: untrue.length > 0 ? play.told : [] }).toEqual({ untrue: [], told: [] });
  return play;
}

test('after a cancel in the Temporal UI that came too early to be granted, customers’ wishes are still answered', async () => {
  await soundly({
    lastly: 'is declined',
    commands: [
      { does: 'customer', act: 'begins', oldest: false, rings: 'webhook', beats: 3 },
      { does: 'cancel in the UI', beats: 3 },
      { does: 'retry', method: null, beats: 3 },
      { does: 'customer', act: 'is declined', oldest: false, rings: 'webhook', beats: 3 },
      { does: 'retry', method: null, beats: 3 },
    ],
  });
});

test('a wish under way while an operator cancels in the Temporal UI is answered', async () => {
  await soundly({
    goes: ['plain', 'late', 'silent', 'late'],
    commands: [
      { does: 'ring', by: 'watch', beats: 3 },
      { does: 'retry', method: null, beats: 1 },
      { does: 'cancel in the UI', beats: 0 },
      { does: 'ring', by: 'watch', beats: 0 },
    ],
  });
});

test.each(['failed', 'pending'] as const)(
  'a refund of stray money that is %s calls a person, and the attempt’s own status stays',
  async (said) => {
    const play = await soundly({
      refunds: [said],
      commands: [
        { does: 'customer', act: 'pays', oldest: false, rings: null, beats: 3 },
        { does: 'customer', act: 'pays', oldest: false, rings: 'webhook', beats: 0 },
      ],
    });
    expect([play.result, play.model.refunds.cases.length]).toEqual(['confirmed', 1]);
  },
);

test('who wishes something while money goes back does not wait for it', async () => {
  const play = await soundly({
    seats: false,
    refunds: ['failed'],
    commands: [
      { does: 'customer', act: 'pays', oldest: false, rings: 'webhook', beats: 3 },
      { does: 'cancel', beats: 3 },
      { does: 'retry', method: null, beats: 3 },
    ],
  });
  expect(play.result).toBe('refunded');
});

test('a payment from the wallet that is run again, for a ring came as the workflow ended, is told as paid, and shown', async () => {
  const play = await soundly({
    goes: ['plain', 'plain', 'late'],
    commands: [
      { does: 'retry', method: 'wallet', beats: 3 },
      { does: 'ring', by: 'webhook', beats: 3 },
      { does: 'retryPayment', beats: 3 },
    ],
  });
  expect(play.result).toBe('confirmed');
});

test('another way to pay that was wished when the old one had paid is not shown as the one that did', async () => {
  const play = await soundly({
    commands: [
      { does: 'customer', act: 'pays', oldest: false, rings: null, beats: 3 },
      { does: 'retry', method: 'razorpay', beats: 0 },
    ],
  });
  expect([play.result, play.model.method]).toEqual(['confirmed', 'stripe']);
});

test('a cancel in the Temporal UI that comes in one workflow task with the end of the window is first', async () => {
  const playing = soundly({
    commands: [
      { does: 'the window ends', beats: 3 },
      { does: 'cancel in the UI', beats: 0 },
    ],
  });
  // It is open by now. With no worker to hear either, the server hands out both at once.
  await pause(plainly.windowMs / 2);
  await stage.withoutWorker(() => pause(plainly.windowMs));
  await playing;
});

describe('a refund that fails beside another one that is waited for', () => {
  const beside: Partial<List> = {
    seats: false,
    refunds: ['pending', 'failed', 'pending'],
    commands: [
      { does: 'customer', act: 'pays', oldest: false, rings: 'webhook', beats: 3 },
      { does: 'customer', act: 'pays', oldest: false, rings: 'webhook', beats: 3 },
      { does: 'resolve', action: 'retry-refund', beats: 3 },
      { does: 'resolve', action: 'retry-refund', beats: 3 },
      { does: 'refund turns', to: 'succeeded', rings: 'webhook', beats: 3 },
    ],
  };

  test('is decided and sent again without waiting', async () => {
    const { result, model } = await soundly(beside);
    expect(result).toBe('refunded');
    expect(model.refunds.cases.some(({ keeper }) => keeper.startsWith('case/'))).toBe(true);
  });

  test('Control: is left alone where its case gets no workflow', async () => {
    const changed = await openStage([
      ['await (0, keeper_1.startKeeper)(caseId, bookingId);', 'void [caseId, bookingId];'],
    ]);
    const { untrue } = await changed.play({ ...plainly, ...beside });
    await changed.close();
    expect(untrue.join()).toMatch(/case .* was left open/);
  });
});
