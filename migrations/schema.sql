-- What the migrations make. Written by `npm run schema`; do not edit.

-- Functions come first, for the tables' triggers need them; their bodies name tables that come later.
SET check_function_bodies = false;

CREATE TABLE attempts (
  booking_id text NOT NULL,
  request_hash text NOT NULL,
  customer_id text NOT NULL,
  method text,
  quote jsonb NOT NULL,
  total_minor integer NOT NULL,
  currency text NOT NULL,
  contact jsonb NOT NULL,
  return_url text,
  status text NOT NULL,
  version integer NOT NULL DEFAULT 1,
  failure jsonb,
  cancel_reason text,
  tries integer NOT NULL DEFAULT 1,
  tries_max integer NOT NULL,
  window_seconds integer NOT NULL,
  started_at timestamp with time zone NOT NULL DEFAULT now(),
  expires_at timestamp with time zone,
  ended_at timestamp with time zone,
  cart_id text,
  hold_until timestamp with time zone,
  CONSTRAINT attempts_pkey PRIMARY KEY (booking_id),
  CONSTRAINT attempts_check CHECK (tries >= 1 AND tries <= tries_max),
  CONSTRAINT attempts_currency_check CHECK (currency ~ '^[A-Z]{3}$'::text),
  CONSTRAINT attempts_status_check CHECK (status = ANY (ARRAY['awaiting_payment'::text, 'processing'::text, 'confirmed'::text, 'refunding'::text, 'refunded'::text, 'needs_attention'::text, 'expired'::text, 'canceled'::text, 'failed'::text])),
  CONSTRAINT attempts_total_minor_check CHECK (total_minor >= 0)
);
COMMENT ON TABLE attempts IS 'One customer''s try to book; written only by the activities of its workflow, and it outlives the workflow''s history.';
COMMENT ON COLUMN attempts.request_hash IS 'Hash of the validated body in canonical form: tells an honest repeat of an Idempotency-Key from another body, also after Temporal forgot the workflow.';
COMMENT ON COLUMN attempts.method IS 'How the customer wanted to pay; null for what is free.';
COMMENT ON COLUMN attempts.quote IS 'Items and prices, frozen when the attempt opened. Later edits of an offering do not touch it.';
COMMENT ON COLUMN attempts.version IS 'Rises with every change (trigger); clients wait for the next one.';
COMMENT ON COLUMN attempts.cancel_reason IS 'Why the customer canceled, in their words.';
COMMENT ON COLUMN attempts.tries IS 'One plus the accepted retries. A gateway''s object may serve several.';
COMMENT ON COLUMN attempts.expires_at IS 'End of the payment window; null until the payment object exists.';
COMMENT ON COLUMN attempts.hold_until IS 'End of the hold this attempt began with, null without one. The window ends a minute earlier, and no retry moves either.';
CREATE INDEX attempts_by_cart ON attempts USING btree (cart_id) WHERE cart_id IS NOT NULL;
CREATE INDEX attempts_by_customer ON attempts USING btree (customer_id, started_at DESC, booking_id);
CREATE INDEX attempts_by_start ON attempts USING btree (started_at DESC, booking_id);
CREATE INDEX attempts_open ON attempts USING btree (started_at) WHERE status = ANY (ARRAY['awaiting_payment'::text, 'processing'::text]);

CREATE TABLE booking_items (
  booking_id text NOT NULL,
  offering_id text NOT NULL,
  seats integer NOT NULL,
  details jsonb,
  CONSTRAINT booking_items_pkey PRIMARY KEY (booking_id, offering_id),
  CONSTRAINT booking_items_seats_check CHECK (seats > 0)
);
COMMENT ON TABLE booking_items IS 'What a booking bought. Its seats are rows of seats with the booking''s id, as many as said here.';
COMMENT ON COLUMN booking_items.details IS 'As the customer sent them, unchanged. Private: in no list, no log.';
CREATE INDEX booking_items_by_offering ON booking_items USING btree (offering_id);

CREATE TABLE bookings (
  id text NOT NULL,
  reference text NOT NULL,
  customer_id text NOT NULL,
  status text NOT NULL,
  total_minor integer NOT NULL,
  currency text NOT NULL,
  confirmed_at timestamp with time zone NOT NULL DEFAULT now(),
  canceled_at timestamp with time zone,
  CONSTRAINT bookings_pkey PRIMARY KEY (id),
  CONSTRAINT bookings_reference_key UNIQUE (reference),
  CONSTRAINT bookings_canceled_once CHECK ((status = 'canceled'::text) = (canceled_at IS NOT NULL)),
  CONSTRAINT bookings_status_check CHECK (status = ANY (ARRAY['confirmed'::text, 'canceled'::text]))
);
COMMENT ON TABLE bookings IS 'What the customer gets when an attempt succeeds. Its primary key is the attempt''s: no second booking of one attempt.';
COMMENT ON COLUMN bookings.canceled_at IS 'When its seats were freed, by the customer or by the provider.';
CREATE INDEX bookings_by_customer ON bookings USING btree (customer_id);

CREATE TABLE cart_items (
  cart_id text NOT NULL,
  offering_id text NOT NULL,
  seats integer NOT NULL,
  details jsonb,
  added_at timestamp with time zone NOT NULL DEFAULT clock_timestamp(),
  CONSTRAINT cart_items_pkey PRIMARY KEY (cart_id, offering_id),
  CONSTRAINT cart_items_seats_check CHECK (seats > 0)
);
COMMENT ON TABLE cart_items IS 'What is in a cart. Prices are the offerings'' own until an attempt freezes them.';
COMMENT ON COLUMN cart_items.details IS 'As the customer sent them, unchanged. Private: in no list, no log.';

CREATE TABLE carts (
  id text NOT NULL,
  customer_id text NOT NULL,
  booking_id text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT carts_pkey PRIMARY KEY (id),
  CONSTRAINT carts_booking_id_key UNIQUE (booking_id)
);
COMMENT ON TABLE carts IS 'What a customer collects before paying. Active until one booking is made from it, in the transaction that settles.';

CREATE TABLE cases (
  id text NOT NULL,
  workflow_id text NOT NULL,
  booking_id text,
  payment_id text,
  refund_id text,
  kind text NOT NULL,
  amount_minor integer,
  currency text,
  detail text NOT NULL,
  opened_at timestamp with time zone NOT NULL DEFAULT now(),
  resolved_at timestamp with time zone,
  resolved_by text,
  resolution text,
  note text,
  CONSTRAINT cases_pkey PRIMARY KEY (id),
  CONSTRAINT cases_check CHECK ((resolved_at IS NULL) = (resolution IS NULL)),
  CONSTRAINT cases_kind_check CHECK (kind = ANY (ARRAY['refund-failed'::text, 'refund-overdue'::text, 'unmatched-payment'::text, 'message-failed'::text, 'external-refund'::text, 'dispute'::text, 'difference'::text])),
  CONSTRAINT cases_resolution_check CHECK (resolution = ANY (ARRAY['retry-refund'::text, 'mark-settled'::text, 'resend'::text]))
);
COMMENT ON TABLE cases IS 'What only a person can decide. The workflow named here stays open until it is resolved.';
CREATE INDEX cases_by_opening ON cases USING btree (opened_at DESC, id);
CREATE INDEX cases_by_payment ON cases USING btree (payment_id) WHERE payment_id IS NOT NULL;
CREATE UNIQUE INDEX cases_one_open_per_payment ON cases USING btree (payment_id, kind, COALESCE(refund_id, ''::text)) WHERE resolved_at IS NULL AND payment_id IS NOT NULL AND kind <> 'difference'::text;
COMMENT ON INDEX cases_one_open_per_payment IS 'The same matter is asked once at a time. A dispute, and a refund that it stops, are two. A day may show several differences.';

CREATE TABLE failures (
  booking_id text NOT NULL,
  failure_no integer NOT NULL,
  type text NOT NULL,
  failed_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT failures_pkey PRIMARY KEY (booking_id, failure_no),
  CONSTRAINT failures_failure_no_check CHECK (failure_no >= 1)
);
COMMENT ON TABLE failures IS 'Every failure an attempt has met, written by triggers. The attempt itself shows the last one only, and none once it is confirmed or retried.';
COMMENT ON COLUMN failures.type IS 'As in attempts.failure.';

CREATE TABLE gateway_events (
  gateway text NOT NULL,
  event_id text NOT NULL,
  type text NOT NULL,
  gateway_ref text,
  booking_id text,
  heard_at timestamp with time zone NOT NULL,
  CONSTRAINT gateway_events_pkey PRIMARY KEY (gateway, event_id)
);
COMMENT ON TABLE gateway_events IS 'What was heard and when. Written by activities from the doorbell; the webhook itself writes nothing.';
CREATE INDEX gateway_events_by_ref ON gateway_events USING btree (gateway, gateway_ref);

CREATE TABLE holds (
  offering_id text NOT NULL,
  customer_id text NOT NULL,
  booking_id text NOT NULL,
  held_until timestamp with time zone NOT NULL,
  CONSTRAINT holds_pkey PRIMARY KEY (offering_id, customer_id)
);
COMMENT ON TABLE holds IS 'The latest hold of a customer on an offering, remembered after its end: a new attempt takes a live one over with its old end, and after it there is a pause before the next. So nobody keeps a seat locked by starting attempt after attempt.';
COMMENT ON COLUMN holds.held_until IS 'End of the hold: by the clock, or the moment its attempt ended.';
CREATE INDEX holds_by_attempt ON holds USING btree (booking_id);

