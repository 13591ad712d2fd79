/** Mails in English. Times are told in the slot's own zone. */
import type { Money, QuotedItem } from '../../booking';
import type { MailFacts, Texts } from './mail';

/** When it is, as words to put behind the title; nothing for what has no time. */
function when(item: QuotedItem): string {
  if (item.startsAt === undefined) return '';
  const format = new Intl.DateTimeFormat('en-GB', {
    dateStyle: 'full',
    timeStyle: 'short',
    timeZone: item.timeZone,
  });
  return `, ${format.format(new Date(item.startsAt))} (${item.timeZone ?? 'UTC'})`;
}

function price(money: Money): string {
  const format = new Intl.NumberFormat('en', { style: 'currency', currency: money.currency });
  const digits = format.resolvedOptions().maximumFractionDigits ?? 2;
  return format.format(money.amountMinor / 10 ** digits);
}

function lines(facts: MailFacts): string {
  return facts.items
    .map((item) => `- ${item.title}${when(item)}${item.seats > 1 ? `, ${item.seats} seats` : ''}`)
    .join('\n');
}

const reasons: Readonly<Record<string, string>> = {
  'slot-unavailable': 'someone else’s payment for the last seats arrived before yours',
  'offering-closed': 'the offering was closed or had started when your payment arrived',
  'cart-converted': 'the cart had been booked already',
  'seats-per-customer': 'you have as many seats there as one customer may have',
  'amount-mismatch': 'the amount that arrived was not the amount we quoted',
  'canceled-by-customer': 'you canceled the booking',
  'canceled-by-provider': 'the provider called it off',
  'late-payment': 'your payment arrived after the attempt had ended',
  'second-payment': 'you had paid for this booking already',
};

function paid(facts: MailFacts): string {
  return facts.total.amountMinor === 0 ? '' : `your payment of ${price(facts.total)} arrived, and `;
}

function comesBack(facts: MailFacts): string {
  if (facts.reason === null) return 'Nothing is to be given back.';
  return facts.toWallet
    ? `${price(facts.total)} go back to your wallet.`
    : `${price(facts.total)} are on their way back to you. You will hear from us when they are sent.`;
}

function isBack(facts: MailFacts): string {
  return facts.toWallet
    ? 'It is in your wallet now.'
    : 'Depending on your bank it can take some days until you see it.';
}

function because(facts: MailFacts): string {
  return (facts.reason !== null && reasons[facts.reason]) || 'it did not buy a booking';
}

export const english: Texts = {
  'provider-booked': (facts) => ({
    subject: `New booking ${facts.reference ?? ''}`,
    text: `Hello ${facts.name},\n\n${facts.customer} has booked:\n\n${lines(facts)}\n\nReference: ${facts.reference ?? ''}\n\nWhat they wrote is in the booking itself, not in this mail.\n`,
  }),
  'booking-canceled': (facts) => ({
    subject: `Your booking ${facts.reference ?? ''} is canceled`,
    text: `Hello ${facts.name},\n\nyour booking ${facts.reference ?? ''} is canceled${facts.reason === 'canceled-by-provider' ? ' by the provider' : ''}:\n\n${lines(facts)}\n\n${comesBack(facts)}\n`,
  }),
  'provider-canceled': (facts) => ({
    subject: `Booking ${facts.reference ?? ''} is canceled`,
    text: `Hello ${facts.name},\n\nthe booking ${facts.reference ?? ''} of ${facts.customer} is canceled, and its seats are free again:\n\n${lines(facts)}\n`,
  }),
  'booking-confirmed': (facts) => ({
    subject: `Your booking ${facts.reference ?? ''} is confirmed`,
    text: `Hello ${facts.name},\n\n${paid(facts)}your booking stands:\n\n${lines(facts)}\n\nReference: ${facts.reference ?? ''}\n`,
  }),
  'payment-refunded': (facts) => ({
    subject: `Your payment of ${price(facts.total)} has been given back`,
    text: `Hello ${facts.name},\n\nwe gave you ${price(facts.total)} back, because ${because(facts)}. ${isBack(facts)}\n\nIt was for:\n\n${lines(facts)}\n\nIf you write to us, quote ${facts.bookingId}.\n`,
  }),
  'refund-failed': (facts) => ({
    subject: `Giving back your payment of ${price(facts.total)} takes longer`,
    text: `Hello ${facts.name},\n\nwe owe you ${price(facts.total)}, because ${because(facts)}. Your bank did not accept the refund at the first go. A person is looking after it now; you need not do anything.\n\nIf you write to us, quote ${facts.bookingId}.\n`,
  }),
};
