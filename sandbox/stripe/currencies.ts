import { invalidParameter } from './refusals';

/**
 * The least amount of a charge in the currency's smallest unit, where it is not 50
 * (docs.stripe.com/currencies#minimum-and-maximum-charge-amounts).
 */
const leastAmounts: Record<string, number> = {
  aed: 200,
  bgn: 100,
  czk: 1500,
  dkk: 250,
  gbp: 30,
  hkd: 400,
  huf: 17500,
  mxn: 1000,
  myr: 200,
  nok: 300,
  pln: 200,
  ron: 200,
  sek: 300,
  thb: 1000,
};

/** Currencies without a smaller unit (docs.stripe.com/currencies#zero-decimal). */
const wholeUnits = new Set('bif clp djf gnf jpy kmf krw mga pyg rwf ugx vnd vuv xaf xof xpf'.split(' '));

const known = new Set(Intl.supportedValuesOf('currency').map((code) => code.toLowerCase()));

/** Eight digits, whatever the currency (docs.stripe.com/api/payment_intents/create). */
const mostAmount = 99_999_999;

/** An amount as Stripe's messages write it. */
export const written = (amount: number, currency: string): string => {
  const number = wholeUnits.has(currency) ? String(amount) : (amount / 100).toFixed(2);
  return currency === 'usd' ? `$${number}` : `${number} ${currency.toUpperCase()}`;
};

/** The currency in lower case; 400 when it is not a three-letter code in use. */
export const parseCurrency = (value: string): string => {
  const currency = value.toLowerCase();
  if (!known.has(currency)) throw invalidParameter(`Invalid currency: ${value}.`, 'currency');
  return currency;
};

/** 400 unless an amount can be charged in this currency. */
export const checkChargeable = (amount: number, currency: string): void => {
  const least = leastAmounts[currency] ?? 50;
  if (amount < least)
    throw invalidParameter(
      `Amount must be at least ${written(least, currency)}`,
      'amount',
      'amount_too_small',
    );
  if (amount > mostAmount)
    throw invalidParameter(
      `Amount must be no more than ${written(mostAmount, currency)}`,
      'amount',
      'amount_too_large',
    );
};
