/**
 * Races for the money in one wallet: payments, credits and refunds in the same instant, many rounds, and the books read
 * after each. `races-ways-controls.test.ts` shows that each guard is needed.
 */
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Knex } from 'knex';
import { giveBackActivities } from '../src/activities/give-back';
import { addSlot, allAtOnce, auditBooks, nextId, priceMinor } from './settling-setup';
import { balanceOf, endingsOf, fillWallets, openCounter, tally, type Counter } from './ways-setup';
import { activityRounds, isLong } from './tiers';

const rounds = activityRounds;
/** Rounds of each of the two races of fifty payments, the heaviest: fifty together in the long tier. */
const heavyRounds = isLong ? 25 : 5;
/** The most payments at once, and one connection for the barrier. */
const connections = 51;
/** What is left over when seven seats are paid. */
const restMinor = 99;

let counter: Counter;
let db: Knex;

beforeEach(async () => {
  counter = await openCounter(connections);
  db = counter.db;
});
afterEach(() => counter.database.close());

/** Pays from one wallet for one seat each, all in the same instant. */
async function payAtOnce(customerId: string, offeringIds: readonly string[]): Promise<string[]> {
  const payers = offeringIds.map((offeringId) => ({
    bookingId: nextId('bkg_'),
    customerId,
    method: 'wallet' as const,
    items: [{ offeringId, seats: 1 }],
  }));
  const errors = await allAtOnce(
    db,
    payers.map((payer) => () => counter.open(payer)),
  );
  expect(errors).toEqual([]);
  return endingsOf(
    db,
    payers.map(({ bookingId }) => bookingId),
  );
}

test.each([
  ['of one slot', 1],
  ['spread over ten slots, where only the wallet keeps them in line', 10],
])('of 50 payments at once from a balance for 7, %s, seven are booked', async (_, slots) => {
  for (let round = 0; round < heavyRounds; round += 1) {
    const customerId = nextId('cus_');
    await fillWallets(db, [customerId], 7 * priceMinor + restMinor);
    const offerings = await Promise.all(Array.from({ length: slots }, () => addSlot(db, 50)));
    const wanted = Array.from({ length: 50 }, (__, n) => offerings[n % slots] ?? '');
    const endings = await payAtOnce(customerId, wanted);
    expect(tally(endings)).toEqual({ confirmed: 7, 'insufficient-funds': 43 });
    expect(await balanceOf(db, customerId)).toBe(restMinor);
    expect(await auditBooks(db)).toEqual([]);
  }
});

test('a wallet that never had money pays for nothing, and is not even made', async () => {
  const offeringId = await addSlot(db, 50);
  expect(tally(await payAtOnce('nobody', Array<string>(20).fill(offeringId)))).toEqual({
    'insufficient-funds': 20,
  });
  expect(await db('wallets')).toEqual([]);
});

test('twenty at once of one credit move the money once, also into a wallet that is only being made', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const customerId = nextId('cus_');
    const id = nextId('wen_');
    const moved: boolean[] = [];
    const credit = async (): Promise<void> => {
      const { rows } = await db.raw<{ rows: { moved: boolean }[] }>(
        `SELECT move_wallet_money(?, 'credit', ?, 'USD', 500, NULL, NULL, NULL) AS moved FROM (SELECT count(*) FROM attempts) AS door`,
        [id, customerId],
      );
      moved.push(rows[0]?.moved === true);
    };
    expect(await allAtOnce(db, Array<() => Promise<void>>(20).fill(credit))).toEqual([]);
    expect(moved.filter(Boolean)).toHaveLength(1);
    expect(await balanceOf(db, customerId)).toBe(500);
    expect(await auditBooks(db)).toEqual([]);
  }
});

describe('giving back to a wallet', () => {
  /** A refund of a booked wallet payment as canceling the booking will write it; returns its id. */
  async function owe(bookingId: string): Promise<string> {
    const id = nextId('ref_');
    await db.raw(
      `INSERT INTO refunds (id, payment_id, amount_minor, status, reason)
       SELECT ?, id, amount_minor, 'unsent', 'canceled-by-customer' FROM payments WHERE booking_id = ?`,
      [id, bookingId],
    );
    return id;
  }

  /** The activity, with what tells it whose workflow it runs in. */
  function send(refundId: string): Promise<unknown> {
    const { sendRefund } = giveBackActivities(counter.deps);
    return new MockActivityEnvironment().run(sendRefund, refundId);
  }

  test('ten times at once credits it once, while the wallet pays for something else', async () => {
    for (let round = 0; round < rounds; round += 1) {
      const customerId = nextId('cus_');
      await fillWallets(db, [customerId], priceMinor);
      const items = [{ offeringId: await addSlot(db, 2), seats: 1 }];
      const bookingId = await counter.open({ customerId, method: 'wallet', items });
      expect(await balanceOf(db, customerId)).toBe(0);
      const refundId = await owe(bookingId);
      const second = nextId('bkg_');
      const answers: unknown[] = [];
      const errors = await allAtOnce(db, [
        ...Array.from({ length: 10 }, () => async () => void answers.push(await send(refundId))),
        () => counter.open({ bookingId: second, customerId, method: 'wallet', items }),
      ]);
      expect(errors).toEqual([]);
      expect(answers).toEqual(Array(10).fill({ refundId, status: 'succeeded' }));
      const [bought] = await endingsOf(db, [second]);
      expect(['confirmed', 'insufficient-funds']).toContain(bought);
      expect(await balanceOf(db, customerId)).toBe(bought === 'confirmed' ? 0 : priceMinor);
      const entries = await db('wallet_entries')
        .where({ kind: 'refund', booking_id: bookingId })
        .orderBy('account');
      expect(entries).toMatchObject([
        { account: 'customer', customer_id: customerId, amount_minor: priceMinor },
        { account: 'spent', customer_id: null, amount_minor: -priceMinor },
      ]);
      const messages = await db('messages').where({ booking_id: bookingId, kind: 'payment-refunded' });
      expect(messages).toHaveLength(1);
    }
    // The booking stands, for nobody canceled it: that its payment is refunded as well is this test's doing.
    const wrong = (await auditBooks(db)).filter((found) => !/booked or (given back|on its way)/.test(found));
    expect(wrong).toEqual([]);
  });
});
