/** The courier: one mail per message, again when the mail server says no, a case when it says no for good. */
import type { Knex } from 'knex';
import type { CaseRow } from '../src/database';
import { caseWorkflowId, searchAttributes } from '../src/workflows/messages';
import {
  attemptRow,
  expectBooksToBalance,
  openAttempt,
  openCaseOf,
  outcomeOf,
  pay,
  payForNothing,
  resolve,
  startAttempt,
  payable,
} from './refunds-setup';
import { eventually, startWorld, type World } from './world';

interface MessageRow {
  booking_id: string;
  kind: string;
  sent_at: Date | null;
  next_send_at: Date | null;
  tries: number;
}

let world: World;
beforeAll(async () => {
  world = await startWorld();
});
afterEach(async () => {
  await world.mail.clearFaults();
  await expectBooksToBalance(world);
});
afterAll(async () => {
  await world.stop();
});

/** Books a slot; the message is queued in the same transaction. */
async function book(): Promise<string> {
  const attempt = await openAttempt(world);
  await pay(world, attempt.ref);
  expect(await outcomeOf(attempt)).toBe('confirmed');
  return attempt.bookingId;
}

async function message(bookingId: string): Promise<MessageRow> {
  const row = await world.db<MessageRow>('messages').where({ booking_id: bookingId }).first();
  if (row === undefined) throw new Error(`There is no message of ${bookingId}`);
  return row;
}

async function sent(bookingId: string): Promise<MessageRow> {
  return eventually(`the message of ${bookingId} sent`, async () => {
    const row = await message(bookingId);
    return row.sent_at !== null && row;
  });
}

/** Waits until a message was taken up that often. A go is counted before the deed, so the last one may be under way. */
async function triedInVain(bookingId: string, tries: number): Promise<MessageRow> {
  return eventually(`${tries} goes for ${bookingId}`, async () => {
    const row = await message(bookingId);
    return row.tries === tries && row.sent_at === null && row;
  });
}

async function change(bookingId: string, to: Record<string, Knex.Raw | number>): Promise<void> {
  await world.db('messages').where({ booking_id: bookingId }).update(to);
}

/** The next go comes after seconds to hours; it is due now. */
async function makeDue(bookingId: string): Promise<void> {
  await change(bookingId, { next_send_at: world.db.fn.now() });
}

async function mailsTo(bookingId: string) {
  const mails = await world.mail.messages();
  return mails.filter((mail) => mail.to.includes(`${bookingId}@example.org`));
}

test('a confirmation is sent once, to the customer, with the reference and a fixed Message-ID', async () => {
  const [one, other] = await Promise.all([book(), book()]);
  await Promise.all([sent(one), sent(other)]);
  const mails = [...(await mailsTo(one)), ...(await mailsTo(other))];
  expect(mails).toHaveLength(2);
  const booking = await world.db('bookings').where({ id: one }).first<{ reference: string }>();
  expect(mails[0]?.subject).toContain(booking.reference);
  expect(mails[0]?.text).toContain('Hello A Payer');
  for (const mail of mails) expect(mail.messageId).toMatch(/^<bkg_[0-9a-z]{24}@payfirst>$/);
  expect(new Set(mails.map((mail) => mail.messageId)).size).toBe(2);
  expect(await message(one)).toMatchObject({ tries: 1, next_send_at: null });
});

test('the loser of a race is told that the money went back, and why', async () => {
  const winner = await openAttempt(world);
  const loser = await startAttempt(world, { offeringId: winner.offeringId });
  const ref = await payable(world, loser.bookingId);
  await pay(world, winner.ref);
  await outcomeOf(winner);
  await pay(world, ref);
  expect(await outcomeOf(loser)).toBe('refunded');
  await sent(loser.bookingId);
  const [mail] = await mailsTo(loser.bookingId);
  expect(mail?.subject).toContain('$20.00');
  expect(mail?.text).toContain('arrived before yours');
  expect(mail?.text).toContain('Depending on your bank');
  expect(mail?.text).not.toContain('wallet');
});

test.each(['refuse', 'busy'] as const)(
  'a mail server that says “%s” is asked again later, and the mail arrives once',
  async (fault) => {
    await world.mail.fault(fault);
    const bookingId = await book();
    const row = await triedInVain(bookingId, 1);
    expect(row.next_send_at?.getTime()).toBeGreaterThan(Date.now());
    expect(await mailsTo(bookingId)).toEqual([]);
    await makeDue(bookingId);
    expect(await sent(bookingId)).toMatchObject({ tries: 2, next_send_at: null });
    expect(await mailsTo(bookingId)).toHaveLength(1);
  },
);

