/** The tables and the rules that hold whatever the code does: each rule is a constraint, and its comment says why. */
import type { Knex } from 'knex';

export async function up(knex: Knex): Promise<void> {
  await knex.raw(`
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END $$;
COMMENT ON FUNCTION refuse() IS 'Trigger body for changes that no code may make; the argument says which rule is broken.';

CREATE TABLE offerings (
  id text PRIMARY KEY,
  provider_id text NOT NULL,
  request_hash text,
  kind text NOT NULL CHECK (kind IN ('slot')),
  title text NOT NULL CHECK (length(title) BETWEEN 1 AND 200),
  starts_at timestamptz NOT NULL,
  ends_at timestamptz NOT NULL,
  time_zone text NOT NULL,
  capacity integer NOT NULL CHECK (capacity BETWEEN 1 AND 10000),
  price_minor integer NOT NULL CHECK (price_minor BETWEEN 1 AND 99999999),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  attributes jsonb NOT NULL DEFAULT '{}',
  status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed')),
  created_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (id, capacity),
  CHECK (ends_at > starts_at)
);
COMMENT ON TABLE offerings IS 'Something that can be booked.';
COMMENT ON COLUMN offerings.provider_id IS 'Subject of the token that published it.';
COMMENT ON COLUMN offerings.request_hash IS 'Hash of the creating body when an Idempotency-Key was given: an equal repeat answers this row, another body is refused.';
COMMENT ON COLUMN offerings.price_minor IS 'Price of one seat in the smallest unit of the currency. Read once per attempt, into its quote.';
COMMENT ON COLUMN offerings.time_zone IS 'IANA zone of the provider: the instant says when, the zone says which clock to show.';
CREATE INDEX offerings_by_start ON offerings (starts_at, id);
CREATE INDEX offerings_by_provider ON offerings (provider_id, starts_at, id);

CREATE TABLE attempts (
  booking_id text PRIMARY KEY,
  request_hash text NOT NULL,
  customer_id text NOT NULL,
  method text NOT NULL,
  quote jsonb NOT NULL,
  total_minor integer NOT NULL CHECK (total_minor >= 0),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  contact jsonb NOT NULL,
  return_url text,
  status text NOT NULL CHECK (status IN ('awaiting_payment', 'processing', 'confirmed', 'refunding', 'refunded', 'needs_attention', 'expired', 'canceled', 'failed')),
  version integer NOT NULL DEFAULT 1,
  failure jsonb,
  cancel_reason text,
  tries integer NOT NULL DEFAULT 1 CHECK (tries BETWEEN 1 AND tries_max),
  tries_max integer NOT NULL,
  window_seconds integer NOT NULL,
  started_at timestamptz NOT NULL DEFAULT now(),
  expires_at timestamptz,
  ended_at timestamptz
);
COMMENT ON TABLE attempts IS 'One customer''s try to book; written only by the activities of its workflow, and it outlives the workflow''s history.';
COMMENT ON COLUMN attempts.request_hash IS 'Hash of the validated body in canonical form: tells an honest repeat of an Idempotency-Key from another body, also after Temporal forgot the workflow.';
COMMENT ON COLUMN attempts.quote IS 'Items and prices, frozen when the attempt opened. Later edits of an offering do not touch it.';
COMMENT ON COLUMN attempts.cancel_reason IS 'Why the customer canceled, in their words.';
COMMENT ON COLUMN attempts.version IS 'Rises with every change (trigger); clients wait for the next one.';
COMMENT ON COLUMN attempts.tries IS 'One plus the accepted retries. A gateway''s object may serve several.';
COMMENT ON COLUMN attempts.expires_at IS 'End of the payment window; null until the payment object exists.';
CREATE INDEX attempts_by_customer ON attempts (customer_id, started_at DESC, booking_id);
CREATE INDEX attempts_by_start ON attempts (started_at DESC, booking_id);

CREATE FUNCTION attempt_may_become(old_status text, new_status text) RETURNS boolean LANGUAGE sql IMMUTABLE AS $$
  SELECT old_status || ' > ' || new_status IN (
    'awaiting_payment > processing', 'awaiting_payment > confirmed', 'awaiting_payment > refunding',
    'awaiting_payment > expired', 'awaiting_payment > canceled', 'awaiting_payment > failed',
    'processing > confirmed', 'processing > refunding', 'processing > awaiting_payment', 'processing > expired',
    'refunding > refunded', 'refunding > needs_attention',
    'confirmed > refunding', 'confirmed > needs_attention',
    'refunded > needs_attention',
    'needs_attention > refunding', 'needs_attention > refunded', 'needs_attention > confirmed')
$$;
COMMENT ON FUNCTION attempt_may_become(text, text) IS 'The legal arrows between statuses; the same table as legalTransitions in src/booking.ts.';
CREATE TRIGGER attempts_legal_transition BEFORE UPDATE ON attempts FOR EACH ROW
  WHEN (OLD.status <> NEW.status AND NOT attempt_may_become(OLD.status, NEW.status))
  EXECUTE FUNCTION refuse('an attempt may not take this step');
COMMENT ON TRIGGER attempts_legal_transition ON attempts IS 'What is decided about money is not undone by code that comes late.';
CREATE TRIGGER attempts_frozen_quote BEFORE UPDATE ON attempts FOR EACH ROW
  WHEN ((OLD.quote, OLD.total_minor, OLD.currency, OLD.customer_id, OLD.request_hash)
    IS DISTINCT FROM (NEW.quote, NEW.total_minor, NEW.currency, NEW.customer_id, NEW.request_hash))
  EXECUTE FUNCTION refuse('a quote is frozen when its attempt opens');
COMMENT ON TRIGGER attempts_frozen_quote ON attempts IS 'The customer pays the price that was shown, whatever is edited meanwhile.';
CREATE FUNCTION count_version() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $$;
CREATE TRIGGER attempts_version BEFORE UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION count_version();
COMMENT ON FUNCTION count_version() IS 'A version set by hand is ignored: no change goes unnoticed, and none is counted twice.';

CREATE TABLE payment_tries (
  booking_id text NOT NULL REFERENCES attempts,
  try integer NOT NULL CHECK (try >= 1),
  key_number integer NOT NULL DEFAULT 1,
  gateway text NOT NULL,
  gateway_ref text,
  how_to_pay jsonb,
  status text NOT NULL CHECK (status IN ('opening', 'open', 'paid', 'closed', 'refused')),
  failure_ref text,
  looks integer NOT NULL DEFAULT 0,
  next_look_at timestamptz,
  watch_until timestamptz,
  opened_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (booking_id, try),
  UNIQUE (gateway, gateway_ref),
  CHECK (status <> 'open' OR gateway_ref IS NOT NULL)
);
COMMENT ON TABLE payment_tries IS 'One payment object at a gateway. The row stands before the object does, so a lost answer is found again by its key.';
COMMENT ON COLUMN payment_tries.key_number IS 'Part of the outbound key; rises only after a definite refusal that the gateway would replay for the old key.';
COMMENT ON COLUMN payment_tries.how_to_pay IS 'What the customer''s browser needs, client secret included: shown to its owner only, never in Temporal or a log.';
COMMENT ON COLUMN payment_tries.failure_ref IS 'The gateway''s id of the last decline we have told of, so that looking again at the same decline changes nothing.';
COMMENT ON COLUMN payment_tries.next_look_at IS 'When the payment watch looks next; null when nobody needs to.';
CREATE INDEX payment_tries_due ON payment_tries (next_look_at) WHERE next_look_at IS NOT NULL;

CREATE TABLE bookings (
  id text PRIMARY KEY REFERENCES attempts,
  reference text NOT NULL UNIQUE,
  customer_id text NOT NULL,
  status text NOT NULL CHECK (status IN ('confirmed')),
  total_minor integer NOT NULL,
  currency text NOT NULL,
  confirmed_at timestamptz NOT NULL DEFAULT now()
);
COMMENT ON TABLE bookings IS 'What the customer gets when an attempt succeeds. Its primary key is the attempt''s: no second booking of one attempt.';

CREATE TABLE booking_items (
  booking_id text NOT NULL REFERENCES bookings,
  offering_id text NOT NULL REFERENCES offerings,
  seats integer NOT NULL CHECK (seats > 0),
  details jsonb,
  PRIMARY KEY (booking_id, offering_id)
);
COMMENT ON TABLE booking_items IS 'What a booking bought. Its seats are rows of seats with the booking''s id, as many as said here.';
COMMENT ON COLUMN booking_items.details IS 'As the customer sent them, unchanged. Private: in no list, no log.';

CREATE TABLE seats (
  offering_id text NOT NULL,
  seat_no integer NOT NULL,
  capacity integer NOT NULL,
  booking_id text REFERENCES bookings,
  PRIMARY KEY (offering_id, seat_no),
  FOREIGN KEY (offering_id, capacity) REFERENCES offerings (id, capacity),
  CHECK (seat_no BETWEEN 1 AND capacity)
);
COMMENT ON TABLE seats IS 'One row per unit of capacity, with room for one booking: selling a seat twice is impossible, not merely avoided.';
COMMENT ON COLUMN seats.capacity IS 'Copy of the offering''s capacity, held to it by the foreign key, so that the CHECK can refuse a seat beyond it.';
CREATE INDEX seats_free ON seats (offering_id, seat_no) WHERE booking_id IS NULL;
CREATE INDEX seats_by_booking ON seats (booking_id) WHERE booking_id IS NOT NULL;
CREATE TRIGGER seats_one_booking BEFORE UPDATE ON seats FOR EACH ROW
  WHEN (OLD.booking_id IS NOT NULL AND NEW.booking_id IS NOT NULL AND OLD.booking_id <> NEW.booking_id)
  EXECUTE FUNCTION refuse('a seat has room for one booking');
COMMENT ON TRIGGER seats_one_booking ON seats IS 'A seat is freed before it is sold again; a sale over a sale is refused, whoever forgot to lock.';
CREATE TRIGGER seats_stay BEFORE DELETE ON seats FOR EACH ROW
  EXECUTE FUNCTION refuse('an offering keeps exactly its capacity in seats');
COMMENT ON TRIGGER seats_stay ON seats IS 'With the primary key, the CHECK and the key to the capacity: exactly that many seats, no more, no fewer.';
CREATE FUNCTION make_seats() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO seats (offering_id, seat_no, capacity)
    SELECT NEW.id, n, NEW.capacity FROM generate_series(1, NEW.capacity) AS n;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION make_seats() IS 'An offering is born with exactly its capacity in seats.';
CREATE TRIGGER offerings_seats AFTER INSERT ON offerings FOR EACH ROW EXECUTE FUNCTION make_seats();

CREATE TABLE payments (
  id text PRIMARY KEY,
  booking_id text REFERENCES attempts,
  gateway text NOT NULL,
  gateway_ref text NOT NULL,
  gateway_payment_id text NOT NULL,
  amount_minor integer NOT NULL CHECK (amount_minor > 0),
  currency text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
  status text NOT NULL CHECK (status IN ('captured')),
  disposition text NOT NULL CHECK (disposition IN ('booked', 'returned', 'unmatched')),
  refunded_minor integer NOT NULL DEFAULT 0,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  UNIQUE (gateway, gateway_payment_id),
  CONSTRAINT payments_refunds_within CHECK (refunded_minor BETWEEN 0 AND amount_minor),
  CHECK (booking_id IS NOT NULL OR disposition = 'unmatched')
);
COMMENT ON TABLE payments IS 'Money a gateway says it captured; a row the moment we learn of it.';
COMMENT ON COLUMN payments.booking_id IS 'The attempt it was for; null when that attempt cannot be found (then a case says so).';
COMMENT ON COLUMN payments.disposition IS 'booked: bought the booking. returned: bought nothing, a refund is owed. unmatched: a person must decide.';
COMMENT ON COLUMN payments.refunded_minor IS 'Running total of the refund rows (trigger); its CHECK holds it within the payment, also when refunds are written at once.';
CREATE UNIQUE INDEX payments_one_booked ON payments (booking_id) WHERE disposition = 'booked';
COMMENT ON INDEX payments_one_booked IS 'One booking is bought by one payment; any other is given back.';
CREATE TRIGGER payments_keep_facts BEFORE UPDATE ON payments FOR EACH ROW
  WHEN ((OLD.id, OLD.gateway, OLD.gateway_payment_id, OLD.amount_minor, OLD.currency)
    IS DISTINCT FROM (NEW.id, NEW.gateway, NEW.gateway_payment_id, NEW.amount_minor, NEW.currency))
  EXECUTE FUNCTION refuse('what a gateway captured does not change');
COMMENT ON TRIGGER payments_keep_facts ON payments IS 'The gateway''s facts are written once; a bigger amount would make room for a bigger refund.';
CREATE TRIGGER payments_count_by_refunds BEFORE UPDATE ON payments FOR EACH ROW
  WHEN (OLD.refunded_minor <> NEW.refunded_minor AND pg_trigger_depth() = 0)
  EXECUTE FUNCTION refuse('only refund rows change the running total');
COMMENT ON TRIGGER payments_count_by_refunds ON payments IS 'A total set back by hand would make room for a second refund of the same money.';
CREATE INDEX payments_by_booking ON payments (booking_id);
CREATE INDEX payments_by_ref ON payments (gateway, gateway_ref);

CREATE TABLE refunds (
  id text PRIMARY KEY,
  payment_id text NOT NULL REFERENCES payments,
  go integer NOT NULL DEFAULT 1,
  key_number integer NOT NULL DEFAULT 1,
  amount_minor integer NOT NULL CHECK (amount_minor > 0),
  status text NOT NULL CHECK (status IN ('unsent', 'pending', 'succeeded', 'failed')),
  reason text NOT NULL,
  gateway_refund_id text,
  looks integer NOT NULL DEFAULT 0,
  next_look_at timestamptz,
  created_at timestamptz NOT NULL DEFAULT now(),
  settled_at timestamptz,
  UNIQUE (payment_id, reason)
);
COMMENT ON TABLE refunds IS 'Captured money on its way back, written in the transaction that decides it is owed.';
COMMENT ON COLUMN refunds.go IS 'Part of the outbound key. Rises when an operator retries a refund that failed for good: the old key would only give the old failure again.';
COMMENT ON COLUMN refunds.status IS 'unsent: owed, not acknowledged. pending, succeeded, failed: the gateway''s word; succeeded also when an operator settled it by other means (see cases).';
CREATE INDEX refunds_due ON refunds (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE FUNCTION count_refund() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  UPDATE payments SET refunded_minor = refunded_minor
    + CASE WHEN TG_OP = 'DELETE' THEN 0 ELSE NEW.amount_minor END
    - CASE WHEN TG_OP = 'INSERT' THEN 0 ELSE OLD.amount_minor END
    WHERE id = CASE WHEN TG_OP = 'DELETE' THEN OLD.payment_id ELSE NEW.payment_id END;
  RETURN NULL;
END $$;
COMMENT ON FUNCTION count_refund() IS 'Keeps payments.refunded_minor. The update locks the payment''s row, so two refunds at once cannot both fit.';
CREATE TRIGGER refunds_counted AFTER INSERT OR DELETE OR UPDATE OF amount_minor ON refunds
  FOR EACH ROW EXECUTE FUNCTION count_refund();
CREATE TRIGGER refunds_stay_with_payment BEFORE UPDATE ON refunds FOR EACH ROW
  WHEN (OLD.payment_id <> NEW.payment_id) EXECUTE FUNCTION refuse('a refund belongs to one payment');
COMMENT ON TRIGGER refunds_stay_with_payment ON refunds IS 'Else the running totals of two payments would both be wrong.';

CREATE TABLE cases (
  id text PRIMARY KEY,
  workflow_id text NOT NULL,
  booking_id text REFERENCES attempts,
  payment_id text REFERENCES payments,
  refund_id text REFERENCES refunds,
  kind text NOT NULL CHECK (kind IN ('refund-failed', 'refund-overdue', 'unmatched-payment', 'message-failed')),
  amount_minor integer,
  currency text,
  detail text NOT NULL,
  opened_at timestamptz NOT NULL DEFAULT now(),
  resolved_at timestamptz,
  resolved_by text,
  resolution text CHECK (resolution IN ('retry-refund', 'mark-settled', 'resend')),
  note text,
  CHECK ((resolved_at IS NULL) = (resolution IS NULL))
);
COMMENT ON TABLE cases IS 'What only a person can decide. The workflow named here stays open until it is resolved.';
CREATE UNIQUE INDEX cases_one_open_per_payment ON cases (payment_id) WHERE resolved_at IS NULL AND payment_id IS NOT NULL;
COMMENT ON INDEX cases_one_open_per_payment IS 'Money is in at most one open case, or the balance would count it twice.';
CREATE INDEX cases_by_opening ON cases (opened_at DESC, id);
CREATE TRIGGER cases_resolved_once BEFORE UPDATE ON cases FOR EACH ROW
  WHEN (OLD.resolved_at IS NOT NULL) EXECUTE FUNCTION refuse('a case is resolved once');
COMMENT ON TRIGGER cases_resolved_once ON cases IS 'Two operators at once: the second is told, and no refund is sent twice.';

CREATE TABLE messages (
  booking_id text NOT NULL REFERENCES attempts,
  kind text NOT NULL CHECK (kind IN ('booking-confirmed', 'payment-refunded', 'refund-failed')),
  recipient text NOT NULL,
  locale text,
  queued_at timestamptz NOT NULL DEFAULT now(),
  next_send_at timestamptz DEFAULT now(),
  sent_at timestamptz,
  tries integer NOT NULL DEFAULT 0,
  PRIMARY KEY (booking_id, kind, recipient)
);
COMMENT ON TABLE messages IS 'One message per event, queued in the transaction that causes it; the courier sends it.';
COMMENT ON COLUMN messages.next_send_at IS 'When the courier takes it up; null once sent, or given up (a case says so).';
CREATE INDEX messages_due ON messages (next_send_at) WHERE next_send_at IS NOT NULL;

CREATE TABLE gateway_events (
  gateway text NOT NULL,
  event_id text NOT NULL,
  type text NOT NULL,
  gateway_ref text,
  booking_id text,
  heard_at timestamptz NOT NULL,
  PRIMARY KEY (gateway, event_id)
);
COMMENT ON TABLE gateway_events IS 'What was heard and when. Written by activities from the doorbell; the webhook itself writes nothing.';
CREATE INDEX gateway_events_by_ref ON gateway_events (gateway, gateway_ref);
`);
}

export async function down(knex: Knex): Promise<void> {
  await knex.raw(`
DROP TABLE gateway_events, messages, cases, refunds, payments, seats, booking_items, bookings, payment_tries, attempts, offerings;
DROP FUNCTION count_refund(), make_seats(), count_version(), attempt_may_become(text, text), refuse();
`);
}