CREATE TABLE messages (
  booking_id text NOT NULL,
  kind text NOT NULL,
  recipient text NOT NULL,
  locale text,
  queued_at timestamp with time zone NOT NULL DEFAULT now(),
  next_send_at timestamp with time zone DEFAULT now(),
  sent_at timestamp with time zone,
  tries integer NOT NULL DEFAULT 0,
  provider_ids text[],
  CONSTRAINT messages_pkey PRIMARY KEY (booking_id, kind, recipient),
  CONSTRAINT messages_kind_check CHECK (kind = ANY (ARRAY['booking-confirmed'::text, 'payment-refunded'::text, 'refund-failed'::text, 'provider-booked'::text, 'booking-canceled'::text, 'provider-canceled'::text]))
);
COMMENT ON TABLE messages IS 'One message per event, queued in the transaction that causes it; the courier sends it.';
COMMENT ON COLUMN messages.next_send_at IS 'When the courier takes it up; null once sent, or given up (a case says so).';
COMMENT ON COLUMN messages.provider_ids IS 'Of a message to a provider: whose items it tells of. Several, where providers share an address.';
CREATE INDEX messages_due ON messages USING btree (next_send_at) WHERE next_send_at IS NOT NULL;

CREATE TABLE offerings (
  id text NOT NULL,
  provider_id text NOT NULL,
  request_hash text,
  kind text NOT NULL,
  title text NOT NULL,
  starts_at timestamp with time zone,
  ends_at timestamp with time zone,
  time_zone text,
  capacity integer,
  price_minor integer NOT NULL,
  currency text NOT NULL,
  attributes jsonb NOT NULL DEFAULT '{}'::jsonb,
  status text NOT NULL DEFAULT 'open'::text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  hold_seconds integer,
  seats_per_customer integer,
  refund_until_seconds integer NOT NULL DEFAULT 0,
  refund_percent integer NOT NULL DEFAULT 100,
  CONSTRAINT offerings_pkey PRIMARY KEY (id),
  CONSTRAINT offerings_id_capacity_key UNIQUE (id, capacity),
  CONSTRAINT offerings_capacity_check CHECK (capacity >= 1 AND capacity <= 10000),
  CONSTRAINT offerings_check CHECK (ends_at > starts_at),
  CONSTRAINT offerings_currency_check CHECK (currency ~ '^[A-Z]{3}$'::text),
  CONSTRAINT offerings_hold_seconds_check CHECK (hold_seconds >= 5 AND hold_seconds <= 86400),
  CONSTRAINT offerings_kind_check CHECK (kind = ANY (ARRAY['slot'::text, 'consultation'::text])),
  CONSTRAINT offerings_price_minor_check CHECK (price_minor >= 0 AND price_minor <= 99999999),
  CONSTRAINT offerings_refund_percent_check CHECK (refund_percent >= 0 AND refund_percent <= 100),
  CONSTRAINT offerings_refund_until_seconds_check CHECK (refund_until_seconds >= 0 AND refund_until_seconds <= 31536000),
  CONSTRAINT offerings_seats_per_customer_check CHECK (seats_per_customer >= 1 AND seats_per_customer <= 10000),
  CONSTRAINT offerings_shape CHECK (
CASE kind
    WHEN 'slot'::text THEN num_nulls(starts_at, ends_at, time_zone, capacity) = 0
    ELSE num_nonnulls(starts_at, ends_at, time_zone, capacity, hold_seconds, seats_per_customer) = 0
END),
  CONSTRAINT offerings_status_check CHECK (status = ANY (ARRAY['open'::text, 'closed'::text, 'canceled'::text])),
  CONSTRAINT offerings_title_check CHECK (length(title) >= 1 AND length(title) <= 200)
);
COMMENT ON TABLE offerings IS 'Something that can be booked.';
COMMENT ON COLUMN offerings.provider_id IS 'Subject of the token that published it.';
COMMENT ON COLUMN offerings.request_hash IS 'Hash of the creating body when an Idempotency-Key was given: an equal repeat answers this row, another body is refused.';
COMMENT ON COLUMN offerings.time_zone IS 'IANA zone of the provider: the instant says when, the zone says which clock to show.';
COMMENT ON COLUMN offerings.price_minor IS 'Price of one seat, or of the consultation, in the smallest unit of the currency; 0 is free. Read once per attempt, into its quote.';
COMMENT ON COLUMN offerings.hold_seconds IS 'How long an attempt holds its seats while the customer pays; null: not at all, the first payer gets them.';
COMMENT ON COLUMN offerings.seats_per_customer IS 'Most seats one customer may have here; null: no limit.';
COMMENT ON COLUMN offerings.refund_until_seconds IS 'A customer may cancel until this long before the start. A consultation has no start and cannot be canceled.';
COMMENT ON COLUMN offerings.refund_percent IS 'What comes back then, of what was paid; a provider''s own cancellation gives everything back.';
CREATE INDEX offerings_by_provider ON offerings USING btree (provider_id, COALESCE(starts_at, '2200-01-01 00:00:00+00'::timestamp with time zone), id);
CREATE INDEX offerings_by_start ON offerings USING btree (COALESCE(starts_at, '2200-01-01 00:00:00+00'::timestamp with time zone), id);
COMMENT ON INDEX offerings_by_start IS 'Lists show the earliest start first, and what has no time last; no slot starts in 2200 or later.';

CREATE TABLE payment_tries (
  booking_id text NOT NULL,
  try integer NOT NULL,
  key_number integer NOT NULL DEFAULT 1,
  gateway text NOT NULL,
  gateway_ref text,
  how_to_pay jsonb,
  status text NOT NULL,
  failure_ref text,
  looks integer NOT NULL DEFAULT 0,
  next_look_at timestamp with time zone,
  watch_until timestamp with time zone,
  opened_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT payment_tries_pkey PRIMARY KEY (booking_id, try),
  CONSTRAINT payment_tries_gateway_gateway_ref_key UNIQUE (gateway, gateway_ref),
  CONSTRAINT payment_tries_check CHECK (status <> 'open'::text OR gateway_ref IS NOT NULL),
  CONSTRAINT payment_tries_status_check CHECK (status = ANY (ARRAY['opening'::text, 'open'::text, 'paid'::text, 'closed'::text, 'refused'::text])),
  CONSTRAINT payment_tries_try_check CHECK (try >= 1)
);
COMMENT ON TABLE payment_tries IS 'One payment object at a gateway. The row stands before the object does, so a lost answer is found again by its key.';
COMMENT ON COLUMN payment_tries.key_number IS 'Part of the outbound key; rises only after a definite refusal that the gateway would replay for the old key.';
COMMENT ON COLUMN payment_tries.how_to_pay IS 'What the customer''s browser needs, client secret included: shown to its owner only, never in Temporal or a log.';
COMMENT ON COLUMN payment_tries.failure_ref IS 'The gateway''s id of the last decline we have told of, so that looking again at the same decline changes nothing.';
COMMENT ON COLUMN payment_tries.next_look_at IS 'When the payment watch looks next; null when nobody needs to.';
CREATE INDEX payment_tries_due ON payment_tries USING btree (next_look_at) WHERE next_look_at IS NOT NULL;

CREATE TABLE payments (
  id text NOT NULL,
  booking_id text,
  gateway text NOT NULL,
  gateway_ref text NOT NULL,
  gateway_payment_id text NOT NULL,
  amount_minor integer NOT NULL,
  currency text NOT NULL,
  status text NOT NULL,
  disposition text NOT NULL,
  refunded_minor integer NOT NULL DEFAULT 0,
  recorded_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT payments_pkey PRIMARY KEY (id),
  CONSTRAINT payments_gateway_gateway_payment_id_key UNIQUE (gateway, gateway_payment_id),
  CONSTRAINT payments_amount_minor_check CHECK (amount_minor > 0),
  CONSTRAINT payments_check CHECK (booking_id IS NOT NULL OR disposition = 'unmatched'::text),
  CONSTRAINT payments_currency_check CHECK (currency ~ '^[A-Z]{3}$'::text),
  CONSTRAINT payments_disposition_check CHECK (disposition = ANY (ARRAY['booked'::text, 'returned'::text, 'unmatched'::text])),
  CONSTRAINT payments_refunds_within CHECK (refunded_minor >= 0 AND refunded_minor <= amount_minor),
  CONSTRAINT payments_status_check CHECK (status = 'captured'::text)
);
COMMENT ON TABLE payments IS 'Money a gateway says it captured; a row the moment we learn of it.';
COMMENT ON COLUMN payments.booking_id IS 'The attempt it was for; null when that attempt cannot be found (then a case says so).';
COMMENT ON COLUMN payments.disposition IS 'booked: bought the booking. returned: bought nothing, a refund is owed. unmatched: a person must decide.';
COMMENT ON COLUMN payments.refunded_minor IS 'Running total of the refund rows (trigger); its CHECK holds it within the payment, also when refunds are written at once.';
CREATE INDEX payments_by_booking ON payments USING btree (booking_id);
CREATE INDEX payments_by_charge ON payments USING btree (gateway_payment_id);
CREATE INDEX payments_by_ref ON payments USING btree (gateway_ref, gateway);
COMMENT ON INDEX payments_by_ref IS 'The id comes first: support has it from a customer or a statement, and asks no further.';
CREATE UNIQUE INDEX payments_one_booked ON payments USING btree (booking_id) WHERE disposition = 'booked'::text;
COMMENT ON INDEX payments_one_booked IS 'One booking is bought by one payment; any other is given back.';

