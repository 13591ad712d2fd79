/**
 * What Payfirst asks of a payment gateway. The story knows only this interface and its capabilities; a gateway's name,
 * wire format and quirks stay in its own file. Facts and their sources are in each adapter.
 */
import type { Money, RefundStatus } from '../booking';

/**
 * How long one call to a gateway may take with its answer, in ms. Below the 5 s of a local activity, so that a slow answer
 * becomes an honest `unknown` and not a time-out that nobody can tell from a crash.
 */
export const callTimeoutMs = 4_000;

/** One payment object to be opened for an attempt. */
export interface TryToOpen {
  bookingId: string;
  /** Number of the payment object within the attempt, from 1. */
  try: number;
  /** Rises after a definite refusal that the gateway would replay for its key; part of the outbound key. */
  keyNumber: number;
  total: Money;
  /** How long the customer has to pay, in seconds, for gateways whose objects expire by themselves. */
  payWithinSeconds: number;
  /** Where the customer's browser goes after paying; names the booking already. */
  returnUrl?: string;
}

/** A payment object that exists at the gateway, and what the customer's browser needs to pay it. */
export interface OpenedTry {
  status: 'opened';
  /** The gateway's id of the object. */
  ref: string;
  howToPay: HowToPay;
}

/** Handed to the customer as it is. Secret: kept in `payment_tries`, never in Temporal or a log. */
export interface HowToPay {
  clientSecret?: string;
  checkoutUrl?: string;
  parameters?: Record<string, string>;
}

/** The gateway refused the call and would refuse the same call again. */
export interface Refused {
  status: 'refused';
  /** Whether the gateway keeps this answer for the key, so that only the next key number can succeed. */
  replayed: boolean;
  /** For the log and the operator; never shown to customers, never with card data. */
  reason: string;
}

/** No usable answer: a time-out, a broken connection, a 5xx, a rate limit. The deed may be done. Never a decline. */
export interface Unknown {
  status: 'unknown';
  reason: string;
  /** How long the gateway asked us to wait. */
  retryAfterMs?: number;
}

/** Money that a payment object brought in. */
export interface Charge {
  /** The gateway's id of the captured charge. */
  chargeRef: string;
  total: Money;
}

/** What the gateway says of a payment object now. */
export type PaymentState =
  | { status: 'unpaid' }
  | { status: 'processing' }
  | ({
      status: 'paid';
      /** Where one object takes several payments: those captured after the first. */
      others?: Charge[];
    } & Charge)
  | {
      status: 'failed';
      /** Whether the same object can be paid all the same, by another card or another go. */
      payable: boolean;
      /** Names this one decline, so that a later look at the same object can tell an old decline from a new one. */
      failureRef: string;
      code?: string;
      detail: string;
    }
  | { status: 'expired' }
  | { status: 'missing' }
  | Unknown;

/**
 * What became of the wish to close a payment object. `open`: this gateway cannot close it, so money may still come for
 * `lateForSeconds`.
 */
export type CloseState =
  { status: 'closed' } | { status: 'paid' } | { status: 'processing' } | { status: 'open' } | Unknown;

/** What the gateway says of a refund. */
export type RefundState =
  | {
      status: Exclude<RefundStatus, 'unsent'>;
      /** The gateway's id of the refund. */
      refundRef: string;
      /** The gateway's reason for a failure. */
      code?: string;
    }
  | { status: 'missing' }
  | Refused
  | Unknown;

/** One refund to be sent or read. `go` rises when an operator retries a refund that failed for good. */
export interface RefundToSend {
  refundId: string;
  bookingId: string | null;
  go: number;
  keyNumber: number;
  /** The payment object the money came in by. */
  ref: string;
  /** The gateway's id of the charge that brought it. */
  chargeRef: string;
  amountMinor: number;
  /** The gateway's id of the refund, where an earlier answer gave it. */
  refundRef: string | null;
}

/** Headers of a webhook, by lower-case name. */
export type WebhookHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What a webhook says, once its signature is checked. It carries no truth, only where to look. */
export interface Heard {
  eventId: string;
  type: string;
  /** The payment object concerned; null when the event concerns none. */
  ref: string | null;
  /** Ours, from the object's metadata; null when the object carries none. */
  bookingId: string | null;
  /** Whether this kind of event is worth a look at the gateway. */
  rings: boolean;
  /** Whether it is about money that others took back: a refund not made by us, or a dispute. */
  reversal: boolean;
}

/** A refund as the gateway has it, whoever made it. */
export interface RefundSeen {
  /** The gateway's id of the refund. */
  refundRef: string;
  /** The charge it is of; missing where a payment object takes but one. */
  chargeRef?: string;
  /** Ours, from its metadata; null when somebody made it without us. One that was retried after a failure is seen once for each go. */
  refundId: string | null;
  amountMinor: number;
  status: Exclude<RefundStatus, 'unsent'>;
  /** The gateway's reason for a failure. */
  code?: string;
}

/** A payment that the payer took back through the bank. Only those that move money: an inquiry before one is none. */
export interface DisputeSeen {
  /** The gateway's id of the dispute. */
  disputeRef: string;
  /** The charge it is of; missing where a payment object takes but one. */
  chargeRef?: string;
  /** `open`: the money is withdrawn until the bank decides. `won`: it came back. `lost`: it is gone. */
  status: 'open' | 'won' | 'lost';
  /** May differ from the payment's amount, where only a part is disputed or currencies moved. */
  amountMinor: number;
  currency: string;
  /** The gateway's word for the payer's reason. */
  reason: string;
}

