/**
 * Controls: what the judge must find when one safety is switched off. Each is a build made for it alone, a copy of `dist`
 * in a folder that goes with the run, with one text replaced in what the compiler wrote; or one statement on the run's own
 * database. Nothing in `src` knows of them.
 */
import type { Change } from './builds';

/** One safety, switched off. */
export interface Control {
  name: string;
  /** What is missing, in a sentence. */
  off: string;
  /** The invariant that must break. */
  breaks: string;
  changes?: readonly Change[];
  /** In the code that the run's histories are replayed with, which is the next build in this control. */
  replay?: Change;
  /** Run on the migrated database, as its superuser. */
  sql?: string;
  /** Faults that this safety is for; any, where missing. */
  faults?: readonly string[];
}

/** Rewrites a function of the database by replacing one text in its definition, and stops where the text is missing. */
const rewritten = (signature: string, from: string, to: string): string => `
  DO $rewrite$
  DECLARE
    was text := pg_get_functiondef('${signature}'::regprocedure);
    is_now text := replace(was, $from$${from}$from$, $to$${to}$to$);
  BEGIN
    IF is_now = was THEN RAISE EXCEPTION 'The text to replace is not in ${signature}'; END IF;
    EXECUTE is_now;
  END $rewrite$;`;

const settlePayment = 'settle_payment(text,text,text,text,integer,text,text,text,text[])';
const book = 'book(attempts,text,text[])';