CREATE TABLE providers (
  id text NOT NULL,
  display_name text NOT NULL,
  email text NOT NULL,
  locale text,
  changed_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT providers_pkey PRIMARY KEY (id),
  CONSTRAINT providers_display_name_check CHECK (length(display_name) >= 1 AND length(display_name) <= 200)
);
COMMENT ON TABLE providers IS 'Who is told about bookings. A provider without a row can publish all the same, and is told nothing.';
COMMENT ON COLUMN providers.id IS 'Subject of the provider''s token: what offerings.provider_id names.';

CREATE TABLE refunds (
  id text NOT NULL,
  payment_id text NOT NULL,
  go integer NOT NULL DEFAULT 1,
  key_number integer NOT NULL DEFAULT 1,
  amount_minor integer NOT NULL,
  status text NOT NULL,
  reason text NOT NULL,
  gateway_refund_id text,
  looks integer NOT NULL DEFAULT 0,
  next_look_at timestamp with time zone,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  settled_at timestamp with time zone,
  CONSTRAINT refunds_pkey PRIMARY KEY (id),
  CONSTRAINT refunds_amount_minor_check CHECK (amount_minor > 0),
  CONSTRAINT refunds_status_check CHECK (status = ANY (ARRAY['unsent'::text, 'pending'::text, 'succeeded'::text, 'failed'::text]))
);
COMMENT ON TABLE refunds IS 'Captured money on its way back, written in the transaction that decides it is owed.';
COMMENT ON COLUMN refunds.go IS 'Part of the outbound key. Rises when an operator retries a refund that failed for good: the old key would only give the old failure again.';
COMMENT ON COLUMN refunds.status IS 'unsent: owed, not acknowledged. pending, succeeded, failed: the gateway''s word; succeeded also when an operator settled it by other means (see cases).';
CREATE INDEX refunds_by_gateway_id ON refunds USING btree (gateway_refund_id) WHERE gateway_refund_id IS NOT NULL;
CREATE INDEX refunds_by_payment ON refunds USING btree (payment_id);
CREATE INDEX refunds_due ON refunds USING btree (next_look_at) WHERE next_look_at IS NOT NULL;
CREATE UNIQUE INDEX refunds_once_per_reason ON refunds USING btree (payment_id, reason) WHERE reason <> 'external'::text;
COMMENT ON INDEX refunds_once_per_reason IS 'The same cause gives money back once. What others send back may come in several parts.';

CREATE TABLE seats (
  offering_id text NOT NULL,
  seat_no integer NOT NULL,
  capacity integer NOT NULL,
  booking_id text,
  held_by text,
  held_until timestamp with time zone,
  CONSTRAINT seats_pkey PRIMARY KEY (offering_id, seat_no),
  CONSTRAINT seats_check CHECK (seat_no >= 1 AND seat_no <= capacity),
  CONSTRAINT seats_hold_or_booking CHECK (booking_id IS NULL OR held_by IS NULL),
  CONSTRAINT seats_hold_whole CHECK ((held_by IS NULL) = (held_until IS NULL))
);
COMMENT ON TABLE seats IS 'One row per unit of capacity, with room for one booking: selling a seat twice is impossible, not merely avoided.';
COMMENT ON COLUMN seats.capacity IS 'Copy of the offering''s capacity, held to it by the foreign key, so that the CHECK can refuse a seat beyond it.';
COMMENT ON COLUMN seats.held_by IS 'The attempt that holds this seat until held_until. After that instant the seat is free, with nobody writing anything.';
CREATE INDEX seats_by_booking ON seats USING btree (booking_id) WHERE booking_id IS NOT NULL;
CREATE INDEX seats_by_holder ON seats USING btree (held_by) WHERE held_by IS NOT NULL;
CREATE INDEX seats_free ON seats USING btree (offering_id, seat_no) WHERE booking_id IS NULL;

CREATE TABLE wallet_entries (
  id text NOT NULL,
  account text NOT NULL,
  customer_id text,
  currency text NOT NULL,
  amount_minor integer NOT NULL,
  kind text NOT NULL,
  booking_id text,
  note text,
  made_by text,
  request_hash text,
  at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT wallet_entries_pkey PRIMARY KEY (id, account),
  CONSTRAINT wallet_entries_account_check CHECK (account = ANY (ARRAY['customer'::text, 'issued'::text, 'spent'::text])),
  CONSTRAINT wallet_entries_amount_minor_check CHECK (amount_minor <> 0),
  CONSTRAINT wallet_entries_check CHECK ((account = 'customer'::text) = (customer_id IS NOT NULL)),
  CONSTRAINT wallet_entries_kind_check CHECK (kind = ANY (ARRAY['credit'::text, 'payment'::text, 'refund'::text]))
);
COMMENT ON TABLE wallet_entries IS 'Double entry: a movement is two entries of one id that sum to zero, one in the customer''s account and one in ours.';
COMMENT ON COLUMN wallet_entries.id IS 'Derived from what caused the movement, so the same cause moves money once.';
COMMENT ON COLUMN wallet_entries.account IS 'customer: the wallet. issued: what operators credited. spent: what was paid for bookings and given back for them.';
COMMENT ON COLUMN wallet_entries.made_by IS 'Of an operator''s credit: the subject of their token.';
COMMENT ON COLUMN wallet_entries.request_hash IS 'Of an operator''s credit: tells an honest repeat of its Idempotency-Key from another body.';
CREATE INDEX wallet_entries_by_customer ON wallet_entries USING btree (customer_id, at DESC, id) WHERE customer_id IS NOT NULL;

CREATE TABLE wallets (
  customer_id text NOT NULL,
  currency text NOT NULL,
  balance_minor bigint NOT NULL DEFAULT 0,
  CONSTRAINT wallets_pkey PRIMARY KEY (customer_id, currency),
  CONSTRAINT wallets_currency_check CHECK (currency ~ '^[A-Z]{3}$'::text),
  CONSTRAINT wallets_never_negative CHECK (balance_minor >= 0)
);
COMMENT ON TABLE wallets IS 'A customer''s balance with us, one row per currency.';
COMMENT ON COLUMN wallets.balance_minor IS 'Running total of the wallet''s entries (trigger). Its CHECK holds it above zero, also when payments come at once.';

CREATE TABLE webhook_deliveries (
  id text NOT NULL,
  endpoint_id text NOT NULL,
  type text NOT NULL,
  subject text NOT NULL,
  data jsonb NOT NULL,
  occurred_at timestamp with time zone NOT NULL DEFAULT now(),
  status text NOT NULL DEFAULT 'queued'::text,
  tries integer NOT NULL DEFAULT 0,
  step integer NOT NULL DEFAULT 0,
  next_try_at timestamp with time zone DEFAULT now(),
  last_status_code integer,
  last_error text,
  delivered_at timestamp with time zone,
  CONSTRAINT webhook_deliveries_pkey PRIMARY KEY (id),
  CONSTRAINT webhook_deliveries_once UNIQUE (endpoint_id, type, subject),
  CONSTRAINT webhook_deliveries_check CHECK ((status = 'queued'::text) = (next_try_at IS NOT NULL)),
  CONSTRAINT webhook_deliveries_status_check CHECK (status = ANY (ARRAY['queued'::text, 'delivered'::text, 'failed'::text]))
);
COMMENT ON TABLE webhook_deliveries IS 'One event on its way to one endpoint, queued by triggers in the transaction that causes it; the courier posts it.';
COMMENT ON COLUMN webhook_deliveries.id IS 'The webhook-id that receivers see: the same over retries and repeats.';
COMMENT ON COLUMN webhook_deliveries.subject IS 'The booking or case it tells of. A booking is confirmed, refunded, expired or canceled at most once, as its receivers see it.';
COMMENT ON COLUMN webhook_deliveries.data IS 'Ids and states only: a receiver reads the rest from the API, with its own rights.';
COMMENT ON COLUMN webhook_deliveries.tries IS 'Posts begun, ever. An answer counts only for the newest.';
COMMENT ON COLUMN webhook_deliveries.step IS 'Posts begun since it was queued or repeated: the place in the schedule.';
COMMENT ON COLUMN webhook_deliveries.next_try_at IS 'When the courier takes it up. While a post is under way, when it counts as lost.';
CREATE INDEX webhook_deliveries_due ON webhook_deliveries USING btree (endpoint_id, next_try_at) WHERE next_try_at IS NOT NULL;
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries USING btree (endpoint_id, occurred_at DESC, id);

