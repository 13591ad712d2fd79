/** Wallets as operators fill them and customers read them, through HTTP. */
import { randomBytes } from 'node:crypto';
import type { Shopper } from './book-setup';
import type { Answer, Json, World } from './world';

/** An operator's credit, whatever comes of it. */
export async function credit(
  world: World,
  shopper: Shopper,
  amountMinor: number,
  more: { currency?: string; key?: string } = {},
): Promise<Answer> {
  const { currency = 'EUR', key = randomBytes(9).toString('hex') } = more;
  return world.call('POST', `/v1/wallets/${shopper.sub}/credits`, {
    token: await world.token('olga', 'ops'),
    body: { amountMinor, currency },
    key,
  });
}

/** The wallet as its owner sees it. */
export async function walletOf(shopper: Shopper): Promise<Json> {
  return (await shopper.call('GET', '/v1/wallet')).body;
}

/** What is left in one currency. */
export async function balanceOf(shopper: Shopper, currency = 'EUR'): Promise<number> {
  const { balances } = await walletOf(shopper);
  return (balances as Json[]).find((one) => one.currency === currency)?.amountMinor ?? 0;
}

/** Movements of a wallet, newest first, as kind and amount. */
export async function movementsOf(shopper: Shopper): Promise<string[]> {
  const { entries } = await walletOf(shopper);
  return (entries.items as Json[]).map(({ kind, amountMinor }) => `${kind} ${amountMinor}`);
}
