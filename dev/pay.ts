/**
 * `npm run pay -- <bookingId> [card]`: pays an open attempt of the running demo as its customer would, or is declined.
 * Cards: visa (default), declined, insufficient, authentication; `abandon` does nothing but say when the window ends.
 */
import { isOpen } from '../src/booking';
import { callApi, Customer, type Booking } from './customer';
import { cards, type Card } from './pay-pages';
import { readStackState } from './state-file';

const told = {
  paid: 'Paid at the gateway.',
  declined: 'The gateway declined the payment.',
  'needs the customer': 'The bank is not done with it: nothing is paid yet.',
} as const;

function isCard(text: string): text is Card {
  return Object.hasOwn(cards, text);
}

async function main(): Promise<void> {
  const [bookingId, card = 'visa'] = process.argv.slice(2);
  if (bookingId === undefined || (card !== 'abandon' && !isCard(card))) {
    throw new Error(`Usage: npm run pay -- <bookingId> [${Object.keys(cards).join('|')}|abandon]`);
  }
  const state = readStackState();
  if (state === undefined) throw new Error('No demo is running here. Start one with `npm run demo`.');
  const place = { api: state.urls.api, env: state.env };
  const read = () =>
    callApi<Booking>(
      place,
      { sub: 'operator', scope: 'ops' },
      {
        method: 'GET',
        path: `/v1/bookings/${bookingId}`,
        expected: [200],
      },
    );
  const booking = await read();
  if (card === 'abandon') {
    process.stdout.write(
      `Left alone. The payment window ends at ${booking.expiresAt ?? 'a time not known yet'}.\n`,
    );
    return;
  }
  if (booking.status === 'confirmed') {
    throw new Error(`${bookingId} is confirmed already: nothing is left to pay.`);
  }
  // The other gateways cannot close what they opened, and may take the money.
  if (booking.payment.method === 'stripe' && !isOpen(booking.status)) {
    throw new Error(`${bookingId} is ${booking.status}: its payment is closed at Stripe. Start again.`);
  }
  const paid = await new Customer(place, 'You').pay(booking, card);
  process.stdout.write(`${told[paid]}\n`);
  // The webhook, the workflow and the settlement take well under a second.
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const now = await read();
  process.stdout.write(
    `${now.id} is ${now.status}${now.reference === undefined ? '' : `, ${now.reference}`}\n`,
  );
}

main().catch((error: unknown) => {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
});