CREATE TABLE webhook_endpoints (
  id text NOT NULL,
  url text NOT NULL,
  events text[] NOT NULL,
  description text,
  secret text NOT NULL,
  old_secret text,
  old_secret_until timestamp with time zone,
  status text NOT NULL DEFAULT 'enabled'::text,
  disabled_because text,
  request_hash text,
  created_at timestamp with time zone NOT NULL DEFAULT now(),
  CONSTRAINT webhook_endpoints_pkey PRIMARY KEY (id),
  CONSTRAINT webhook_endpoints_check CHECK ((old_secret IS NULL) = (old_secret_until IS NULL)),
  CONSTRAINT webhook_endpoints_check1 CHECK ((status = 'disabled'::text) = (disabled_because IS NOT NULL)),
  CONSTRAINT webhook_endpoints_disabled_because_check CHECK (disabled_because = ANY (ARRAY['gone'::text, 'failing'::text])),
  CONSTRAINT webhook_endpoints_events_check CHECK (cardinality(events) > 0 AND events <@ ARRAY['booking.confirmed'::text, 'booking.refunded'::text, 'booking.expired'::text, 'booking.canceled'::text, 'case.opened'::text]),
  CONSTRAINT webhook_endpoints_status_check CHECK (status = ANY (ARRAY['enabled'::text, 'disabled'::text])),
  CONSTRAINT webhook_endpoints_url_check CHECK (length(url) <= 2000)
);
COMMENT ON TABLE webhook_endpoints IS 'Where the API client''s own backend is told what happens, by Standard Webhooks.';
COMMENT ON COLUMN webhook_endpoints.secret IS 'Signs every webhook; sealed by a key derived from APP_SECRET, so that neither the read-only role nor a backup can forge one.';
COMMENT ON COLUMN webhook_endpoints.old_secret IS 'The one before, which signs as well until old_secret_until: receivers change over in that time.';
COMMENT ON COLUMN webhook_endpoints.disabled_because IS 'gone: it answered 410. failing: it took nothing for the length of a whole schedule.';
COMMENT ON COLUMN webhook_endpoints.request_hash IS 'Hash of the creating body when an Idempotency-Key was given: an equal repeat answers this row, another body is refused.';

CREATE OR REPLACE FUNCTION public.attempt_may_become(old_status text, new_status text)
 RETURNS boolean
 LANGUAGE sql
 IMMUTABLE
AS $function$
  SELECT old_status || ' > ' || new_status IN (
    'awaiting_payment > processing', 'awaiting_payment > confirmed', 'awaiting_payment > refunding',
    'awaiting_payment > expired', 'awaiting_payment > canceled', 'awaiting_payment > failed',
    'processing > confirmed', 'processing > refunding', 'processing > awaiting_payment', 'processing > expired',
    'refunding > refunded', 'refunding > needs_attention',
    'confirmed > refunding', 'confirmed > needs_attention',
    'refunded > needs_attention',
    'needs_attention > refunding', 'needs_attention > refunded', 'needs_attention > confirmed')
$function$;
COMMENT ON FUNCTION attempt_may_become(text,text) IS 'The legal arrows between statuses; the same table as legalTransitions in src/booking.ts.';

CREATE OR REPLACE FUNCTION public.book(attempt attempts, in_entry_id text, in_references text[])
 RETURNS text
 LANGUAGE plpgsql
AS $function$
DECLARE
  items jsonb := attempt.quote -> 'items';
  own text[] := ARRAY[attempt.booking_id];
  refusal text;
BEGIN
  IF attempt.cart_id IS NOT NULL THEN
    PERFORM FROM carts AS c WHERE c.id = attempt.cart_id FOR UPDATE;
  END IF;
  IF lock_customer(attempt.customer_id, items) THEN
    -- A hold of the same customer on the same offering serves this attempt, too.
    own := own || array(SELECT h.booking_id FROM holds AS h WHERE h.customer_id = attempt.customer_id
      AND h.offering_id IN (SELECT item ->> 'offeringId' FROM jsonb_array_elements(items) AS item));
  END IF;
  refusal := refusal_of(attempt);
  IF refusal IS NOT NULL THEN
    RETURN refusal;
  END IF;
  BEGIN
    INSERT INTO bookings (id, reference, customer_id, status, total_minor, currency)
      SELECT attempt.booking_id, candidate, attempt.customer_id, 'confirmed', attempt.total_minor, attempt.currency
      FROM unnest(in_references) WITH ORDINALITY AS candidates (candidate, n)
      WHERE NOT EXISTS (SELECT FROM bookings AS b WHERE b.reference = candidate)
      ORDER BY n LIMIT 1;
    INSERT INTO booking_items (booking_id, offering_id, seats, details)
      SELECT attempt.booking_id, item ->> 'offeringId', (item ->> 'seats')::integer, item -> 'details'
      FROM jsonb_array_elements(items) AS item;
    UPDATE carts AS c SET booking_id = attempt.booking_id WHERE c.id = attempt.cart_id;
    IF in_entry_id IS NOT NULL THEN
      PERFORM FROM wallets AS w WHERE w.customer_id = attempt.customer_id AND w.currency = attempt.currency
        AND w.balance_minor >= attempt.total_minor FOR UPDATE;
      IF NOT FOUND THEN
        RAISE EXCEPTION 'insufficient-funds' USING ERRCODE = 'PF002';
      END IF;
      PERFORM move_wallet_money(in_entry_id, 'payment', attempt.customer_id, attempt.currency, -attempt.total_minor,
        attempt.booking_id, NULL, NULL);
    END IF;
    IF NOT take_seats(attempt.booking_id, items, own, NULL) THEN
      RAISE EXCEPTION 'slot-unavailable' USING ERRCODE = 'PF002';
    END IF;
  EXCEPTION WHEN SQLSTATE 'PF002' THEN
    RETURN SQLERRM;
  END;
  IF cardinality(own) > 1 THEN
    UPDATE holds AS h SET held_until = now() WHERE h.customer_id = attempt.customer_id AND h.held_until > now()
      AND h.offering_id IN (SELECT item ->> 'offeringId' FROM jsonb_array_elements(items) AS item);
    PERFORM let_seats_go(holder, item ->> 'offeringId') FROM unnest(own) AS holder, jsonb_array_elements(items) AS item;
  END IF;
  INSERT INTO messages (booking_id, kind, recipient, locale)
    VALUES (attempt.booking_id, 'booking-confirmed', attempt.contact ->> 'email', attempt.contact ->> 'locale');
  INSERT INTO messages (booking_id, kind, recipient, locale, provider_ids)
    SELECT attempt.booking_id, 'provider-booked', p.email, min(p.locale), array_agg(p.id) FROM providers AS p
    WHERE p.id IN (SELECT o.provider_id FROM jsonb_array_elements(items) AS item JOIN offerings AS o ON o.id = item ->> 'offeringId')
    GROUP BY p.email;
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION book(attempts,text,text[]) IS 'Makes the booking of an attempt, paid from the wallet where an entry''s id is given: seats, cart, money and messages, all or nothing. Returns why not, or null. The caller has locked the attempt.';

