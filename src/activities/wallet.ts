/**
 * The wallet: a way to pay whose money moves in our own transactions. Paying is part of booking (SQL `book`), giving back
 * is part of recording a refund; both move money by SQL `move_wallet_money`, once per cause.
 */
import type { Knex } from 'knex';
import { largestAmountMinor, walletMethod } from '../booking';
import type { Gateway, PaymentMethod } from '../gateways/gateway';
import { deriveId, gatewayNamed } from './dependencies';

export const wallet: PaymentMethod = {
  name: walletMethod,
  capabilities: {
    insideTransaction: true,
    minimumAmountMinor: null,
    maximumAmountMinor: largestAmountMinor,
  },
};

/** The way to pay of that name: the wallet, or a gateway. */
export function methodNamed(gateways: ReadonlyMap<string, Gateway>, name: string): PaymentMethod {
  return name === wallet.name ? wallet : gatewayNamed(gateways, name);
}

/** A refund of wallet money, as it is given back. */
interface WalletRefund {
  id: string;
  booking_id: string | null;
  amount_minor: number;
  currency: string;
}

/** Id of the entries that give a refund back: one per refund, so it is given back once. */
export function refundEntryId(refundId: string): string {
  return deriveId('entry', refundId);
}

/** Gives a refund back to the wallet it was paid from. Doing it again changes nothing. */
export async function creditRefund(trx: Knex.Transaction, refund: WalletRefund): Promise<void> {
  await trx.raw(
    `SELECT move_wallet_money(?, 'refund', a.customer_id, ?, ?, a.booking_id, NULL, NULL)
     FROM attempts AS a WHERE a.booking_id = ?`,
    [refundEntryId(refund.id), refund.currency, refund.amount_minor, refund.booking_id],
  );
}
