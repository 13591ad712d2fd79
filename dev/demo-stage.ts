/** What the steps of the demo share: the stack they play on, the line each leaves in the table, and how they look. */
import { connectMailSink, type MailControl } from '../sandbox/mail/control';
import { connectStripeSandbox, type StripeControl } from '../sandbox/stripe/control';
import type { Booking, Customer, Place } from './customer';
import type { GatewayName } from './gateways';
import type { Stack } from './stack';

/** One attempt, for the table at the end. */
export interface Line {
  who: string;
  booking: Booking;
  /** Smallest unit. */
  moneyIn: number;
  moneyBack: number;
}

export interface Step {
  title: string;
  /** Played only against the sandbox of that gateway: it needs its switches. */
  sandboxOf?: GatewayName;
  /** Whether it waits for the clock, so that the others play beside it. */
  waits?: true;
  /** Whether it can only end with the payment window. */
  windowMustEnd?: true;
  play(): Promise<{ told: string; lines: Line[] }>;
}

/** Where a step plays. */
export interface Stage {
  stack: Stack;
  place: Place;
  /** Undefined against a real account. */
  sandbox: StripeControl | undefined;
  mail: MailControl | undefined;
  /** Seconds: the window, and some for the close. */
  untilWindowEnds: number;
}

/** Price of every slot of the demo, in cents. */
export const price = 2500;

/** Makes the stage of a stack that is up. */
export function stageOf(stack: Stack): Stage {
  return {
    stack,
    place: { api: stack.urls.api, env: stack.env },
    sandbox:
      stack.urls.gateways.stripe === undefined ? undefined : connectStripeSandbox(stack.urls.gateways.stripe),
    mail: stack.urls.mail === undefined ? undefined : connectMailSink(stack.urls.mail),
    untilWindowEnds: Number(stack.env['PAYMENT_WINDOW_SECONDS']) + 20,
  };
}

/** A line of the table; money in the smallest unit. */
export function lineOf(who: Customer, booking: Booking, moneyIn: number, moneyBack: number): Line {
  return { who: who.name, booking, moneyIn, moneyBack };
}

/** @throws when it is not as told */
export function check(told: boolean, what: string): void {
  if (!told) throw new Error(`It should be so that ${what}`);
}

/** Whether the money of an attempt has found its place. */
export function settled(booking: Booking): boolean {
  return booking.status === 'confirmed' || booking.status === 'refunded';
}

/** Looks until it is so. @throws when it is not within `seconds` */
export async function eventually(what: string, look: () => Promise<boolean>, seconds: number): Promise<void> {
  const deadline = Date.now() + seconds * 1000;
  while (!(await look())) {
    if (Date.now() > deadline) throw new Error(`It should be so within ${seconds} s that ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** One mail to that address with that text in its subject, and only one. */
export async function mailed(mail: MailControl | undefined, to: string, subject: string): Promise<void> {
  if (mail === undefined) return;
  const found = async () =>
    (await mail.messages()).filter((message) => message.to.includes(to) && message.subject.includes(subject))
      .length;
  await eventually(`${to} has a mail`, async () => (await found()) > 0, 15);
  check((await found()) === 1, `${to} has exactly one mail`);
}

/** The sandbox of a step that is played only against it. */
export function must(sandbox: StripeControl | undefined): StripeControl {
  if (sandbox === undefined) throw new Error('Bug: this step needs the sandbox');
  return sandbox;
}