test('an answer lost after the mail was taken sends it again under the same Message-ID', async () => {
  await world.mail.fault('lost-after-accept');
  const bookingId = await book();
  await eventually('the first mail', async () => (await mailsTo(bookingId)).length === 1);
  expect(await message(bookingId)).toMatchObject({ sent_at: null });
  await makeDue(bookingId);
  await sent(bookingId);
  const mails = await mailsTo(bookingId);
  expect(mails).toHaveLength(2);
  expect(mails[0]?.messageId).toBe(mails[1]?.messageId);
});

test.each([
  [1, 10],
  [5, 160],
  [14, 21_600],
])('after %d goes in vain the next one comes after %d seconds', async (tries, seconds) => {
  await world.mail.fault('busy', null);
  const bookingId = await book();
  await triedInVain(bookingId, 1);
  await change(bookingId, { tries, next_send_at: world.db.fn.now() });
  await triedInVain(bookingId, tries + 1);
  const { rows } = await world.db.raw<{ rows: { gap: number }[] }>(
    'SELECT extract(epoch FROM next_send_at - now())::float AS gap FROM messages WHERE booking_id = ?',
    [bookingId],
  );
  expect(rows[0]?.gap).toBeLessThanOrEqual(seconds);
  expect(rows[0]?.gap).toBeGreaterThan(seconds - 8);
  await world.mail.clearFaults();
  await makeDue(bookingId);
  await sent(bookingId);
});

describe('a message that cannot be sent', () => {
  /** A booking whose message has just failed for the last time. */
  async function givenUp(): Promise<{ bookingId: string; found: CaseRow }> {
    await world.mail.fault('refuse', null);
    const bookingId = await book();
    await triedInVain(bookingId, 1);
    return { bookingId, found: await failForTheLastTime(bookingId) };
  }

  async function failForTheLastTime(bookingId: string): Promise<CaseRow> {
    await change(bookingId, { tries: 15, next_send_at: world.db.fn.now() });
    return openCaseOf(world, bookingId);
  }

  test('becomes a case with a workflow of its own, and the booking stands', async () => {
    const { bookingId, found } = await givenUp();
    expect(found).toMatchObject({
      kind: 'message-failed',
      workflow_id: caseWorkflowId(found.id),
      payment_id: null,
      amount_minor: null,
    });
    expect(found.detail).not.toContain('@');
    expect(await message(bookingId)).toMatchObject({ tries: 16, next_send_at: null, sent_at: null });
    expect(await attemptRow(world, bookingId)).toMatchObject({ status: 'confirmed' });
    const keeper = await world.temporal.workflow.getHandle(found.workflow_id).describe();
    expect(keeper.status.name).toBe('RUNNING');
    expect(keeper.typedSearchAttributes.get(searchAttributes.needsAttention)).toBe(true);
    expect(keeper.typedSearchAttributes.get(searchAttributes.bookingId)).toBe(bookingId);
    await resolve(world, found, 'mark-settled');
    await world.temporal.workflow.getHandle(found.workflow_id).result();
    expect(await message(bookingId)).toMatchObject({ sent_at: null, next_send_at: null });
  });

  test('is sent again when the operator says so', async () => {
    const { bookingId, found } = await givenUp();
    await world.mail.clearFaults();
    await resolve(world, found, 'resend');
    await sent(bookingId);
    await world.temporal.workflow.getHandle(found.workflow_id).result();
    expect(await mailsTo(bookingId)).toHaveLength(1);
    expect(await world.db('cases').where({ id: found.id }).first()).toMatchObject({ resolution: 'resend' });
  });

  test('is another case when that fails too', async () => {
    const { bookingId, found } = await givenUp();
    await resolve(world, found, 'resend');
    await triedInVain(bookingId, 1);
    const second = await failForTheLastTime(bookingId);
    expect(second.id).not.toBe(found.id);
    await world.mail.clearFaults();
    await resolve(world, second, 'resend');
    await sent(bookingId);
  });

  test('does not keep money from going back', async () => {
    await world.mail.fault('refuse', null);
    const attempt = await payForNothing(world);
    expect(await outcomeOf(attempt)).toBe('refunded');
    await triedInVain(attempt.bookingId, 1);
    const found = await failForTheLastTime(attempt.bookingId);
    await resolve(world, found, 'mark-settled');
    expect(await attemptRow(world, attempt.bookingId)).toMatchObject({ status: 'refunded' });
  });
});

test('without a mail server messages stay queued, and go out once there is one', async () => {
  const { dependencies } = world;
  const { sendMail } = dependencies;
  let rounds = 0;
  Object.defineProperty(dependencies, 'sendMail', {
    configurable: true,
    get: () => {
      rounds += 1;
      return undefined;
    },
  });
  const bookingId = await book();
  rounds = 0;
  await eventually('two rounds of the courier', async () => rounds >= 2);
  expect(await message(bookingId)).toMatchObject({ tries: 0, sent_at: null });
  Object.defineProperty(dependencies, 'sendMail', { configurable: true, writable: true, value: sendMail });
  await sent(bookingId);
  expect(await mailsTo(bookingId)).toHaveLength(1);
});