CREATE OR REPLACE FUNCTION public.call_off(in_offering_id text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
BEGIN
  -- Bookings hold this lock shared until they commit: after it, each is there to be undone, and no other can come.
  PERFORM pg_advisory_xact_lock(hashtextextended(in_offering_id, 0));
  UPDATE offerings SET status = 'canceled' WHERE id = in_offering_id AND status <> 'canceled';
END $function$;
COMMENT ON FUNCTION call_off(text) IS 'Closes an offering for good. When it returns, no booking of it is under way.';

CREATE OR REPLACE FUNCTION public.cancel_booking(in_booking_id text, in_refund_id text, in_by text, in_why text)
 RETURNS TABLE(refusal text, newly boolean)
 LANGUAGE plpgsql
AS $function$
DECLARE
  attempt attempts%ROWTYPE;
  payment payments%ROWTYPE;
  back_minor bigint;
  until_passed boolean;
BEGIN
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'Bug: canceling % without an attempt', in_booking_id;
  END IF;
  IF attempt.status <> 'confirmed' THEN
    RETURN QUERY SELECT CASE WHEN attempt.status IN ('refunding', 'refunded', 'canceled') THEN NULL ELSE 'not-cancelable' END, false;
    RETURN;
  END IF;
  SELECT bool_or(coalesce(o.starts_at - make_interval(secs => o.refund_until_seconds) <= now(), true)),
      floor(sum((item ->> 'priceMinor')::bigint * (item ->> 'seats')::integer
        * CASE in_by WHEN 'customer' THEN o.refund_percent ELSE 100 END) / 100)
    INTO until_passed, back_minor
    FROM jsonb_array_elements(attempt.quote -> 'items') AS item JOIN offerings AS o ON o.id = item ->> 'offeringId';
  IF in_by = 'customer' AND until_passed THEN
    RETURN QUERY SELECT 'not-cancelable', false;
    RETURN;
  END IF;

  UPDATE bookings AS b SET status = 'canceled', canceled_at = now() WHERE b.id = in_booking_id;
  -- In the order in which everybody locks seats.
  PERFORM FROM seats AS s WHERE s.booking_id = in_booking_id ORDER BY s.offering_id, s.seat_no FOR UPDATE;
  UPDATE seats AS s SET booking_id = NULL WHERE s.booking_id = in_booking_id;
  SELECT * INTO payment FROM payments AS p WHERE p.booking_id = in_booking_id AND p.disposition = 'booked' FOR UPDATE;
  -- What others have sent back already cannot come back twice.
  back_minor := least(back_minor, payment.amount_minor - payment.refunded_minor);
  UPDATE attempts AS a SET status = 'refunding', cancel_reason = in_why WHERE a.booking_id = in_booking_id;
  IF back_minor > 0 THEN
    INSERT INTO refunds (id, payment_id, amount_minor, status, reason, next_look_at)
      VALUES (in_refund_id, payment.id, back_minor, 'unsent', 'canceled-by-' || in_by, now() + interval '1 minute');
  ELSE
    UPDATE attempts AS a SET status = 'refunded' WHERE a.booking_id = in_booking_id;
  END IF;
  INSERT INTO messages (booking_id, kind, recipient, locale)
    VALUES (in_booking_id, 'booking-canceled', attempt.contact ->> 'email', attempt.contact ->> 'locale');
  INSERT INTO messages (booking_id, kind, recipient, locale, provider_ids)
    SELECT in_booking_id, 'provider-canceled', p.email, min(p.locale), array_agg(p.id) FROM providers AS p
    WHERE p.id IN (SELECT o.provider_id FROM jsonb_array_elements(attempt.quote -> 'items') AS item
      JOIN offerings AS o ON o.id = item ->> 'offeringId')
    GROUP BY p.email;
  RETURN QUERY SELECT NULL::text, true;
END $function$;
COMMENT ON FUNCTION cancel_booking(text,text,text,text) IS 'Undoes a confirmed booking: frees its seats and writes what goes back, by the policy for a customer, in full for a provider. Says why not; canceling again is granted.';

CREATE OR REPLACE FUNCTION public.count_refund()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  UPDATE payments SET refunded_minor = refunded_minor
    + CASE WHEN TG_OP = 'DELETE' THEN 0 ELSE NEW.amount_minor END
    - CASE WHEN TG_OP = 'INSERT' THEN 0 ELSE OLD.amount_minor END
    WHERE id = CASE WHEN TG_OP = 'DELETE' THEN OLD.payment_id ELSE NEW.payment_id END;
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION count_refund() IS 'Keeps payments.refunded_minor. The update locks the payment''s row, so two refunds at once cannot both fit.';

CREATE OR REPLACE FUNCTION public.count_version()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  NEW.version := OLD.version + 1;
  RETURN NEW;
END $function$;
COMMENT ON FUNCTION count_version() IS 'A version set by hand is ignored: no change goes unnoticed, and none is counted twice.';

CREATE OR REPLACE FUNCTION public.count_wallet_entry()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  UPDATE wallets SET balance_minor = balance_minor + NEW.amount_minor
    WHERE customer_id = NEW.customer_id AND currency = NEW.currency;
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION count_wallet_entry() IS 'Keeps wallets.balance_minor. The update locks the wallet''s row, so fifty payments at once are fifty in a row.';

CREATE OR REPLACE FUNCTION public.end_hold()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM lock_customer(NEW.customer_id, NEW.quote -> 'items');
  UPDATE holds SET held_until = now() WHERE booking_id = NEW.booking_id AND held_until > now();
  IF NEW.status <> 'confirmed' THEN
    -- Waits for whoever looked at a seat before it was held: that one keeps it locked till its end, and cannot have it.
    -- A booking just made has seats in hand, so it must not wait; what is skipped then is free when the hold's time is up.
    PERFORM FROM seats AS s WHERE s.held_by = NEW.booking_id ORDER BY s.offering_id, s.seat_no FOR UPDATE;
  END IF;
  PERFORM let_seats_go(NEW.booking_id, NULL);
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION end_hold() IS 'An attempt that is over holds nothing, in the same transaction, whichever way it ended.';

CREATE OR REPLACE FUNCTION public.hear_events(in_heard jsonb)
 RETURNS void
 LANGUAGE sql
AS $function$
  INSERT INTO gateway_events (gateway, event_id, type, gateway_ref, booking_id, heard_at)
    SELECT gateway, "eventId", type, ref, "bookingId", "heardAt"
    FROM jsonb_to_recordset(in_heard)
      AS heard (gateway text, "eventId" text, type text, ref text, "bookingId" text, "heardAt" timestamptz)
  ON CONFLICT DO NOTHING
$function$;
COMMENT ON FUNCTION hear_events(jsonb) IS 'Keeps what doorbells carried; the same event twice is one row.';

CREATE OR REPLACE FUNCTION public.hold_seats(in_booking_id text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
  attempt attempts%ROWTYPE;
  claimed jsonb;
  own text[];
  until timestamptz;
  in_a_minute timestamptz := now() + interval '60 seconds';
BEGIN
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id;
  PERFORM lock_customer(attempt.customer_id, attempt.quote -> 'items');
  -- A live hold of the customer is taken over with its old end. After the end of one, there is none for as long as it is.
  -- The 60 seconds are for settling what was paid in the last moment of the window: a hold that has come to them leaves no
  -- window to take over. Nor does one that ended since this transaction began, although it ends after now().
  SELECT jsonb_agg(item), array_agg(h.booking_id) FILTER (WHERE h.held_until > in_a_minute),
      min(CASE WHEN h.held_until > in_a_minute THEN h.held_until ELSE now() + make_interval(secs => o.hold_seconds + 60) END)
    INTO claimed, own, until
    FROM jsonb_array_elements(attempt.quote -> 'items') AS item
    JOIN offerings AS o ON o.id = item ->> 'offeringId'
    LEFT JOIN holds AS h ON h.offering_id = o.id AND h.customer_id = attempt.customer_id
    WHERE o.hold_seconds IS NOT NULL
      AND (h.held_until IS NULL OR h.held_until > in_a_minute OR h.held_until + make_interval(secs => o.hold_seconds) <= now());
  IF claimed IS NULL THEN
    RETURN true;
  END IF;
  IF NOT take_seats(in_booking_id, claimed, coalesce(own, '{}'), until) THEN
    RETURN false;
  END IF;
  PERFORM let_seats_go(h.booking_id, h.offering_id) FROM holds AS h
    WHERE h.customer_id = attempt.customer_id AND h.booking_id = ANY (own)
      AND h.offering_id IN (SELECT item ->> 'offeringId' FROM jsonb_array_elements(claimed) AS item);
  INSERT INTO holds AS h (offering_id, customer_id, booking_id, held_until)
    SELECT item ->> 'offeringId', attempt.customer_id, in_booking_id, until FROM jsonb_array_elements(claimed) AS item
    ON CONFLICT (offering_id, customer_id) DO UPDATE SET booking_id = in_booking_id, held_until = until;
  UPDATE attempts AS a SET hold_until = until WHERE a.booking_id = in_booking_id;
  RETURN true;
END $function$;
COMMENT ON FUNCTION hold_seats(text) IS 'Holds the seats of a new attempt where its offerings ask for it. False: there are too few.';

CREATE OR REPLACE FUNCTION public.keep_failure()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO failures (booking_id, failure_no, type)
    SELECT NEW.booking_id, count(*) + 1,
      CASE TG_TABLE_NAME WHEN 'attempts' THEN to_jsonb(NEW) -> 'failure' ->> 'type' ELSE 'payment-declined' END
    FROM failures AS f WHERE f.booking_id = NEW.booking_id;
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION keep_failure() IS 'Counts on: the attempt''s row is locked by whoever writes a failure, so two at once do not get one number.';

CREATE OR REPLACE FUNCTION public.keep_live_hold()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  IF (SELECT customer_id FROM attempts WHERE booking_id = OLD.held_by)
    <> (SELECT customer_id FROM attempts WHERE booking_id = coalesce(NEW.booking_id, NEW.held_by))
  THEN
    RAISE EXCEPTION 'a held seat is its holder''s' USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
  END IF;
  RETURN NEW;
END $function$;
COMMENT ON FUNCTION keep_live_hold() IS 'A seat under a live hold goes to nobody but the customer who holds it, whoever forgot to look.';

CREATE OR REPLACE FUNCTION public.let_seats_go(in_held_by text, in_offering_id text)
 RETURNS void
 LANGUAGE sql
AS $function$
  -- Skipped: a seat that somebody has locked this moment, because its hold ran out or moved on, or was not there yet when
  -- they looked. It is free when the hold's time is up.
  UPDATE seats SET held_by = NULL, held_until = NULL
    WHERE (offering_id, seat_no) IN (
      SELECT s.offering_id, s.seat_no FROM seats AS s
      WHERE s.held_by = in_held_by AND (in_offering_id IS NULL OR s.offering_id = in_offering_id)
      FOR UPDATE SKIP LOCKED)
$function$;
COMMENT ON FUNCTION let_seats_go(text,text) IS 'Ends the hold of an attempt on the seats of one offering, or of all.';

CREATE OR REPLACE FUNCTION public.lock_customer(in_customer_id text, in_items jsonb)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
  wanted record;
  any_rule boolean := false;
BEGIN
  FOR wanted IN
    SELECT o.id, o.hold_seconds IS NOT NULL OR o.seats_per_customer IS NOT NULL AS ruled
    FROM jsonb_array_elements(in_items) AS item JOIN offerings AS o ON o.id = item ->> 'offeringId' ORDER BY 1
  LOOP
    -- Shared, so bookings do not wait for each other: whoever calls the offering off waits for those under way, and finds them.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended(wanted.id, 0));
    IF wanted.ruled THEN
      any_rule := true;
      PERFORM pg_advisory_xact_lock(hashtextextended(wanted.id || ' ' || in_customer_id, 0));
    END IF;
  END LOOP;
  RETURN any_rule;
END $function$;
COMMENT ON FUNCTION lock_customer(text,jsonb) IS 'Where an offering has rules per customer, one transaction of that customer at a time; says whether there are any. Others do not wait, but nobody calls an offering off meanwhile.';

CREATE OR REPLACE FUNCTION public.make_seats()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO seats (offering_id, seat_no, capacity)
    SELECT NEW.id, n, NEW.capacity FROM generate_series(1, NEW.capacity) AS n;
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION make_seats() IS 'An offering is born with exactly its capacity in seats.';

CREATE OR REPLACE FUNCTION public.move_wallet_money(in_id text, in_kind text, in_customer_id text, in_currency text, in_amount_minor integer, in_booking_id text, in_note text, in_request_hash text, in_made_by text DEFAULT NULL::text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
BEGIN
  INSERT INTO wallets (customer_id, currency) VALUES (in_customer_id, in_currency) ON CONFLICT DO NOTHING;
  PERFORM FROM wallets AS w WHERE w.customer_id = in_customer_id AND w.currency = in_currency FOR UPDATE;
  IF EXISTS (SELECT FROM wallet_entries AS e WHERE e.id = in_id) THEN
    RETURN false;
  END IF;
  INSERT INTO wallet_entries (id, account, customer_id, currency, amount_minor, kind, booking_id, note, request_hash, made_by) VALUES
    (in_id, 'customer', in_customer_id, in_currency, in_amount_minor, in_kind, in_booking_id, in_note, in_request_hash, in_made_by),
    (in_id, CASE in_kind WHEN 'credit' THEN 'issued' ELSE 'spent' END, NULL, in_currency, -in_amount_minor, in_kind,
      in_booking_id, in_note, in_request_hash, in_made_by);
  RETURN true;
END $function$;
COMMENT ON FUNCTION move_wallet_money(text,text,text,text,integer,text,text,text,text) IS 'Moves money into a wallet (above zero) or out of it (below), both sides at once. False: this movement was made before.';

CREATE OR REPLACE FUNCTION public.queue_webhooks(in_type text, in_subject text, in_data jsonb)
 RETURNS void
 LANGUAGE sql
AS $function$
  INSERT INTO webhook_deliveries (id, endpoint_id, type, subject, data)
    SELECT 'whd_' || left(encode(sha256(convert_to(concat_ws(' ', e.id, in_type, in_subject), 'UTF8')), 'hex'), 24),
      e.id, in_type, in_subject, jsonb_strip_nulls(in_data)
    FROM webhook_endpoints AS e WHERE e.status = 'enabled' AND in_type = ANY (e.events)
    -- Locked, so that an endpoint that is deleted or disabled this moment is skipped rather than missed: what causes an
    -- event must never fail by its telling.
    ORDER BY e.id FOR SHARE
    ON CONFLICT DO NOTHING
$function$;
COMMENT ON FUNCTION queue_webhooks(text,text,jsonb) IS 'Queues one event for every endpoint that wants it; the same event again changes nothing.';

CREATE OR REPLACE FUNCTION public.refusal_of(attempt attempts)
 RETURNS text
 LANGUAGE sql
 STABLE
AS $function$
  SELECT CASE
    WHEN EXISTS (SELECT FROM carts AS c WHERE c.id = attempt.cart_id AND c.booking_id IS NOT NULL) THEN 'cart-converted'
    WHEN bool_or(o.status <> 'open' OR coalesce(o.starts_at <= now(), false)) THEN 'offering-closed'
    WHEN bool_or(o.seats_per_customer < (item ->> 'seats')::integer + (
      SELECT count(*) FROM seats AS s JOIN bookings AS b ON b.id = s.booking_id
      WHERE o.seats_per_customer IS NOT NULL AND s.offering_id = o.id AND b.customer_id = attempt.customer_id))
      THEN 'seats-per-customer'
  END
  FROM jsonb_array_elements(attempt.quote -> 'items') AS item JOIN offerings AS o ON o.id = item ->> 'offeringId'
$function$;
COMMENT ON FUNCTION refusal_of(attempts) IS 'Why an attempt''s quote could not be booked now, whatever seats are free; null when nothing speaks against it.';

CREATE OR REPLACE FUNCTION public.refuse()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
END $function$;
COMMENT ON FUNCTION refuse() IS 'Trigger body for changes that no code may make; the argument says which rule is broken.';

CREATE OR REPLACE FUNCTION public.refuse_unbalanced()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  IF EXISTS (SELECT FROM wallet_entries WHERE id = NEW.id GROUP BY currency HAVING sum(amount_minor) <> 0) THEN
    RAISE EXCEPTION 'the entries of a movement sum to zero' USING ERRCODE = 'check_violation', TABLE = TG_TABLE_NAME, CONSTRAINT = TG_NAME;
  END IF;
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION refuse_unbalanced() IS 'Asked at the end of the transaction, when both sides of a movement are written.';

CREATE OR REPLACE FUNCTION public.seats_free(in_offering_id text, in_customer_id text)
 RETURNS bigint
 LANGUAGE sql
 STABLE
AS $function$
  SELECT count(*) FROM seats AS s
  WHERE s.offering_id = in_offering_id AND s.booking_id IS NULL
    AND (s.held_until IS NULL OR s.held_until <= now() OR s.held_by IN
      (SELECT h.booking_id FROM holds AS h WHERE h.offering_id = in_offering_id AND h.customer_id = in_customer_id))
$function$;
COMMENT ON FUNCTION seats_free(text,text) IS 'Seats this customer could have: neither booked nor held by somebody else. Without a customer, what the public sees.';

CREATE OR REPLACE FUNCTION public.settle_inside(in_booking_id text, in_method text, in_payment_id text, in_entry_id text, in_references text[])
 RETURNS TABLE(refusal text, reference text)
 LANGUAGE plpgsql
AS $function$
DECLARE
  attempt attempts%ROWTYPE;
  tries_before integer;
BEGIN
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id FOR UPDATE;
  SELECT coalesce(max(t.try), 0) INTO tries_before FROM payment_tries AS t WHERE t.booking_id = in_booking_id;
  IF attempt.total_minor = 0 THEN
    in_entry_id := NULL;
  END IF;
  refusal := book(attempt, in_entry_id, in_references);
  IF refusal IS NOT NULL THEN
    IF tries_before = 0 THEN
      UPDATE attempts AS a SET status = 'failed', failure = jsonb_build_object('type', refusal), ended_at = now()
        WHERE a.booking_id = in_booking_id;
    END IF;
    RETURN QUERY SELECT refusal, NULL::text;
    RETURN;
  END IF;
  IF in_entry_id IS NOT NULL THEN
    INSERT INTO payment_tries (booking_id, try, gateway, gateway_ref, status)
      VALUES (in_booking_id, tries_before + 1, in_method, in_entry_id, 'paid');
    INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
      VALUES (in_payment_id, in_booking_id, in_method, in_entry_id, in_entry_id, attempt.total_minor, attempt.currency,
        'captured', 'booked');
  END IF;
  UPDATE attempts AS a SET status = 'confirmed', method = in_method, failure = NULL, ended_at = now(),
      tries = a.tries + CASE WHEN tries_before = 0 THEN 0 ELSE 1 END
    WHERE a.booking_id = in_booking_id;
  RETURN QUERY SELECT NULL::text, b.reference FROM bookings AS b WHERE b.id = in_booking_id;
END $function$;
COMMENT ON FUNCTION settle_inside(text,text,text,text,text[]) IS 'Settles an attempt whose money moves in this very transaction, or that costs nothing: why not, or the reference. A new one that is refused has failed; a retried one stays as it was.';

CREATE OR REPLACE FUNCTION public.settle_payment(in_booking_id text, in_gateway text, in_ref text, in_charge text, in_amount_minor integer, in_currency text, in_payment_id text, in_refund_id text, in_references text[])
 RETURNS TABLE(status text, refund_id text, newly boolean, refusal text, reference text)
 LANGUAGE plpgsql
AS $function$
DECLARE
  attempt attempts%ROWTYPE;
  known payments%ROWTYPE;
BEGIN
  -- The attempt's row comes first in every transaction: a local activity that timed out may still be running, and
  -- whoever comes second finds here what the other did.
  SELECT * INTO attempt FROM attempts AS a WHERE a.booking_id = in_booking_id FOR UPDATE;
  IF NOT FOUND THEN
    RAISE EXCEPTION 'Bug: settling % without an attempt', in_booking_id;
  END IF;
  SELECT * INTO known FROM payments AS p WHERE p.gateway = in_gateway AND p.gateway_payment_id = in_charge;
  IF FOUND THEN
    RETURN QUERY SELECT attempt.status,
      (SELECT r.id FROM refunds AS r WHERE r.payment_id = known.id AND r.status <> 'succeeded' LIMIT 1), false, NULL::text, NULL::text;
    RETURN;
  END IF;

  IF attempt.status NOT IN ('awaiting_payment', 'processing') THEN
    refusal := CASE WHEN EXISTS (SELECT FROM payments AS p WHERE p.booking_id = in_booking_id)
      THEN 'second-payment' ELSE 'late-payment' END;
  ELSIF in_amount_minor <> attempt.total_minor OR in_currency <> attempt.currency THEN
    refusal := 'amount-mismatch';
  ELSE
    refusal := book(attempt, NULL, in_references);
  END IF;

  INSERT INTO payments (id, booking_id, gateway, gateway_ref, gateway_payment_id, amount_minor, currency, status, disposition)
    VALUES (in_payment_id, in_booking_id, in_gateway, in_ref, in_charge, in_amount_minor, in_currency, 'captured',
      CASE WHEN refusal IS NULL THEN 'booked' ELSE 'returned' END);
  UPDATE payment_tries AS t SET status = 'paid', next_look_at = NULL
    WHERE t.booking_id = in_booking_id AND t.gateway = in_gateway AND t.gateway_ref = in_ref;

  IF refusal IS NULL THEN
    UPDATE attempts AS a SET status = 'confirmed', failure = NULL, ended_at = now() WHERE a.booking_id = in_booking_id;
    RETURN QUERY SELECT 'confirmed', NULL::text, true, NULL::text,
      (SELECT b.reference FROM bookings AS b WHERE b.id = in_booking_id);
    RETURN;
  END IF;

  -- The net under the workflow that sends it: should nobody have sent the refund in a minute, the payment watch asks why.
  INSERT INTO refunds (id, payment_id, amount_minor, status, reason, next_look_at)
    VALUES (in_refund_id, in_payment_id, in_amount_minor, 'unsent', refusal, now() + interval '1 minute');
  UPDATE attempts AS a SET
      status = CASE WHEN a.status IN ('awaiting_payment', 'processing') THEN 'refunding' ELSE a.status END,
      failure = CASE WHEN a.status IN ('awaiting_payment', 'processing')
        THEN jsonb_build_object('type', refusal) ELSE a.failure END
    WHERE a.booking_id = in_booking_id
    RETURNING a.status INTO attempt.status;
  RETURN QUERY SELECT attempt.status, in_refund_id, true, refusal, NULL::text;
END $function$;
COMMENT ON FUNCTION settle_payment(text,text,text,text,integer,text,text,text,text[]) IS 'Decides what one captured payment buys: the booking, or a refund row with its reason. Asking again about the same payment answers what was decided.';

CREATE OR REPLACE FUNCTION public.stand_again(in_booking_id text, in_refund_id text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
  called_off boolean;
BEGIN
  UPDATE attempts AS a SET status = 'confirmed' FROM bookings AS b
    WHERE a.booking_id = in_booking_id AND a.status = 'needs_attention' AND b.id = a.booking_id AND b.status = 'confirmed';
  IF NOT FOUND THEN
    RETURN false;
  END IF;
  -- As a booking does: whoever calls the offering off now finds this one confirmed, or it finds the offering called off.
  PERFORM pg_advisory_xact_lock_shared(hashtextextended(wanted.offering_id, 0))
    FROM (SELECT i.offering_id FROM booking_items AS i WHERE i.booking_id = in_booking_id ORDER BY 1) AS wanted;
  SELECT bool_or(o.status = 'canceled') INTO called_off
    FROM booking_items AS i JOIN offerings AS o ON o.id = i.offering_id WHERE i.booking_id = in_booking_id;
  IF called_off THEN
    PERFORM cancel_booking(in_booking_id, in_refund_id, 'provider', NULL);
  END IF;
  RETURN called_off;
END $function$;
COMMENT ON FUNCTION stand_again(text,text) IS 'A booking that a case had stopped stands again; if an offering of it was called off meanwhile, it is undone like the others. Says whether it was.';

CREATE OR REPLACE FUNCTION public.stop_deliveries()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  UPDATE webhook_deliveries SET status = 'failed', next_try_at = NULL, last_error = 'endpoint-disabled'
    WHERE endpoint_id = NEW.id AND status = 'queued';
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION stop_deliveries() IS 'Nothing waits for an endpoint that is told nothing any more; what it missed can be repeated once it is enabled.';

CREATE OR REPLACE FUNCTION public.take_seats(in_booking_id text, in_items jsonb, in_own text[], in_hold_until timestamp with time zone)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
DECLARE
  waiting boolean;
  wanted record;
  caught integer[];
BEGIN
  -- First look: take what nobody else is taking, so buyers of different seats never wait for each other. Second look,
  -- waiting: a seat locked by a transaction that then rolls back is a free seat, so only this one is final. Offerings and
  -- seats are locked in one order everywhere, so waiters form no circle.
  FOREACH waiting IN ARRAY ARRAY[false, true] LOOP
    BEGIN
      FOR wanted IN
        SELECT item ->> 'offeringId' AS offering_id, (item ->> 'seats')::integer AS seats
        FROM jsonb_array_elements(in_items) AS item WHERE item ->> 'kind' IS DISTINCT FROM 'consultation' ORDER BY 1
      LOOP
        IF waiting THEN
          SELECT array_agg(seat_no) INTO caught FROM (
            SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
              AND (held_until IS NULL OR held_until <= now() OR held_by = ANY (in_own))
            ORDER BY seat_no LIMIT wanted.seats FOR UPDATE) AS free;
        ELSE
          SELECT array_agg(seat_no) INTO caught FROM (
            SELECT seat_no FROM seats WHERE offering_id = wanted.offering_id AND booking_id IS NULL
              AND (held_until IS NULL OR held_until <= now() OR held_by = ANY (in_own))
            ORDER BY seat_no LIMIT wanted.seats FOR UPDATE SKIP LOCKED) AS free;
        END IF;
        IF coalesce(cardinality(caught), 0) < wanted.seats THEN
          RAISE EXCEPTION 'too few seats' USING ERRCODE = 'PF001';
        END IF;
        UPDATE seats SET
            booking_id = CASE WHEN in_hold_until IS NULL THEN in_booking_id END,
            held_by = CASE WHEN in_hold_until IS NOT NULL THEN in_booking_id END,
            held_until = in_hold_until
          WHERE offering_id = wanted.offering_id AND seat_no = ANY (caught);
      END LOOP;
      RETURN true;
    EXCEPTION WHEN SQLSTATE 'PF001' THEN
      -- The block's savepoint has given the partial catch back: waiting with it in hand would deadlock. So would waiting
      -- for a single seat without it: a seat that was sold since this statement's snapshot is skipped, but stays locked.
    END;
  END LOOP;
  RETURN false;
END $function$;
COMMENT ON FUNCTION take_seats(text,jsonb,text[],timestamp with time zone) IS 'Takes every seat of a quote or none, and says whether it did: for good, or as a hold until that instant. in_own: attempts whose live holds count as free here.';

CREATE OR REPLACE FUNCTION public.tell_of_attempt()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  -- Settling passes here. Where nobody listens, it costs a look at an empty table.
  IF EXISTS (SELECT FROM webhook_endpoints) THEN
    -- A confirmed booking that is called off is canceled at once, and refunded once the money is back.
    PERFORM queue_webhooks('booking.' || CASE NEW.status WHEN 'refunding' THEN 'canceled' ELSE NEW.status END, NEW.booking_id,
      jsonb_build_object('bookingId', NEW.booking_id,
        'reference', (SELECT b.reference FROM bookings AS b WHERE b.id = NEW.booking_id),
        'status', NEW.status, 'version', NEW.version));
  END IF;
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION tell_of_attempt() IS 'Whoever changes an attempt''s status, no event is forgotten, and none is told of that is rolled back.';

CREATE OR REPLACE FUNCTION public.tell_of_case()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
BEGIN
  PERFORM queue_webhooks('case.opened', NEW.id,
    jsonb_build_object('caseId', NEW.id, 'kind', NEW.kind, 'bookingId', NEW.booking_id));
  RETURN NULL;
END $function$;
COMMENT ON FUNCTION tell_of_case() IS 'Every new case is told of, whoever opens it.';

ALTER TABLE attempts ADD CONSTRAINT attempts_cart_id_fkey FOREIGN KEY (cart_id) REFERENCES carts(id);
ALTER TABLE booking_items ADD CONSTRAINT booking_items_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES bookings(id);
ALTER TABLE booking_items ADD CONSTRAINT booking_items_offering_id_fkey FOREIGN KEY (offering_id) REFERENCES offerings(id);
ALTER TABLE bookings ADD CONSTRAINT bookings_id_fkey FOREIGN KEY (id) REFERENCES attempts(booking_id);
ALTER TABLE cart_items ADD CONSTRAINT cart_items_cart_id_fkey FOREIGN KEY (cart_id) REFERENCES carts(id);
ALTER TABLE cart_items ADD CONSTRAINT cart_items_offering_id_fkey FOREIGN KEY (offering_id) REFERENCES offerings(id);
ALTER TABLE carts ADD CONSTRAINT carts_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES bookings(id);
ALTER TABLE cases ADD CONSTRAINT cases_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES attempts(booking_id);
ALTER TABLE cases ADD CONSTRAINT cases_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id);
ALTER TABLE cases ADD CONSTRAINT cases_refund_id_fkey FOREIGN KEY (refund_id) REFERENCES refunds(id);
ALTER TABLE failures ADD CONSTRAINT failures_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES attempts(booking_id);
ALTER TABLE holds ADD CONSTRAINT holds_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES attempts(booking_id);
ALTER TABLE holds ADD CONSTRAINT holds_offering_id_fkey FOREIGN KEY (offering_id) REFERENCES offerings(id);
ALTER TABLE messages ADD CONSTRAINT messages_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES attempts(booking_id);
ALTER TABLE payment_tries ADD CONSTRAINT payment_tries_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES attempts(booking_id);
ALTER TABLE payments ADD CONSTRAINT payments_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES attempts(booking_id);
ALTER TABLE refunds ADD CONSTRAINT refunds_payment_id_fkey FOREIGN KEY (payment_id) REFERENCES payments(id);
ALTER TABLE seats ADD CONSTRAINT seats_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES bookings(id);
ALTER TABLE seats ADD CONSTRAINT seats_held_by_fkey FOREIGN KEY (held_by) REFERENCES attempts(booking_id);
ALTER TABLE seats ADD CONSTRAINT seats_offering_id_capacity_fkey FOREIGN KEY (offering_id, capacity) REFERENCES offerings(id, capacity);
ALTER TABLE wallet_entries ADD CONSTRAINT wallet_entries_booking_id_fkey FOREIGN KEY (booking_id) REFERENCES attempts(booking_id);
ALTER TABLE wallet_entries ADD CONSTRAINT wallet_entries_customer_id_currency_fkey FOREIGN KEY (customer_id, currency) REFERENCES wallets(customer_id, currency);
ALTER TABLE webhook_deliveries ADD CONSTRAINT webhook_deliveries_endpoint_id_fkey FOREIGN KEY (endpoint_id) REFERENCES webhook_endpoints(id) ON DELETE CASCADE;

CREATE TRIGGER attempts_born_failed AFTER INSERT ON attempts FOR EACH ROW WHEN (new.failure IS NOT NULL) EXECUTE FUNCTION keep_failure();
CREATE TRIGGER attempts_end_hold AFTER UPDATE OF status ON attempts FOR EACH ROW WHEN (old.hold_until IS NOT NULL AND (old.status = ANY (ARRAY['awaiting_payment'::text, 'processing'::text])) AND (new.status <> ALL (ARRAY['awaiting_payment'::text, 'processing'::text]))) EXECUTE FUNCTION end_hold();
CREATE TRIGGER attempts_frozen_quote BEFORE UPDATE ON attempts FOR EACH ROW WHEN (old.quote IS DISTINCT FROM new.quote OR old.total_minor IS DISTINCT FROM new.total_minor OR old.currency IS DISTINCT FROM new.currency OR old.customer_id IS DISTINCT FROM new.customer_id OR old.request_hash IS DISTINCT FROM new.request_hash OR old.cart_id IS DISTINCT FROM new.cart_id) EXECUTE FUNCTION refuse('a quote is frozen when its attempt opens');
COMMENT ON TRIGGER attempts_frozen_quote ON attempts IS 'The customer pays the price that was shown, whatever is edited meanwhile.';
CREATE TRIGGER attempts_keep_failure AFTER UPDATE OF failure ON attempts FOR EACH ROW WHEN (new.failure IS NOT NULL AND new.failure IS DISTINCT FROM old.failure AND (new.failure ->> 'type'::text) <> 'payment-declined'::text) EXECUTE FUNCTION keep_failure();
CREATE TRIGGER attempts_legal_transition BEFORE UPDATE ON attempts FOR EACH ROW WHEN (old.status <> new.status AND NOT attempt_may_become(old.status, new.status)) EXECUTE FUNCTION refuse('an attempt may not take this step');
COMMENT ON TRIGGER attempts_legal_transition ON attempts IS 'What is decided about money is not undone by code that comes late.';
CREATE TRIGGER attempts_tell AFTER UPDATE OF status ON attempts FOR EACH ROW WHEN (old.status <> new.status AND ((new.status = ANY (ARRAY['confirmed'::text, 'refunded'::text, 'expired'::text, 'canceled'::text])) OR old.status = 'confirmed'::text AND new.status = 'refunding'::text)) EXECUTE FUNCTION tell_of_attempt();
CREATE TRIGGER attempts_version BEFORE UPDATE ON attempts FOR EACH ROW EXECUTE FUNCTION count_version();
CREATE TRIGGER carts_convert_once BEFORE UPDATE ON carts FOR EACH ROW WHEN (old.booking_id IS NOT NULL AND new.booking_id IS DISTINCT FROM old.booking_id) EXECUTE FUNCTION refuse('a cart has room for one booking');
COMMENT ON TRIGGER carts_convert_once ON carts IS 'Two paid attempts on one cart: the second is given its money back.';
CREATE TRIGGER cases_resolved_once BEFORE UPDATE ON cases FOR EACH ROW WHEN (old.resolved_at IS NOT NULL) EXECUTE FUNCTION refuse('a case is resolved once');
COMMENT ON TRIGGER cases_resolved_once ON cases IS 'Two operators at once: the second is told, and no refund is sent twice.';
CREATE TRIGGER cases_tell AFTER INSERT ON cases FOR EACH ROW EXECUTE FUNCTION tell_of_case();
CREATE TRIGGER offerings_seats AFTER INSERT ON offerings FOR EACH ROW EXECUTE FUNCTION make_seats();
CREATE TRIGGER offerings_stay_canceled BEFORE UPDATE ON offerings FOR EACH ROW WHEN (old.status = 'canceled'::text AND new.status <> 'canceled'::text) EXECUTE FUNCTION refuse('what is called off stays so');
COMMENT ON TRIGGER offerings_stay_canceled ON offerings IS 'Its bookings are being given back; new ones would be as well.';
CREATE TRIGGER tries_keep_decline AFTER UPDATE OF failure_ref ON payment_tries FOR EACH ROW WHEN (new.failure_ref IS NOT NULL AND new.failure_ref IS DISTINCT FROM old.failure_ref) EXECUTE FUNCTION keep_failure();
COMMENT ON TRIGGER tries_keep_decline ON payment_tries IS 'Declines are counted by the gateway''s ids: a card may be declined twice for the same reason, and one decline may be read twice.';
CREATE TRIGGER payments_count_by_refunds BEFORE UPDATE ON payments FOR EACH ROW WHEN (old.refunded_minor <> new.refunded_minor AND pg_trigger_depth() = 0) EXECUTE FUNCTION refuse('only refund rows change the running total');
COMMENT ON TRIGGER payments_count_by_refunds ON payments IS 'A total set back by hand would make room for a second refund of the same money.';
CREATE TRIGGER payments_keep_facts BEFORE UPDATE ON payments FOR EACH ROW WHEN (old.id IS DISTINCT FROM new.id OR old.gateway IS DISTINCT FROM new.gateway OR old.gateway_payment_id IS DISTINCT FROM new.gateway_payment_id OR old.amount_minor IS DISTINCT FROM new.amount_minor OR old.currency IS DISTINCT FROM new.currency) EXECUTE FUNCTION refuse('what a gateway captured does not change');
COMMENT ON TRIGGER payments_keep_facts ON payments IS 'The gateway''s facts are written once; a bigger amount would make room for a bigger refund.';
CREATE TRIGGER refunds_counted AFTER INSERT OR DELETE OR UPDATE OF amount_minor ON refunds FOR EACH ROW EXECUTE FUNCTION count_refund();
CREATE TRIGGER refunds_stay_with_payment BEFORE UPDATE ON refunds FOR EACH ROW WHEN (old.payment_id <> new.payment_id) EXECUTE FUNCTION refuse('a refund belongs to one payment');
COMMENT ON TRIGGER refunds_stay_with_payment ON refunds IS 'Else the running totals of two payments would both be wrong.';
CREATE TRIGGER seats_live_hold BEFORE UPDATE ON seats FOR EACH ROW WHEN (old.held_until > now() AND COALESCE(new.booking_id, new.held_by) <> old.held_by) EXECUTE FUNCTION keep_live_hold();
CREATE TRIGGER seats_one_booking BEFORE UPDATE ON seats FOR EACH ROW WHEN (old.booking_id IS NOT NULL AND new.booking_id IS NOT NULL AND old.booking_id <> new.booking_id) EXECUTE FUNCTION refuse('a seat has room for one booking');
COMMENT ON TRIGGER seats_one_booking ON seats IS 'A seat is freed before it is sold again; a sale over a sale is refused, whoever forgot to lock.';
CREATE TRIGGER seats_stay BEFORE DELETE ON seats FOR EACH ROW EXECUTE FUNCTION refuse('an offering keeps exactly its capacity in seats');
COMMENT ON TRIGGER seats_stay ON seats IS 'With the primary key, the CHECK and the key to the capacity: exactly that many seats, no more, no fewer.';
CREATE CONSTRAINT TRIGGER wallet_entries_balanced AFTER INSERT ON wallet_entries DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION refuse_unbalanced();
CREATE TRIGGER wallet_entries_counted AFTER INSERT ON wallet_entries FOR EACH ROW WHEN (new.account = 'customer'::text) EXECUTE FUNCTION count_wallet_entry();
CREATE TRIGGER wallet_entries_stay BEFORE DELETE OR UPDATE ON wallet_entries FOR EACH ROW EXECUTE FUNCTION refuse('an entry is never changed, only answered by another');
CREATE TRIGGER wallets_begin_empty BEFORE INSERT ON wallets FOR EACH ROW WHEN (new.balance_minor <> 0) EXECUTE FUNCTION refuse('only entries change a balance');
CREATE TRIGGER wallets_count_by_entries BEFORE UPDATE ON wallets FOR EACH ROW WHEN (old.balance_minor <> new.balance_minor AND pg_trigger_depth() = 0) EXECUTE FUNCTION refuse('only entries change a balance');
CREATE TRIGGER webhook_endpoints_stop AFTER UPDATE OF status ON webhook_endpoints FOR EACH ROW WHEN (old.status <> new.status AND new.status = 'disabled'::text) EXECUTE FUNCTION stop_deliveries();

COMMENT ON CONSTRAINT offerings_shape ON offerings IS 'A slot has a time and a capacity; a consultation has neither, so it has no seats to hold or to count.';
