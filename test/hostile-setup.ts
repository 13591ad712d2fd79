/** Money that must balance by the definition that operators see, in a world of several gateways. */
import { readBalances } from '../src/api/money';
import type { World } from './world';

/** No currency has an imbalance. */
export async function expectBalance(world: World): Promise<void> {
  expect((await readBalances(world.db)).filter((one) => one.imbalance_minor !== 0)).toEqual([]);
}
