/** Wallets: customers' balances with us. Paying from them and giving back to them is the activities' work. */
import { createHash } from 'node:crypto';
import type { Knex } from 'knex';
import { makeId } from '../booking';
import type { WalletEntryRow } from '../database';
import type { Caller } from './auth';
import type { ApiDependencies } from './dependencies';
import { hashOf } from './marks';
import { cutPage, instantOfMicros, microsOf, readCursor } from './pages';
import { Problem } from './problem';
import { defineRoute, type Asked, type Route } from './route';
import {
  entryView,
  newCredit,
  walletParams,
  walletQuery,
  walletView,
  type EntryView,
  type NewCredit,
  type WalletParams,
  type WalletQuery,
  type WalletView,
} from './wallet-schemas';

const tag = 'Wallets';

interface ListedEntry extends WalletEntryRow {
  at_micros: number;
}

/** A credit that an operator asked for. */
interface Credit {
  id: string;
  customerId: string;
  /** The operator's subject. */
  madeBy: string;
  requestHash: string;
  body: NewCredit;
}

/** The routes of wallets. */
export function walletRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'get',
      path: '/v1/wallet',
      tag,
      summary: 'Read your wallet: its balances, and its entries, newest first',
      scopes: ['bookings'],
      query: walletQuery,
      answers: { 200: { description: 'The wallet, with a page of its entries', schema: walletView } },
      problems: ['invalid-request', 'unavailable'],
      handle: async ({ query, caller, response }) => {
        response.json(await readWallet(deps, caller, query));
      },
    }),
    defineRoute({
      method: 'post',
      path: '/v1/wallets/{customerId}/credits',
      tag,
      summary: 'Put money into a customer’s wallet',
      description: 'Under one Idempotency-Key of one operator, one credit to this customer.',
      scopes: ['ops'],
      idempotencyKey: 'required',
      params: walletParams,
      body: newCredit,
      answers: {
        201: { description: 'Credited', schema: entryView },
        200: { description: 'Credited before, under the same key and with the same body', schema: entryView },
      },
      problems: [
        'invalid-request',
        'idempotency-key-missing',
        'not-found',
        'payload-too-large',
        'idempotency-key-reused',
        'unavailable',
      ],
      handle: (asked) => credit(deps, asked),
    }),
  ];
}

/** Balances and entries are read as of one instant: who adds them up finds that they agree. */
async function readWallet(
  { reading }: ApiDependencies,
  { sub }: Caller,
  { limit, cursor }: WalletQuery,
): Promise<WalletView> {
  const after = readCursor(cursor);
  return reading.transaction(
    async (trx) => {
      const balances = await trx('wallets')
        .where({ customer_id: sub })
        .orderBy('currency')
        .select<WalletView['balances']>({ amountMinor: 'balance_minor', currency: 'currency' });
      const rows = selectEntries(trx)
        .where({ customer_id: sub })
        .orderByRaw('at DESC, id')
        .limit(limit + 1);
      if (after !== undefined) {
        void rows.whereRaw(`at <= ${instantOfMicros}`, [after.micros]);
        void rows.whereRaw(`(at < ${instantOfMicros} OR id > ?)`, [after.micros, after.id]);
      }
      const entries = cutPage(await rows, limit, (row) => ({ micros: row.at_micros, id: row.id }), show);
      return { balances, entries };
    },
    { isolationLevel: 'repeatable read', readOnly: true },
  );
}

/** The customers' side of the books; ours has the same ids. */
function selectEntries(db: Knex) {
  return db<WalletEntryRow>('wallet_entries')
    .where({ account: 'customer' })
    .select<ListedEntry[]>('wallet_entries.*', db.raw(`${microsOf('at')} AS at_micros`));
}

async function credit(
  deps: ApiDependencies,
  { params, body, caller, idempotencyKey, requestId, response }: Asked<WalletParams, undefined, NewCredit>,
): Promise<void> {
  const { customerId } = params;
  const cause = `${caller.sub}\0${customerId}\0${idempotencyKey ?? ''}`;
  const id = makeId('entry', createHash('sha256').update(cause).digest());
  const { entry, newly } = await creditOnce(deps, {
    id,
    customerId,
    madeBy: caller.sub,
    requestHash: hashOf(body),
    body,
  });
  if (newly) deps.log.info({ event: 'wallet.credited', entryId: id, requestId });
  response.status(newly ? 201 : 200).json(show(entry));
}

/**
 * Credits once per id. The same key at the same time waits for its first use, also where the bodies name different
 * currencies and so different wallets; a repeat writes nothing.
 * @throws Problem `idempotency-key-reused` when the key was used with another body
 */
async function creditOnce(
  { db }: ApiDependencies,
  { id, customerId, madeBy, requestHash, body }: Credit,
): Promise<{ entry: WalletEntryRow; newly: boolean }> {
  return db.transaction(async (trx) => {
    await trx.raw('SELECT pg_advisory_xact_lock(hashtextextended(?, 0))', [id]);
    const before = await selectEntries(trx).where({ id }).first();
    if (before !== undefined) {
      if (before.request_hash !== requestHash) throw new Problem('idempotency-key-reused');
      return { entry: before, newly: false };
    }
    await trx.raw(`SELECT move_wallet_money(?, 'credit', ?, ?, ?, NULL, ?, ?, ?)`, [
      id,
      customerId,
      body.currency,
      body.amountMinor,
      body.note ?? null,
      requestHash,
      madeBy,
    ]);
    const entry = await selectEntries(trx).where({ id }).first();
    if (entry === undefined) throw new Error(`Bug: ${id} was credited and is not there`);
    return { entry, newly: true };
  });
}

function show(row: WalletEntryRow): EntryView {
  return {
    id: row.id,
    amountMinor: row.amount_minor,
    currency: row.currency,
    kind: row.kind,
    ...(row.booking_id === null ? {} : { bookingId: row.booking_id }),
    at: row.at.toISOString(),
  };
}
