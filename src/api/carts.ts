/**
 * Carts: what a customer collects before paying. A cart reserves nothing; it is booked as a whole by `POST /v1/bookings`.
 * Every change locks the cart's row first, as settling does, so a cart is never changed while it is being converted, and
 * its limits hold for changes that come at once.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { Knex } from 'knex';
import { z } from 'zod';
import { makeId } from '../booking';
import type { CartItemRow, CartRow, OfferingRow } from '../database';
import type { Caller } from './auth';
import { cartId, cartItem, cartView, newCart, type CartItem, type CartView } from './cart-schemas';
import type { ApiDependencies } from './dependencies';
import { itemsMax } from './item-schemas';
import { offeringId } from './offering-schemas';
import { invalid, Problem } from './problem';
import { defineRoute, type Asked, type Route } from './route';

const idOnly = z.strictObject({ id: cartId });
const itemParams = z.strictObject({ id: cartId, offeringId });
type ItemParams = z.output<typeof itemParams>;
const tag = 'Carts';
const current = { description: 'The cart as it is now', schema: cartView };

/** What a cart shows of an item. */
type ListedItem = Pick<CartItemRow, 'offering_id' | 'seats'> &
  Pick<OfferingRow, 'title' | 'price_minor' | 'currency'>;

/** The routes of carts. */
export function cartRoutes(deps: ApiDependencies): Route[] {
  return [
    defineRoute({
      method: 'post',
      path: '/v1/carts',
      tag,
      summary: 'Begin a cart',
      description: 'Under one Idempotency-Key, one cart.',
      scopes: ['bookings'],
      idempotencyKey: 'optional',
      body: newCart,
      answers: {
        201: { description: 'Begun', schema: cartView, headers: { Location: 'The cart' } },
        200: { ...current, description: 'Begun before under the same key: the cart as it is now' },
      },
      problems: ['invalid-request', 'payload-too-large', 'unavailable'],
      handle: (asked) => begin(deps, asked),
    }),
    defineRoute({
      method: 'get',
      path: '/v1/carts/{id}',
      tag,
      summary: 'Read a cart of your own',
      scopes: ['bookings'],
      params: idOnly,
      answers: { 200: current },
      problems: ['not-found', 'unavailable'],
      handle: async ({ params, caller, response }) => {
        const cart = await ownCart(deps.reading, params.id, caller).first();
        if (cart === undefined) throw new Problem('not-found');
        response.json(show(cart, await readItems(deps.reading, cart)));
      },
    }),
    defineRoute({
      method: 'put',
      path: '/v1/carts/{id}/items/{offeringId}',
      tag,
      summary: 'Put an offering into a cart, or put it in anew',
      description:
        `Nothing is reserved, so whether seats are free is not asked. At most ${itemsMax} items, all of one ` +
        'currency. An attempt under way keeps its quote.',
      scopes: ['bookings'],
      params: itemParams,
      body: cartItem,
      answers: { 200: current },
      problems: [
        'invalid-request',
        'not-found',
        'offering-closed',
        'cart-converted',
        'payload-too-large',
        'unavailable',
      ],
      handle: (asked) => putItem(deps, asked),
    }),
    defineRoute({
      method: 'delete',
      path: '/v1/carts/{id}/items/{offeringId}',
      tag,
      summary: 'Take an offering out of a cart',
      description: 'What is not in the cart is out of it: that is no problem.',
      scopes: ['bookings'],
      params: itemParams,
      answers: { 200: current },
      problems: ['not-found', 'cart-converted', 'unavailable'],
      handle: (asked) => takeItemOut(deps, asked),
    }),
  ];
}

/** Derived from customer and key, so that a repeat finds what it made; random without a key. */
function idFor(caller: Caller, key: string | undefined): string {
  const bytes =
    key === undefined ? randomBytes(15) : createHash('sha256').update(`${caller.sub}\0${key}`).digest();
  return makeId('cart', bytes);
}

async function begin(
  { db }: ApiDependencies,
  { caller, idempotencyKey, response }: Asked<undefined, undefined, z.output<typeof newCart>>,
): Promise<void> {
  const id = idFor(caller, idempotencyKey);
  const [made] = await db<CartRow>('carts')
    .insert({ id, customer_id: caller.sub })
    .onConflict('id')
    .ignore()
    .returning('*');
  // Every body is the same here, so a key that was used before can only mean the same request.
  const cart = made ?? (await ownCart(db, id, caller).first());
  if (cart === undefined) throw new Error('Bug: a cart under the key of one customer is another’s');
  const items = made === undefined ? await readItems(db, cart) : [];
  response
    .status(made === undefined ? 200 : 201)
    .location(`/v1/carts/${id}`)
    .json(show(cart, items));
}

