/** What requests name: offerings, bookings, carts and the rest in every state, made when first named, by HTTP where it can. */
import { randomBytes } from 'node:crypto';
import { makeId, type IdKind } from '../src/booking';
import { pay, publish, Shopper, type Published } from './book-setup';
import type { Json, World } from './world';

export interface Things {
  /** What a name stands for, such as `off:open`; made where there is none yet. */
  find(name: string): Promise<string>;
  /** These were changed by a request: whoever names them next gets others. */
  forget(names: readonly string[]): void;
}

/** @param changed called when something was made */
export function makeThings(world: World, changed: () => void): Things {
  const found = new Map<string, string>();
  const [ada, bob] = [new Shopper(world, 'ada'), new Shopper(world, 'bob')];
  const newId = (kind: IdKind) => makeId(kind, randomBytes(15));

  async function by(sub: string, scope: string, method: string, path: string, body?: unknown): Promise<Json> {
    const token = await world.token(sub, scope);
    const answer = await world.call(method, path, {
      token,
      key: newId('entry'),
      ...(body === undefined ? {} : { body }),
    });
    if (answer.status >= 400)
      throw new Error(`${method} ${path} was answered ${JSON.stringify(answer.body)}`);
    return answer.body;
  }
  const offering = (more: Published = {}) => publish(world, { capacity: 20, ...more }, 'doctor');

  /** Confirmed at once: wallets are filled first. */
  async function fromWallet(shopper: Shopper, wanted: Parameters<Shopper['start']>[0]): Promise<Json> {
    await by('olga', 'ops', 'POST', `/v1/wallets/${shopper.sub}/credits`, {
      amountMinor: 100_000,
      currency: 'EUR',
    });
    return shopper.start(wanted, undefined, 'wallet');
  }

  async function cart(filled: boolean, owner = 'ada'): Promise<string> {
    const { id } = await by(owner, 'bookings', 'POST', '/v1/carts');
    if (filled) await by(owner, 'bookings', 'PUT', `/v1/carts/${id}/items/${await offering()}`, { seats: 2 });
    return id;
  }

  /** A case that nothing else hangs on. */
  async function caseOf(more: Json): Promise<string> {
    const id = newId('case');
    await world
      .db('cases')
      .insert({ id, workflow_id: `case/${id}`, kind: 'message-failed', detail: 'x', ...more });
    return id;
  }

  async function endpoint(): Promise<string> {
    // The API takes twenty of them.
    await world
      .db('webhook_endpoints')
      .whereNotIn('id', [...found.values()])
      .del();
    return (await by('olga', 'ops', 'POST', '/v1/webhook-endpoints', { url: 'https://hooks.example/' })).id;
  }

  const makers: Readonly<Record<string, () => Promise<string>>> = {
    'off:open': () => offering(),
    'off:consultation': () => publish(world, { kind: 'consultation' }, 'doctor'),
    'off:free': () => offering({ price: { amountMinor: 0, currency: 'EUR' } }),
    'off:closed': async () => {
      const id = await offering();
      await by('doctor', 'catalog', 'PATCH', `/v1/offerings/${id}`, { status: 'closed' });
      return id;
    },
    'off:canceled': async () => {
      const id = await offering();
      await by('doctor', 'catalog', 'POST', `/v1/offerings/${id}/cancel`);
      return id;
    },
    'off:full': async () => {
      const id = await offering({ capacity: 1 });
      await fromWallet(bob, id);
      return id;
    },
    'off:foreign': () => publish(world, { capacity: 20 }, 'nurse'),
    'off:unknown': async () => newId('offering'),
    'bkg:awaiting': async () => (await ada.start(await offering())).id,
    'bkg:declined': async () => {
      const booking = await ada.start(await offering());
      await pay(world, booking, 'pm_card_chargeDeclined');
      await ada.until(booking.id, ({ retryable }) => retryable === true);
      return booking.id;
    },
    'bkg:confirmed': async () => (await fromWallet(ada, await offering())).id,
    'bkg:canceled': async () => {
      const { id } = await ada.start(await offering());
      await ada.cancel(id);
      return id;
    },
    'bkg:refused': async () => {
      const key = newId('entry');
      await ada.book(newId('offering'), key);
      return ada.bookingId(key);
    },
    'bkg:foreign': async () => (await bob.start(await offering())).id,
    'bkg:unknown': async () => newId('booking'),
    'crt:filled': () => cart(true),
    'crt:empty': () => cart(false),
    'crt:converted': async () => {
      const cartId = await cart(true);
      await fromWallet(ada, { cartId });
      return cartId;
    },
    'crt:foreign': () => cart(true, 'bob'),
    'crt:unknown': async () => newId('cart'),
    'cas:open': () => caseOf({}),
    'cas:resolved': () =>
      caseOf({ resolved_at: new Date(), resolved_by: 'olga', resolution: 'mark-settled', note: 'x' }),
    'cas:unknown': async () => newId('case'),
    'whe:enabled': () => endpoint(),
    'whe:disabled': async () => {
      const id = await endpoint();
      await world
        .db('webhook_endpoints')
        .where({ id })
        .update({ status: 'disabled', disabled_because: 'gone' });
      return id;
    },
    'whe:unknown': async () => newId('webhookEndpoint'),
    'whd:delivered': async () => {
      const id = newId('webhookDelivery');
      await world.db('webhook_deliveries').insert({
        id,
        endpoint_id: await find('whe:enabled'),
        type: 'booking.expired',
        subject: id,
        data: JSON.stringify({ bookingId: id }),
        status: 'delivered',
        next_try_at: null,
      });
      return id;
    },
    'whd:unknown': async () => newId('webhookDelivery'),
    ticket: async () => {
      const { body } = await ada.read(await find('bkg:awaiting'));
      return String(body.links.events).replace(/^.*ticket=/, '');
    },
    gatewayRef: async () => (await ada.read(await find('bkg:confirmed'))).body.payment.gatewayRef,
    reference: async () => (await ada.read(await find('bkg:confirmed'))).body.reference,
    cursor: async () =>
      Buffer.from(JSON.stringify([Date.now() * 1000, newId('offering')])).toString('base64url'),
  };

  async function find(name: string): Promise<string> {
    const known = found.get(name);
    if (known !== undefined) return known;
    const make = makers[name];
    if (make === undefined) throw new Error(`Nothing is called ${name}`);
    const made = await make();
    changed();
    found.set(name, made);
    return made;
  }

  return {
    find,
    forget: (names) => {
      for (const name of names) found.delete(name);
      // What hangs on another thing goes with it.
      if (names.includes('whe:enabled')) found.delete('whd:delivered');
      if (names.includes('bkg:awaiting')) found.delete('ticket');
    },
  };
}