export const controls: readonly Control[] = [
  {
    name: 'seats-unguarded',
    off: 'Seats are taken without a lock, and no rule of the table keeps a seat for one booking.',
    breaks: 'S1',
    sql: `
      DROP TRIGGER seats_one_booking ON seats;
      CREATE OR REPLACE FUNCTION take_seats(in_booking_id text, in_items jsonb, in_own text[], in_hold_until timestamptz)
      RETURNS boolean LANGUAGE plpgsql AS $$
      DECLARE
        wanted text := in_items -> 0 ->> 'offeringId';
        chosen integer;
      BEGIN
        SELECT seat_no INTO chosen FROM seats WHERE offering_id = wanted AND booking_id IS NULL ORDER BY seat_no LIMIT 1;
        IF chosen IS NULL THEN RETURN false; END IF;
        PERFORM pg_sleep(0.2);
        UPDATE seats SET booking_id = in_booking_id WHERE offering_id = wanted AND seat_no = chosen;
        RETURN true;
      END $$;`,
  },
  {
    name: 'payments-not-unique',
    off: 'A payment that is known is taken for a new one, and no key of the table says otherwise.',
    breaks: 'S3',
    sql: `
      ALTER TABLE payments DROP CONSTRAINT payments_pkey CASCADE;
      ALTER TABLE payments DROP CONSTRAINT payments_gateway_gateway_payment_id_key;
      ${rewritten(settlePayment, 'p.gateway_payment_id = in_charge;', "p.gateway_payment_id = in_charge || ' of another';")}`,
    faults: ['webhooks-twice', 'webhooks-out-of-order'],
  },
  {
    name: 'acknowledged-too-early',
    off: 'A webhook is answered ten seconds before its ring is sent, and nobody looks at the gateways by themselves.',
    breaks: 'L4',
    changes: [
      {
        file: 'src/api/webhooks.js',
        from: "heard.rings ? await ringFor(deps, gateway, heard) : 'unheard'",
        to: "heard.rings ? (setTimeout(() => ringFor(deps, gateway, heard).catch(() => undefined), 10000), 'rung') : 'unheard'",
      },
    ],
    // What the window's end still finds by itself is not lost: it is money that comes later that is.
    sql: `
      CREATE FUNCTION look_never() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN NEW.next_look_at := NULL; RETURN NEW; END $$;
      CREATE TRIGGER payment_tries_look_never BEFORE INSERT OR UPDATE ON payment_tries
        FOR EACH ROW EXECUTE FUNCTION look_never();`,
    faults: ['apis-killed', 'api-killed'],
  },
  {
    name: 'mails-without-a-key',
    off: 'A second go at a mail has an id of its own, so that nobody can tell a repeat from another mail.',
    breaks: 'L3',
    changes: [
      {
        file: 'src/activities/courier.js',
        from: "'booking', message.booking_id, message.kind, message.recipient)}@payfirst>`",
        to: "'booking', message.booking_id, message.kind, message.recipient, ...(message.tries === 0 ? [] : [String(message.tries)]))}@payfirst>`",
      },
    ],
    // After any other there was no first mail that arrived, and so no repeat.
    faults: ['mail-lost-after-accept'],
  },
  {
    name: 'mails-before-commit',
    off: 'The confirmation is queued on its own, before the transaction that decides whether there is a booking.',
    breaks: 'L3',
    changes: [
      {
        file: 'src/activities/charges.js',
        from: "const result = await deps.db.raw('SELECT * FROM settle_payment(",
        to:
          "await deps.db.raw(\"INSERT INTO messages (booking_id, kind, recipient, locale) SELECT booking_id, 'booking-confirmed', contact ->> 'email', " +
          "contact ->> 'locale' FROM attempts WHERE booking_id = ? AND status IN ('awaiting_payment', 'processing') ON CONFLICT DO NOTHING\", " +
          "[captured.bookingId]); const result = await deps.db.raw('SELECT * FROM settle_payment(",
      },
    ],
    // The decision itself must not stumble over it.
    sql: rewritten(
      book,
      "attempt.contact ->> 'locale');",
      "attempt.contact ->> 'locale') ON CONFLICT DO NOTHING;",
    ),
  },
  {
    name: 'refund-errors-swallowed',
    off: 'A refund that did not go through is taken for done, whatever the gateway says.',
    breaks: 'L2',
    changes: [
      {
        file: 'src/activities/refunds.js',
        from: "const said = state.status === 'refused' ? 'failed' : state.status;",
        to: "const said = 'succeeded';",
      },
    ],
    faults: ['refunds-fail'],
  },
  {
    name: 'refunds-without-a-key',
    off: 'Each go at a refund has a key of its own, nobody looks whether it is there already, and half is given back, so that the gateway itself refuses no second one.',
    breaks: 'S4',
    changes: [
      {
        file: 'src/gateways/stripe.js',
        from: '`${wanted.refundId}-${wanted.go}-${wanted.keyNumber}`',
        to: '`${wanted.refundId}-${Math.random()}`',
      },
      {
        file: 'src/gateways/stripe.js',
        from: 'for await (const found of stripe.refunds.list({ payment_intent: wanted.ref, limit: 100 })) {',
        to: 'for (const found of []) {',
      },
      {
        file: 'src/gateways/stripe.js',
        from: 'amount: wanted.amountMinor,',
        to: 'amount: Math.floor(wanted.amountMinor / 2),',
      },
    ],
    faults: ['refunds-unanswered'],
  },
  {
    name: 'payments-left-open',
    off: 'The payment of an attempt that ends is not closed at its gateway.',
    breaks: 'L5',
    changes: [
      {
        file: 'src/activities/end.js',
        from: 'const closed = await gateway.close(ref);',
        to: "const closed = { status: 'closed' };",
      },
    ],
  },
  {
    name: 'no-expiry',
    off: 'Nothing ends an attempt that nobody pays.',
    breaks: 'L1',
    changes: [
      {
        file: 'workflow-bundle.js',
        from: '(0, workflow_1.condition)(stirred, windowMs, ',
        to: '(0, workflow_1.condition)(stirred, 86400000, ',
      },
    ],
  },
  {
    name: 'next-build-in-another-order',
    off: 'The next build does other things first, and no patch tells the two apart.',
    breaks: 'L8',
    replay: {
      file: 'workflow-bundle.js',
      from: 'const opened = await openOrGiveUp(input);',
      to: 'await (0, steps_1.lookUp)(bookingId); const opened = await openOrGiveUp(input);',
    },
  },
];