async function putItem(
  { db }: ApiDependencies,
  { params, body, caller, response }: Asked<ItemParams, undefined, CartItem>,
): Promise<void> {
  const view = await db.transaction(async (trx) => {
    const cart = await lockActive(trx, params.id, caller);
    const offering = await readBookable(trx, params.offeringId, body.seats);
    refuseToAdd(offering, await readItems(trx, cart));
    await trx<CartItemRow>('cart_items')
      .insert({
        cart_id: cart.id,
        offering_id: offering.id,
        seats: body.seats,
        // JSON null is something the customer said, and is not the same as nothing.
        details: body.details === undefined ? null : JSON.stringify(body.details),
      })
      .onConflict(['cart_id', 'offering_id'])
      .merge(['seats', 'details']);
    return show(cart, await readItems(trx, cart));
  });
  response.json(view);
}

async function takeItemOut(
  { db }: ApiDependencies,
  { params, caller, response }: Asked<ItemParams, undefined, undefined>,
): Promise<void> {
  const view = await db.transaction(async (trx) => {
    const cart = await lockActive(trx, params.id, caller);
    await trx<CartItemRow>('cart_items').where({ cart_id: cart.id, offering_id: params.offeringId }).del();
    return show(cart, await readItems(trx, cart));
  });
  response.json(view);
}

/** A customer's cart; another's is not there at all. */
function ownCart(db: Knex, id: string, caller: Caller) {
  return db<CartRow>('carts').where({ id, customer_id: caller.sub });
}

/**
 * Locks a cart for a change.
 * @throws Problem `not-found`; `cart-converted` when a booking was made from it
 */
async function lockActive(trx: Knex.Transaction, id: string, caller: Caller): Promise<CartRow> {
  const cart = await ownCart(trx, id, caller).forUpdate().first();
  if (cart === undefined) throw new Problem('not-found', `There is no cart ${id}.`);
  if (cart.booking_id !== null) throw new Problem('cart-converted');
  return cart;
}

/**
 * Reads an offering that can be put into a cart.
 * @throws Problem `not-found`; `invalid-request` for several of a consultation; `offering-closed`
 */
async function readBookable(trx: Knex.Transaction, id: string, seats: number): Promise<OfferingRow> {
  const offering = await trx<OfferingRow>('offerings')
    .where({ id })
    .select<(OfferingRow & { started: boolean })[]>(
      'offerings.*',
      trx.raw('coalesce(starts_at <= now(), false) AS started'),
    )
    .first();
  if (offering === undefined) throw new Problem('not-found', `There is no offering ${id}.`);
  if (offering.kind === 'consultation' && seats !== 1) {
    throw invalid('/seats', 'A consultation has no seats: ask for it once.');
  }
  if (offering.status !== 'open' || offering.started) throw new Problem('offering-closed');
  return offering;
}

/** @throws Problem `invalid-request` when the cart is full, or holds another currency */
function refuseToAdd(offering: OfferingRow, items: readonly ListedItem[]): void {
  const others = items.filter((item) => item.offering_id !== offering.id);
  if (others.length >= itemsMax) throw invalid('', `A cart holds at most ${itemsMax} items.`);
  const other = others.find((item) => item.currency !== offering.currency);
  if (other !== undefined) {
    throw invalid(
      '',
      `A cart has one currency: the offering costs ${offering.currency}, another item ${other.currency}.`,
    );
  }
}

/** What is in a cart at the prices of now; of a converted one, what was booked, whatever was edited while it was paid. */
async function readItems(db: Knex, cart: CartRow): Promise<ListedItem[]> {
  if (cart.booking_id !== null) return readBooked(db, cart.booking_id);
  return db('cart_items')
    .join('offerings', 'offerings.id', 'cart_items.offering_id')
    .where({ cart_id: cart.id })
    .orderBy(['added_at', 'offering_id'])
    .select<ListedItem[]>('offering_id', 'seats', 'title', 'price_minor', 'currency');
}

async function readBooked(db: Knex, bookingId: string): Promise<ListedItem[]> {
  const { rows } = await db.raw<{ rows: ListedItem[] }>(
    `SELECT item ->> 'offeringId' AS offering_id, (item ->> 'seats')::integer AS seats, item ->> 'title' AS title,
       (item ->> 'priceMinor')::integer AS price_minor, a.currency
     FROM attempts AS a, jsonb_array_elements(a.quote -> 'items') WITH ORDINALITY AS items (item, place)
     WHERE a.booking_id = ? ORDER BY place`,
    [bookingId],
  );
  return rows;
}

function show(cart: CartRow, items: readonly ListedItem[]): CartView {
  return {
    id: cart.id,
    ...(cart.booking_id === null
      ? { status: 'active' }
      : { status: 'converted', bookingId: cart.booking_id }),
    items: items.map((item) => ({
      offeringId: item.offering_id,
      seats: item.seats,
      title: item.title,
      price: { amountMinor: item.price_minor, currency: item.currency },
    })),
    total: totalOf(items),
  };
}

function totalOf(items: readonly ListedItem[]): CartView['total'] {
  const [currency, second] = new Set(items.map((item) => item.currency));
  if (currency === undefined || second !== undefined) return null;
  return { amountMinor: items.reduce((sum, item) => sum + item.price_minor * item.seats, 0), currency };
}
