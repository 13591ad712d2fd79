/**
 * Razorpay's API by `fetch`: the official package (2.9.8) has a fixed base address and no time-out, drops the refund key and
 * turns a lost answer into a TypeError. Facts: razorpay.com/docs/api, …/api/orders/create, …/api/payments/entity,
 * …/api/refunds/normal-refunds-idempotent, …/api/disputes/entity (read 2026-11).
 */
import { z } from 'zod';
import type { RazorpaySettings } from '../config';
import type { Refused, Unknown } from './gateway';
import { callJson, type Answer } from './json-call';

/** Most items on a page: …/api/payments/fetch-all-payments. */
export const pageLimit = 100;

/** Ours, on whatever we make. Razorpay writes empty notes as an empty list. */
const notes = z.record(z.string(), z.coerce.string()).catch({});

export const orderShape = z.object({ id: z.string(), receipt: z.string().nullish(), notes });
export type Order = z.output<typeof orderShape>;

export const paymentShape = z.object({
  id: z.string(),
  amount: z.int(),
  currency: z.string(),
  status: z.string(),
  order_id: z.string().nullish(),
  /** Stays true after refunds. False on a payment that Razorpay itself gave back, although its status is `refunded`. */
  captured: z.boolean().nullish(),
  notes,
  error_code: z.string().nullish(),
  error_reason: z.string().nullish(),
  error_description: z.string().nullish(),
  /** Seconds since 1970. */
  created_at: z.int(),
});
export type Payment = z.output<typeof paymentShape>;

export const refundShape = z.object({
  id: z.string(),
  payment_id: z.string(),
  amount: z.int(),
  currency: z.string(),
  status: z.string().nullish(),
  notes,
  created_at: z.int(),
});
export type Refund = z.output<typeof refundShape>;

export const disputeShape = z.object({
  id: z.string(),
  payment_id: z.string(),
  amount: z.int(),
  amount_deducted: z.int().nullish(),
  currency: z.string(),
  reason_code: z.string().nullish(),
  status: z.string(),
  phase: z.string().nullish(),
  created_at: z.int().nullish(),
});
export type Dispute = z.output<typeof disputeShape>;

const errorShape = z.object({
  error: z.object({
    code: z.string(),
    description: z.string().nullish(),
    field: z.string().nullish(),
  }),
});

/** A call's outcome. `conflict` is a refund key that is in use, or was used for another body. */
export type Outcome<Result> =
  | { status: 'ok'; result: Result }
  | { status: 'missing'; reason: string }
  | { status: 'conflict'; reason: string }
  | Refused
  | Unknown;

export type RazorpayApi = ReturnType<typeof razorpayApi>;

/** Makes the client of one account. */
export function razorpayApi(settings: RazorpaySettings) {
  const authorization = `Basic ${Buffer.from(`${settings.keyId}:${settings.keySecret}`).toString('base64')}`;
  const url = (path: string): string => `${settings.apiBase}/v1${path}`;

  async function get<Result>(path: string, shape: z.ZodType<Result>): Promise<Outcome<Result>> {
    return outcome(await callJson({ url: url(path), headers: { authorization } }, shape));
  }

  async function post<Result>(
    path: string,
    body: object,
    shape: z.ZodType<Result>,
    headers: Record<string, string> = {},
  ): Promise<Outcome<Result>> {
    return outcome(await callJson({ url: url(path), headers: { authorization, ...headers }, body }, shape));
  }

  /** One page of a list; newest first, as Razorpay's lists are. */
  async function page<Item>(
    path: string,
    item: z.ZodType<Item>,
    query: Record<string, string>,
  ): Promise<Outcome<Item[]>> {
    const found = await get(
      `${path}?${new URLSearchParams(query).toString()}`,
      z.object({ items: z.array(item) }),
    );
    return found.status === 'ok' ? { status: 'ok', result: found.result.items } : found;
  }

  /** All pages of a list. What comes to be meanwhile moves items on to the next page, so some are met twice. */
  async function every<Item extends { id: string }>(
    path: string,
    item: z.ZodType<Item>,
    query: Record<string, string> = {},
  ): Promise<Outcome<Item[]>> {
    const found = new Map<string, Item>();
    for (let skip = 0; ; skip += pageLimit) {
      const items = await page(path, item, { ...query, count: String(pageLimit), skip: String(skip) });
      if (items.status !== 'ok') return items;
      const before = found.size;
      for (const one of items.result) found.set(one.id, one);
      // A list that does not know `skip` would never end otherwise.
      if (items.result.length < pageLimit || found.size === before) {
        return { status: 'ok', result: [...found.values()] };
      }
    }
  }

  return { get, post, page, every };
}

/** An id as part of a path. */
export function at(id: string): string {
  return encodeURIComponent(id);
}

function outcome<Result>(answer: Answer<Result>): Outcome<Result> {
  if (answer.status !== 'rejected') return answer;
  const { httpStatus } = answer;
  const read = errorShape.safeParse(answer.error);
  // Not Razorpay's own words: something on the way, or a wrong base address.
  if (!read.success) return { status: 'unknown', reason: `HTTP ${httpStatus}` };
  const { code, description, field } = read.data.error;
  const told = description ?? '';
  // Wrong credentials are mended by an operator while we wait. They come as 401, and on some pages as 400.
  if (
    httpStatus === 401 ||
    httpStatus === 403 ||
    httpStatus === 404 ||
    /authentication failed|\bapi\b.*\binvalid\b/i.test(told)
  ) {
    return { status: 'unknown', reason: `HTTP ${httpStatus}, not authorized` };
  }
  const reason = [code, field, told.slice(0, reasonLength)].filter(Boolean).join(': ');
  if (httpStatus === 409) return { status: 'conflict', reason };
  // Unknown ids are answered 400, by these words alone.
  if (/does not exist|is not a valid id/i.test(told)) return { status: 'missing', reason };
  return { status: 'refused', replayed: false, reason };
}

/** Characters of Razorpay's sentence that are kept; its longest known is half of this. */
const reasonLength = 200;