/** Everything that took money back from one payment object, at the gateway. */
export interface Reversals {
  status: 'known';
  refunds: RefundSeen[];
  disputes: DisputeSeen[];
}

/** A captured payment in a list of the gateway's. */
export interface PaymentListed {
  /** The payment object; the charge itself where another shop took money without one. */
  ref: string;
  chargeRef: string;
  total: Money;
  /** Whatever stands in the metadata under our name for it, so perhaps another shop's; null when nothing does. */
  bookingId: string | null;
  capturedAt: Date;
}

/** A refund in a list of the gateway's. */
export interface RefundListed extends RefundSeen {
  /** The payment object the money came in by, as in `PaymentListed`. */
  ref: string;
  currency: string;
  createdAt: Date;
}

/** A dispute in a list of the gateway's. */
export interface DisputeListed extends DisputeSeen {
  /** The payment object the money came in by, as in `PaymentListed`. */
  ref: string;
}

/** One page of what the gateway took and gave back; any list may be empty on any page. */
export interface ListedPage {
  status: 'known';
  payments: PaymentListed[];
  refunds: RefundListed[];
  /** Missing where the gateway lists none, or none on this page. */
  disputes?: DisputeListed[];
  /** To be handed in for the next page; missing on the last one. */
  next?: string;
}

/** What is true of any way to pay. */
export interface PaymentCapabilities {
  /**
   * Whether its money moves in our own transactions: then `open` settles at once, and nothing is ever read, closed,
   * looked at or refunded outside.
   */
  insideTransaction: boolean;
  /** Smallest amount it takes, by upper-case currency. A currency that is missing is not taken; null: every one is, from 1. */
  minimumAmountMinor: Readonly<Record<string, number>> | null;
  /** Largest amount it takes, in any currency. */
  maximumAmountMinor: number;
}

/** A way to pay that the story knows: a gateway, or the wallet. */
export interface PaymentMethod {
  readonly name: string;
  readonly capabilities: PaymentCapabilities;
}

/** Why a total cannot be paid this way, in a sentence for the API client; undefined when it can. */
export function whyNotTaken(method: PaymentMethod, total: Money): string | undefined {
  const { minimumAmountMinor, maximumAmountMinor } = method.capabilities;
  const minimum = minimumAmountMinor === null ? 1 : minimumAmountMinor[total.currency];
  if (minimum === undefined) return `${method.name} does not take ${total.currency} here.`;
  if (total.amountMinor >= minimum && total.amountMinor <= maximumAmountMinor) return undefined;
  return `${method.name} takes ${minimum} to ${maximumAmountMinor} ${total.currency} (smallest unit), not ${total.amountMinor}.`;
}

export interface Capabilities extends PaymentCapabilities {
  insideTransaction: false;
  /** Whether `close` can make an unpaid object unpayable. */
  closes: boolean;
  /** Whether a webhook's signature covers its body. Where it does not, nothing in the body may be believed, not even the id of the event. */
  signedBody: boolean;
  /** How long after the attempt is over money may still come in by an object that could not be closed, in seconds. */
  lateForSeconds: number;
  /** Seconds after opening at which the payment watch looks; after the last one, the last gap repeats. */
  lookSchedule: readonly number[];
  /** Most looks a second for the whole account. */
  looksPerSecond: number;
  /** Whether `list` is there. */
  lists: boolean;
}

export interface Gateway extends PaymentMethod {
  readonly capabilities: Capabilities;
  /** Creates the payment object, or finds the one that the same try and key number made before. */
  open(tryToOpen: TryToOpen): Promise<OpenedTry | Refused | Unknown>;
  /**
   * Reads a payment object. `bookingId` is ours, as the object bears it: null when it bears none, missing where this answer
   * does not tell.
   */
  read(ref: string): Promise<PaymentState & { bookingId?: string | null }>;
  /** Makes the object unpayable. Content with one that is closed already. */
  close(ref: string): Promise<CloseState>;
  /** Sends the refund, or finds the one that the same refund and go made before. */
  refund(refund: RefundToSend): Promise<RefundState>;
  /** Reads the refund of this go; `missing`: none was made. */
  readRefund(refund: RefundToSend): Promise<RefundState>;
  /** Reads what took money back from a payment object, ours or not. `missing`: the gateway knows no such object. */
  reversals(ref: string): Promise<Reversals | { status: 'missing' } | Unknown>;
  /**
   * Lists captured payments, refunds and disputes that came to be from `from` until just before `to`, of the whole account, other
   * shops' too. Neighbouring intervals share nothing and leave nothing out. `to` should be past, or what comes to be
   * between two pages may be missing. One page, and one call, at a time: the pace is the caller's.
   * @param cursor `next` of the page before, with the same interval
   */
  list?(from: Date, to: Date, cursor?: string): Promise<ListedPage | Unknown>;
  /**
   * Checks what the gateway's page handed the customer's browser, where the gateway signs that. It proves who sent it, not
   * that anything is paid; fields that are missing altogether are no forgery.
   * @param returned the gateway's own fields as it spells them
   * @throws when a signature is there and wrong
   */
  verifyReturn?(returned: Readonly<Record<string, unknown>>): void;
  /** @throws when the signature is missing, wrong or older than the gateway's tolerance */
  verifyWebhook(rawBody: Buffer, headers: WebhookHeaders): Heard;
}
