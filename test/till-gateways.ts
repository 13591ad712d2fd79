/** Gateways as plain objects, for tests of activities: what each payment object says, and what it was asked. */
import type { Client } from '@temporalio/client';
import { MockActivityEnvironment } from '@temporalio/testing';
import type { Knex } from 'knex';
import type { Dependencies } from '../src/activities/dependencies';
import { watchActivities } from '../src/activities/watch';
import type { CloseState, Gateway, PaymentState } from '../src/gateways/gateway';
import { payingDependencies } from './settling-setup';

/** A gateway of which a test decides everything. */
export interface Till {
  gateway: Gateway;
  /** What an object says; `unpaid` when nothing else was said. */
  says: Map<string, PaymentState>;
  /** Every call, as `open bkg_…/1` or `read ref`. */
  asked: string[];
  /** Gives no answer to anything. */
  down: boolean;
}

/**
 * Makes a gateway.
 * @param capabilities those that differ from a gateway that closes, is looked at each minute and takes any amount
 */
export function till(name: string, capabilities: Partial<Gateway['capabilities']> = {}): Till {
  const says = new Map<string, PaymentState>();
  const asked: string[] = [];
  const silent = { status: 'unknown', reason: 'down' } as const;
  const closes = capabilities.closes ?? true;
  const of = (ref: string): PaymentState => says.get(ref) ?? { status: 'unpaid' };

  async function read(ref: string): Promise<PaymentState> {
    asked.push(`read ${ref}`);
    return made.down ? silent : of(ref);
  }

  async function close(ref: string): Promise<CloseState> {
    asked.push(`close ${ref}`);
    if (made.down) return silent;
    const { status } = of(ref);
    if (status === 'paid' || status === 'processing') return { status };
    if (!closes) return { status: 'open' };
    says.set(ref, { status: 'expired' });
    return { status: 'closed' };
  }

  const gateway: Partial<Gateway> = {
    name,
    capabilities: {
      insideTransaction: false,
      closes: true,
      signedBody: true,
      lateForSeconds: 0,
      lookSchedule: [15, 60],
      looksPerSecond: 100,
      lists: false,
      minimumAmountMinor: null,
      maximumAmountMinor: 99_999_999,
      ...capabilities,
    },
    open: async ({ bookingId, try: n }) => {
      asked.push(`open ${bookingId}/${n}`);
      if (made.down) return silent;
      return { status: 'opened', ref: `${name}_${bookingId}_${n}`, howToPay: {} };
    },
    read,
    close,
  };
  const made: Till = { gateway: gateway as Gateway, says, asked, down: false };
  return made;
}

/** What activities need, with these gateways; rings are kept instead of sent. */
export function atTills(db: Knex, tills: readonly Till[]): { deps: Dependencies; rings: string[] } {
  const rings: string[] = [];
  const ringing = (id: string) => ({ signal: async () => void rings.push(id) });
  const workflow = { getHandle: ringing };
  return {
    deps: {
      ...payingDependencies(db),
      gateways: new Map(tills.map((one) => [one.gateway.name, one.gateway])),
      temporal: { workflow } as unknown as Client,
    },
    rings,
  };
}

/** The payment watch for one round: it finds itself canceled at its first pause. */
export async function oneRound(deps: Dependencies): Promise<void> {
  const environment = new MockActivityEnvironment();
  environment.cancel();
  await environment.run(watchActivities(deps).watchPayments).catch(() => undefined);
}
