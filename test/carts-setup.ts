/** Carts as a customer fills them, through HTTP. */
import { publish, type Published, type Shopper } from './book-setup';
import type { Answer, Json, World } from './world';

/** What goes into a cart. */
export interface CartItem {
  offeringId: string;
  seats?: number;
  details?: unknown;
}

/** An id that no cart has. */
export const unknownCart = 'crt_zzzzzzzzzzzzzzzzzzzzzzzz';

/** Puts an offering into a cart, whatever comes of it. */
export function put(
  shopper: Shopper,
  cartId: string,
  offeringId: string,
  more: Omit<CartItem, 'offeringId'> = {},
): Promise<Answer> {
  return shopper.call('PUT', `/v1/carts/${cartId}/items/${offeringId}`, more);
}

/** Takes an offering out of a cart, whatever comes of it. */
export function takeOut(shopper: Shopper, cartId: string, offeringId: string): Promise<Answer> {
  return shopper.call('DELETE', `/v1/carts/${cartId}/items/${offeringId}`);
}

/** The cart as its owner sees it. */
export async function readCart(shopper: Shopper, cartId: string): Promise<Json> {
  return (await shopper.call('GET', `/v1/carts/${cartId}`)).body;
}

/** Begins a cart and fills it; its id. */
export async function cartOf(shopper: Shopper, items: readonly (string | CartItem)[]): Promise<string> {
  const { status, body } = await shopper.call('POST', '/v1/carts');
  if (status !== 201) throw new Error(`Beginning a cart was answered ${status}`);
  for (const item of items) {
    const { offeringId, ...more } = typeof item === 'string' ? { offeringId: item } : item;
    const answer = await put(shopper, body.id, offeringId, more);
    if (answer.status !== 200) throw new Error(`Filling a cart was answered ${JSON.stringify(answer.body)}`);
  }
  return String(body.id);
}

/** Publishes several slots, or consultations. */
export function publishAll(world: World, ...offerings: Published[]): Promise<string[]> {
  return Promise.all(offerings.map((offering) => publish(world, offering)));
}
